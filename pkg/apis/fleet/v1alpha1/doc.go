// Package v1alpha1 holds the types of fleet.periplus.dev/v1alpha1: the members: clusters that run workloads,
// with their defaults and validation. It imports no client and no other package of ours but its siblings under apis.
//
// +k8s:deepcopy-gen=package
// +kubebuilder:object:generate=true
// +groupName=fleet.periplus.dev
package v1alpha1
