package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// ConditionReachable is True while the member's API server answers. Its message says since when it does not.
	ConditionReachable = "Reachable"

	// LabelRegion on a Member names the region it stands in, for people and selectors.
	LabelRegion = "fleet.periplus.dev/region"
)

// +genclient
// +genclient:nonNamespaced
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,categories=periplus
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Reachable",type=string,JSONPath=`.status.conditions[?(@.type=="Reachable")].status`
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.status.version`
// +kubebuilder:printcolumn:name="Last contact",type=date,JSONPath=`.status.lastContactTime`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Reachable")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`

// Member is a cluster that runs workloads. Labels carry its region, ring and data centres.
type Member struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +kubebuilder:validation:Required
	Spec   MemberSpec   `json:"spec"`
	Status MemberStatus `json:"status,omitempty"`
}

// MemberSpec says how the member is reached.
type MemberSpec struct {
	// KubeconfigSecretRef names the Secret on the hub that holds a kubeconfig for this member.
	// +kubebuilder:validation:Required
	KubeconfigSecretRef *SecretKeyRef `json:"kubeconfigSecretRef"`

	// Importance orders members where a stage carries a release over many of them: lower goes first. 0 to 1000.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000
	Importance int32 `json:"importance,omitempty"`
}

// SecretKeyRef names one key of a Secret.
type SecretKeyRef struct {
	// Namespace of the Secret. Only periplus-system is read by the published RBAC.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace"`
	// Name of the Secret.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// Key inside the Secret; "kubeconfig" where empty.
	// +optional
	// +kubebuilder:default=kubeconfig
	// +kubebuilder:validation:MaxLength=253
	Key string `json:"key,omitempty"`
}

// MemberStatus is what the hub last saw of the member.
type MemberStatus struct {
	// ObservedGeneration is the generation this status speaks of.
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Conditions: Reachable.
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// Version of the member's API server, such as v1.36.3.
	// +kubebuilder:validation:MaxLength=64
	Version string `json:"version,omitempty"`
	// LastContactTime is when the member last answered. It is written at most once a minute while nothing else changes.
	LastContactTime *metav1.Time `json:"lastContactTime,omitempty"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:object:root=true

// MemberList is a list of Members.
type MemberList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Member `json:"items"`
}
