// Package apiserver starts one real etcd and kube-apiserver on loopback, for tests of what the API server itself decides: schemas, RBAC and
// admission policies. Nothing else runs: no controller manager, so nothing is garbage collected, no role is aggregated, no namespace ends.
//
// It imports client-go and the standard library only. The flags are those of `periplus local`.
package apiserver
