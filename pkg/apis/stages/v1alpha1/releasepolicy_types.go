package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// +genclient
// +genclient:nonNamespaced
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,path=releasepolicies,categories=periplus
// +kubebuilder:printcolumn:name="Namespaces",type=string,JSONPath=`.spec.namespaces`
// +kubebuilder:printcolumn:name="Members",type=string,JSONPath=`.spec.members`
// +kubebuilder:printcolumn:name="Bake",type=string,JSONPath=`.spec.require.minBake`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`

// ReleasePolicy is the platform team's: which members the runs of which namespaces may release to, and what they must do there. A namespace is given a
// member if any policy that selects the namespace gives it. Without a policy no member is given. Of all policies that select both the
// namespace and the member all demands apply.
type ReleasePolicy struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +kubebuilder:validation:Required
	Spec ReleasePolicySpec `json:"spec"`
}

// ReleasePolicySpec is what is given and what is demanded.
type ReleasePolicySpec struct {
	// Namespaces that the policy is for. All where empty.
	// +optional
	Namespaces Selection `json:"namespaces,omitempty"`

	// Members that those namespaces are given. All where empty.
	// +optional
	Members Selection `json:"members,omitempty"`

	// MetricSources that the guards of those namespaces may ask. All where empty. What a policy demands may ask any.
	// +optional
	MetricSources Selection `json:"metricSources,omitempty"`

	// SidecarSets that the runs of those namespaces may release in those members, by name; "*" for all. None where empty: a SidecarSet has containers in the pods of
	// other namespaces.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=300
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	SidecarSets []string `json:"sidecarSets,omitempty"`

	// Require is what a run must have to move anything in those members. A run that lacks it is refused before it moves anything.
	// +optional
	Require Demands `json:"require,omitempty"`

	// OnBehalfOf are users, such as system:serviceaccount:ci:releaser, who start runs in those namespaces for somebody else and are believed when they say for whom.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=100
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	OnBehalfOf []string `json:"onBehalfOf,omitempty"`
}

// Selection chooses objects by name and by labels: those named, and those whose labels match. All where both are empty.
type Selection struct {
	// Names of the objects.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=300
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	Names []string `json:"names,omitempty"`

	// Selector adds the objects whose labels match.
	// +optional
	Selector *metav1.LabelSelector `json:"selector,omitempty"`
}

// Demands of a policy. Each holds in addition to what the run asks of itself.
type Demands struct {
	// GuardSets that are judged by every stage that moves something.
	// +optional
	// +listType=map
	// +listMapKey=namespace
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	GuardSets []GuardSetRef `json:"guardSets,omitempty"`

	// Confirms that must have said yes before a stage moves something.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Confirms []DemandedConfirm `json:"confirms,omitempty"`

	// Windows, any of which must be open for a stage to begin to move something, and to begin each further step. Always open where there are none.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	Windows []TimeWindow `json:"windows,omitempty"`

	// TimeZone of the windows, by its name in the IANA database, such as Europe/Berlin. UTC where empty.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	TimeZone string `json:"timeZone,omitempty"`

	// MinBake is the least time that canaries bake. Other stages that move something need such canaries in the same member before them. 0 where empty.
	// +optional
	MinBake *metav1.Duration `json:"minBake,omitempty"`
}

// GuardSetRef names a GuardSet in any namespace: the platform team's own, which those who release cannot change.
type GuardSetRef struct {
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace"`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// DemandedConfirm is a yes that a run needs from certain people.
type DemandedConfirm struct {
	// Approvers whose yes counts; at least one user or group.
	// +kubebuilder:validation:XValidation:rule="has(self.users) && self.users.size() > 0 || has(self.groups) && self.groups.size() > 0",message="approvers: name users or groups; a yes of anybody is no demand"
	Approvers Approvers `json:"approvers"`

	// Required is how many different people of them must say yes. 1 where empty.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	Required int32 `json:"required,omitempty"`

	// ForbidInitiator does not count the person who started the run.
	// +optional
	ForbidInitiator bool `json:"forbidInitiator,omitempty"`

	// Members, of those that the policy gives, that need it. All of them where empty.
	// +optional
	Members Selection `json:"members,omitempty"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:object:root=true

// ReleasePolicyList is a list of ReleasePolicies.
type ReleasePolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ReleasePolicy `json:"items"`
}
