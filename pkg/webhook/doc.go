// Package webhook answers the API server when a pod is created, with the sidecars that are to be put into it. What that is, pkg/sidecar decides; this package knows
// which sets, revisions and namespaces there are, from caches, and never writes for a pod: dry runs are answered like others.
//
// It must never keep a pod from being created. The registration says so (failurePolicy Ignore, a small timeout), every answer allows, and what is put in is of
// revisions that the API server accepted before (see pkg/reconciler/sidecarset). A pod that was missed is found by that controller.
//
// The certificate is made and changed here (keys.go is pure, rotation.go writes): the next one is published beside the one that is served, and served once every
// reader had the time to learn of it, so that no request fails in between. One replica writes, all serve.
//
// It imports client-go, knative.dev/pkg for injection and leader election, and of ours pkg/apis, pkg/boot, pkg/client, pkg/loop and pkg/sidecar.
package webhook
