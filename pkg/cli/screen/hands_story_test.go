package screen

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	stages "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

// did adds what a person did to the release.
func (s *story) did(name string, after time.Duration, action stages.Action, user, message string) *stages.Intervention {
	i := &stages.Intervention{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "shop", CreationTimestamp: at(after)},
		Spec: stages.InterventionSpec{
			RunRef: stages.RootRef{Kind: "PipelineRun", Name: "productpage-v2", UID: "pr-uid"}, Action: action, User: user, Message: message,
		},
	}
	s.o.Interventions = append(s.o.Interventions, i)
	return i
}

func (s *story) frozenBy(name, user, message string, change func(*stages.FreezeSpec)) {
	f := &stages.Freeze{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: at(m)}, Spec: stages.FreezeSpec{User: user, Message: message}}
	if change != nil {
		change(&f.Spec)
	}
	s.o.Freezes = append(s.o.Freezes, f)
}

// pausedByBob is a canary that was paused, resumed, and paused again, with a skip by carol between. Somebody paused another release too.
func pausedByBob(t *testing.T) *story {
	st := canaryRunning(t)
	st.did("a", m, stages.ActionPause, "bob", "what is that peak?")
	st.did("b", 2*m, stages.ActionResume, "bob", "only the cron job")
	skip := st.did("c", 2*m+30*s, stages.ActionSkip, "carol", "known")
	skip.Spec.StageRef = &stages.RunRef{Name: "productpage-v2-canary-m1", UID: "uid-canary-m1"}
	st.did("d", 3*m, stages.ActionPause, "bob", "errors in dca, looking")
	st.did("e", 3*m+s, stages.ActionResume, "eve", "of another release").Spec.RunRef = stages.RootRef{Kind: "PipelineRun", Name: "other", UID: "other"}
	return st
}

// frozen is a canary in m1 that two of five freezes stop for sure, and one perhaps.
func frozen(t *testing.T) *story {
	st := canaryRunning(t)
	st.frozenBy("freeze-aaaaa", "erin", "the network is being changed", func(f *stages.FreezeSpec) { f.Until = atp(2 * time.Hour) })
	st.frozenBy("freeze-bbbbb", "erin", "m1 and m9 move to another rack", func(f *stages.FreezeSpec) {
		f.Members, f.Namespaces, f.Rollbacks = []string{"m1", "m9"}, []string{"shop"}, stages.RollbacksAllow
	})
	st.frozenBy("freeze-ccccc", "erin", "a member that this run knows nothing of", func(f *stages.FreezeSpec) { f.Members = []string{"m7"} })
	st.frozenBy("freeze-ddddd", "erin", "over", func(f *stages.FreezeSpec) { f.Lifted = &stages.Lifting{User: "dave", Message: "done"} })
	st.frozenBy("freeze-eeeee", "erin", "ran out", func(f *stages.FreezeSpec) { f.Until = atp(2 * m) })
	st.frozenBy("freeze-fffff", "frank", "ring 1 is sick", func(f *stages.FreezeSpec) {
		f.MemberSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"ring": "1"}}
	})
	return st
}

// carriedOn is a release that failed and that a retry carries on.
func carriedOn(t *testing.T) *story {
	st := guardFailed(t)
	st.did("a", 30*m, stages.ActionRetry, "carol", "the errors were the cache's")
	run := func(name string, uid types.UID, role stages.RunRole, by string, since time.Duration) stages.ReleaseRun {
		return stages.ReleaseRun{Kind: "PipelineRun", Name: name, UID: uid, Role: role, Initiator: by, Since: at(since)}
	}
	st.o.Release.Status.Runs = []stages.ReleaseRun{
		run("productpage-v2", "pr-uid", stages.RoleRoot, "alice", 0), run("productpage-v2-retry-1", "retry-uid", stages.RoleRetry, "carol", 30*m),
	}
	return st
}

// retryRuns is that retry, in its first stage.
func retryRuns(t *testing.T) *Model {
	st := carriedOn(t)
	pr := st.o.PipelineRun
	pr.Name, pr.UID, pr.CreationTimestamp, pr.Annotations[stages.AnnotationInitiator] = "productpage-v2-retry-1", "retry-uid", at(30*m), "carol"
	pr.Status.StartTime, pr.Status.SkippedTasks = atp(30*m), nil
	st.condition(corev1.ConditionUnknown, "Running", "")
	st.o.CustomRuns = nil
	return st.model(30*m + 5*s)
}

// goesBack is a release that failed, has no rollback in its pipeline that helped, and is taken back because bob asked for it.
func goesBack(t *testing.T, phase stages.ReleasePhase, over *metav1.Time) *story {
	st := guardFailed(t).ended(8*m+s, corev1.ConditionFalse, "Failed", "Tasks Completed: 6 (Failed: 1, Cancelled 0), Skipped: 1")
	st.did("a", 10*m, stages.ActionRollback, "bob", "v2 stays sick")
	st.o.Release.Status.Phase = phase
	st.o.Release.Status.Rollback = &stages.RollbackRecord{Scope: stages.RollbackRelease, Initiator: "bob", Since: at(10 * m), CompletionTime: over, Message: "3 of 4 workloads are back"}
	if over != nil {
		st.o.Release.Status.Rollback.Message = "all 4 workloads are back"
	}
	return st
}
