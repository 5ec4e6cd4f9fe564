package cafedeployment

import (
	"cmp"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/deadline"
	"github.com/periplus-dev/periplus/pkg/inplace"
	"github.com/periplus-dev/periplus/pkg/plan"
)

// Reasons of the conditions Progressing, Available and Allocated. Where a pod set stands still, Progressing carries the set's own reason, which may be any
// that an InPlaceSet has, or one of a ReplicaSet such as FailedCreate.
const (
	// ReasonComplete: every pod is as the template wants it, and available.
	ReasonComplete = "Complete"
	// ReasonHeldBack: as ReasonComplete, but for the pods that partitions hold back.
	ReasonHeldBack = "HeldBack"
	// ReasonMoving: pods are being created, deleted or changed, or are starting.
	ReasonMoving = "Moving"
	// ReasonPaused: something would begin but for spec.strategy.pause.
	ReasonPaused = "Paused"
	// ReasonAwaitingConfirmation: the next group begins once somebody confirms the one before.
	ReasonAwaitingConfirmation = "AwaitingConfirmation"
	// ReasonPodsFailing: nothing goes on until pods that fail are repaired. The message has their own reasons.
	ReasonPodsFailing = "PodsFailing"
	// ReasonInvalidSpec: the spec says something that cannot be. Nothing moves.
	ReasonInvalidSpec = v1alpha1.ReasonInvalidSpec
	// ReasonRevisionMissing: pods are to be created on a revision whose ControllerRevision was deleted.
	ReasonRevisionMissing = v1alpha1.ReasonRevisionMissing
	// ReasonWriteFailed: the API server refuses to write a pod set.
	ReasonWriteFailed = "WriteFailed"
	// ReasonProgressDeadlineExceeded: no pod got on for progressDeadlineSeconds. The message says what it would say otherwise.
	ReasonProgressDeadlineExceeded = v1alpha1.ReasonProgressDeadlineExceeded
	// ReasonEnoughAvailable and ReasonTooFewAvailable are those of Available.
	ReasonEnoughAvailable = "EnoughAvailable"
	ReasonTooFewAvailable = "TooFewAvailable"
	// ReasonAsAsked, ReasonClamped and ReasonRescheduled are those of Allocated.
	ReasonAsAsked     = "AsAsked"
	ReasonClamped     = "Clamped"
	ReasonRescheduled = "Rescheduled"
)

// longest message of a condition: more nobody reads.
const longest = 2048

// progressing says whether the deployment goes on, and what it waits for. The first that is true counts.
func (p *pass) progressing(s *v1alpha1.CafeDeploymentStatus) metav1.Condition {
	failing := p.failing()
	var lacking int32
	for _, u := range p.units {
		for _, pod := range u.pods {
			lacking += count(!pod.available)
		}
		lacking += max(u.plan.Keep-int32(len(u.pods)), 0) // #nosec G115 -- a deployment has at most 10000 pods.
	}
	stalled := p.stalled()
	group := p.plan.Group
	switch {
	case len(p.problems) > 0:
		return stopped(ReasonInvalidSpec, "Nothing moves: "+strings.Join(p.problems, "; "))
	case p.missing != "":
		return stopped(ReasonRevisionMissing, "Pods are missing and cannot be created: "+p.missing)
	case stalled != nil:
		return stopped(stalled.stalled, fmt.Sprintf("unit %s: %s", stalled.name, stalled.why))
	case failing.Pods > 0 && int(lacking) <= failing.Pods:
		return stopped(ReasonPodsFailing, failing.String())
	case group != nil && group.Waits == plan.WaitPause && lacking == 0:
		return stopped(ReasonPaused, "Nothing begins until spec.strategy.pause is false; next: "+group.What)
	case group != nil && group.Waits == plan.WaitConfirmation && lacking == 0:
		return stopped(ReasonAwaitingConfirmation, fmt.Sprintf("Set annotation %s to \"true\" for group %d of %d: %s", v1alpha1.AnnotationConfirmed, group.Index, group.Total, group.What))
	case p.quiet(lacking):
		return p.atRest(s)
	}
	return goesOn(ReasonMoving, p.movement(s, failing))
}

// quiet says whether nothing moves or is to move.
func (p *pass) quiet(lacking int32) bool {
	if p.plan.Group != nil || p.plan.Scaling != nil || p.plan.Held > 0 || lacking > 0 {
		return false
	}
	for i, u := range p.units {
		of := &p.state.Units[i]
		if u.draining || int32(len(u.pods)) != u.plan.Wanted || of.Kept != u.plan.Keep || of.Updated != u.plan.Allowed && !p.backHome(of) { // #nosec G115 -- at most 10000.
			return false
		}
	}
	return true
}

// backHome says whether a unit's pods are all of the current revision, which is the update revision as well.
func (p *pass) backHome(of *plan.CafeUnit) bool {
	return p.current == p.update && int(of.Updated) == len(of.Goes) || p.state.Driven && of.Updated > 0
}

func (p *pass) atRest(s *v1alpha1.CafeDeploymentStatus) metav1.Condition {
	if held := s.Replicas - s.UpdatedReplicas; held > 0 {
		return goesOn(ReasonHeldBack, fmt.Sprintf("%d of %d pods run revision %s; partitions hold %d back", s.UpdatedReplicas, s.Replicas, p.update, held))
	}
	return goesOn(ReasonComplete, fmt.Sprintf("All %d pods run revision %s", s.Replicas, p.update))
}

// movement says where the deployment is and what it waits for.
func (p *pass) movement(s *v1alpha1.CafeDeploymentStatus, failing inplace.Failures) string {
	var parts []string
	if g := s.Group; g != nil {
		parts = append(parts, fmt.Sprintf("group %d of %d (%s) waits for %s", g.Index, g.Total, g.What, g.WaitsFor))
	}
	parts = append(parts, fmt.Sprintf("%d of %d pods run revision %s, %d of them are available", s.UpdatedReplicas, p.state.Replicas, p.update, s.UpdatedAvailableReplicas))
	for _, u := range p.units {
		if u.pending > 0 {
			parts = append(parts, fmt.Sprintf("%d in %s find no room (%s)", u.pending, u.name, u.pendingFor))
		}
		if u.draining {
			parts = append(parts, fmt.Sprintf("unit %s is being drained and has %d pods", u.name, len(u.pods)+len(u.leaving)))
		}
	}
	if p.plan.Held > 0 {
		parts = append(parts, fmt.Sprintf("%d that are too many in their unit wait until others are available", p.plan.Held))
	}
	if failing.Pods > 0 {
		parts = append(parts, failing.String())
	}
	return strings.Join(parts, "; ")
}

// stalled is the first unit whose pod sets stand still.
func (p *pass) stalled() *unit {
	for _, u := range p.units {
		if u.stalled != "" {
			return u
		}
	}
	return nil
}

func (p *pass) failing() inplace.Failures {
	f := inplace.Failures{}
	for _, u := range p.units {
		for _, pod := range u.pods {
			if pod.failing != "" && !pod.available {
				f.Add(pod.pod.Name, pod.failing, pod.why)
			}
		}
	}
	return f
}

// withDeadline turns a condition that says that the deployment goes on into one that says that it does not, where no pod got on for progressDeadlineSeconds.
// Time does not count while it rests, is paused or waits for a confirmation.
func (p *pass) withDeadline(s *v1alpha1.CafeDeploymentStatus, now metav1.Condition) metav1.Condition {
	before := &p.d.Status
	was := meta.FindStatusCondition(before.Conditions, v1alpha1.ConditionProgressing)
	if p.best == nil {
		p.best = &deadline.Best{}
	}
	p.best.Recall(p.far(before), before.ProgressedAt)
	waits := func(reason string) bool { return rests(reason) || standsStill[reason] }
	at := p.best.Note(p.now, p.far(s), !waits(now.Reason) && (was == nil || waits(was.Reason)))
	s.ProgressedAt = &at
	if waits(now.Reason) || p.d.Spec.Strategy.Pause {
		return now
	}
	limit := deadline.Of(p.d.Spec.ProgressDeadlineSeconds, p.d.Spec.MinReadySeconds)
	if left := at.Add(limit).Sub(p.now); left > 0 {
		p.wakeAfter(left)
		return now
	}
	return stopped(ReasonProgressDeadlineExceeded, fmt.Sprintf("No pod got on for %s (spec.progressDeadlineSeconds): %s", limit, now.Message))
}

func (p *pass) far(s *v1alpha1.CafeDeploymentStatus) deadline.Counts {
	return deadline.Counts{
		Generation: s.ObservedGeneration, Replicas: s.Replicas, Updated: s.UpdatedReplicas, Available: s.AvailableReplicas, UpdatedAvailable: s.UpdatedAvailableReplicas,
		Above: max(s.Replicas-p.state.Replicas, 0),
	}
}

func rests(reason string) bool { return reason == ReasonComplete || reason == ReasonHeldBack }

// standsStill are the reasons with which nothing moves until somebody changes something: time does not count.
var standsStill = map[string]bool{
	ReasonInvalidSpec: true, v1alpha1.ReasonNotInPlace: true, ReasonRevisionMissing: true, ReasonPaused: true, ReasonAwaitingConfirmation: true,
}

func stopped(reason, message string) metav1.Condition {
	return metav1.Condition{Type: v1alpha1.ConditionProgressing, Status: metav1.ConditionFalse, Reason: cmp.Or(reason, ReasonMoving), Message: clip(message, longest)}
}

func goesOn(reason, message string) metav1.Condition {
	return metav1.Condition{Type: v1alpha1.ConditionProgressing, Status: metav1.ConditionTrue, Reason: reason, Message: clip(message, longest)}
}

// clip keeps a text below what the API takes.
func clip(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + " …"
}
