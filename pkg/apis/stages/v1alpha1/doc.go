// Package v1alpha1 holds the types of stages.periplus.dev/v1alpha1: the stages, what they name (Target, GuardSet), what people do (Approval, Intervention, Freeze), what the
// platform team grants and demands (ReleasePolicy) and the record of a release (Release), with their defaults and validation. It imports no client and no other package of ours
// but its siblings under apis.
//
// +k8s:deepcopy-gen=package
// +kubebuilder:object:generate=true
// +groupName=stages.periplus.dev
package v1alpha1
