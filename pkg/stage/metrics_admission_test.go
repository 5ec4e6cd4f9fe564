package stage_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"knative.dev/pkg/apis"

	"github.com/periplus-dev/periplus/pkg/guard"
	"github.com/periplus-dev/periplus/pkg/guard/source"
	"github.com/periplus-dev/periplus/tasks/canary"
)

// late are sources of which what happens can be asked for a minute later.
type late struct{ *oracle }

func (late) Lags(sources []string) map[string]time.Duration {
	lags := map[string]time.Duration{}
	for _, name := range sources {
		lags[name] = time.Minute
	}
	return lags
}

func TestAnAfterGuardWhoseFirstSampleWouldCountTooLateIsRefused(t *testing.T) {
	for name, tc := range map[string]struct{ guard, says string }{
		"window and lag are as long as the deadline": {`"when":"After","deadline":"90s"`,
			`spec.guards[0].metrics[errors].window: Invalid value: "30s": window 30s and the source's lag 1m0s together are not shorter than the guard's deadline 1m30s`},
		"what remains is too short for for": {`"when":"After","deadline":"95s","for":"5s"`,
			`window 30s, the source's lag 1m0s and for 5s together are not shorter than the guard's deadline 1m35s`},
		"there is time":             {`"when":"After","deadline":"91s"`, ""},
		"the deadline is a default": {`"when":"After"`, ""},
		"a guard without deadline":  {`"when":"During"`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s, o := measuring(t, func(guard.Query, string) guard.Reading { return is(0.01) }, "m1")
			s.frame.Sources = late{o}
			s.ships.launch("m1", "dca", 4)
			v := s.sail(canary.Task{}, s.pipelineRun("web-1", "canary"), "canary",
				measuredCanary(`"guards":[{"name":"errors",`+tc.guard+`,"expr":"metrics.errors < 1.0","metrics":{"errors":{"source":"prom","query":"up","window":"30s"}}}]`))
			v.pass()
			c := v.run().Status.GetCondition(apis.ConditionSucceeded)
			if (c.Reason == "InvalidSpec") != (tc.says != "") || !strings.Contains(c.Message, tc.says) {
				t.Errorf("%s: %s\nwant %s", c.Reason, c.Message, tc.says)
			}
		})
	}
}

// hiccup are sources whose Secrets the hub cannot read for a while.
type hiccup struct {
	*oracle
	over bool
}

func (h *hiccup) Check(q guard.Query, member string, labels map[string]string) error {
	if h.over {
		return h.oracle.Check(q, member, labels)
	}
	return fmt.Errorf("MetricSource %s: %w", q.Source, &source.UnavailableError{Err: errors.New("reading Secret prom: context deadline exceeded")})
}

func TestAHiccupOfTheHubIsNoReasonToRefuseAStage(t *testing.T) {
	s, o := measuring(t, func(guard.Query, string) guard.Reading { return is(0.01) }, "m1")
	h := &hiccup{oracle: o}
	s.frame.Sources = h
	s.ships.launch("m1", "dca", 4)
	v := s.sail(canary.Task{}, s.pipelineRun("web-1", "canary"), "canary", measuredCanary(errorsGuard))
	for range 3 {
		v.pass()
		if cr := v.run(); cr.Status.CompletionTime != nil {
			t.Fatalf("it ended: %+v", cr.Status.GetCondition(apis.ConditionSucceeded))
		}
	}
	h.over = true
	v.until("Succeeded")
}
