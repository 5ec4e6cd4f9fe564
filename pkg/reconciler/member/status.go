package member

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	fleetv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/fleet/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/fleet"
)

// contactInterval is how old the written time of the last contact grows before it is worth a write of its own.
const contactInterval = time.Minute

// greatestMessage is the longest message that the API server takes in a condition, with room for what is put around it.
const greatestMessage = 1024

// statusOf returns the status that a Member should have by what is known of it, and whether that is worth a write.
func statusOf(obj *fleetv1alpha1.Member, info fleet.Info) (fleetv1alpha1.MemberStatus, bool) {
	reach := info.Reachability
	if reach.Reason == fleet.ReasonNotContacted {
		// No news. What another replica wrote before stays true until somebody has looked.
		return obj.Status, false
	}
	next := *obj.Status.DeepCopy()
	next.ObservedGeneration = obj.Generation
	next.Version = info.Version
	contact := reach.LastContact
	if old := next.LastContactTime; old != nil && !contact.After(old.Time) {
		contact = old.Time
	}
	setReachable(&next, obj.Generation, reach, contact)
	if !equality.Semantic.DeepEqual(obj.Status, next) {
		next.LastContactTime = timeOrNil(contact)
		return next, true
	}
	if contact.IsZero() || (next.LastContactTime != nil && contact.Sub(next.LastContactTime.Time) < contactInterval) {
		return next, false
	}
	next.LastContactTime = timeOrNil(contact)
	return next, true
}

// setReachable sets the condition. A status that stays keeps its time of transition, which another process may have written: that is since
// when, not since this process looks.
func setReachable(status *fleetv1alpha1.MemberStatus, generation int64, reach fleet.Reachability, contact time.Time) {
	c := metav1.Condition{
		Type:               fleetv1alpha1.ConditionReachable,
		Status:             conditionStatus(reach.State),
		Reason:             string(reach.Reason),
		ObservedGeneration: generation,
		LastTransitionTime: metav1.NewTime(reach.Since),
	}
	since := reach.Since
	if old := meta.FindStatusCondition(status.Conditions, c.Type); old != nil && old.Status == c.Status {
		since = old.LastTransitionTime.Time
	}
	c.Message = message(reach, since, contact)
	meta.SetStatusCondition(&status.Conditions, c)
}

func conditionStatus(s fleet.State) metav1.ConditionStatus {
	switch s {
	case fleet.Reachable:
		return metav1.ConditionTrue
	case fleet.Unreachable:
		return metav1.ConditionFalse
	}
	return metav1.ConditionUnknown
}

func message(reach fleet.Reachability, since, contact time.Time) string {
	why := reach.Message
	if len(why) > greatestMessage {
		why = why[:greatestMessage] + "…"
	}
	if reach.State == fleet.Reachable {
		return why
	}
	last := "there was no contact before"
	if !contact.IsZero() {
		last = "last contact " + contact.UTC().Format(time.RFC3339)
	}
	return fmt.Sprintf("Since %s: %s; %s", since.UTC().Format(time.RFC3339), why, last)
}

func timeOrNil(t time.Time) *metav1.Time {
	if t.IsZero() {
		return nil
	}
	out := metav1.NewTime(t)
	return &out
}
