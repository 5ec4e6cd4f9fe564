package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// FreezeRollbacks says what a Freeze does to rollbacks.
type FreezeRollbacks string

const (
	// RollbacksStop stops rollbacks like everything else.
	RollbacksStop FreezeRollbacks = "Stop"
	// RollbacksAllow lets rollbacks go on.
	RollbacksAllow FreezeRollbacks = "Allow"
)

// +genclient
// +genclient:nonNamespaced
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,path=freezes,categories=periplus
// +kubebuilder:printcolumn:name="Members",type=string,JSONPath=`.spec.members`
// +kubebuilder:printcolumn:name="Selector",type=string,JSONPath=`.spec.memberSelector.matchLabels`
// +kubebuilder:printcolumn:name="Namespaces",type=string,JSONPath=`.spec.namespaces`
// +kubebuilder:printcolumn:name="Until",type=string,JSONPath=`.spec.until`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.spec.message`
// +kubebuilder:printcolumn:name="User",type=string,JSONPath=`.spec.user`
// +kubebuilder:printcolumn:name="Lifted",type=string,JSONPath=`.spec.lifted.user`
// +kubebuilder:printcolumn:name="Rollbacks",type=string,priority=1,JSONPath=`.spec.rollbacks`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`

// Freeze stops every stage in its scope before its next move, until it is lifted or runs out. Admission makes sure that those who froze and
// lifted are who they say. It is in force from its creation on, and while it is, nobody deletes it.
type Freeze struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +kubebuilder:validation:Required
	Spec FreezeSpec `json:"spec"`
}

// FreezeSpec is what is frozen, by whom and why. Of it only lifted changes, once.
// +kubebuilder:validation:XValidation:rule="!(has(self.members) && self.members.size() > 0) || !has(self.memberSelector)",message="memberSelector: give members or memberSelector, not both; another Freeze stops the others"
// +kubebuilder:validation:XValidation:rule="has(self.members) == has(oldSelf.members) && (!has(self.members) || self.members == oldSelf.members)",message="members: never change; lift this Freeze and create another"
// +kubebuilder:validation:XValidation:rule="has(self.memberSelector) == has(oldSelf.memberSelector) && (!has(self.memberSelector) || self.memberSelector == oldSelf.memberSelector)",message="memberSelector: never changes; lift this Freeze and create another"
// +kubebuilder:validation:XValidation:rule="has(self.namespaces) == has(oldSelf.namespaces) && (!has(self.namespaces) || self.namespaces == oldSelf.namespaces)",message="namespaces: never change; lift this Freeze and create another"
// +kubebuilder:validation:XValidation:rule="has(self.rollbacks) == has(oldSelf.rollbacks) && (!has(self.rollbacks) || self.rollbacks == oldSelf.rollbacks)",message="rollbacks: never changes; lift this Freeze and create another"
// +kubebuilder:validation:XValidation:rule="has(self.until) == has(oldSelf.until) && (!has(self.until) || self.until == oldSelf.until)",message="until: never changes; lift this Freeze and create another"
// +kubebuilder:validation:XValidation:rule="self.message == oldSelf.message",message="message: never changes; lift this Freeze and create another"
// +kubebuilder:validation:XValidation:rule="has(self.user) == has(oldSelf.user) && (!has(self.user) || self.user == oldSelf.user)",message="user: never changes"
// +kubebuilder:validation:XValidation:rule="has(self.groups) == has(oldSelf.groups) && (!has(self.groups) || self.groups == oldSelf.groups)",message="groups: never change"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.lifted) || has(self.lifted) && self.lifted == oldSelf.lifted",message="lifted: never changes once it is set; create another Freeze to freeze again"
type FreezeSpec struct {
	// Members that are frozen, by name. With none and no memberSelector all are, and so is what has no member, such as the start of a run.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=300
	// +kubebuilder:validation:items:MaxLength=253
	Members []string `json:"members,omitempty"`

	// MemberSelector freezes the members whose labels match, as they are at the moment it is looked at. In place of members.
	// +optional
	MemberSelector *metav1.LabelSelector `json:"memberSelector,omitempty"`

	// Namespaces whose runs are frozen. All where empty. Where members are given as well both must match.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=300
	// +kubebuilder:validation:items:MaxLength=63
	Namespaces []string `json:"namespaces,omitempty"`

	// Rollbacks: Stop or Allow. Stop where empty.
	// +optional
	// +kubebuilder:validation:Enum=Stop;Allow
	Rollbacks FreezeRollbacks `json:"rollbacks,omitempty"`

	// Until when it is in force at the longest. Until it is lifted where empty.
	// +optional
	Until *metav1.Time `json:"until,omitempty"`

	// Message says why, to those who are stopped.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message"`

	// User who froze: the caller's own name. Filled in by admission where the server can.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	User string `json:"user,omitempty"`

	// Groups of the person, all or some of the caller's own.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=253
	Groups []string `json:"groups,omitempty"`

	// Lifted ends it, and says who did so and why.
	// +optional
	Lifted *Lifting `json:"lifted,omitempty"`
}

// Lifting is the end of a Freeze.
type Lifting struct {
	// Message says why, for those who read it later.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message"`

	// User who lifted it: the caller's own name. Filled in by admission where the server can.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	User string `json:"user,omitempty"`

	// Groups of the person, all or some of the caller's own.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=253
	Groups []string `json:"groups,omitempty"`

	// Time as the person's own clock had it, for people; nothing depends on it.
	// +optional
	Time *metav1.Time `json:"time,omitempty"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:object:root=true

// FreezeList is a list of Freezes.
type FreezeList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Freeze `json:"items"`
}
