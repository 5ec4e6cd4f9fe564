package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// HopStatus is how far a carrier of many members is: a summary, the details are in the runs that it made. Members that are done or wait are
// counted only.
type HopStatus struct {
	// Total of members, of whom Done are done and Waiting are not begun; the others are named below.
	Total   int `json:"total"`
	Done    int `json:"done"`
	Waiting int `json:"waiting"`
	// Wave being worked on, from 1 to Waves, and its name; Waves where all are over.
	Wave     int    `json:"wave"`
	Waves    int    `json:"waves"`
	WaveName string `json:"waveName,omitempty"`
	// MaxFailures that are borne, as a number of members.
	MaxFailures int `json:"maxFailures"`
	// Working are the members that are worked on, in order.
	Working []HopMember `json:"working,omitempty"`
	// Failed and Skipped members, in order.
	Failed  []HopMember `json:"failed,omitempty"`
	Skipped []HopMember `json:"skipped,omitempty"`
	// Joined are members that the waves' selectors match now and did not at the start: they are left out. Left are members that were fixed at the
	// start and are not in the fleet any more. At most 20 of each are named.
	Joined []string `json:"joined,omitempty"`
	Left   []string `json:"left,omitempty"`
}

// HopMember is one member of a carrier.
type HopMember struct {
	Name string `json:"name"`
	// Run is the PipelineRun that was made for it last.
	Run string `json:"run,omitempty"`
	// Message says what it is at, or why it failed or was skipped.
	Message string `json:"message,omitempty"`
	// Since when.
	Since *metav1.Time `json:"since,omitempty"`
}
