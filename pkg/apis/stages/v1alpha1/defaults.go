package v1alpha1

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Defaults of the fields that say so in their comments.
const (
	DefaultGuardInterval     = 10 * time.Second
	DefaultGuardDeadline     = 10 * time.Minute
	DefaultGuardFailures     = 1
	DefaultConsecutiveErrors = 4
	DefaultMinSamples        = 1
	DefaultMetricWindow      = time.Minute
	DefaultProgressDeadline  = 10 * time.Minute
	DefaultRequired          = 1
	DefaultMaxParallel       = 1
	DefaultMemberParam       = "member"
)

// SetDefaults fills in what is empty.
func (s *CanarySpec) SetDefaults() { s.Rollout.setDefaults() }

// SetDefaults fills in what is empty.
func (s *PartitionBumpSpec) SetDefaults() { s.Rollout.setDefaults() }

// SetDefaults fills in what is empty.
func (s *ConfirmSpec) SetDefaults() {
	if s.Required == 0 {
		s.Required = DefaultRequired
	}
}

func (r *Rollout) setDefaults() {
	for i := range r.Guards {
		r.Guards[i].SetDefaults()
	}
	if r.OnGuardFailure == "" {
		r.OnGuardFailure = Fail
	}
	if r.OnLocked == "" {
		r.OnLocked = LockWait
	}
	if r.ProgressDeadline == nil {
		r.ProgressDeadline = &metav1.Duration{Duration: DefaultProgressDeadline}
	}
}

// SetDefaults fills in what is empty.
func (g *Guard) SetDefaults() {
	if g.When == "" {
		g.When = After
	}
	if g.Interval == nil {
		g.Interval = &metav1.Duration{Duration: DefaultGuardInterval}
	}
	if g.Deadline == nil && g.When == After {
		g.Deadline = &metav1.Duration{Duration: DefaultGuardDeadline}
	}
	if g.Limits.Failures == 0 {
		g.Limits.Failures = DefaultGuardFailures
	}
	if g.Limits.ConsecutiveErrors == 0 {
		g.Limits.ConsecutiveErrors = DefaultConsecutiveErrors
	}
	if g.Limits.MinSamples == 0 {
		g.Limits.MinSamples = DefaultMinSamples
	}
	for name, m := range g.Metrics {
		if m.Window == nil {
			m.Window = &metav1.Duration{Duration: DefaultMetricWindow}
			g.Metrics[name] = m
		}
	}
	if g.Against == "" && len(g.Metrics) > 0 {
		g.Against = AgainstStable
	}
	if g.OnError == "" {
		g.OnError = Hold
	}
	if g.OnNoData == "" {
		g.OnNoData = Hold
	}
}
