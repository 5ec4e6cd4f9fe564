package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// UpdateType says how a pod gets a new revision.
type UpdateType string

const (
	// InPlaceIfPossible changes the running pod where stock Kubernetes can, and rebuilds it otherwise.
	InPlaceIfPossible UpdateType = "InPlaceIfPossible"
	// InPlaceOnly refuses, by a condition that names the field, what does not fit in place; nothing moves.
	InPlaceOnly UpdateType = "InPlaceOnly"
	// ReCreate rebuilds every pod.
	ReCreate UpdateType = "ReCreate"
)

const (
	// ConditionProgressing is False when the set cannot go on; its message says why, with the pods' own reasons.
	ConditionProgressing = "Progressing"
	// ConditionAvailable is True while at least replicas minus maxUnavailable pods are available.
	ConditionAvailable = "Available"
)

// Reasons of Progressing=False with which a set stands still until somebody changes something; stages that move it fail by them.
const (
	// ReasonInvalidSpec: the spec says something that cannot be. Nothing moves.
	ReasonInvalidSpec = "InvalidSpec"
	// ReasonNotInPlace: the change does not fit in place, and the set wants nothing else. Nothing moves.
	ReasonNotInPlace = "NotInPlace"
	// ReasonRevisionMissing: a pod is to be created on a revision whose ControllerRevision was deleted.
	ReasonRevisionMissing = "RevisionMissing"
)

// +genclient
// +genclient:method=GetScale,verb=get,subresource=scale,result=k8s.io/api/autoscaling/v1.Scale
// +genclient:method=UpdateScale,verb=update,subresource=scale,input=k8s.io/api/autoscaling/v1.Scale,result=k8s.io/api/autoscaling/v1.Scale
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:object:root=true
// +kubebuilder:resource:shortName=ips,categories={all,periplus}
// +kubebuilder:subresource:status
// +kubebuilder:subresource:scale:specpath=.spec.replicas,statuspath=.status.replicas,selectorpath=.status.labelSelector
// +kubebuilder:printcolumn:name="Desired",type=integer,JSONPath=`.spec.replicas`
// +kubebuilder:printcolumn:name="Updated",type=integer,JSONPath=`.status.updatedReplicas`
// +kubebuilder:printcolumn:name="Ready",type=integer,JSONPath=`.status.readyReplicas`
// +kubebuilder:printcolumn:name="Available",type=integer,JSONPath=`.status.availableReplicas`
// +kubebuilder:printcolumn:name="Partition",type=string,JSONPath=`.spec.updateStrategy.partition`
// +kubebuilder:printcolumn:name="Unit",type=string,JSONPath=`.metadata.labels.apps\.periplus\.dev/unit`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Progressing")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`

// InPlaceSet keeps a number of alike pods and changes them in place: same pod, node, IP and volumes.
type InPlaceSet struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +kubebuilder:validation:Required
	Spec   InPlaceSetSpec   `json:"spec"`
	Status InPlaceSetStatus `json:"status,omitempty"`
}

// InPlaceSetSpec is the wish.
// +kubebuilder:validation:XValidation:rule="self.selector == oldSelf.selector",message="spec.selector: cannot be changed; make a new InPlaceSet"
type InPlaceSetSpec struct {
	// Replicas is how many pods to keep. 0 to 10000; 1 where empty.
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10000
	Replicas *int32 `json:"replicas,omitempty"`

	// Selector tells the set's pods. It must match the template's labels, and never changes. Matched by labels only.
	Selector *metav1.LabelSelector `json:"selector"`

	// Template of the pods.
	Template corev1.PodTemplateSpec `json:"template"`

	// MinReadySeconds is how long a pod must be ready to count as available. 0 where empty.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=86400
	MinReadySeconds int32 `json:"minReadySeconds,omitempty"`

	// RevisionHistoryLimit is how many old ControllerRevisions are kept beside those in use. 10 where empty.
	// +optional
	// +kubebuilder:default=10
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	RevisionHistoryLimit *int32 `json:"revisionHistoryLimit,omitempty"`

	// UpdateStrategy says how pods get to a new revision.
	// +optional
	// +kubebuilder:default={}
	UpdateStrategy InPlaceSetUpdateStrategy `json:"updateStrategy,omitempty"`
}

// InPlaceSetUpdateStrategy says how pods get to a new revision.
type InPlaceSetUpdateStrategy struct {
	// Type is InPlaceIfPossible where empty.
	// +optional
	// +kubebuilder:default=InPlaceIfPossible
	// +kubebuilder:validation:Enum=InPlaceIfPossible;InPlaceOnly;ReCreate
	Type UpdateType `json:"type,omitempty"`

	// Partition is how many pods stay on the old revision: a number, or a percentage of replicas, rounded up. 0 where empty.
	// Below 100 % with more than one replica at least one pod updates. At 100 % a change of the template is held back.
	// Raising it takes no pod back.
	// +optional
	// +kubebuilder:default=0
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 0 : self.matches('^(100|[0-9]{1,2})%$')",message="spec.updateStrategy.partition: must be a number of pods, 0 or more, or a percentage from 0% to 100%"
	Partition *intstr.IntOrString `json:"partition,omitempty"`

	// MaxUnavailable is how many pods may be unavailable, for any reason, while an update goes on: a number, or a percentage of
	// replicas, rounded down but at least 1. 25% where empty.
	// +optional
	// +kubebuilder:default="25%"
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 1 : self.matches('^(100|[1-9][0-9]?)%$')",message="spec.updateStrategy.maxUnavailable: must be a number of pods, 1 or more, or a percentage from 1% to 100%"
	MaxUnavailable *intstr.IntOrString `json:"maxUnavailable,omitempty"`

	// Paused stops updates. Pods are still created, and gates that were closed are opened again.
	// +optional
	Paused bool `json:"paused,omitempty"`

	// GracePeriodSeconds is how long to wait between the moment when no EndpointSlice lists the pod as ready and the change:
	// clients that follow slices lag, and requests in flight end. 3 where empty.
	// +optional
	// +kubebuilder:default=3
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=3600
	GracePeriodSeconds *int32 `json:"gracePeriodSeconds,omitempty"`
}

// InPlaceSetStatus is what the controller last saw.
type InPlaceSetStatus struct {
	// ObservedGeneration is the generation this status speaks of.
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Replicas is how many pods there are that are not being deleted.
	Replicas int32 `json:"replicas"`
	// ReadyReplicas is how many of them are ready.
	ReadyReplicas int32 `json:"readyReplicas"`
	// AvailableReplicas is how many were ready for minReadySeconds.
	AvailableReplicas int32 `json:"availableReplicas"`
	// UpdatedReplicas is how many carry the update revision and run it.
	UpdatedReplicas int32 `json:"updatedReplicas"`
	// UpdatedReadyReplicas is how many of the updated are ready.
	UpdatedReadyReplicas int32 `json:"updatedReadyReplicas"`
	// UpdatedAvailableReplicas is how many of the updated are available.
	UpdatedAvailableReplicas int32 `json:"updatedAvailableReplicas"`
	// ExpectedUpdatedReplicas is how many pods the partition lets be on the update revision.
	ExpectedUpdatedReplicas int32 `json:"expectedUpdatedReplicas"`
	// CurrentRevision is the revision that held back pods are on.
	// +kubebuilder:validation:MaxLength=253
	CurrentRevision string `json:"currentRevision,omitempty"`
	// UpdateRevision is the revision of the template.
	// +kubebuilder:validation:MaxLength=253
	UpdateRevision string `json:"updateRevision,omitempty"`
	// CollisionCount keeps revision names apart whose hashes are the same.
	// +optional
	CollisionCount *int32 `json:"collisionCount,omitempty"`
	// LabelSelector is the selector as a string, for the scale subresource.
	// +kubebuilder:validation:MaxLength=4096
	LabelSelector string `json:"labelSelector,omitempty"`
	// Conditions: Progressing, Available.
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:object:root=true

// InPlaceSetList is a list of InPlaceSets.
type InPlaceSetList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []InPlaceSet `json:"items"`
}
