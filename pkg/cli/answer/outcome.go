package answer

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	pipelinev1beta1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/watch"

	stages "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/cli/hub"
	"github.com/periplus-dev/periplus/pkg/cli/run"
	"github.com/periplus-dev/periplus/pkg/cli/screen"
)

// outcome watches the CustomRun until its stage has counted the answer, or said why it does not count.
func (a *command) outcome(ctx context.Context, h *hub.Hub, r *run.Run, c *pipelinev1beta1.CustomRun, approval *stages.Approval) (string, error) {
	runs := h.Tekton.TektonV1beta1().CustomRuns(h.Namespace)
	only := fields.OneTermEqualSelector("metadata.name", c.Name).String()
	last := c
	for ctx.Err() == nil {
		// The watch begins before the look, so that nothing falls between the two; a server may end a watch at any time.
		w, err := runs.Watch(ctx, metav1.ListOptions{FieldSelector: only})
		if err != nil {
			if ctx.Err() != nil {
				break
			}
			return "", fmt.Errorf("the answer was given as Approval %s, but whether it counts is not known: %w", approval.Name,
				h.Explain(hub.Request{Verb: "watch", Resource: "customruns.tekton.dev", Name: c.Name}, err))
		}
		now, err := runs.Get(ctx, c.Name, metav1.GetOptions{})
		if err != nil {
			w.Stop()
			if ctx.Err() != nil {
				break
			}
			return "", fmt.Errorf("the answer was given as Approval %s, but whether it counts is not known: %w", approval.Name,
				h.Explain(hub.Request{Verb: "get", Resource: "customruns.tekton.dev", Name: c.Name}, err))
		}
		said, over, err := a.counted(r, now, c, approval)
		last = now
		for !over && err == nil {
			event, open := next(ctx, w)
			if !open {
				break
			}
			if event.Type == watch.Deleted {
				err = fmt.Errorf("stage %s was deleted before it counted the answer", run.StageOf(c))
				break
			}
			if seen, ok := event.Object.(*pipelinev1beta1.CustomRun); ok {
				last = seen
				said, over, err = a.counted(r, seen, c, approval)
			}
		}
		w.Stop()
		if over || err != nil {
			return said, err
		}
		select { // a server that ends watches at once is not asked in a tight circle
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
	return "", fmt.Errorf("the answer was given as Approval %s, but stage %s has not counted it within %s (last: %s); it still may: see %s get %s",
		approval.Name, run.StageOf(c), a.counting, standing(last), a.program, r.Name())
}

// next waits for the next event; open is false once there are no more.
func next(ctx context.Context, w watch.Interface) (event watch.Event, open bool) {
	select {
	case <-ctx.Done():
		return watch.Event{}, false
	case event, open = <-w.ResultChan():
		return event, open && event.Type != watch.Error
	}
}

func standing(c *pipelinev1beta1.CustomRun) string {
	s, err := screen.RunStatus(c)
	if err == nil && s.Waiting != nil && s.Waiting.For != "" {
		return s.Waiting.For
	}
	return "nothing is known of it"
}

// counted says what the stage made of the answer; over is false while it made nothing of it yet.
func (a *command) counted(r *run.Run, now, asked *pipelinev1beta1.CustomRun, approval *stages.Approval) (said string, over bool, err error) {
	stage := run.StageOf(asked)
	if now.UID != asked.UID {
		return "", true, fmt.Errorf("stage %s was made anew before it counted the answer; answer again if it still asks", stage)
	}
	s, err := screen.RunStatus(now)
	if err != nil {
		return "", true, err
	}
	q := s.Question
	if q != nil && q.ID == approval.Spec.Question {
		if i := slices.IndexFunc(q.Answers, func(x stages.Answer) bool { return x.Approval == approval.Name }); i >= 0 {
			return recorded(r, now, stage, q, q.Answers[i]), true, nil
		}
		for _, ignored := range q.Ignored {
			if why, ours := strings.CutPrefix(ignored, approval.Name+" "); ours {
				return "", true, fmt.Errorf("the answer does not count: %s", why)
			}
		}
	}
	switch {
	case screen.Done(now):
		return "", true, fmt.Errorf("stage %s ended before it counted the answer: %s", stage, ending(now))
	case q == nil || q.ID != approval.Spec.Question:
		now := "it is at another attempt"
		if q != nil && q.About != "" {
			now = "it asks about " + q.About
		}
		return "", true, fmt.Errorf("stage %s does not ask this any more (%s); answer again if it still asks", stage, now)
	}
	return "", false, nil
}

func recorded(r *run.Run, now *pipelinev1beta1.CustomRun, stage string, q *stages.Question, answer stages.Answer) string {
	what := stage
	if q.About != "" {
		what = q.About + " of " + stage
	}
	if answer.Decision == stages.Reject {
		return fmt.Sprintf("recorded: %s rejected %s; the stage ends", answer.User, what)
	}
	required := max(1, q.Required)
	yes := int32(0)
	for _, x := range q.Answers {
		if x.Decision == stages.Approve {
			yes++
		}
	}
	said := fmt.Sprintf("recorded: %s approved %s (%d of %d)", answer.User, what, yes, required)
	if yes >= required {
		return said + "; " + r.Name() + " goes on"
	}
	if screen.Done(now) {
		return said + "; the stage is over: " + ending(now)
	}
	return said + "; still " + screen.Wants(*q)
}

func ending(c *pipelinev1beta1.CustomRun) string {
	if c.IsSuccessful() {
		return "it succeeded"
	}
	for _, cond := range c.Status.Conditions {
		return cond.Reason + ": " + cond.Message
	}
	return "no reason is given"
}
