package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// RollbackScope is how much of a release goes back.
type RollbackScope string

const (
	// RollbackRelease takes back all that the release touched.
	RollbackRelease RollbackScope = "Release"
	// RollbackMember takes back what it touched in some members.
	RollbackMember RollbackScope = "Member"
)

// OnUnreachable says what a stage does about a member that does not answer.
type OnUnreachable string

const (
	// UnreachableSkip goes on without the member, and names it.
	UnreachableSkip OnUnreachable = "Skip"
	// UnreachableWait does the others first and then waits until the member is back.
	UnreachableWait OnUnreachable = "Wait"
	// UnreachableHold begins nothing further until the member is back.
	UnreachableHold OnUnreachable = "Hold"
)

// +genclient
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:object:root=true
// +kubebuilder:resource:categories=periplus
// +kubebuilder:printcolumn:name="Scope",type=string,JSONPath=`.spec.scope`
// +kubebuilder:printcolumn:name="Release",type=string,JSONPath=`.spec.release`
// +kubebuilder:printcolumn:name="Unreachable",type=string,JSONPath=`.spec.onUnreachable`

// Rollback is a stored policy: how we go back.
type Rollback struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +kubebuilder:validation:Required
	Spec RollbackSpec `json:"spec"`
}

// RollbackSpec takes back what a release touched, and only that, newest first. It names no target and no change: what there is to take back, and
// the limits it is done under, are what the Release's entries say.
// +kubebuilder:validation:XValidation:rule="(has(self.scope) && self.scope == 'Member') == (has(self.members) && self.members.size() > 0) || (has(self.fromMembers) && !(has(self.scope) && self.scope == 'Member'))",message="members: go with scope: Member, which needs them, or with fromMembers"
// +kubebuilder:validation:XValidation:rule="!(has(self.release) && self.release.size() > 0) || !has(self.fromMembers)",message="fromMembers: names the release itself; leave out release"
type RollbackSpec struct {
	// Scope: Release (all that was touched) or Member (what was touched in members). Release where empty.
	// +optional
	// +kubebuilder:validation:Enum=Release;Member
	Scope RollbackScope `json:"scope,omitempty"`

	// Members that go back, by name; with scope: Member, or with fromMembers, where they are the ones that are searched.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=300
	// +kubebuilder:validation:items:MaxLength=253
	Members []string `json:"members,omitempty"`

	// Release to take back, by name, in the run's namespace. That of the root run which the stage belongs to where empty.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Release string `json:"release,omitempty"`

	// FromMembers takes the record from the locks on workloads in the members, for a hub that has lost it: those named by members, else all that
	// ReleasePolicies give to the namespace. In place of release. Only workloads of the run's namespace go back.
	// +optional
	FromMembers *FromMembers `json:"fromMembers,omitempty"`

	// OnUnreachable: Skip (the others go back, the member is named and the stage fails) or Wait (the others go back, and the member once it answers).
	// Skip where empty.
	// +optional
	// +kubebuilder:validation:Enum=Skip;Wait
	OnUnreachable OnUnreachable `json:"onUnreachable,omitempty"`

	// Guards of the way back. None are needed: those of the targets are for the way there.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	Guards []Guard `json:"guards,omitempty"`

	// GuardSets of the way back.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=253
	GuardSets []string `json:"guardSets,omitempty"`

	// OnGuardFailure is what to do when a guard fails. Fail where empty.
	// +optional
	// +kubebuilder:validation:Enum=Hold;Fail
	OnGuardFailure OnTrouble `json:"onGuardFailure,omitempty"`

	// ProgressDeadline is how long the stage bears that no further pod becomes available while it waits for pods. 10m where empty.
	// +optional
	ProgressDeadline *metav1.Duration `json:"progressDeadline,omitempty"`
}

// FromMembers says which locks in members tell what a release touched.
type FromMembers struct {
	// Release by the name that the locks give.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Release string `json:"release"`
	// Hub that took the locks: the UID of its kube-system namespace. This one where empty; another for a hub that was built anew.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Hub string `json:"hub,omitempty"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:object:root=true

// RollbackList is a list of Rollbacks.
type RollbackList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Rollback `json:"items"`
}
