package cafedeployment

import (
	"context"
	"fmt"
	"strings"
	"time"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/plan"
)

// statusEvery is how often a status is written while only its counts move.
const statusEvery = time.Second

// report writes the status if it changed. While counts move it is written at most once in statusEvery; at once when somebody may wait for it, or when a
// pass is to act on what it records (see urgent).
func (r *reconciler) report(ctx context.Context, p *pass) error {
	status := p.status()
	before := &p.d.Status
	if apiequality.Semantic.DeepEqual(before, status) {
		return nil
	}
	key := keyOf(p.d)
	if !urgent(before, status) {
		var next time.Duration
		r.memory.of(key, func(known *remembered) { next = known.reported.Add(statusEvery).Sub(p.now) })
		if next > 0 {
			p.wakeAfter(next)
			return nil
		}
	}
	d := p.d.DeepCopy()
	d.Status = *status
	_, err := r.written.Write(string(d.UID), d.Name, func() (*v1alpha1.CafeDeployment, error) {
		return r.periplus.AppsV1alpha1().CafeDeployments(d.Namespace).UpdateStatus(ctx, d, metav1.UpdateOptions{})
	})
	if err != nil {
		return fmt.Errorf("writing the status of CafeDeployment %s: %w", key, err)
	}
	r.memory.of(key, func(known *remembered) { known.reported = p.now })
	if recorded(before, status) {
		r.enqueue(key) // what was recorded may be acted on now.
	}
	r.tell(p.d, before, status)
	return nil
}

// urgent says whether a status has news that a pipeline, a person or the next pass waits for.
func urgent(before, now *v1alpha1.CafeDeploymentStatus) bool {
	was, is := meta.FindStatusCondition(before.Conditions, v1alpha1.ConditionProgressing), meta.FindStatusCondition(now.Conditions, v1alpha1.ConditionProgressing)
	return before.ObservedGeneration != now.ObservedGeneration || recorded(before, now) ||
		was == nil || is == nil || was.Status != is.Status && !turnsWithCrashes(was.Reason, is.Reason) || rests(is.Reason) && !rests(was.Reason)
}

// recorded says whether a status records what passes go on from.
func recorded(before, now *v1alpha1.CafeDeploymentStatus) bool {
	if before.UpdateRevision != now.UpdateRevision || before.CurrentRevision != now.CurrentRevision || before.Asked != now.Asked ||
		!apiequality.Semantic.DeepEqual(before.Scaling, now.Scaling) {
		return true
	}
	moved := func(s *v1alpha1.CafeDeploymentStatus) (out []string) {
		for _, u := range s.Units {
			if u.Moved != 0 || u.Full {
				out = append(out, fmt.Sprint(u.Name, u.Moved, u.Full))
			}
		}
		return out
	}
	return !apiequality.Semantic.DeepEqual(moved(before), moved(now))
}

func turnsWithCrashes(was, is string) bool {
	return was == ReasonMoving && is == ReasonPodsFailing || was == ReasonPodsFailing && is == ReasonMoving
}

// status of the deployment as this pass saw it. Where the spec has problems, what is recorded stays.
func (p *pass) status() *v1alpha1.CafeDeploymentStatus {
	s := p.d.Status.DeepCopy()
	s.ObservedGeneration = p.d.Generation
	s.CollisionCount = p.history.Collisions
	s.LabelSelector = selectorText(p.d)
	s.UpdateRevision, s.CurrentRevision = p.update, p.current
	p.counts(s)
	if len(p.problems) == 0 {
		s.CurrentRevision = plan.CafeCurrentRevision(p.state, p.plan)
		s.Asked = p.plan.Asked
		s.Scaling = p.scaling()
		s.Group = p.group()
	}
	for _, c := range []metav1.Condition{p.withDeadline(s, p.progressing(s)), p.available(s), p.allocated()} {
		c.ObservedGeneration = p.d.Generation
		c.LastTransitionTime = metav1.NewTime(p.now)
		meta.SetStatusCondition(&s.Conditions, c)
	}
	return s
}

func selectorText(d *v1alpha1.CafeDeployment) string {
	selector := d.Spec.Selector.DeepCopy()
	if selector.MatchLabels == nil {
		selector.MatchLabels = map[string]string{}
	}
	selector.MatchLabels[v1alpha1.LabelCafeDeployment] = d.Name
	text, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		return "" // said in the condition.
	}
	return text.String()
}

// counts the pods of each unit, and of all together.
func (p *pass) counts(s *v1alpha1.CafeDeploymentStatus) {
	before := map[string]v1alpha1.CafeDeploymentUnit{}
	for _, u := range s.Units {
		before[u.Name] = u
	}
	s.Units = nil
	s.Replicas, s.ReadyReplicas, s.AvailableReplicas = 0, 0, 0
	s.UpdatedReplicas, s.UpdatedReadyReplicas, s.UpdatedAvailableReplicas = 0, 0, 0
	for i, u := range p.units {
		of := v1alpha1.CafeDeploymentUnit{Name: u.name, Draining: u.draining, Pending: u.pending, PendingFor: clip(u.pendingFor, 1000)}
		if u.stalled != "" {
			of.Stalled = clip(u.stalled+": "+u.why, 1000)
		}
		if len(p.problems) > 0 {
			was := before[u.name]
			of.Wanted, of.Moved, of.Full, of.Partition, of.Replicas = was.Wanted, was.Moved, was.Full, was.Partition, p.state.Units[i].Kept
		} else {
			// Moves that this pass records are not among what is wanted yet.
			of.Wanted, of.Moved, of.Full, of.Replicas, of.Partition = u.plan.Wanted, u.plan.Moved, u.plan.Full, u.plan.Keep, u.plan.Stay
		}
		for _, pod := range u.pods {
			of.Pods++
			of.Ready += count(pod.Ready)
			of.Available += count(pod.available)
			if pod.revision == p.update && !pod.Changing {
				of.Updated++
				of.UpdatedReady += count(pod.Ready)
				of.UpdatedAvailable += count(pod.available)
			}
		}
		if !u.draining || len(u.sets) > 0 && !u.plan.Delete {
			s.Units = append(s.Units, of)
		}
		s.Replicas, s.ReadyReplicas, s.AvailableReplicas = s.Replicas+of.Pods, s.ReadyReplicas+of.Ready, s.AvailableReplicas+of.Available
		s.UpdatedReplicas, s.UpdatedReadyReplicas = s.UpdatedReplicas+of.Updated, s.UpdatedReadyReplicas+of.UpdatedReady
		s.UpdatedAvailableReplicas += of.UpdatedAvailable
	}
}

func count(b bool) int32 {
	if b {
		return 1
	}
	return 0
}

// scaling as it is to be recorded.
func (p *pass) scaling() *v1alpha1.CafeDeploymentScaling {
	is := p.plan.Scaling
	if is == nil {
		return nil
	}
	if was := p.d.Status.Scaling; is == p.state.Scaling && was != nil {
		return was.DeepCopy()
	}
	return &v1alpha1.CafeDeploymentScaling{Generation: p.d.Generation, From: is.From, To: is.To}
}

// group in the words of the API.
func (p *pass) group() *v1alpha1.CafeDeploymentGroup {
	g := p.plan.Group
	if g == nil {
		return nil
	}
	out := &v1alpha1.CafeDeploymentGroup{For: g.For, Index: g.Index, Total: g.Total, What: clip(g.What, 1000)}
	switch g.Waits {
	case plan.WaitPods:
		out.WaitsFor = fmt.Sprintf("%d pods to be available", g.Missing)
	case plan.WaitPause:
		out.WaitsFor = "spec.strategy.pause to be false"
	case plan.WaitConfirmation:
		out.WaitsFor = fmt.Sprintf("annotation %s to be \"true\"", v1alpha1.AnnotationConfirmed)
	}
	return out
}

func (p *pass) available(s *v1alpha1.CafeDeploymentStatus) metav1.Condition {
	c := metav1.Condition{
		Type: v1alpha1.ConditionAvailable, Status: metav1.ConditionTrue, Reason: ReasonEnoughAvailable,
		Message: fmt.Sprintf("%d of %d pods are available", s.AvailableReplicas, p.state.Replicas),
	}
	if least := p.state.Replicas - p.limitOf(p.state.Replicas); s.AvailableReplicas < least {
		c.Status, c.Reason = metav1.ConditionFalse, ReasonTooFewAvailable
		c.Message += fmt.Sprintf("; maxUnavailable asks for at least %d", least)
	}
	return c
}

// allocated says whether units have what the spec asks for.
func (p *pass) allocated() metav1.Condition {
	c := metav1.Condition{Type: v1alpha1.ConditionAllocated, Status: metav1.ConditionTrue, Reason: ReasonAsAsked, Message: "Every unit is to have the pods that the spec asks for"}
	var moved []string
	for _, u := range p.units {
		switch {
		case u.plan.Moved < 0:
			moved = append(moved, fmt.Sprintf("%d from %s", -u.plan.Moved, u.name))
		case u.plan.Moved > 0:
			moved = append(moved, fmt.Sprintf("%d to %s", u.plan.Moved, u.name))
		}
	}
	var parts []string
	switch {
	case len(p.problems) > 0:
		c.Status, c.Reason, c.Message = metav1.ConditionUnknown, ReasonInvalidSpec, "The spec cannot be followed; see Progressing"
		return c
	case len(p.plan.Misfits) > 0:
		c.Status, c.Reason = metav1.ConditionFalse, ReasonClamped
	case len(moved) > 0:
		c.Status, c.Reason = metav1.ConditionFalse, ReasonRescheduled
	default:
		return c
	}
	parts = append(parts, p.plan.Misfits...)
	if len(moved) > 0 {
		parts = append(parts, "pods that found no room were moved: "+strings.Join(moved, ", ")+"; the next change of the spec takes that back")
	}
	c.Message = clip(strings.Join(parts, "; "), longest)
	return c
}
