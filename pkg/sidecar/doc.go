// Package sidecar decides what SidecarSets make of a pod: which sets mean it (match.go), what is put into it when it is created (inject.go, container.go), what is
// noted of that (record.go), and what of a new revision changes in a running pod and what waits for the next creation (content.go). It is pure: no clients, no I/O,
// no clock. It imports Kubernetes API types, pkg/apis and pkg/inplace.
//
// Injection adds and never changes: what an application says of itself stays as it is, byte for byte, fields that this build does not know included. What cannot be
// added without making the pod invalid is left out whole, set by set, with the reason in the pod's record: an admission that fails the pod would be worse than a
// sidecar that is missing.
//
// The facts of validation were read in k8s.io/kubernetes v1.35, pkg/apis/core/validation: names of containers, init containers included, and of volumes are unique in
// a pod; so are mount paths in a container, and host ports among containers, where on the host's network every port is one.
package sidecar
