// Package boot starts one of our controller binaries: flags, clients, logging, metrics, probes, leader election, informers, controllers,
// and a clean end at SIGTERM. It imports knative.dev/pkg and no package of ours.
//
// It is put together from the parts of knative's sharedmain and does what sharedmain.MainWithConfig does, in the same order, but for the
// listeners: that function always opens a profiling port (8008) on all interfaces, which two binaries on one machine would fight for. Here
// a port is opened only where a flag says so.
//
// A binary is:
//
//	func main() { boot.Run("workloads", inplaceset.NewController) }
//
// Flags:
//
//	--kubeconfig       the cluster; $KUBECONFIG, then the pod's own ServiceAccount where empty
//	--disable-ha       no leader election: for exactly one process
//	--metrics-address  host:port of Prometheus metrics at /metrics, port 1024 or above; off where empty
//	--health-address   host:port of /healthz and /readyz; off where empty
//
// The system namespace is $SYSTEM_NAMESPACE, periplus-system where empty. The ConfigMaps config-logging and config-leader-election there
// are read if they exist, in knative's format. $K_THREADS_PER_CONTROLLER is how many keys a controller works on at once, where the
// controller does not say so itself.
package boot
