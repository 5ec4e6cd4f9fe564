package start

import (
	"time"

	"github.com/periplus-dev/periplus/pkg/cli/screen"
)

// Exit codes of `periplus start --wait`, beside those of following. docs/ci.md tells users.
const (
	codeSucceeded  = 0
	codeFailed     = 1
	codeRolledBack = 3
	codeRejected   = 4
	codeHeld       = 5
)

// rejectedReason is the reason of a stage that somebody said no to (stage.ReasonRejected: the frame of stages is no part of the CLI).
const rejectedReason = "Rejected"

// codeOf is the exit code for how a run stands that is over, or is held. That people said no is told even where the release was taken back after it: the
// version was not found sick.
func codeOf(m *screen.Model, held bool) int {
	rejected := false
	for _, s := range m.Stages {
		rejected = rejected || s.State == screen.StageFailed && s.Reason == rejectedReason
	}
	switch {
	case held:
		return codeHeld
	case m.Verdict.State == screen.StateSucceeded:
		return codeSucceeded
	case rejected:
		return codeRejected
	case m.Verdict.State == screen.StateRolledBack:
		return codeRolledBack
	}
	return codeFailed
}

// holding notes since when a run stands still until somebody does something.
type holding struct {
	// after is how long that may be; never is too long where 0.
	after time.Duration
	since time.Time
}

// tooLong says whether the run has been held for longer than it may. It is asked with each model, at least once a second.
func (h *holding) tooLong(m *screen.Model) bool {
	if !m.Held() || h.after <= 0 {
		h.since = time.Time{}
		return false
	}
	if h.since.IsZero() {
		h.since = m.At.Time
	}
	return m.At.Sub(h.since) >= h.after
}
