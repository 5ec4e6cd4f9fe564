package inplaceset

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/inplace"
)

// Reasons of Events. All that are not here carry the reason of the condition that they tell of.
const (
	// EventRevision tells of a new update revision.
	EventRevision = "Revision"
	// EventBalancerSilent tells that a load balancer did not let go of a pod that was deleted, and that its finalizer was taken away.
	EventBalancerSilent = "BalancerSilent"
	// EventWaitsForBalancer and those that follow tell that pods begin to wait.
	EventWaitsForBalancer = "WaitsForBalancer"
	EventWaitsForHook     = "WaitsForHook"
	EventWaitsForBudget   = "WaitsForDisruptionBudget"
	EventWaitsForNode     = "WaitsForSameNode"
	EventWaitsForLimit    = "WaitsForMaxUnavailable"
	EventWaitsForScaling  = "WaitsForScaleLimit"
)

// waitTold is how long a kind of wait must have been over for the next one to be told again: pods of one change wait for the same again and again.
const waitTold = time.Minute

// kindsOfWait are told when they begin. says is empty where no pod waits so.
var kindsOfWait = []struct {
	reason string
	says   func(p *pass) string
}{
	{EventWaitsForBalancer, func(p *pass) string { return p.waitsForClaims(true) }},
	{EventWaitsForHook, func(p *pass) string { return p.waitsForClaims(false) }},
	{EventWaitsForBudget, func(p *pass) string {
		var parts []string
		for _, name := range slices.Sorted(maps.Keys(p.plan.WaitingFor)) {
			parts = append(parts, fmt.Sprintf("%d wait for PodDisruptionBudget %s", p.plan.WaitingFor[name], name))
		}
		return strings.Join(parts, "; ")
	}},
	{EventWaitsForNode, func(p *pass) string {
		if p.forNode == 0 {
			return ""
		}
		return fmt.Sprintf("%d wait for room on the node of the pod before them, for at most %s", p.forNode, sameNodeOf(p.set))
	}},
	{EventWaitsForLimit, func(p *pass) string {
		if p.plan.Waiting == 0 {
			return ""
		}
		return fmt.Sprintf("%d wait because %d of at most %d are unavailable", p.plan.Waiting, p.plan.Unavailable, p.plan.MaxUnavailable)
	}},
	{EventWaitsForScaling, func(p *pass) string {
		if p.plan.Later == 0 {
			return ""
		}
		return fmt.Sprintf("%d are made once no more than spec.scaleStrategy.maxUnavailable are unavailable", p.plan.Later)
	}},
}

// waitsForClaims says which load balancers, or else hooks, pods wait for.
func (p *pass) waitsForClaims(balancers bool) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(p.waits.claims)) {
		if inplace.IsBalancer(name) == balancers {
			parts = append(parts, claimWords(p.waits.claims[name]))
		}
	}
	return strings.Join(parts, "; ")
}

// tellWaits says in one Event for the set when pods begin to wait for something. There is none for a single pod: with thousands of pods they would be more
// writes than the change itself.
func (r *reconciler) tellWaits(p *pass) {
	said := map[string]string{}
	for _, kind := range kindsOfWait {
		if text := kind.says(p); text != "" {
			said[kind.reason] = clip(text)
		}
	}
	r.memory.of(keyOf(p.set), func(known *remembered) {
		for reason := range said {
			last, told := known.told[reason]
			known.told[reason] = p.now
			if told && p.now.Sub(last) < waitTold {
				delete(said, reason)
			}
		}
	})
	for _, reason := range slices.Sorted(maps.Keys(said)) {
		r.recorder.Event(p.set, corev1.EventTypeNormal, reason, said[reason])
	}
}

// tell says in Events what changed for the set: a new revision, and each turn of Progressing; that pods fail and may come up after all once in a generation, or when
// that was over for waitTold.
func (r *reconciler) tell(set *v1alpha1.InPlaceSet, before, now *v1alpha1.InPlaceSetStatus) {
	if before.UpdateRevision != now.UpdateRevision {
		r.recorder.Eventf(set, corev1.EventTypeNormal, EventRevision, "The template is revision %s", now.UpdateRevision)
	}
	is := meta.FindStatusCondition(now.Conditions, v1alpha1.ConditionProgressing)
	was := meta.FindStatusCondition(before.Conditions, v1alpha1.ConditionProgressing)
	if is == nil || was != nil && was.Reason == is.Reason {
		return
	}
	again := false
	r.memory.of(keyOf(set), func(known *remembered) {
		if before.ObservedGeneration != now.ObservedGeneration {
			delete(known.told, ReasonMoving)
			delete(known.told, ReasonPodsFailing)
		}
		at := r.clock.Now()
		last, told := known.told[is.Reason]
		again = was != nil && turnsWithCrashes(was.Reason, is.Reason) && told && at.Sub(last) < waitTold
		known.told[is.Reason] = at
	})
	if again {
		return
	}
	kind := corev1.EventTypeNormal
	if is.Status == metav1.ConditionFalse && is.Reason != ReasonPaused {
		kind = corev1.EventTypeWarning
	}
	r.recorder.Event(set, kind, is.Reason, is.Message)
}
