package sidecarset

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/sidecar"
)

// statusEvery is how often a status is written while only its counts move.
const statusEvery = time.Second

// EventRevision tells of a new update revision. Other Events carry the reason of the condition that they tell of.
const EventRevision = "Revision"

// report writes the status if it changed: at once where somebody may wait for it, else at most once in statusEvery.
func (r *reconciler) report(ctx context.Context, p *pass) error {
	all, err := r.sets.List(labels.Everything())
	if err != nil {
		return fmt.Errorf("listing SidecarSets: %w", err)
	}
	status := p.status(r.claimed(p.set, all), r.audited())
	before := &p.set.Status
	if apiequality.Semantic.DeepEqual(before, status) {
		return nil
	}
	if !urgent(before, status) {
		if next := r.reported[p.set.UID].Add(statusEvery).Sub(p.now); next > 0 {
			p.wakeAfter(next)
			return nil
		}
	}
	set := p.set.DeepCopy()
	set.Status = *status
	_, err = r.writtenSets.Write(string(set.UID), set.Name, func() (*v1alpha1.SidecarSet, error) {
		return r.periplus.AppsV1alpha1().SidecarSets().UpdateStatus(ctx, set, metav1.UpdateOptions{})
	})
	if err != nil {
		return fmt.Errorf("writing the status of SidecarSet %s: %w", set.Name, err)
	}
	r.reported[p.set.UID] = p.now
	r.tell(p.set, before, status)
	return nil
}

// urgent says whether a status has news that somebody waits for. What new pods get is such news: the webhook reads it here.
func urgent(before, now *v1alpha1.SidecarSetStatus) bool {
	if before.ObservedGeneration != now.ObservedGeneration || before.UpdateRevision != now.UpdateRevision || before.CurrentRevision != now.CurrentRevision ||
		before.InjectionRevision != now.InjectionRevision {
		return true
	}
	for _, kind := range []string{v1alpha1.ConditionProgressing, v1alpha1.ConditionInjecting} {
		was, is := meta.FindStatusCondition(before.Conditions, kind), meta.FindStatusCondition(now.Conditions, kind)
		if was == nil || is == nil || was.Status != is.Status {
			return true
		}
	}
	return false
}

// status of the set as this pass saw it.
func (p *pass) status(claims []string, audited bool) *v1alpha1.SidecarSetStatus {
	s := p.set.Status.DeepCopy()
	s.ObservedGeneration = p.set.Generation
	s.UpdateRevision, s.CurrentRevision, s.InjectionRevision = p.update, p.current, p.injects
	s.ExpectedUpdated, s.WaitingFor = p.plan.Expected, p.waits.waitingFor()
	if key := sidecar.MatchingOf(p.set); s.Matching != key {
		since := metav1.NewTime(p.now.Truncate(time.Second))
		if s.Matching == "" && p.set.Generation <= 1 {
			since = p.set.CreationTimestamp // what it means never changed.
		}
		s.Matching, s.MatchingSince = key, &since
	}
	s.Injected, s.Updated, s.UpdatedReady = 0, 0, 0
	for i, seen := range p.pods {
		s.Injected++
		if p.updated(i) {
			s.Updated++
			if seen.Ready {
				s.UpdatedReady++
			}
		}
	}
	s.Units, s.WaitingRevisions = p.units(), p.waitingRevisions()
	var missed []string
	if audited {
		var older int32
		missed, older = p.missed(s.MatchingSince)
		s.Missed = int32(len(missed)) // #nosec G115 -- a cluster has fewer pods.
		s.Matched = s.Injected + s.Missed + older
		s.WaitingForCreation = p.waitingForCreation() + older
	}
	for _, c := range []metav1.Condition{p.progressing(s), p.injecting(claims, missed)} {
		c.ObservedGeneration = p.set.Generation
		c.LastTransitionTime = metav1.NewTime(p.now)
		meta.SetStatusCondition(&s.Conditions, c)
	}
	return s
}

// tell says in Events what changed for the set: a new revision, and each turn of its conditions. The names of pods that were missed are in the message.
func (r *reconciler) tell(set *v1alpha1.SidecarSet, before, now *v1alpha1.SidecarSetStatus) {
	if before.UpdateRevision != now.UpdateRevision {
		r.recorder.Eventf(set, corev1.EventTypeNormal, EventRevision, "The sidecars are revision %s", now.UpdateRevision)
	}
	for _, kind := range []string{v1alpha1.ConditionProgressing, v1alpha1.ConditionInjecting} {
		was, is := meta.FindStatusCondition(before.Conditions, kind), meta.FindStatusCondition(now.Conditions, kind)
		if is == nil || was != nil && was.Reason == is.Reason && (is.Reason != ReasonPodsMissed || before.Missed >= now.Missed) {
			continue
		}
		of := corev1.EventTypeNormal
		if is.Status == metav1.ConditionFalse && is.Reason != ReasonPaused && is.Reason != ReasonInjectionPaused {
			of = corev1.EventTypeWarning
		}
		r.recorder.Event(set, of, is.Reason, is.Message)
	}
}
