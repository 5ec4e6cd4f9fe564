package simulation

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	apitypes "k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"knative.dev/pkg/apis"

	stagesv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

// hand is one thing that a person does to the release by the product's own means.
type hand struct {
	does string
	// at is how many steps of the release pass before; afterEnd waits for its end instead.
	at       int
	afterEnd bool
	// lasts is how many steps a hold lasts. members that it is about; all where a freeze has none, and the last where a skip has none.
	lasts   int
	members []string
	// allows rollbacks, until is set where nobody lifts it.
	allows, until bool

	// done and undone are the steps at which it was done, and a hold was ended; 0 before. name is that of the object made.
	done, undone int
	name         string
}

// What people do.
const (
	doPause      = "pause"
	doFreeze     = "freeze"
	doSkip       = "skip a stage"
	doSkipMember = "skip a member"
	// doRetryMember mends a member that failed, and has it tried again.
	doRetryMember = "retry a member"
	doAbort       = "abort"
	doRetry       = "retry"
	doRollback    = "take back"
	doLose        = "the hub's records are lost"
)

// aHold is a pause or a freeze of some kind.
func aHold(r *rand.Rand) *hand {
	h := &hand{does: doPause, at: r.IntN(1400), lasts: r.IntN(500)}
	if r.IntN(2) == 0 {
		h.does, h.allows, h.until = doFreeze, r.IntN(4) == 0, r.IntN(4) == 0
		if r.IntN(2) == 0 {
			h.members = []string{fmt.Sprintf("m%d", 1+r.IntN(3))}
		}
	}
	return h
}

// holds says whether it holds something until it is undone.
func (h *hand) holds() bool { return h.does == doPause || h.does == doFreeze }

// dropped says whether there is nothing left that it could be done to.
func (w *World) dropped(h *hand) bool { return h.done == 0 && !h.afterEnd && w.over() }

// handsDone says whether people have done what they wanted to do, and how long nobody has done anything.
func (w *World) handsDone() bool {
	for _, h := range w.story.hands {
		if (h.done == 0 && !w.dropped(h)) || (h.holds() && h.done > 0 && h.undone == 0) {
			return false
		}
	}
	return w.step-w.lastHand > 150 && w.meshers.done()
}

// due says whether a hand is to be done now, or undone. idle is true where nothing else happens for long: people do not let that be.
func (w *World) due(h *hand, idle bool) (do, undo bool) {
	switch {
	case w.began == 0:
	case h.done == 0 && h.afterEnd:
		return w.over(), false
	case h.done == 0:
		return w.step-w.began > h.at && !w.over(), false
	case h.holds() && h.undone == 0:
		return false, idle || w.step-h.done > h.lasts || w.over()
	}
	return false, false
}

// hand is the next thing that somebody wants to do, or nil.
func (w *World) hand(idle bool) (string, func(context.Context) error) {
	for _, h := range w.story.hands {
		do, undo := w.due(h, idle)
		switch {
		case do:
			return h.does, func(ctx context.Context) error {
				h.done, w.lastHand = w.step, w.step
				return w.lay(ctx, h)
			}
		case undo:
			return "ends: " + h.does, func(ctx context.Context) error {
				h.undone, w.lastHand = w.step, w.step
				return w.lift(ctx, h)
			}
		}
	}
	return "", nil
}

// lay does it.
func (w *World) lay(ctx context.Context, h *hand) error {
	switch h.does {
	case doPause:
		return w.intervene(ctx, stagesv1alpha1.ActionPause, nil, "")
	case doAbort:
		return w.intervene(ctx, stagesv1alpha1.ActionAbort, nil, "")
	case doRollback:
		return w.intervene(ctx, stagesv1alpha1.ActionRollback, nil, "")
	case doSkip, doSkipMember, doRetryMember:
		return w.single(ctx, h)
	case doFreeze:
		h.name = fmt.Sprintf("freeze-%d", w.step)
		f := &stagesv1alpha1.Freeze{ObjectMeta: metav1.ObjectMeta{Name: h.name}, Spec: stagesv1alpha1.FreezeSpec{Members: h.members, Message: "not now", User: "fay"}}
		if h.allows {
			f.Spec.Rollbacks = stagesv1alpha1.RollbacksAllow
		}
		if h.until {
			f.Spec.Until = ptr.To(metav1.NewTime(w.clock.Now().Add(hour.Duration / 20)))
		}
		_, err := w.hub.admin.periplus.StagesV1alpha1().Freezes().Create(ctx, f, metav1.CreateOptions{})
		return err
	case doRetry:
		w.pass(time.Second) // as with a pause: within the second of an abort it is the abort that counts.
		return w.retry(ctx)
	case doLose:
		return w.lose(ctx)
	}
	return nil
}

// single skips the stage that is on, or does something to one member of the hop that is.
func (w *World) single(ctx context.Context, h *hand) error {
	action, member := stagesv1alpha1.ActionSkip, ""
	switch {
	case h.does != doSkip && len(h.members) > 0:
		member = h.members[0]
	case h.does != doSkip:
		member = w.members[len(w.members)-1].name
	}
	if h.does == doRetryMember {
		action = stagesv1alpha1.ActionRetry
		for _, c := range w.members {
			if c.name == member {
				clear(c.nodes.broken)
				c.nodes.forget()
			}
		}
	}
	for _, cr := range w.hub.runs() {
		hop := cr.Labels["tekton.dev/pipelineTask"] == "carry"
		if cr.Status.CompletionTime == nil && cr.DeletionTimestamp == nil && (member == "" || hop) {
			return w.intervene(ctx, action, &stagesv1alpha1.RunRef{Name: cr.Name, UID: cr.UID}, member)
		}
	}
	return nil
}

// lift ends a hold.
func (w *World) lift(ctx context.Context, h *hand) error {
	if h.does == doPause {
		w.pass(time.Second) // within the second of a pause no resume ends it.
		return w.intervene(ctx, stagesv1alpha1.ActionResume, nil, "")
	}
	api := w.hub.admin.periplus.StagesV1alpha1().Freezes()
	f, err := api.Get(ctx, h.name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	f.Spec.Lifted = &stagesv1alpha1.Lifting{Message: "go on", User: "fay"}
	_, err = api.Update(ctx, f, metav1.UpdateOptions{})
	return err
}

// intervene is what `periplus pause` and the like make. The root run may be gone: its record still names it.
func (w *World) intervene(ctx context.Context, action stagesv1alpha1.Action, of *stagesv1alpha1.RunRef, member string) error {
	root := stagesv1alpha1.RootRef{Kind: "PipelineRun", Name: "web"}
	for _, pr := range w.hub.pipelineRuns() {
		if pr.Name == root.Name {
			root.UID = pr.UID
		}
	}
	for _, rel := range w.hub.releases() {
		if rel.Spec.Root.Name == root.Name {
			root.UID = rel.Spec.Root.UID
		}
	}
	if root.UID == "" {
		return nil
	}
	_, err := w.hub.admin.periplus.StagesV1alpha1().Interventions(namespace).Create(ctx, &stagesv1alpha1.Intervention{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("hand-%05d", w.step), Namespace: namespace},
		Spec:       stagesv1alpha1.InterventionSpec{RunRef: root, Action: action, StageRef: of, Member: member, Message: "so it shall be", User: "fay"},
	}, metav1.CreateOptions{})
	return err
}

// retry carries on a release that failed, as `periplus retry` does. Whatever made it fail is mended before.
func (w *World) retry(ctx context.Context) error {
	pr, err := w.hub.admin.tekton.TektonV1().PipelineRuns(namespace).Get(ctx, "web", metav1.GetOptions{})
	if err != nil {
		return ignoreGone(err)
	}
	failed := slices.ContainsFunc(w.hub.releases(), func(r *stagesv1alpha1.Release) bool {
		return r.Spec.Root.UID == pr.UID && r.Status.Phase == stagesv1alpha1.ReleaseFailed
	})
	if !failed || pr.Status.GetCondition(apis.ConditionSucceeded).IsTrue() {
		return nil
	}
	for _, c := range w.members {
		clear(c.nodes.broken)
		c.nodes.forget()
	}
	w.story.reject = false
	w.mended = true
	if err := w.intervene(ctx, stagesv1alpha1.ActionRetry, nil, ""); err != nil {
		return err
	}
	return w.start(ctx, "web-retry-1", "web", map[string]string{stagesv1alpha1.AnnotationInitiator: initiator, stagesv1alpha1.AnnotationRetryOf: "web"})
}

// lose takes from the hub all that it knows of the release, and has somebody take back what the members' locks tell, as `periplus rollback --from-members` does.
func (w *World) lose(ctx context.Context) error {
	name := ""
	for _, rel := range w.hub.releases() {
		name = rel.Name
	}
	if name == "" {
		return nil // nothing was moved yet.
	}
	w.procs[0].kill()
	w.lost = map[string]string{}
	for _, c := range w.members {
		for _, l := range w.loads(c) {
			if l.lock != nil {
				w.lost[c.name+"/"+l.name] = l.lock.Release
			}
		}
	}
	for _, what := range [][2]string{
		{"tekton.dev", "customruns"}, {"tekton.dev", "pipelineruns"}, {"stages.periplus.dev", "releases"},
		{"stages.periplus.dev", "approvals"}, {"stages.periplus.dev", "interventions"},
	} {
		if err := w.hub.api.Lose(w.hub.api.Kind(what[0], what[1])); err != nil {
			return err
		}
	}
	_, err := w.hub.admin.tekton.TektonV1beta1().CustomRuns(namespace).Create(ctx, &v1beta1.CustomRun{
		ObjectMeta: metav1.ObjectMeta{Name: "found", Namespace: namespace, Annotations: map[string]string{stagesv1alpha1.AnnotationInitiator: "fay"}},
		Spec: v1beta1.CustomRunSpec{Timeout: &metav1.Duration{Duration: 24 * hour.Duration}, CustomSpec: &v1beta1.EmbeddedCustomRunSpec{
			TypeMeta: runtime.TypeMeta{APIVersion: "stages.periplus.dev/v1alpha1", Kind: "Rollback"},
			Spec:     runtime.RawExtension{Raw: fmt.Appendf(nil, `{"fromMembers":{"release":%q},"onUnreachable":"Wait","progressDeadline":"24h"}`, name)},
		}},
	}, metav1.CreateOptions{})
	return err
}

// said says whether somebody did something to a run, or to one stage of it.
func (w *World) said(runs []apitypes.UID, stage apitypes.UID, actions ...stagesv1alpha1.Action) bool {
	return slices.ContainsFunc(w.hub.interventions(), func(i *stagesv1alpha1.Intervention) bool {
		if stage != "" && (i.Spec.StageRef == nil || i.Spec.StageRef.UID != stage) {
			return false
		}
		return slices.Contains(runs, i.Spec.RunRef.UID) && slices.Contains(actions, i.Spec.Action)
	})
}
