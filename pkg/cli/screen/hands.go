package screen

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	stages "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	records "github.com/periplus-dev/periplus/pkg/release"
)

// Intervention is what a person did to the release.
type Intervention struct {
	Name   string        `json:"name"`
	Action stages.Action `json:"action"`
	// Stage that was skipped.
	Stage string `json:"stage,omitempty"`
	// Member of the ClusterHop in stage that alone is meant.
	Member  string      `json:"member,omitempty"`
	User    string      `json:"user,omitempty"`
	Message string      `json:"message"`
	Time    metav1.Time `json:"time"`
	// InForce is true for the pause that holds the release now.
	InForce bool `json:"inForce,omitempty"`
}

// Carries says whether a record is that of the release that a run of this UID carries, be it its root, a retry or a child.
func Carries(release *stages.Release, uid types.UID) bool {
	return release.Spec.Root.UID == uid ||
		slices.ContainsFunc(release.Status.Runs, func(r stages.ReleaseRun) bool { return r.UID == uid })
}

// Hands are the interventions in the release of a run, oldest first: those that name the run or another one that carries the same release.
func (o Objects) Hands() []*stages.Intervention {
	uid := o.UID()
	var out []*stages.Intervention
	for _, i := range o.Interventions {
		if i.Spec.RunRef.UID == uid || o.Release != nil && Carries(o.Release, i.Spec.RunRef.UID) {
			out = append(out, i)
		}
	}
	slices.SortStableFunc(out, records.InOrder)
	return out
}

// StandingOf is what interventions in one release come to, by the rule that the stages follow.
func StandingOf(hands []*stages.Intervention) records.Standing {
	var runs []types.UID
	for _, i := range hands {
		runs = append(runs, i.Spec.RunRef.UID)
	}
	return records.Stand(hands, runs...)
}

func interventions(o Objects, parts []part) []Intervention {
	hands := o.Hands()
	paused := StandingOf(hands).Paused
	var out []Intervention
	for _, i := range hands {
		shown := Intervention{
			Name: i.Name, Action: i.Spec.Action, Member: i.Spec.Member, User: i.Spec.User, Message: i.Spec.Message, Time: i.CreationTimestamp, InForce: i == paused,
		}
		if ref := i.Spec.StageRef; ref != nil {
			shown.Stage = ref.Name
			for _, p := range parts {
				if p.run != nil && p.run.UID == ref.UID {
					shown.Stage = p.Name
				}
			}
		}
		out = append(out, shown)
	}
	return out
}

// paused is the pause that holds the run, nil where none does.
func (m *Model) paused() *Intervention {
	for i := range m.Interventions {
		if m.Interventions[i].InForce {
			return &m.Interventions[i]
		}
	}
	return nil
}

// did says what an intervention did, as in "bob paused it".
func (i Intervention) did() string {
	who := nobody(i.User)
	switch {
	case i.Member != "" && i.Action == stages.ActionSkip:
		return who + " left " + i.Member + " out of " + i.Stage
	case i.Member != "":
		return who + " had " + i.Member + " tried again in " + i.Stage
	}
	switch i.Action {
	case stages.ActionPause:
		return who + " paused it"
	case stages.ActionResume:
		return who + " resumed it"
	case stages.ActionRetry:
		return who + " retried it"
	case stages.ActionSkip:
		return who + " skipped " + i.Stage
	case stages.ActionAbort:
		return who + " aborted it"
	case stages.ActionRollback:
		return who + " asked to take it back"
	}
	return who + " did " + string(i.Action)
}
