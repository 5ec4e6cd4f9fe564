package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// +genclient
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:object:root=true
// +kubebuilder:resource:categories=periplus
// +kubebuilder:printcolumn:name="Opens",type=string,JSONPath=`.spec.windows[*].schedule`
// +kubebuilder:printcolumn:name="For",type=string,JSONPath=`.spec.windows[*].duration`
// +kubebuilder:printcolumn:name="Zone",type=string,JSONPath=`.spec.timeZone`

// Window is a stored policy: at which times a release may go on.
type Window struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +kubebuilder:validation:Required
	Spec WindowSpec `json:"spec"`
}

// WindowSpec moves nothing; it waits until now is within one of its windows, where it has any, and no Freeze is in force for the run's namespace and the
// members named.
type WindowSpec struct {
	// Windows, any of which opens the way. Always open where there are none: then only Freezes are waited for.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	Windows []TimeWindow `json:"windows,omitempty"`

	// TimeZone of the windows, by its name in the IANA database, such as Europe/Berlin. UTC where empty.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	TimeZone string `json:"timeZone,omitempty"`

	// Members whose Freezes matter, by name, beside those of the run's namespace and of everything.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=300
	// +kubebuilder:validation:items:MaxLength=253
	Members []string `json:"members,omitempty"`
}

// TimeWindow is a time that comes again and again.
type TimeWindow struct {
	// Schedule says when the window opens: five fields as in cron, "minute hour day-of-month month day-of-week", such as "0 9 * * MON-THU".
	// +kubebuilder:validation:MinLength=9
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:Pattern=`^[^\s=@]+([ \t]+[^\s=@]+){4}$`
	Schedule string `json:"schedule"`
	// Duration for which it stays open, from 1m to 168h.
	// +kubebuilder:validation:Required
	Duration metav1.Duration `json:"duration"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:object:root=true

// WindowList is a list of Windows.
type WindowList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Window `json:"items"`
}
