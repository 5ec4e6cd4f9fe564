package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// SidecarUpdateType says how pods that run get a new revision of a SidecarSet.
type SidecarUpdateType string

const (
	// SidecarInPlace changes the sidecars of running pods where stock Kubernetes can. What does not fit waits for the pod's next creation.
	SidecarInPlace SidecarUpdateType = "InPlace"
	// SidecarOnNextCreate leaves running pods alone.
	SidecarOnNextCreate SidecarUpdateType = "OnNextCreate"
)

// OnSidecarSetDelete says what becomes of pods that carry the sidecars of a set that is deleted.
type OnSidecarSetDelete string

const (
	// SidecarKeep leaves them as they are until they are made anew for another reason.
	SidecarKeep OnSidecarSetDelete = "Keep"
	// SidecarRebuild deletes them, under the limits, so that their owners make them anew without the sidecars.
	SidecarRebuild OnSidecarSetDelete = "Rebuild"
)

const (
	// ConditionInjecting is True while pods that are created get the set's sidecars, and none that should have them was created without.
	ConditionInjecting = "Injecting"
)

// +genclient
// +genclient:nonNamespaced
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,shortName=scs,categories={all,periplus}
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Matched",type=integer,JSONPath=`.status.matched`
// +kubebuilder:printcolumn:name="Injected",type=integer,JSONPath=`.status.injected`
// +kubebuilder:printcolumn:name="Updated",type=integer,JSONPath=`.status.updated`
// +kubebuilder:printcolumn:name="Ready",type=integer,JSONPath=`.status.updatedReady`
// +kubebuilder:printcolumn:name="Missed",type=integer,JSONPath=`.status.missed`
// +kubebuilder:printcolumn:name="Partition",type=string,JSONPath=`.spec.updateStrategy.partition`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Progressing")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`

// SidecarSet puts containers beside those of applications that know nothing of them, and upgrades them while the applications run on.
type SidecarSet struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +kubebuilder:validation:Required
	Spec   SidecarSetSpec   `json:"spec"`
	Status SidecarSetStatus `json:"status,omitempty"`
}

// SidecarSetSpec is the wish.
// +kubebuilder:validation:XValidation:rule="has(self.all) && self.all ? !has(self.selector) : has(self.selector)",message="spec: say either a selector of pods, or all: true for every pod of the namespaces, and not both"
// +kubebuilder:validation:XValidation:rule="(has(self.containers) && size(self.containers) > 0) || (has(self.initContainers) && size(self.initContainers) > 0)",message="spec: has neither containers nor initContainers; name what is to be put into pods"
type SidecarSetSpec struct {
	// Selector tells the pods that get the sidecars, by their labels. It may not be empty: say all instead.
	// +optional
	Selector *metav1.LabelSelector `json:"selector,omitempty"`

	// All pods of the namespaces get the sidecars.
	// +optional
	All bool `json:"all,omitempty"`

	// NamespaceSelector tells the namespaces, by their labels; every one where empty. kube-system, kube-public, kube-node-lease and Periplus's own are never meant.
	// +optional
	NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector,omitempty"`

	// InitContainers are put before those of the application, so that a native sidecar (restartPolicy: Always) serves them, too.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	InitContainers []SidecarContainer `json:"initContainers,omitempty"`

	// Containers are put after those of the application.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	Containers []SidecarContainer `json:"containers,omitempty"`

	// Volumes that the sidecars mount. A pod that has another volume by such a name does not get the sidecars.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	Volumes []corev1.Volume `json:"volumes,omitempty"`

	// ImagePullSecrets are added to the pod's. They are looked up in the pod's namespace.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	ImagePullSecrets []corev1.LocalObjectReference `json:"imagePullSecrets,omitempty"`

	// InjectionStrategy says what new pods get.
	// +optional
	InjectionStrategy SidecarInjectionStrategy `json:"injectionStrategy,omitempty"`

	// UpdateStrategy says how running pods get to a new revision.
	// +optional
	// +kubebuilder:default={}
	UpdateStrategy SidecarSetUpdateStrategy `json:"updateStrategy,omitempty"`

	// RevisionHistoryLimit is how many old ControllerRevisions are kept beside those in use. 10 where empty.
	// +optional
	// +kubebuilder:default=10
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	RevisionHistoryLimit *int32 `json:"revisionHistoryLimit,omitempty"`

	// OnDelete is Keep where empty.
	// +optional
	// +kubebuilder:default=Keep
	// +kubebuilder:validation:Enum=Keep;Rebuild
	OnDelete OnSidecarSetDelete `json:"onDelete,omitempty"`
}

// SidecarContainer is a container, and what it gets of the application's.
type SidecarContainer struct {
	corev1.Container `json:",inline"`

	// ShareVolumes mounts what the application's containers mount, at the same paths. Where the sidecar mounts something at that path itself, or two of the
	// application's containers differ, the sidecar's own comes first and then the first container's. Mounts with a subPathExpr and the ServiceAccount's token
	// are left out.
	// +optional
	ShareVolumes bool `json:"shareVolumes,omitempty"`

	// TransferEnv copies environment variables of the application's containers. One that the sidecar has itself stays its own.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	TransferEnv []TransferEnv `json:"transferEnv,omitempty"`
}

// TransferEnv names environment variables of the application.
type TransferEnv struct {
	// Container that has them; the first of the application's that has the name, for each name, where empty.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Container string `json:"container,omitempty"`
	// Names of the variables. One that the application does not have is passed over.
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=256
	Names []string `json:"names"`
}

// SidecarInjectionStrategy says what new pods get.
type SidecarInjectionStrategy struct {
	// Revision that new pods get, whatever the strategy of updates says: the hash that ends the name of one of the set's ControllerRevisions. Where empty, the
	// newest, or while the partition holds pods back, the one that these are on.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Revision string `json:"revision,omitempty"`

	// Paused: new pods get nothing. What is injected already is not touched.
	// +optional
	Paused bool `json:"paused,omitempty"`
}

// SidecarSetUpdateStrategy says how running pods get to a new revision.
// +kubebuilder:validation:XValidation:rule="!(has(self.maxUnavailable) && string(self.maxUnavailable) in ['0', '0%'])",message="spec.updateStrategy.maxUnavailable: may not be 0, or no pod could ever move"
// +kubebuilder:validation:XValidation:rule="!(has(self.type) && self.type == 'OnNextCreate' && has(self.partition) && !(string(self.partition) in ['0', '0%', '100%']))",message="spec.updateStrategy.partition: with type OnNextCreate it must be 0, for new pods to get the new revision, or 100% to hold it back"
type SidecarSetUpdateStrategy struct {
	// Type is InPlace where empty.
	// +optional
	// +kubebuilder:default=InPlace
	// +kubebuilder:validation:Enum=InPlace;OnNextCreate
	Type SidecarUpdateType `json:"type,omitempty"`

	// Partition is how many of the pods that the strategy's selector tells stay on the old revision: a number, or a percentage, rounded up. 0 where empty. Below
	// 100 % with more than one pod at least one updates. At 100 % a new revision is held back. Raising it takes no pod back.
	// +optional
	// +kubebuilder:default=0
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 0 : self.matches('^(100|[1-9]?[0-9])%$')",message="spec.updateStrategy.partition: must be a number of pods, 0 or more, or a percentage from 0% to 100%"
	Partition *intstr.IntOrString `json:"partition,omitempty"`

	// Partitions are those of single units: how many of a unit's pods that can change in place stay on the old revision. Where there are any, each unit goes by its
	// own, and a unit that is not named by Partition. A pod is of the unit that its label apps.periplus.dev/unit names; one without is of a unit by the set's name.
	// A release writes them.
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	Partitions map[string]intstr.IntOrString `json:"partitions,omitempty"`

	// MaxUnavailable is how many of all injected pods may be unavailable, for any reason, while an update goes on: a number, or a percentage, rounded down but at
	// least 1. A percentage holds for the pods of each workload (those with the same controller) by itself, too. 10% where empty.
	// +optional
	// +kubebuilder:default="10%"
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 0 : self.matches('^(100|[1-9]?[0-9])%$')",message="spec.updateStrategy.maxUnavailable: must be a number of pods, 1 or more, or a percentage from 1% to 100%"
	MaxUnavailable *intstr.IntOrString `json:"maxUnavailable,omitempty"`

	// Selector tells which of the injected pods are updated, by their labels; all where empty. The others stay as they are, and partition does not count them.
	// +optional
	Selector *metav1.LabelSelector `json:"selector,omitempty"`

	// Paused stops updates. Changes that were begun are brought to their end.
	// +optional
	Paused bool `json:"paused,omitempty"`

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

	// Drain takes a pod out of service before its sidecars are changed, and back after: its traffic goes through them. Pods are created with the readiness gate
	// apps.periplus.dev/in-service for that, which Periplus opens. Pods without the gate wait for their next creation.
	// +optional
	Drain bool `json:"drain,omitempty"`

	// GracePeriodSeconds is how long to wait, with drain, between the moment when no EndpointSlice lists the pod as ready and the change. 3 where empty.
	// +optional
	// +kubebuilder:default=3
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=3600
	GracePeriodSeconds *int32 `json:"gracePeriodSeconds,omitempty"`

	// DrainTimeoutSeconds is how long load balancers have, with drain, to let go of a pod, and to take it back: up to a day; 300 where empty. What then happens is
	// OnDrainTimeout.
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
}

// SidecarSetStatus is what the controller last saw. Counts are of pods that are not being deleted and have not ended.
type SidecarSetStatus struct {
	// ObservedGeneration is the generation this status speaks of.
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Matched is how many pods the set is meant for.
	Matched int32 `json:"matched"`
	// Injected is how many of them carry its sidecars.
	Injected int32 `json:"injected"`
	// Updated is how many of the injected carry the update revision and run it.
	Updated int32 `json:"updated"`
	// UpdatedReady is how many of the updated are ready.
	UpdatedReady int32 `json:"updatedReady"`
	// ExpectedUpdated is how many the partition lets be on the update revision.
	ExpectedUpdated int32 `json:"expectedUpdated"`
	// WaitingForCreation is how many get what they lack only when they are created anew: a change that does not fit in place, or the first sidecars of a pod
	// that is older than the set.
	WaitingForCreation int32 `json:"waitingForCreation"`
	// Missed is how many should have been injected when they were created, and were not.
	Missed int32 `json:"missed"`
	// MatchingSince is when what the set matches was last changed, as far as the controller saw it: older pods were not missed.
	// +optional
	MatchingSince *metav1.Time `json:"matchingSince,omitempty"`
	// Matching is the hash of what was matched then.
	// +kubebuilder:validation:MaxLength=63
	Matching string `json:"matching,omitempty"`
	// CurrentRevision is the revision that held back pods are on.
	// +kubebuilder:validation:MaxLength=63
	CurrentRevision string `json:"currentRevision,omitempty"`
	// UpdateRevision is the revision of the spec.
	// +kubebuilder:validation:MaxLength=63
	UpdateRevision string `json:"updateRevision,omitempty"`
	// InjectionRevision is the revision that new pods get; empty while they get none.
	// +kubebuilder:validation:MaxLength=63
	InjectionRevision string `json:"injectionRevision,omitempty"`
	// WaitingRevisions are those from which no change in place leads to the update revision: their pods wait for their creation.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=128
	// +kubebuilder:validation:items:MaxLength=63
	WaitingRevisions []string `json:"waitingRevisions,omitempty"`
	// Units of the injected pods; empty where there are more than 64.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	Units []SidecarSetUnit `json:"units,omitempty"`
	// WaitingFor are the load balancers that pods wait for, by name.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	WaitingFor []InPlaceSetWaitingFor `json:"waitingFor,omitempty"`
	// Conditions: Progressing, Injecting.
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// SidecarSetUnit is what the controller last saw of one unit's pods.
type SidecarSetUnit struct {
	// Name of the unit.
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// Pods is how many of the unit's injected pods the strategy's selector tells.
	Pods int32 `json:"pods"`
	// Updated is how many of them carry the update revision and run it.
	Updated int32 `json:"updated"`
	// UpdatedReady is how many of the updated are ready.
	UpdatedReady int32 `json:"updatedReady"`
	// ExpectedUpdated is how many the partition lets be on the update revision. Without partitions of units it is all that are.
	ExpectedUpdated int32 `json:"expectedUpdated"`
	// WaitingForCreation is how many get the update revision only when they are created anew.
	WaitingForCreation int32 `json:"waitingForCreation,omitempty"`
	// InjectionRevision is what new pods of the unit get, where it is not what those of the others do: the unit is done before them.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	InjectionRevision string `json:"injectionRevision,omitempty"`
}

// MaxSidecarSetUnits is how many units the pods of one set may be of for releases to move it.
const MaxSidecarSetUnits = 64

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:object:root=true

// SidecarSetList is a list of SidecarSets.
type SidecarSetList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []SidecarSet `json:"items"`
}
