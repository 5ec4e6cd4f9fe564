package member

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	fleetv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/fleet/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/fleet"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func at(t time.Time) *metav1.Time { out := metav1.NewTime(t); return &out }

func statusWith(version string, contact time.Time, c metav1.Condition) fleetv1alpha1.MemberStatus {
	out := fleetv1alpha1.MemberStatus{ObservedGeneration: 3, Version: version}
	if c.Type = fleetv1alpha1.ConditionReachable; c.Reason != "" {
		c.ObservedGeneration = 3
		out.Conditions = []metav1.Condition{c}
	}
	if !contact.IsZero() {
		out.LastContactTime = at(contact)
	}
	return out
}

func TestStatusOf(t *testing.T) {
	answering := metav1.Condition{Status: metav1.ConditionTrue, Reason: "Answering", Message: "the API server answers", LastTransitionTime: *at(noon)}
	gone := metav1.Condition{
		Status: metav1.ConditionFalse, Reason: "NotAnswering", LastTransitionTime: *at(noon.Add(time.Minute)),
		Message: "Since 2026-01-01T12:01:00Z: dial tcp 10.0.0.1:6443: connect: connection refused; last contact 2026-01-01T12:00:55Z",
	}
	reachable := fleet.Reachability{State: fleet.Reachable, Reason: fleet.ReasonAnswering, Since: noon, Message: "the API server answers", LastContact: noon.Add(5 * time.Second)}
	refused := fleet.Reachability{
		State: fleet.Unreachable, Reason: fleet.ReasonNotAnswering, Since: noon.Add(time.Minute),
		Message: "dial tcp 10.0.0.1:6443: connect: connection refused", LastContact: noon.Add(55 * time.Second),
	}
	with := func(r fleet.Reachability, change func(*fleet.Reachability)) fleet.Reachability { change(&r); return r }

	tests := []struct {
		name    string
		old     fleetv1alpha1.MemberStatus
		reach   fleet.Reachability
		version string
		want    fleetv1alpha1.MemberStatus
		quiet   bool
	}{
		{
			name: "the first contact is written", reach: reachable, version: "v1.36.3",
			want: statusWith("v1.36.3", noon.Add(5*time.Second), answering),
		},
		{
			name: "a heartbeat less than a minute after the written contact is not written",
			old:  statusWith("v1.36.3", noon.Add(5*time.Second), answering), version: "v1.36.3",
			reach: with(reachable, func(r *fleet.Reachability) { r.LastContact = noon.Add(64 * time.Second) }),
			want:  statusWith("v1.36.3", noon.Add(5*time.Second), answering), quiet: true,
		},
		{
			name: "a heartbeat a minute after it is",
			old:  statusWith("v1.36.3", noon.Add(5*time.Second), answering), version: "v1.36.3",
			reach: with(reachable, func(r *fleet.Reachability) { r.LastContact = noon.Add(65 * time.Second) }),
			want:  statusWith("v1.36.3", noon.Add(65*time.Second), answering),
		},
		{
			name: "a new version is written at once, with the contact that brought it",
			old:  statusWith("v1.36.3", noon, answering), version: "v1.37.0", reach: reachable,
			want: statusWith("v1.37.0", noon.Add(5*time.Second), answering),
		},
		{
			name: "a member that stops answering says since when, why, and when it last did",
			old:  statusWith("v1.36.3", noon.Add(5*time.Second), answering), version: "v1.36.3", reach: refused,
			want: statusWith("v1.36.3", noon.Add(55*time.Second), gone),
		},
		{
			name: "one that still does not answer is not written again",
			old:  statusWith("v1.36.3", noon.Add(55*time.Second), gone), version: "v1.36.3", reach: refused,
			want: statusWith("v1.36.3", noon.Add(55*time.Second), gone), quiet: true,
		},
		{
			name: "a new leader, which never reached it, keeps since when and the last contact",
			old:  statusWith("v1.36.3", noon.Add(55*time.Second), gone), version: "v1.36.3",
			reach: with(refused, func(r *fleet.Reachability) { r.Since, r.LastContact = noon.Add(time.Hour), time.Time{} }),
			want:  statusWith("v1.36.3", noon.Add(55*time.Second), gone), quiet: true,
		},
		{
			name: "a new leader that has not looked yet changes nothing",
			old:  statusWith("v1.36.3", noon.Add(55*time.Second), gone), version: "v1.36.3",
			reach: fleet.Reachability{State: fleet.Unknown, Reason: fleet.ReasonNotContacted, Since: noon.Add(time.Hour)},
			want:  statusWith("v1.36.3", noon.Add(55*time.Second), gone), quiet: true,
		},
		{
			name: "a Secret that the hub does not give us leaves it unknown",
			reach: fleet.Reachability{
				State: fleet.Unknown, Reason: fleet.ReasonSecretUnreadable, Since: noon,
				Message: "reading Secret periplus-system/north from the hub: forbidden",
			},
			want: statusWith("", time.Time{}, metav1.Condition{
				Status: metav1.ConditionUnknown, Reason: "SecretUnreadable", LastTransitionTime: *at(noon),
				Message: "Since 2026-01-01T12:00:00Z: reading Secret periplus-system/north from the hub: forbidden; there was no contact before",
			}),
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			obj := &fleetv1alpha1.Member{ObjectMeta: metav1.ObjectMeta{Name: "north", Generation: 3}, Status: tt.old}
			before := obj.DeepCopy()
			got, write := statusOf(obj, fleet.Info{Name: "north", Reachability: tt.reach, Version: tt.version})
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("status (-want +got):\n%s", diff)
			}
			if write == tt.quiet {
				t.Errorf("write: %t", write)
			}
			if diff := cmp.Diff(before, obj); diff != "" {
				t.Errorf("the cached object was changed:\n%s", diff)
			}
		})
	}
}
