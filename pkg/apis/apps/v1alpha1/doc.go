// Package v1alpha1 holds the types of apps.periplus.dev/v1alpha1: the workloads that careful rollouts need,
// with their defaults and validation. It imports no client and no other package of ours but its siblings under apis.
//
// +k8s:deepcopy-gen=package
// +kubebuilder:object:generate=true
// +groupName=apps.periplus.dev
package v1alpha1
