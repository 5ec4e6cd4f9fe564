package release

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/stage"
)

// ended is a release whose run is over, at rest.
func ended(t *testing.T, status corev1.ConditionStatus, reason string) *quay {
	t.Helper()
	q := newQuay(t)
	q.release()
	q.pipelineRun(root)
	q.ends(root, status, reason)
	q.settle()
	if rel := q.record(); !rel.Status.Released || q.locked() != "" {
		t.Fatalf("it is not at rest: %+v, locked %s", rel.Status, q.locked())
	}
	q.clock.Step(time.Hour)
	return q
}

func TestARollbackThatSomebodyAsksForAfterTheEndIsMadeOnce(t *testing.T) {
	for _, end := range []struct {
		status corev1.ConditionStatus
		reason string
	}{{corev1.ConditionTrue, "Succeeded"}, {corev1.ConditionFalse, "Failed"}} {
		t.Run(end.reason, func(t *testing.T) {
			q := ended(t, end.status, end.reason)
			q.intervene("back", v1alpha1.ActionRollback, root)
			q.settle()
			q.settle()
			made := q.rollbacks()
			if len(made) != 1 {
				t.Fatalf("%d runs were made", len(made))
			}
			cr := made[0]
			var spec v1alpha1.RollbackSpec
			if err := json.Unmarshal(cr.Spec.CustomSpec.Spec.Raw, &spec); err != nil || spec.Release != relName {
				t.Errorf("it takes back %q: %v", spec.Release, err)
			}
			if cr.Annotations[v1alpha1.AnnotationRelease] != relName || cr.Annotations[v1alpha1.AnnotationInitiator] != "carol" || cr.GetTimeout() != stage.Patience || len(cr.OwnerReferences) != 1 || cr.OwnerReferences[0].Kind != "Release" || cr.OwnerReferences[0].Name != relName {
				t.Errorf("annotations %v, timeout %s, owners %v", cr.Annotations, cr.GetTimeout(), cr.OwnerReferences)
			}
			q.clock.Step(time.Second)
			q.begins(cr)
			q.settle()
			q.goesBack("m1", "m2")
			q.over(cr.Name, corev1.ConditionTrue, "Succeeded")
			q.settle()
			if rel := q.record(); len(q.rollbacks()) != 1 || rel.Status.Phase != v1alpha1.ReleaseRolledBack || !rel.Status.Released {
				t.Errorf("after it was done: %d runs, %+v", len(q.rollbacks()), rel.Status)
			}
		})
	}
}

func TestARollbackThatIsAskedForInTheMiddleIsMadeOnceTheRunIsOver(t *testing.T) {
	q := newQuay(t)
	q.release()
	q.pipelineRun(root)
	q.stage(root, "bump")
	q.intervene("back", v1alpha1.ActionRollback, root)
	q.settle()
	if n := len(q.rollbacks()); n != 0 {
		t.Fatalf("%d runs were made while the run goes on", n)
	}
	q.ends(root, corev1.ConditionFalse, "Failed")
	q.settle()
	if n := len(q.rollbacks()); n != 0 {
		t.Fatalf("%d runs were made while a stage still holds back what it moves", n)
	}
	q.over("bump", corev1.ConditionFalse, "Aborted")
	q.settle()
	if n := len(q.rollbacks()); n != 1 {
		t.Fatalf("%d runs were made", n)
	}
	if rel := q.record(); rel.Status.Released || q.locked() != "m1 m2 " {
		t.Errorf("it was let go of before it is back: locked %q", q.locked())
	}
}

func TestAnotherRollbackThatIsAskedForLaterIsAnotherRun(t *testing.T) {
	q := ended(t, corev1.ConditionFalse, "Failed")
	q.intervene("once", v1alpha1.ActionRollback, root)
	q.settle()
	first := q.rollbacks()[0]
	q.begins(first)
	q.clock.Step(time.Minute)
	q.over(first.Name, corev1.ConditionFalse, "LeftBehind")
	q.goesBack("m1")
	q.settle()
	if rel := q.record(); rel.Status.Phase != v1alpha1.ReleaseFailed || !rel.Status.Released || q.locked() != "" {
		t.Fatalf("after the first: %+v, locked %q", rel.Status, q.locked())
	}
	q.clock.Step(time.Minute)
	q.intervene("twice", v1alpha1.ActionRollback, root)
	q.settle()
	if n := len(q.rollbacks()); n != 2 {
		t.Errorf("%d runs were made; want another for what is left", n)
	}
}

func TestWhatARunWithoutItsFinallyLeavesGoesBackWhereTheTargetSaysSo(t *testing.T) {
	rollsBack := func(rel *v1alpha1.Release) {
		for i := range rel.Status.Touched {
			rel.Status.Touched[i].OnEnd = v1alpha1.OnEndRollBack
		}
	}
	cancelled := func(q *quay) { q.ends(root, corev1.ConditionFalse, "Cancelled") }
	failed := func(q *quay) { q.ends(root, corev1.ConditionFalse, "Failed") }
	// rolledBack is what a stage of the run's own did.
	rolledBack := func(q *quay, members ...string) {
		q.stage(root, "back")
		cr := &v1beta1.CustomRun{ObjectMeta: metav1.ObjectMeta{Name: "back", UID: "back-uid"}}
		q.begins(cr)
		q.goesBack(members...)
		q.over("back", corev1.ConditionTrue, "Succeeded")
	}
	for _, tc := range []struct {
		name   string
		change func(*v1alpha1.Release)
		end    func(*quay)
		made   int
		phase  v1alpha1.ReleasePhase
	}{
		{"a plain cancel", rollsBack, cancelled, 1, v1alpha1.ReleaseRunning},
		{"a failure, with no rollback in the pipeline", rollsBack, failed, 1, v1alpha1.ReleaseRunning},
		{"a run that was deleted", rollsBack, func(q *quay) {
			if err := q.tekton.TektonV1().PipelineRuns(ns).Delete(context.Background(), root, metav1.DeleteOptions{}); err != nil {
				q.t.Fatal(err)
			}
		}, 1, v1alpha1.ReleaseRunning},
		{"a target of several that says so", func(rel *v1alpha1.Release) { rel.Status.Touched[1].OnEnd = v1alpha1.OnEndRollBack }, cancelled, 1, v1alpha1.ReleaseRunning},
		{"a rollback of one member before", rollsBack, func(q *quay) {
			rolledBack(q, "m1")
			q.edit(func(st *v1alpha1.ReleaseStatus) {
				st.Rollback.Scope, st.Rollback.Members = v1alpha1.RollbackMember, []string{"m1"}
			})
			failed(q)
		}, 1, v1alpha1.ReleaseRunning},
		{"a target that says Leave", func(rel *v1alpha1.Release) { rel.Status.Touched[0].OnEnd = v1alpha1.OnEndLeave }, cancelled, 0, v1alpha1.ReleaseFailed},
		{"a success", rollsBack, func(q *quay) { q.ends(root, corev1.ConditionTrue, "Succeeded") }, 0, v1alpha1.ReleaseSucceeded},
		{"a run that goes on", rollsBack, func(*quay) {}, 0, v1alpha1.ReleaseRunning},
		{"finally took all of it back", rollsBack, func(q *quay) { rolledBack(q, "m1", "m2"); failed(q) }, 0, v1alpha1.ReleaseRolledBack},
		{"finally took it back in part", rollsBack, func(q *quay) { rolledBack(q, "m1"); failed(q) }, 0, v1alpha1.ReleaseFailed},
		{"nothing was touched", func(rel *v1alpha1.Release) { rel.Status.Touched = nil }, cancelled, 0, v1alpha1.ReleaseFailed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			q := newQuay(t)
			q.release(tc.change)
			q.pipelineRun(root)
			tc.end(q)
			q.settle()
			q.settle()
			var made int
			for _, cr := range q.rollbacks() {
				made++
				if cr.Name != relName+"-back-end" || cr.Annotations[v1alpha1.AnnotationInitiator] != "" {
					t.Errorf("made %s of %q", cr.Name, cr.Annotations[v1alpha1.AnnotationInitiator])
				}
			}
			if rel := q.record(); made != tc.made || rel.Status.Phase != tc.phase {
				t.Errorf("%d runs were made, and it is %s; want %d and %s", made, rel.Status.Phase, tc.made, tc.phase)
			}
			if made > 0 && q.locked() != "m1 m2 " {
				t.Errorf("it was let go of before it is back: locked %q", q.locked())
			}
		})
	}
}

func TestARollbackThatEndedBeforeItWasDoneIsSaidSoAndNotMadeTwice(t *testing.T) {
	for name, tc := range map[string]struct {
		end  func(q *quay, run string)
		says string
	}{
		"it failed": {func(q *quay, run string) { q.over(run, corev1.ConditionFalse, "ProgressDeadlineExceeded") }, "ended before it was done: ProgressDeadlineExceeded"},
		"it was deleted": {func(q *quay, run string) {
			if err := q.tekton.TektonV1beta1().CustomRuns(ns).Delete(context.Background(), run, metav1.DeleteOptions{}); err != nil {
				q.t.Fatal(err)
			}
		}, "was deleted before it was done"},
	} {
		t.Run(name, func(t *testing.T) {
			q := newQuay(t)
			q.release(func(rel *v1alpha1.Release) { rel.Status.Touched[0].OnEnd = v1alpha1.OnEndRollBack })
			q.pipelineRun(root)
			q.ends(root, corev1.ConditionFalse, "Cancelled")
			q.settle()
			run := q.rollbacks()[0]
			q.begins(run)
			q.settle()
			if q.locked() != "m1 m2 " {
				t.Fatalf("it was let go of while it goes back: locked %q", q.locked())
			}
			tc.end(q, run.Name)
			q.settle()
			q.settle()
			rel := q.record()
			if rel.Status.Phase != v1alpha1.ReleaseFailed || !rel.Status.Released || q.locked() != "" || rel.Status.Rollback.CompletionTime == nil {
				t.Errorf("the release is at %+v, locked %q", rel.Status, q.locked())
			}
			if !strings.Contains(rel.Status.Message, tc.says) || !strings.Contains(rel.Status.Message, "taken back in part") {
				t.Errorf("the record does not say so: %s", rel.Status.Message)
			}
			for _, cr := range q.rollbacks() {
				if cr.Name != run.Name {
					t.Errorf("another was made: %s", cr.Name)
				}
			}
		})
	}
}

func TestNamesOfRollbacksAreTheReleasesOwnAndFit(t *testing.T) {
	long := strings.Repeat("a", 50) + ".productpage-to-production-"
	seen := map[string]string{}
	for _, name := range []string{"web-1-0a0a", long + "x7k2p-11111111", long + "x7k2p-22222222", long + "b4c5d-11111111"} {
		got := rollbackName(&v1alpha1.Release{ObjectMeta: metav1.ObjectMeta{Name: name}}, "end")
		if len(got) > 63 || strings.Contains(got, ".-") || seen[got] != "" {
			t.Errorf("%s, %d letters, is the rollback of %s; it was that of %q", got, len(got), name, seen[got])
		}
		seen[got] = name
	}
}

func TestARunOfTheNameThatIsNoneOfTheReleasesIsNotTakenForItsRollback(t *testing.T) {
	q := newQuay(t)
	q.release(func(rel *v1alpha1.Release) { rel.Status.Touched[0].OnEnd = v1alpha1.OnEndRollBack })
	q.pipelineRun(root)
	q.ends(root, corev1.ConditionFalse, "Cancelled")
	q.store(&v1beta1.CustomRun{ObjectMeta: metav1.ObjectMeta{Name: relName + "-back-end", Namespace: ns}, Status: v1beta1.CustomRunStatus{
		CustomRunStatusFields: v1beta1.CustomRunStatusFields{CompletionTime: &metav1.Time{Time: noon}},
	}})
	if _, err := q.try(); err == nil || !strings.Contains(err.Error(), "is there and is none of it") {
		t.Errorf("got %v", err)
	}
	if q.locked() != "m1 m2 " {
		t.Errorf("it was let go of: locked %q", q.locked())
	}
}
