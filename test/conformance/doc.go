// Package conformance is the list of what Periplus relies on in a node's kubelet, as tests that run against any
// cluster: against simulated nodes, to know that the simulation is true, and against real kubelets, to know that the
// list is.
//
// It is built with the tag conformance and takes PERIPLUS_CONFORMANCE_KUBECONFIG, an admin's kubeconfig, and
// PERIPLUS_CONFORMANCE_NODES, which declares what the nodes are: simulated or real. `make conformance` runs it on the
// local fleet. TestKubelet runs on both; TestSimulation is about what only simulated nodes promise (an image that is
// slow because its tag says so, a node that fails by a label), and is no part of the list for real ones.
//
// On real nodes, name images that do what each is for: PERIPLUS_CONFORMANCE_IMAGE_{GOOD,OTHER,SAME,BAD,CRASH,INIT}; SAME
// must have the digest of OTHER under another tag.
package conformance
