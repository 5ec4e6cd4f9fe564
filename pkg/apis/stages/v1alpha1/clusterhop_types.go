package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Direction of an order.
type Direction string

const (
	// Ascending goes from the least to the greatest.
	Ascending Direction = "Ascending"
	// Descending goes from the greatest to the least.
	Descending Direction = "Descending"
)

// +genclient
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:object:root=true
// +kubebuilder:resource:categories=periplus
// +kubebuilder:printcolumn:name="Target",type=string,JSONPath=`.spec.target`
// +kubebuilder:printcolumn:name="Pipeline",type=string,JSONPath=`.spec.pipelineRef.name`
// +kubebuilder:printcolumn:name="Silent",type=string,JSONPath=`.spec.silentPeriod`

// ClusterHop is a stored policy: what must hold before a release goes from some members to the next, or how one Pipeline is carried over many.
type ClusterHop struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +kubebuilder:validation:Required
	Spec ClusterHopSpec `json:"spec"`
}

// ClusterHopSpec is one of two. A gate (from, to) checks the members left behind, waits, checks the next ones, and lets the pipeline go on. A
// carrier (pipelineRef, waves) runs a Pipeline once for each member, wave after wave. The stage itself moves nothing.
// +kubebuilder:validation:XValidation:rule="has(self.pipelineRef) != (has(self.from) || has(self.to))",message="pipelineRef: give either from and to (a gate) or pipelineRef and waves (a carrier)"
// +kubebuilder:validation:XValidation:rule="has(self.pipelineRef) || has(self.from) && has(self.to) && has(self.target) && self.target.size() > 0",message="from: a gate needs target, from and to"
// +kubebuilder:validation:XValidation:rule="has(self.pipelineRef) == has(self.waves)",message="waves: go with pipelineRef, which needs them"
// +kubebuilder:validation:XValidation:rule="has(self.pipelineRef) || !has(self.params) && !has(self.memberParam) && !has(self.orderBy) && !has(self.maxParallel) && !has(self.maxFailures) && !has(self.wavePause) && !has(self.onUnreachable)",message="params, memberParam, orderBy, maxParallel, maxFailures, wavePause, onUnreachable: go with pipelineRef only"
// +kubebuilder:validation:XValidation:rule="has(self.target) && self.target.size() > 0 || !(has(self.guards) && self.guards.size() > 0) && !(has(self.guardSets) && self.guardSets.size() > 0)",message="target: guards are judged on the pods of a target; name it"
// +kubebuilder:validation:XValidation:rule="!has(self.to) || !has(self.from) || !self.to.exists(m, m in self.from)",message="to: a member is in from as well"
type ClusterHopSpec struct {
	// Target names the Target, in the same namespace, whose pods are checked. A carrier without guards needs none.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Target string `json:"target,omitempty"`

	// From are the members left behind, by name. During the whole silent period all of the target's pods there must be available and its
	// template must be the one that the release left.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=300
	// +kubebuilder:validation:items:MaxLength=253
	From []string `json:"from,omitempty"`

	// To are the next members, by name. They must be reachable and the target there must be whole and free of other releases.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=300
	// +kubebuilder:validation:items:MaxLength=253
	To []string `json:"to,omitempty"`

	// SilentPeriod of a gate: to wait between the check of the members left behind and that of the next ones. Of a carrier: to wait after each
	// member that is done, before another one takes its place. 0 where empty.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.contains('$(') || self == '0' || self.matches('^([0-9]+([.][0-9]+)?(ns|us|ms|s|m|h))+$')",message="must be a duration such as 90s or 5m, and not negative"
	SilentPeriod *metav1.Duration `json:"silentPeriod,omitempty"`

	// Guards. Of a gate: Before and During (the silent period) are judged on the members in from, After on the members in to. Of a carrier:
	// Before on a member before its run is made; once that has succeeded During for the silent period, and After.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	Guards []Guard `json:"guards,omitempty"`

	// GuardSets named by this stage, beside those of its target.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=253
	GuardSets []string `json:"guardSets,omitempty"`

	// OnGuardFailure is what to do when a guard fails. Fail where empty.
	// +optional
	// +kubebuilder:validation:Enum=Hold;Fail
	OnGuardFailure OnTrouble `json:"onGuardFailure,omitempty"`

	// PipelineRef names the Pipeline, in the same namespace, that is run once for each member.
	// +optional
	PipelineRef *PipelineRef `json:"pipelineRef,omitempty"`

	// Params of each run, beside that of the member.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	Params []HopParam `json:"params,omitempty"`

	// MemberParam is the Pipeline's param that names the member. "member" where empty.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	MemberParam string `json:"memberParam,omitempty"`

	// Waves, one after the other. Their members are fixed when the stage starts; a member goes with the first wave that has it.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=50
	Waves []Wave `json:"waves,omitempty"`

	// OrderBy orders the members within each wave. Where it is empty those named come first, in that order, then those selected, by name.
	// +optional
	OrderBy *OrderBy `json:"orderBy,omitempty"`

	// MaxParallel is how many members are worked on at once. 1 where empty.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=300
	MaxParallel int32 `json:"maxParallel,omitempty"`

	// MaxFailures is how many members may fail before no further one is begun and the stage fails: a number, or a percentage of the members of all waves, rounded down. 0 where empty.
	// +optional
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 0 : self.matches('^(100|[1-9]?[0-9])%$')",message="maxFailures: must be a number of members, 0 or more, or a percentage from 0% to 100%"
	MaxFailures *intstr.IntOrString `json:"maxFailures,omitempty"`

	// WavePause to wait between two waves. 0 where empty.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.contains('$(') || self == '0' || self.matches('^([0-9]+([.][0-9]+)?(ns|us|ms|s|m|h))+$')",message="must be a duration such as 90s or 5m, and not negative"
	WavePause *metav1.Duration `json:"wavePause,omitempty"`

	// OnUnreachable: Hold (nothing further is begun until the member answers) or Skip (the member is left out and named). Hold where empty.
	// +optional
	// +kubebuilder:validation:Enum=Hold;Skip
	OnUnreachable OnUnreachable `json:"onUnreachable,omitempty"`
}

// Carries says whether the hop is a carrier, and not a gate.
func (s *ClusterHopSpec) Carries() bool { return s.PipelineRef != nil }

// PipelineRef names a Pipeline in the run's namespace.
type PipelineRef struct {
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// HopParam is a param of the runs that a carrier makes.
type HopParam struct {
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// +kubebuilder:validation:MaxLength=4096
	Value string `json:"value"`
}

// Wave is some members that are worked on before those of the next wave.
// +kubebuilder:validation:XValidation:rule="has(self.members) && self.members.size() > 0 || has(self.memberSelector)",message="members: name members, or select them by memberSelector"
type Wave struct {
	// Name for people. Its number where empty.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name,omitempty"`

	// Members by name.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=300
	// +kubebuilder:validation:items:MaxLength=253
	Members []string `json:"members,omitempty"`

	// MemberSelector adds the members whose labels match.
	// +optional
	MemberSelector *metav1.LabelSelector `json:"memberSelector,omitempty"`

	// MaxParallel of this wave. That of the stage where empty.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=300
	MaxParallel int32 `json:"maxParallel,omitempty"`
}

// OrderBy is one way to order members. Those that are equal go by name.
// +kubebuilder:validation:XValidation:rule="has(self.label) != has(self.importance)",message="orderBy: give exactly one of label and importance"
type OrderBy struct {
	// Label whose value orders, numbers as numbers, ascending; members without it go last.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=317
	Label string `json:"label,omitempty"`

	// Importance of the Member: Ascending (the least important first) or Descending.
	// +optional
	// +kubebuilder:validation:Enum=Ascending;Descending
	Importance Direction `json:"importance,omitempty"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:object:root=true

// ClusterHopList is a list of ClusterHops.
type ClusterHopList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ClusterHop `json:"items"`
}
