// Package conformance is the list of what Periplus relies on in a node's kubelet, as tests that run against any
// cluster: against simulated nodes, to know that the simulation is true, and against real kubelets, to know that the
// list is.
//
// It is built with the tag conformance and takes PERIPLUS_CONFORMANCE_KUBECONFIG, an admin's kubeconfig; `make
// conformance` runs it on the local fleet. On real nodes, name images that do what each is for:
// PERIPLUS_CONFORMANCE_IMAGE_{GOOD,OTHER,SAME,BAD,CRASH,SLOW,INIT}; SAME must have the digest of OTHER under another
// tag, and an empty SLOW leaves its test out. PERIPLUS_CONFORMANCE_NODE_FAILURE=skip leaves out the test that fails a
// node, which it does by the label that simulated nodes understand.
package conformance
