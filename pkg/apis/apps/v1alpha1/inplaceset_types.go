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

// OnDrainTimeout says what becomes of a pod that a balancer or hook does not let go of, or does not take back, in time.
type OnDrainTimeout string

const (
	// DrainHold waits on, and says for whom.
	DrainHold OnDrainTimeout = "Hold"
	// DrainGoOn goes on as if it had answered.
	DrainGoOn OnDrainTimeout = "GoOn"
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
	// ReasonProgressDeadlineExceeded: no pod got on for progressDeadlineSeconds. What can move goes on moving. Stages
	// show it and do not fail by it: they have deadlines of their own, and one that repairs the set must be able to begin.
	ReasonProgressDeadlineExceeded = "ProgressDeadlineExceeded"
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
// +kubebuilder:validation:XValidation:rule="!has(self.progressDeadlineSeconds) || self.progressDeadlineSeconds > (has(self.minReadySeconds) ? self.minReadySeconds : 0)",message="spec.progressDeadlineSeconds: must be more than spec.minReadySeconds, or no pod can become available in time"
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

	// ProgressDeadlineSeconds is how long a change may stand still before Progressing is False with the pods' own reasons: from 1 second to a day. Where
	// empty, 600 more than minReadySeconds: a default in the schema would not follow minReadySeconds. Time that the set is paused does not count.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=86400
	ProgressDeadlineSeconds *int32 `json:"progressDeadlineSeconds,omitempty"`

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

	// ScaleStrategy says how pods are added and which are taken away.
	// +optional
	ScaleStrategy InPlaceSetScaleStrategy `json:"scaleStrategy,omitempty"`

	// Lifecycle names who, beside load balancers, must let go of a pod before it is changed or deleted.
	// +optional
	Lifecycle InPlaceSetLifecycle `json:"lifecycle,omitempty"`
}

// InPlaceSetScaleStrategy says how pods are added and which are taken away.
type InPlaceSetScaleStrategy struct {
	// MaxUnavailable is how many pods may be unavailable, for any reason, while new ones are made: a number, or a percentage of replicas, rounded
	// down but at least 1. No limit where empty. Pods that were there and got lost are made again whatever it says.
	// +optional
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 1 : self.matches('^(100|[1-9][0-9]?)%$')",message="spec.scaleStrategy.maxUnavailable: must be a number of pods, 1 or more, or a percentage from 1% to 100%"
	MaxUnavailable *intstr.IntOrString `json:"maxUnavailable,omitempty"`

	// PodsToDelete are the names of pods that go first when there are too many, and that are replaced when there are not, under
	// updateStrategy.maxUnavailable either way. Names of pods that are gone may stay here.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=1000
	// +kubebuilder:validation:items:MaxLength=253
	PodsToDelete []string `json:"podsToDelete,omitempty"`
}

// InPlaceSetLifecycle names who must let go of a pod first.
type InPlaceSetLifecycle struct {
	// PreDelete is asked before the set deletes a pod.
	// +optional
	PreDelete *LifecycleHook `json:"preDelete,omitempty"`
	// InPlaceUpdate is asked before a pod is changed in place. What it took away must be back before the pod counts as available.
	// +optional
	InPlaceUpdate *LifecycleHook `json:"inPlaceUpdate,omitempty"`
}

// LifecycleHook holds a pod that is out of service for as long as the pod carries any of these. Whoever hooks in puts them on the pod while it serves,
// takes them away when the condition apps.periplus.dev/in-service is False and its own work is done, and puts them back when it is True again.
// +kubebuilder:validation:XValidation:rule="has(self.labels) || has(self.finalizers)",message="lifecycle: a hook needs labels or finalizers to hold a pod by"
type LifecycleHook struct {
	// Labels with just these values hold the pod.
	// +optional
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=16
	Labels map[string]string `json:"labels,omitempty"`
	// Finalizers hold the pod.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=316
	// +kubebuilder:validation:items:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$`
	Finalizers []string `json:"finalizers,omitempty"`
}

// InPlaceSetUpdateStrategy says how pods get to a new revision.
// +kubebuilder:validation:XValidation:rule="!(has(self.type) && self.type == 'InPlaceOnly' && has(self.maxSurge) && !(string(self.maxSurge) in ['0', '0%']))",message="spec.updateStrategy.maxSurge: pods above replicas are deleted in the end, which type InPlaceOnly never does; take maxSurge out, or choose InPlaceIfPossible"
// +kubebuilder:validation:XValidation:rule="!(has(self.maxUnavailable) && string(self.maxUnavailable) in ['0', '0%'] && (!has(self.maxSurge) || string(self.maxSurge) in ['0', '0%']))",message="spec.updateStrategy.maxUnavailable: may be 0 only where maxSurge is more, or no pod could ever move"
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
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 0 : self.matches('^(100|[1-9]?[0-9])%$')",message="spec.updateStrategy.partition: must be a number of pods, 0 or more, or a percentage from 0% to 100%"
	Partition *intstr.IntOrString `json:"partition,omitempty"`

	// MaxUnavailable is how many pods may be unavailable, for any reason, while an update goes on: a number, or a percentage of
	// replicas, rounded down but at least 1 where nothing may surge. 25% where empty.
	// +optional
	// +kubebuilder:default="25%"
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 0 : self.matches('^(100|[1-9]?[0-9])%$')",message="spec.updateStrategy.maxUnavailable: must be a number of pods, 0 or more, or a percentage from 0% to 100%"
	MaxUnavailable *intstr.IntOrString `json:"maxUnavailable,omitempty"`

	// MaxSurge is how many pods above replicas are made, on the new revision, before old ones move: a number, or a percentage of replicas, rounded up.
	// They take the place of the last old ones, which are deleted. 0 where empty.
	// +optional
	// +kubebuilder:default=0
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 0 : self.matches('^(100|[1-9]?[0-9])%$')",message="spec.updateStrategy.maxSurge: must be a number of pods, 0 or more, or a percentage from 0% to 100%"
	MaxSurge *intstr.IntOrString `json:"maxSurge,omitempty"`

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

	// DrainTimeoutSeconds is how long load balancers and hooks have to let go of a pod, and to take it back: up to a day; 300 where empty. What then happens
	// is OnDrainTimeout. From a pod that somebody else deleted, the finalizers of balancers that did not answer by then are taken away: nothing runs
	// there any more.
	// +optional
	// +kubebuilder:default=300
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=86400
	DrainTimeoutSeconds *int32 `json:"drainTimeoutSeconds,omitempty"`

	// OnDrainTimeout is Hold where empty.
	// +optional
	// +kubebuilder:default=Hold
	// +kubebuilder:validation:Enum=Hold;GoOn
	OnDrainTimeout OnDrainTimeout `json:"onDrainTimeout,omitempty"`

	// ContainerOrder names containers that are changed one after the other: each is touched once those before it run what they should and are ready. Those
	// not named follow together.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=63
	ContainerOrder []string `json:"containerOrder,omitempty"`

	// SameNodeSeconds is how long a pod that takes the place of a rebuilt one waits for room on the same node before it takes any that it may run on. Up to an
	// hour; 30 where empty; 0 does not ask for the node.
	// +optional
	// +kubebuilder:default=30
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=3600
	SameNodeSeconds *int32 `json:"sameNodeSeconds,omitempty"`

	// Priority says which pods move first: those with the greatest sum of weights. Pods that do not serve come before all others.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Priority []UpdatePriority `json:"priority,omitempty"`

	// Scatter is the key of a pod label; among pods of the same priority, those with the same value of it are moved as far apart as can be.
	// kubernetes.io/hostname stands for the node that the pod runs on.
	// +optional
	// +kubebuilder:validation:MaxLength=317
	Scatter string `json:"scatter,omitempty"`
}

// UpdatePriority gives pods a weight.
type UpdatePriority struct {
	// Selector of the pods, by their labels.
	Selector metav1.LabelSelector `json:"selector"`
	// Weight, from -1000 to 1000.
	// +kubebuilder:validation:Minimum=-1000
	// +kubebuilder:validation:Maximum=1000
	Weight int32 `json:"weight"`
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
	// WaitingFor are the load balancers and hooks that pods wait for, by name.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	WaitingFor []InPlaceSetWaitingFor `json:"waitingFor,omitempty"`
	// ProgressedAt is when a pod last got on; progressDeadlineSeconds count from it.
	// +optional
	ProgressedAt *metav1.Time `json:"progressedAt,omitempty"`
	// LabelSelector is the selector as a string, for the scale subresource.
	// +kubebuilder:validation:MaxLength=4096
	LabelSelector string `json:"labelSelector,omitempty"`
	// Conditions: Progressing, Available.
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// InPlaceSetWaitingFor is a load balancer or hook that pods wait for.
type InPlaceSetWaitingFor struct {
	// Name of the finalizer, or label=value, that holds the pods.
	// +kubebuilder:validation:MaxLength=512
	Name string `json:"name"`
	// Pods is how many wait for it, and Pod the one that waits longest.
	Pods int32 `json:"pods"`
	// +kubebuilder:validation:MaxLength=253
	Pod string `json:"pod"`
	// Since when that pod waits.
	Since metav1.Time `json:"since"`
	// For is LetGo where the pods are to be changed or deleted, TakeBack where they are to serve again.
	// +kubebuilder:validation:Enum=LetGo;TakeBack
	For string `json:"for"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:object:root=true

// InPlaceSetList is a list of InPlaceSets.
type InPlaceSetList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []InPlaceSet `json:"items"`
}
