// Package sidecars is `periplus sidecars` and `periplus sidecars missed`: the SidecarSets of a member, and the pods that were created without what a set should have
// put in. It goes to the member itself, with the caller's own kubeconfig; the hub has no part in it. Which pods a set means and which of them it missed, pkg/sidecar
// decides, for this command as for the controller.
package sidecars
