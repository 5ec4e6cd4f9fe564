package release

import (
	"cmp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

// Standing is what people's interventions come to for a run, each with the one that says so; nil where nobody does.
type Standing struct {
	// Paused until somebody resumes.
	Paused *v1alpha1.Intervention
	// Aborted ends every stage: by an Abort, or by a Rollback.
	Aborted *v1alpha1.Intervention
	// Rollback asks for the release to be taken back.
	Rollback *v1alpha1.Intervention
	// Skipped stages, by the UID of their CustomRun.
	Skipped map[types.UID]*v1alpha1.Intervention
}

// Stand reads the interventions that name one of the runs, in the order of InOrder. Retry is a new beginning: what was said of the run before does not
// reach the one that joins.
func Stand(all []*v1alpha1.Intervention, runs ...types.UID) Standing {
	mine := make([]*v1alpha1.Intervention, 0, len(all))
	for _, i := range all {
		if slices.Contains(runs, i.Spec.RunRef.UID) {
			mine = append(mine, i)
		}
	}
	slices.SortFunc(mine, InOrder)
	s := Standing{Skipped: map[types.UID]*v1alpha1.Intervention{}}
	for _, i := range mine {
		if i.Spec.Member != "" {
			continue // it is about one member of a hop, and the hop's to hear.
		}
		switch i.Spec.Action {
		case v1alpha1.ActionPause:
			s.Paused = i
		case v1alpha1.ActionResume:
			s.Paused = nil
		case v1alpha1.ActionAbort:
			s.Aborted, s.Paused = i, nil // what `finally` takes back is not held by what was said before.
		case v1alpha1.ActionRollback:
			s.Aborted, s.Rollback, s.Paused = i, i, nil
		case v1alpha1.ActionSkip:
			if i.Spec.StageRef != nil {
				s.Skipped[i.Spec.StageRef.UID] = i
			}
		case v1alpha1.ActionRetry:
			s.Paused, s.Aborted, s.Rollback = nil, nil, nil
		}
	}
	return s
}

// InOrder compares interventions by when they were made. The API server gives whole seconds; within one, the resource versions say which was written first: they
// grow (Kubernetes 1.35 and later promise it, etcd always kept it), and an Intervention never changes. Where they say nothing, a Resume or a Retry comes first,
// so that nobody's hand that holds something is lost to it.
func InOrder(x, y *v1alpha1.Intervention) int {
	if c := x.CreationTimestamp.Compare(y.CreationTimestamp.Time); c != 0 {
		return c
	}
	if c, err := resourceversion.CompareResourceVersion(x.ResourceVersion, y.ResourceVersion); err == nil && c != 0 {
		return c
	}
	return cmp.Or(cmp.Compare(holds(x), holds(y)), strings.Compare(x.Name, y.Name))
}

// holds orders what was done at once: what lets go first, what holds or ends last.
func holds(i *v1alpha1.Intervention) int {
	if i.Spec.Action == v1alpha1.ActionResume || i.Spec.Action == v1alpha1.ActionRetry {
		return 0
	}
	return 1
}

// Words say who did what and why, in one line.
func Words(i *v1alpha1.Intervention, did string) string {
	who := i.Spec.User
	if who == "" {
		who = "somebody unknown"
	}
	return did + " by " + who + " at " + i.CreationTimestamp.UTC().Format("15:04:05") + " UTC: " + i.Spec.Message
}
