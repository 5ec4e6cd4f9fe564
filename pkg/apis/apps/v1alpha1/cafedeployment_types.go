package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// PodSetType is the kind of object that keeps the pods of one unit.
type PodSetType string

const (
	// PodSetInPlaceSet changes pods in place where it can.
	PodSetInPlaceSet PodSetType = "InPlaceSet"
	// PodSetReplicaSet rebuilds pods: one ReplicaSet for each unit and revision that has pods.
	PodSetReplicaSet PodSetType = "ReplicaSet"
	// PodSetStatefulSet rebuilds pods one after the other under names and volumes that stay.
	PodSetStatefulSet PodSetType = "StatefulSet"
)

// UpgradeType says with what a change begins.
type UpgradeType string

const (
	// UpgradeBeta begins with one pod in each unit, and goes on in batches.
	UpgradeBeta UpgradeType = "Beta"
	// UpgradeBatch goes in batches from the start.
	UpgradeBatch UpgradeType = "Batch"
)

// UnitType says what the units of a deployment are.
type UnitType string

const (
	// UnitDataCenter and the like tell units apart by a label of nodes; the word is for people.
	UnitDataCenter UnitType = "DataCenter"
	// UnitZone is a zone of a cloud.
	UnitZone UnitType = "Zone"
	// UnitCell is a cell.
	UnitCell UnitType = "Cell"
	// UnitNone is one unit, named like the deployment, on any node.
	UnitNone UnitType = "None"
)

// Conditions of a CafeDeployment, beside Progressing and Available, which mean what they mean for an InPlaceSet.
const (
	// ConditionAllocated is False while units do not have the pods that the spec asks for: numbers above the total were clamped, or pods were
	// moved to a unit that has room.
	ConditionAllocated = "Allocated"
)

// +genclient
// +genclient:method=GetScale,verb=get,subresource=scale,result=k8s.io/api/autoscaling/v1.Scale
// +genclient:method=UpdateScale,verb=update,subresource=scale,input=k8s.io/api/autoscaling/v1.Scale,result=k8s.io/api/autoscaling/v1.Scale
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:object:root=true
// +kubebuilder:resource:shortName=cafe,categories={all,periplus}
// +kubebuilder:subresource:status
// +kubebuilder:subresource:scale:specpath=.spec.replicas,statuspath=.status.replicas,selectorpath=.status.labelSelector
// +kubebuilder:printcolumn:name="Type",type=string,JSONPath=`.spec.podSetType`
// +kubebuilder:printcolumn:name="Desired",type=integer,JSONPath=`.spec.replicas`
// +kubebuilder:printcolumn:name="Updated",type=integer,JSONPath=`.status.updatedReplicas`
// +kubebuilder:printcolumn:name="Ready",type=integer,JSONPath=`.status.readyReplicas`
// +kubebuilder:printcolumn:name="Available",type=integer,JSONPath=`.status.availableReplicas`
// +kubebuilder:printcolumn:name="Group",type=string,JSONPath=`.status.group.what`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Progressing")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="has(self.spec.topology.values) ? self.spec.topology.values.all(v, size(self.metadata.name) + size(v) <= 51) : size(self.metadata.name) <= 52",message="metadata.name: must have at most 51 characters together with the longest unit's name, because pod sets are named <name>-<unit>"

// CafeDeployment is one application across the units (data centres, zones or cells) of one cluster.
type CafeDeployment struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +kubebuilder:validation:Required
	Spec   CafeDeploymentSpec   `json:"spec"`
	Status CafeDeploymentStatus `json:"status,omitempty"`
}

// CafeDeploymentSpec is the wish.
// +kubebuilder:validation:XValidation:rule="self.selector == oldSelf.selector",message="spec.selector: cannot be changed; make a new CafeDeployment"
// +kubebuilder:validation:XValidation:rule="self.podSetType == oldSelf.podSetType",message="spec.podSetType: cannot be changed; make a new CafeDeployment"
// +kubebuilder:validation:XValidation:rule="self.podSetType != 'StatefulSet' || has(self.serviceName)",message="spec.serviceName: a StatefulSet needs the name of its governing Service"
// +kubebuilder:validation:XValidation:rule="self.podSetType == 'StatefulSet' || !has(self.serviceName)",message="spec.serviceName: is for podSetType StatefulSet only; take it out"
// +kubebuilder:validation:XValidation:rule="self.podSetType == 'StatefulSet' || !has(self.volumeClaimTemplates)",message="spec.volumeClaimTemplates: are for podSetType StatefulSet only; take them out"
// +kubebuilder:validation:XValidation:rule="self.podSetType == 'InPlaceSet' || !has(self.inPlace)",message="spec.inPlace: is for podSetType InPlaceSet only; take it out"
// +kubebuilder:validation:XValidation:rule="has(self.serviceName) == has(oldSelf.serviceName) && (!has(self.serviceName) || self.serviceName == oldSelf.serviceName)",message="spec.serviceName: cannot be changed; make a new CafeDeployment"
// +kubebuilder:validation:XValidation:rule="!has(self.progressDeadlineSeconds) || self.progressDeadlineSeconds > (has(self.minReadySeconds) ? self.minReadySeconds : 0)",message="spec.progressDeadlineSeconds: must be more than spec.minReadySeconds, or no pod can become available in time"
type CafeDeploymentSpec struct {
	// Replicas is how many pods to keep in all units together. 0 to 10000; 1 where empty.
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10000
	Replicas *int32 `json:"replicas,omitempty"`

	// PodSetType is the kind of object that keeps the pods of a unit: InPlaceSet where empty. It never changes.
	// +optional
	// +kubebuilder:default=InPlaceSet
	// +kubebuilder:validation:Enum=InPlaceSet;ReplicaSet;StatefulSet
	PodSetType PodSetType `json:"podSetType,omitempty"`

	// Selector tells the deployment's pods. It must match the template's labels, and never changes. Matched by labels only.
	Selector *metav1.LabelSelector `json:"selector"`

	// Template of the pods. To the pods of a unit an affinity for the unit's nodes is added, and labels that name deployment, unit and revision.
	Template corev1.PodTemplateSpec `json:"template"`

	// HistoryLimit is how many old revisions are kept beside those in use. 10 where empty.
	// +optional
	// +kubebuilder:default=10
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	HistoryLimit *int32 `json:"historyLimit,omitempty"`

	// MinReadySeconds is how long a pod must be ready to count as available. 0 where empty.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=86400
	MinReadySeconds int32 `json:"minReadySeconds,omitempty"`

	// ProgressDeadlineSeconds is how long a change may stand still before Progressing is False with the pods' own reasons: from 1 second to a day. Where
	// empty, 600 more than minReadySeconds. Time that the deployment is paused or waits for a confirmation does not count.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=86400
	ProgressDeadlineSeconds *int32 `json:"progressDeadlineSeconds,omitempty"`

	// MaxUnavailable is how many pods of each unit may be unavailable, for any reason, while an update goes on: a number, or a percentage of the unit's pods,
	// rounded down but at least 1. 25% where empty.
	// +optional
	// +kubebuilder:default="25%"
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 1 : self.matches('^(100|[1-9][0-9]?)%$')",message="spec.maxUnavailable: must be a number of pods, 1 or more, or a percentage from 1% to 100%"
	MaxUnavailable *intstr.IntOrString `json:"maxUnavailable,omitempty"`

	// ServiceName is the governing Service of a StatefulSet's pods. For podSetType StatefulSet, which needs it.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	ServiceName string `json:"serviceName,omitempty"`

	// VolumeClaimTemplates of a StatefulSet's pods. For podSetType StatefulSet. They never change.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.volumeClaimTemplates: cannot be changed; make a new CafeDeployment"
	VolumeClaimTemplates []corev1.PersistentVolumeClaim `json:"volumeClaimTemplates,omitempty"`

	// InPlace says how the pods of an InPlaceSet are changed. For podSetType InPlaceSet.
	// +optional
	InPlace *CafeDeploymentInPlace `json:"inPlace,omitempty"`

	// Strategy says in what groups pods come and change.
	// +optional
	// +kubebuilder:default={}
	Strategy CafeDeploymentStrategy `json:"strategy,omitempty"`

	// Topology says which units there are, and how pods are spread over them.
	Topology CafeDeploymentTopology `json:"topology"`
}

// CafeDeploymentInPlace is what an InPlaceSet is told beside what the deployment says. The fields are those of an InPlaceSet.
type CafeDeploymentInPlace struct {
	// Type is InPlaceIfPossible where empty.
	// +optional
	// +kubebuilder:validation:Enum=InPlaceIfPossible;InPlaceOnly;ReCreate
	Type UpdateType `json:"type,omitempty"`
	// GracePeriodSeconds between the moment when no EndpointSlice lists the pod as ready and the change. 3 where empty.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=3600
	GracePeriodSeconds *int32 `json:"gracePeriodSeconds,omitempty"`
	// DrainTimeoutSeconds is how long load balancers and hooks have to let go of a pod, and to take it back. 300 where empty.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=86400
	DrainTimeoutSeconds *int32 `json:"drainTimeoutSeconds,omitempty"`
	// OnDrainTimeout is Hold where empty.
	// +optional
	// +kubebuilder:validation:Enum=Hold;GoOn
	OnDrainTimeout OnDrainTimeout `json:"onDrainTimeout,omitempty"`
	// ContainerOrder names containers that are changed one after the other.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=63
	ContainerOrder []string `json:"containerOrder,omitempty"`
	// SameNodeSeconds is how long a pod that takes the place of a rebuilt one waits for room on the same node. 30 where empty.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=3600
	SameNodeSeconds *int32 `json:"sameNodeSeconds,omitempty"`
	// Lifecycle names who, beside load balancers, must let go of a pod before it is changed or deleted.
	// +optional
	Lifecycle InPlaceSetLifecycle `json:"lifecycle,omitempty"`
}

// CafeDeploymentStrategy says in what groups pods come and change.
type CafeDeploymentStrategy struct {
	// UpgradeType is Beta where empty: one pod in each unit first, then batches. Batch goes in batches from the start. Both hold for a change of the
	// template and for pods that are added.
	// +optional
	// +kubebuilder:default=Beta
	// +kubebuilder:validation:Enum=Beta;Batch
	UpgradeType UpgradeType `json:"upgradeType,omitempty"`

	// BatchSize is how many pods a batch has, in all units together, each unit getting its share: a number, or a percentage of replicas, rounded up. Where
	// empty all that is left is one batch.
	// +optional
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 1 : self.matches('^(100|[1-9][0-9]?)%$')",message="spec.strategy.batchSize: must be a number of pods, 1 or more, or a percentage from 1% to 100%"
	BatchSize *intstr.IntOrString `json:"batchSize,omitempty"`

	// NeedWaitingForConfirm stops after each group but the last, until somebody sets the annotation apps.periplus.dev/upgrade-confirmed to "true". Whoever may
	// change the deployment may do that: for answers that are vouched for, drive the deployment by a pipeline.
	// +optional
	NeedWaitingForConfirm bool `json:"needWaitingForConfirm,omitempty"`

	// Pause stops between pods: none is begun any more, what is under way is finished. Pods that are missing are still made.
	// +optional
	Pause bool `json:"pause,omitempty"`

	// Partitions is how many pods of each unit stay on the old revision: a number, or a percentage of the unit's pods, rounded up. Where it is set the
	// deployment follows it and its own groups rest; a unit that is not named stays as it is, as with 100%. Stages write it.
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	Partitions map[string]intstr.IntOrString `json:"partitions,omitempty"`
}

// CafeDeploymentTopology says which units there are, and how pods are spread over them.
// +kubebuilder:validation:XValidation:rule="self.unitType == oldSelf.unitType",message="spec.topology.unitType: cannot be changed; make a new CafeDeployment"
// +kubebuilder:validation:XValidation:rule="has(self.nodeLabelKey) == has(oldSelf.nodeLabelKey) && (!has(self.nodeLabelKey) || self.nodeLabelKey == oldSelf.nodeLabelKey)",message="spec.topology.nodeLabelKey: cannot be changed; make a new CafeDeployment"
// +kubebuilder:validation:XValidation:rule="self.unitType == 'None' || (has(self.nodeLabelKey) && has(self.values) && size(self.values) > 0)",message="spec.topology: unitType DataCenter, Zone or Cell needs nodeLabelKey and values; for one unit on any node say unitType: None"
// +kubebuilder:validation:XValidation:rule="self.unitType != 'None' || !(has(self.nodeLabelKey) || has(self.values) || has(self.unitReplicas))",message="spec.topology: unitType None is one unit on any node; take nodeLabelKey, values and unitReplicas out"
// +kubebuilder:validation:XValidation:rule="!has(self.unitReplicas) || self.unitReplicas.all(u, has(self.values) && u in self.values)",message="spec.topology.unitReplicas: names a unit that is not in spec.topology.values"
type CafeDeploymentTopology struct {
	// UnitType says what a unit is: DataCenter, Zone or Cell, told apart by a label of nodes; or None, one unit on any node. It never changes.
	// +kubebuilder:validation:Enum=DataCenter;Zone;Cell;None
	UnitType UnitType `json:"unitType"`

	// NodeLabelKey is the label of nodes whose value names their unit, such as topology.kubernetes.io/zone. It never changes.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=317
	NodeLabelKey string `json:"nodeLabelKey,omitempty"`

	// Values of that label: the units, in the order in which they get what cannot be shared evenly. A unit that is taken out is drained: its pods are made
	// in the others before they go.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=40
	// +kubebuilder:validation:items:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Values []string `json:"values,omitempty"`

	// UnitReplicas are the pods of single units: numbers first, then percentages of replicas. Units that are not named share what is left evenly.
	// The sum is always replicas; numbers that do not fit into it are clamped, which condition Allocated says.
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	UnitReplicas map[string]intstr.IntOrString `json:"unitReplicas,omitempty"`

	// AutoReschedule gives the place of a pod that finds no room in its unit to another unit.
	// +optional
	AutoReschedule AutoReschedule `json:"autoReschedule,omitempty"`
}

// AutoReschedule gives the place of a pod that finds no room in its unit to another unit. The wish is taken up again with the next change of the spec, once
// the unit has room. A unit keeps one pod at least unless the spec says none. Pods with volumes of their own stay where they are.
type AutoReschedule struct {
	// Enable it.
	// +optional
	Enable bool `json:"enable,omitempty"`
	// InitialDelaySeconds is how long the scheduler must have found no room for a pod. 10 where empty.
	// +optional
	// +kubebuilder:default=10
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=86400
	InitialDelaySeconds *int32 `json:"initialDelaySeconds,omitempty"`
}

// CafeDeploymentStatus is what the controller last saw.
type CafeDeploymentStatus struct {
	// ObservedGeneration is the generation this status speaks of.
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Replicas is how many pods there are that are not being deleted.
	Replicas int32 `json:"replicas"`
	// ReadyReplicas is how many of them are ready.
	ReadyReplicas int32 `json:"readyReplicas"`
	// AvailableReplicas is how many were ready for minReadySeconds.
	AvailableReplicas int32 `json:"availableReplicas"`
	// UpdatedReplicas is how many run the update revision.
	UpdatedReplicas int32 `json:"updatedReplicas"`
	// UpdatedReadyReplicas is how many of the updated are ready.
	UpdatedReadyReplicas int32 `json:"updatedReadyReplicas"`
	// UpdatedAvailableReplicas is how many of the updated are available.
	UpdatedAvailableReplicas int32 `json:"updatedAvailableReplicas"`
	// CurrentRevision is the revision that held back pods are on.
	// +kubebuilder:validation:MaxLength=253
	CurrentRevision string `json:"currentRevision,omitempty"`
	// UpdateRevision is the revision of the template.
	// +kubebuilder:validation:MaxLength=253
	UpdateRevision string `json:"updateRevision,omitempty"`
	// CollisionCount keeps revision names apart whose hashes are the same.
	// +optional
	CollisionCount *int32 `json:"collisionCount,omitempty"`
	// Units in the order of topology.values, and after them those that are being drained.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=128
	Units []CafeDeploymentUnit `json:"units,omitempty"`
	// Group that is worked on or waited for; absent while nothing changes.
	// +optional
	Group *CafeDeploymentGroup `json:"group,omitempty"`
	// Scaling is where the pods that are being added began; absent while none are.
	// +optional
	Scaling *CafeDeploymentScaling `json:"scaling,omitempty"`
	// Asked is the last group after which a confirmation was asked for, as <change>/<group>.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Asked string `json:"asked,omitempty"`
	// ProgressedAt is when a pod last got on; progressDeadlineSeconds count from it.
	// +optional
	ProgressedAt *metav1.Time `json:"progressedAt,omitempty"`
	// LabelSelector is the selector as a string, for the scale subresource.
	// +kubebuilder:validation:MaxLength=4096
	LabelSelector string `json:"labelSelector,omitempty"`
	// Conditions: Progressing, Available, Allocated.
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// CafeDeploymentUnit is what was last seen of one unit.
type CafeDeploymentUnit struct {
	// Name of the unit.
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`
	// Wanted is how many pods the unit is to have in the end: its share of replicas, with what was moved to it or from it.
	Wanted int32 `json:"wanted"`
	// Moved is how many pods of its share were moved to it, or, below 0, from it, because a unit had no room.
	// +optional
	Moved int32 `json:"moved,omitempty"`
	// Full is true once a pod of the unit found no room and its place was given away: nothing is moved to the unit until the spec changes.
	// +optional
	Full bool `json:"full,omitempty"`
	// Replicas is how many pods the unit's pod sets were told to keep by now: fewer than wanted while pods are added in groups.
	Replicas int32 `json:"replicas"`
	// Pods there are that are not being deleted, and how many of them are ready, and available.
	Pods      int32 `json:"pods"`
	Ready     int32 `json:"ready"`
	Available int32 `json:"available"`
	// Updated is how many run the update revision, and how many of these are ready, and available.
	Updated          int32 `json:"updated"`
	UpdatedReady     int32 `json:"updatedReady"`
	UpdatedAvailable int32 `json:"updatedAvailable"`
	// Partition is how many pods of the unit stay on the old revision by now.
	Partition int32 `json:"partition"`
	// Pending pods find no room, for the reason that the scheduler gives of the first.
	// +optional
	Pending int32 `json:"pending,omitempty"`
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	PendingFor string `json:"pendingFor,omitempty"`
	// Draining is true for a unit that is not in topology.values any more.
	// +optional
	Draining bool `json:"draining,omitempty"`
	// Stalled is what the unit's pod set says when it cannot go on until somebody changes something.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Stalled string `json:"stalled,omitempty"`
}

// CafeDeploymentGroup is the group that is worked on or waited for.
type CafeDeploymentGroup struct {
	// For is Update where pods change, Scale where pods are added.
	// +kubebuilder:validation:Enum=Update;Scale
	For string `json:"for"`
	// Index of the group, from 1, and how many there are.
	Index int32 `json:"index"`
	Total int32 `json:"total"`
	// What it is, in words, such as "beta: 1 in dca, 1 in dcb".
	// +kubebuilder:validation:MaxLength=1024
	What string `json:"what"`
	// WaitsFor says what it waits for: pods, a confirmation, the end of a pause.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	WaitsFor string `json:"waitsFor,omitempty"`
}

// CafeDeploymentScaling is where the pods that are being added began: the groups are cut from there, so that each is what it was when the next begins.
type CafeDeploymentScaling struct {
	// Generation in which they began to be added, which names the change where confirmations are asked for.
	Generation int64 `json:"generation"`
	// From is how many pods each unit had.
	// +kubebuilder:validation:MaxProperties=128
	From map[string]int32 `json:"from"`
	// To is how many each is to have.
	// +kubebuilder:validation:MaxProperties=128
	To map[string]int32 `json:"to"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:object:root=true

// CafeDeploymentList is a list of CafeDeployments.
type CafeDeploymentList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []CafeDeployment `json:"items"`
}
