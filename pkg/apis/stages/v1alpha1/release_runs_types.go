package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// RunRole says how a run came to carry a release.
type RunRole string

const (
	// RoleRoot is the run that the release was made for.
	RoleRoot RunRole = "Root"
	// RoleRetry is a run that carries the release on after the one before failed.
	RoleRetry RunRole = "Retry"
	// RoleChild is a run that a ClusterHop made for one member.
	RoleChild RunRole = "Child"
)

// ReleaseRun is a run that carries a release.
type ReleaseRun struct {
	// +kubebuilder:validation:Enum=PipelineRun;CustomRun
	Kind string `json:"kind"`
	// +kubebuilder:validation:MaxLength=253
	Name string    `json:"name"`
	UID  types.UID `json:"uid"`
	// Role: Root, Retry or Child.
	// +kubebuilder:validation:Enum=Root;Retry;Child
	Role RunRole `json:"role"`
	// Initiator who created it, as admission stamped it; empty where it is not known.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Initiator string `json:"initiator,omitempty"`
	// Since when it carries the release.
	Since metav1.Time `json:"since"`
}

// StageRecord is a stage that succeeded.
type StageRecord struct {
	// Carrier is <pipeline task of the ClusterHop>/<member> for a stage of a child run, and empty for one of the root run or of a retry of it.
	// +optional
	// +kubebuilder:default=""
	// +kubebuilder:validation:MaxLength=512
	Carrier string `json:"carrier"`
	// Name of the pipeline task.
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// Kind of the stage.
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind"`
	// Run is the CustomRun, and UID its.
	// +kubebuilder:validation:MaxLength=253
	Run string    `json:"run"`
	UID types.UID `json:"uid"`
	// SpecHash of the stage as it was admitted: one that is to do something else is done again.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	SpecHash string `json:"specHash,omitempty"`
	// Results that it emitted.
	// +optional
	// +kubebuilder:validation:MaxProperties=16
	Results map[string]string `json:"results,omitempty"`
	// Time it succeeded.
	Time metav1.Time `json:"time"`
}

// RollbackRecord is a rollback of a release.
type RollbackRecord struct {
	// Run is the CustomRun that takes the release back.
	// +optional
	Run *RunRef `json:"run,omitempty"`
	// Initiator who asked for it; empty where nobody did: the pipeline's `finally`, or onEnd.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Initiator string `json:"initiator,omitempty"`
	// Scope: Release or Member, and then the members.
	// +kubebuilder:validation:Enum=Release;Member
	Scope RollbackScope `json:"scope"`
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=300
	// +kubebuilder:validation:items:MaxLength=253
	Members []string `json:"members,omitempty"`
	// Since when it goes on, and when it was over.
	Since metav1.Time `json:"since"`
	// +optional
	CompletionTime *metav1.Time `json:"completionTime,omitempty"`
	// Message in one line: how far it is, or how it ended.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
}
