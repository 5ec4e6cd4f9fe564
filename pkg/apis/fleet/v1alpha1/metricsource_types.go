package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ConditionAnswers on a MetricSource is True while the source answers with the credentials it was given. Its message says what is wrong otherwise.
const ConditionAnswers = "Answers"

// +genclient
// +genclient:nonNamespaced
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,categories=periplus
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Answers",type=string,JSONPath=`.status.conditions[?(@.type=="Answers")].status`
// +kubebuilder:printcolumn:name="Address",type=string,JSONPath=`.spec.prometheus.address`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Answers")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.metadata.name != 'pods'",message="metadata.name: pods is the source that is always there: take another name"

// MetricSource is a server that guards ask for numbers. It is the platform team's: its credentials are lent to the guards of all namespaces
// that a ReleasePolicy gives it to.
type MetricSource struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +kubebuilder:validation:Required
	Spec   MetricSourceSpec   `json:"spec"`
	Status MetricSourceStatus `json:"status,omitempty"`
}

// MetricSourceSpec says how the source is asked.
type MetricSourceSpec struct {
	// Prometheus, or a server that speaks its API, such as Thanos, Mimir or VictoriaMetrics.
	// +kubebuilder:validation:Required
	Prometheus *Prometheus `json:"prometheus"`

	// Timeout of one query. 1s to 30s; 5s where empty.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(ns|us|ms|s|m|h))+$') && duration(self) >= duration('1s') && duration(self) <= duration('30s')",message="must be a duration from 1s to 30s"
	Timeout *metav1.Duration `json:"timeout,omitempty"`

	// Lag is how late what happens in a member can be asked for: a scrape interval, and what remote writes and rules add. It is added to each metric's window
	// when a sample is held against the time at which the new revision was ready. 0s to 1h; 0s where empty.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self == '0' || (self.matches('^([0-9]+([.][0-9]+)?(ns|us|ms|s|m|h))+$') && duration(self) <= duration('1h'))",message="must be a duration from 0s to 1h"
	Lag *metav1.Duration `json:"lag,omitempty"`

	// Members that are asked for elsewhere. The first entry that chooses a member counts.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=300
	Members []MemberSource `json:"members,omitempty"`
}

// MemberSource is where the numbers of certain members are asked for.
// +kubebuilder:validation:XValidation:rule="(has(self.names) && self.names.size() > 0) || has(self.selector)",message="name members, or select them by selector"
type MemberSource struct {
	// Names of the members.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=300
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	Names []string `json:"names,omitempty"`
	// Selector adds the members whose labels match.
	// +optional
	Selector *metav1.LabelSelector `json:"selector,omitempty"`

	// Prometheus takes the whole place of spec.prometheus for them.
	// +kubebuilder:validation:Required
	Prometheus *Prometheus `json:"prometheus"`
}

// Prometheus is a server with Prometheus's HTTP API.
// +kubebuilder:validation:XValidation:rule="!(has(self.bearerToken) && has(self.basicAuth))",message="bearerToken and basicAuth exclude each other"
type Prometheus struct {
	// Address of the server, such as https://prometheus.example.com/tenant: what comes before /api/v1. Credentials in it are refused.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.matches('^https?://[^/?#@ ]+(/[^?#@ ]*)?$')",message="must be a URL such as http://prometheus.example.com:9090, without user, query and fragment"
	Address string `json:"address"`

	// BearerToken that is sent with each query.
	// +optional
	BearerToken *SecretKey `json:"bearerToken,omitempty"`
	// BasicAuth that is sent with each query.
	// +optional
	BasicAuth *BasicAuth `json:"basicAuth,omitempty"`
	// TLS of https addresses.
	// +optional
	TLS *TLS `json:"tls,omitempty"`

	// Matchers are put into every selector of every query, label by label: what a guard can see is bounded by them, whatever its query says. In a value
	// $(member.name), $(member.labels.KEY) and $(namespace), the run's, are replaced.
	// +optional
	// +kubebuilder:validation:MaxProperties=8
	// +kubebuilder:validation:XValidation:rule="self.all(k, k != '__name__' && k.matches('^[a-zA-Z_][a-zA-Z0-9_]{0,127}$'))",message="must be names of labels, and not __name__"
	Matchers map[string]string `json:"matchers,omitempty"`
}

// SecretKey is one key of a Secret in the namespace that Periplus runs in.
type SecretKey struct {
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Key string `json:"key"`
}

// BasicAuth is a user and a password.
type BasicAuth struct {
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Username string    `json:"username"`
	Password SecretKey `json:"password"`
}

// TLS of a source.
// +kubebuilder:validation:XValidation:rule="has(self.certificate) == has(self.privateKey)",message="certificate and privateKey go together"
type TLS struct {
	// CA that signed the server's certificate, in PEM; the system's where empty.
	// +optional
	CA *SecretKey `json:"ca,omitempty"`
	// Certificate and PrivateKey that we show, in PEM.
	// +optional
	Certificate *SecretKey `json:"certificate,omitempty"`
	// +optional
	PrivateKey *SecretKey `json:"privateKey,omitempty"`
	// ServerName that the server's certificate is for; the address's host where empty.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	ServerName string `json:"serverName,omitempty"`
	// InsecureSkipVerify trusts any certificate.
	// +optional
	InsecureSkipVerify bool `json:"insecureSkipVerify,omitempty"`
}

// MetricSourceStatus is how the source answered last.
type MetricSourceStatus struct {
	// ObservedGeneration is the generation this status speaks of.
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Conditions: Answers.
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:object:root=true

// MetricSourceList is a list of MetricSources.
type MetricSourceList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []MetricSource `json:"items"`
}
