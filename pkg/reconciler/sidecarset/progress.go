package sidecarset

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/sidecar"
)

// Reasons of the condition Progressing.
const (
	// ReasonComplete: every pod that is to runs the update revision, and is available.
	ReasonComplete = "Complete"
	// ReasonHeldBack: as ReasonComplete, but for the pods that the partition or the strategy's selector holds back.
	ReasonHeldBack = "HeldBack"
	// ReasonWaitingForCreation: as ReasonComplete, but for pods that get the revision only when they are created anew.
	ReasonWaitingForCreation = "WaitingForCreation"
	// ReasonMoving: pods are being changed, or wait for their turn.
	ReasonMoving = "Moving"
	// ReasonPaused: pods would be changed but for spec.updateStrategy.paused.
	ReasonPaused = "Paused"
	// ReasonPodsFailing: a sidecar of the update revision does not come up, so no other pod is begun.
	ReasonPodsFailing = "PodsFailing"
	// ReasonDrainTimeout: a load balancer did not let go of a pod, or did not take it back, in drainTimeoutSeconds, and the set holds.
	ReasonDrainTimeout = "DrainTimeout"
	// ReasonInvalidSpec: the spec says something that cannot be. Nothing moves, and new pods get the revision before.
	ReasonInvalidSpec = v1alpha1.ReasonInvalidSpec
)

// Reasons of the condition Injecting.
const (
	// ReasonInjecting: new pods get the sidecars, and none was missed.
	ReasonInjecting = "Injecting"
	// ReasonPodsMissed: pods were created without the sidecars that should have them.
	ReasonPodsMissed = "PodsMissed"
	// ReasonInjectionPaused: new pods get nothing, because spec.injectionStrategy.paused is true.
	ReasonInjectionPaused = "InjectionPaused"
	// ReasonRevisionUnknown: spec.injectionStrategy.revision names none of the set's revisions. New pods get nothing.
	ReasonRevisionUnknown = "RevisionUnknown"
	// ReasonNameClash: another set, which comes first, has a container of the same name and may mean the same pods. These do not get this set.
	ReasonNameClash = "NameClash"
	// ReasonNoRevision: no revision of the set was accepted yet.
	ReasonNoRevision = "NoRevision"
)

// progressing says whether the set goes on, and what it waits for. The first that is true counts.
func (p *pass) progressing(s *v1alpha1.SidecarSetStatus) metav1.Condition {
	behind := min(max(s.ExpectedUpdated-p.upOf(), 0), p.movable())
	failing := p.failing()
	switch {
	case len(p.problems) > 0:
		return condition(v1alpha1.ConditionProgressing, false, ReasonInvalidSpec, "Nothing moves: "+joined(p.problems))
	case len(p.waits.words(true)) > 0:
		return condition(v1alpha1.ConditionProgressing, false, ReasonDrainTimeout, joined(p.waits.words(true)))
	case p.plan.Stopped && p.plan.Expected > 0:
		return condition(v1alpha1.ConditionProgressing, false, ReasonPodsFailing, "No other pod is begun: "+failing)
	case len(p.plan.Update) > 0 || len(p.waits.movement()) > 0:
		return condition(v1alpha1.ConditionProgressing, true, ReasonMoving, p.movement(s, failing))
	case p.set.Spec.UpdateStrategy.Paused && behind > 0:
		return condition(v1alpha1.ConditionProgressing, false, ReasonPaused, fmt.Sprintf("%d pods are to be changed to revision %s once spec.updateStrategy.paused is false", behind, p.update))
	case p.plan.Waiting+p.plan.Behind > 0 || len(p.plan.WaitingFor)+len(p.plan.WaitingForApplication) > 0 || p.unready() > 0:
		return condition(v1alpha1.ConditionProgressing, true, ReasonMoving, p.movement(s, failing))
	}
	return p.atRest(s)
}

func (p *pass) atRest(s *v1alpha1.SidecarSetStatus) metav1.Condition {
	text := fmt.Sprintf("%d of %d injected pods run revision %s", s.Updated, s.Injected, p.update)
	waiting := p.waitingForCreation()
	switch {
	case waiting > 0:
		text += fmt.Sprintf("; %d get it when they are created anew", waiting)
		if len(p.misfits) > 0 {
			text += ", because it differs in " + strings.Join(p.misfits[:min(len(p.misfits), 10)], ", ")
		}
		return condition(v1alpha1.ConditionProgressing, true, ReasonWaitingForCreation, p.alsoStrays(text))
	case s.Updated < s.Injected:
		return condition(v1alpha1.ConditionProgressing, true, ReasonHeldBack, p.alsoStrays(text+"; the strategy holds the others back"))
	}
	return condition(v1alpha1.ConditionProgressing, true, ReasonComplete, p.alsoStrays(text))
}

func (p *pass) alsoStrays(text string) string {
	if len(p.strays) > 0 {
		text += fmt.Sprintf("; %d pods that the set means no more keep its sidecars until they are created anew", len(p.strays))
	}
	return text
}

// movement says where the set is and what the pods on their way wait for.
func (p *pass) movement(s *v1alpha1.SidecarSetStatus, failing string) string {
	parts := append([]string{fmt.Sprintf("%d of %d pods run revision %s, %d of them are ready", s.Updated, s.ExpectedUpdated, p.update, s.UpdatedReady)}, p.waits.movement()...)
	if p.plan.Behind > 0 {
		parts = append(parts, fmt.Sprintf("%d wait for those before them to come up", p.plan.Behind))
	}
	if p.plan.Waiting > 0 {
		parts = append(parts, fmt.Sprintf("%d wait because of maxUnavailable: %d of at most %d are unavailable", p.plan.Waiting, p.plan.Unavailable, p.plan.MaxUnavailable))
	}
	for _, key := range slices.Sorted(maps.Keys(p.plan.WaitingForApplication)) {
		parts = append(parts, fmt.Sprintf("%d wait for %s", p.plan.WaitingForApplication[key], p.applications[key]))
	}
	for _, name := range slices.Sorted(maps.Keys(p.plan.WaitingFor)) {
		parts = append(parts, fmt.Sprintf("%d wait for PodDisruptionBudget %s", p.plan.WaitingFor[name], name))
	}
	if failing != "" {
		parts = append(parts, failing)
	}
	if n := p.waitingForCreation(); n > 0 {
		parts = append(parts, fmt.Sprintf("%d get it when they are created anew", n))
	}
	return joined(parts)
}

// failing says which sidecars of the update revision do not come up; the first of them by name.
func (p *pass) failing() string {
	n, first := 0, ""
	var why string
	for _, seen := range p.pods {
		if seen.failing == "" || seen.part.Revision != p.update {
			continue
		}
		n++
		if name := seen.name(); first == "" || name < first {
			first, why = name, seen.failing+", "+seen.why
		}
	}
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("the sidecars of %d pods fail (%s: %s)", n, first, why)
}

// upOf is how many of the selected pods run the update revision with sidecars that are ready.
func (p *pass) upOf() (n int32) {
	for i := range p.state.Pods {
		if pod := &p.state.Pods[i]; pod.Selected && pod.Revision == p.update && pod.Up {
			n++
		}
	}
	return n
}

// movable is how many of the selected pods could change in place and are not on the update revision.
func (p *pass) movable() (n int32) {
	for i := range p.state.Pods {
		if pod := &p.state.Pods[i]; pod.Selected && !pod.Stays && pod.Revision != p.update {
			n++
		}
	}
	return n
}

// unready is how many pods of the update revision have sidecars that are not ready.
func (p *pass) unready() (n int32) {
	for i := range p.state.Pods {
		if pod := &p.state.Pods[i]; pod.Revision == p.update && !pod.Up {
			n++
		}
	}
	return n
}

func (p *pass) waitingForCreation() (n int32) {
	for i := range p.state.Pods {
		if pod := &p.state.Pods[i]; pod.Stays && pod.Selected {
			n++
		}
	}
	return n
}

// injecting says whether new pods get the sidecars, and who was missed.
func (p *pass) injecting(claims []string, missed []string) metav1.Condition {
	pin := p.set.Spec.InjectionStrategy.Revision
	switch {
	case p.set.Spec.InjectionStrategy.Paused:
		return condition(v1alpha1.ConditionInjecting, false, ReasonInjectionPaused, "New pods get nothing: spec.injectionStrategy.paused is true")
	case pin != "" && p.content(pin) == nil:
		var have []string
		for _, k := range p.history {
			have = append(have, k.hash)
		}
		return condition(v1alpha1.ConditionInjecting, false, ReasonRevisionUnknown,
			fmt.Sprintf("New pods get nothing: spec.injectionStrategy.revision is %s, and the set has the revisions %s", pin, strings.Join(have, ", ")))
	case p.injects == "":
		return condition(v1alpha1.ConditionInjecting, false, ReasonNoRevision, "New pods get nothing: no revision of the set was accepted yet")
	case len(claims) > 0:
		return condition(v1alpha1.ConditionInjecting, false, ReasonNameClash, "Pods that both mean get nothing of this set: "+joined(claims))
	case len(missed) > 0:
		return condition(v1alpha1.ConditionInjecting, false, ReasonPodsMissed,
			fmt.Sprintf("%d pods were created without the sidecars: %s. They get them when they are created anew", len(missed), firstOf(missed, 10)))
	}
	return condition(v1alpha1.ConditionInjecting, true, ReasonInjecting, "New pods get revision "+p.injects)
}

// missed are the pods that should have been injected when they were created, with the webhook's reason where it gave one, and how many are older than what the set
// means, and never had a chance.
func (p *pass) missed(since *metav1.Time) (missed []string, older int32) {
	for _, name := range slices.Sorted(maps.Keys(p.lacks)) {
		of := p.lacks[name]
		if !of.Missed(p.set, since) {
			older++
			continue
		}
		if of.Why != "" {
			name += " (" + of.Why + ")"
		}
		missed = append(missed, name)
	}
	return missed, older
}

// claimed are the names of containers that sets before this one have.
func (r *reconciler) claimed(set *v1alpha1.SidecarSet, all []*v1alpha1.SidecarSet) []string {
	return sidecar.Claims(all)[set.Name]
}

func firstOf(names []string, n int) string {
	if len(names) <= n {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:n], ", "), len(names)-n)
}

func condition(kind string, ok bool, reason, message string) metav1.Condition {
	const longest = 2048 // what a person reads; the API takes 32 KiB.
	if len(message) > longest {
		message = strings.ToValidUTF8(message[:longest], "") + " …"
	}
	status := metav1.ConditionFalse
	if ok {
		status = metav1.ConditionTrue
	}
	return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: message}
}
