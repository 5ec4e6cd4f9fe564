package release

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	pipelinev1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	"github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/plan"
	"github.com/periplus-dev/periplus/pkg/workload"
)

func TestAReleaseIsLetGoOfOnceItsRunIsOver(t *testing.T) {
	q := newQuay(t)
	q.release()
	q.pipelineRun(root)
	q.stage(root, "bump")
	q.settle()
	q.ends(root, corev1.ConditionFalse, "Cancelled")
	q.settle()
	if rel := q.record(); rel.Status.Phase != v1alpha1.ReleaseRunning || q.locked() != "m1 m2 " {
		t.Fatalf("a stage still holds back what it moves, and the release is %s, locked %q", rel.Status.Phase, q.locked())
	}
	q.over("bump", corev1.ConditionFalse, "CustomRunCancelled")
	q.settle()
	rel := q.record()
	if rel.Status.Phase != v1alpha1.ReleaseFailed || !rel.Status.Released || rel.Status.Message != "Cancelled: as the test says" || rel.Status.CompletionTime == nil {
		t.Errorf("the record: %+v", rel.Status)
	}
	for m, u := range q.docks.sets {
		if u.Lock != nil || u.Partition.String() != "100%" {
			t.Errorf("%s is not at rest: partition %s, lock %+v", m, u.Partition, u.Lock)
		}
	}
	if n := q.docks.writes; n != 2 {
		t.Errorf("%d writes; want one for each workload", n)
	}
}

func TestAWorkloadOfSeveralUnitsIsLetGoOfInOneWrite(t *testing.T) {
	q := newQuay(t)
	q.release()
	q.docks.second = map[string]*workload.Unit{}
	for m, u := range q.docks.sets {
		other := *u
		other.Name, other.Partition = "dcb", ptr.To(plan.PartitionFor(3, 4))
		q.docks.second[m] = &other
	}
	q.pipelineRun(root)
	q.ends(root, corev1.ConditionTrue, "Succeeded")
	q.settle()
	for _, m := range []string{"m1", "m2"} {
		if a, b := q.docks.sets[m], q.docks.second[m]; a.Lock != nil || a.Partition.String() != "100%" || b.Partition.String() != "100%" {
			t.Errorf("%s is not at rest: partitions %s and %s, lock %+v", m, a.Partition, b.Partition, a.Lock)
		}
	}
	if n := q.docks.writes; n != 2 {
		t.Errorf("%d writes; want one for each workload", n)
	}
}

func TestWithARetryTheReleaseIsOverWhenTheLastRunIs(t *testing.T) {
	q := newQuay(t)
	q.release(func(rel *v1alpha1.Release) {
		rel.Status.Runs = append(rel.Status.Runs, v1alpha1.ReleaseRun{Kind: "PipelineRun", Name: "web-2", UID: "web-2-uid", Role: v1alpha1.RoleRetry, Since: metav1.NewTime(noon)})
	})
	q.pipelineRun(root)
	q.ends(root, corev1.ConditionFalse, "Failed")
	q.pipelineRun("web-2")
	q.settle()
	if rel := q.record(); rel.Status.Phase != v1alpha1.ReleaseRunning || q.locked() != "m1 m2 " {
		t.Fatalf("the retry goes on, and the release is %s, locked %q", rel.Status.Phase, q.locked())
	}
	q.stage(root, "late") // of the first run, and still holding back.
	q.ends("web-2", corev1.ConditionTrue, "Succeeded")
	q.settle()
	if rel := q.record(); rel.Status.Phase != v1alpha1.ReleaseRunning {
		t.Fatalf("a stage of the first run is not over, and the release is %s", rel.Status.Phase)
	}
	q.over("late", corev1.ConditionFalse, "Failed")
	q.settle()
	if rel := q.record(); rel.Status.Phase != v1alpha1.ReleaseSucceeded || !rel.Status.Released || q.locked() != "" {
		t.Errorf("the retry succeeded, and the release is %s, locked %q", rel.Status.Phase, q.locked())
	}
}

func TestTheRunsThatAHopMadeKeepTheReleaseOpen(t *testing.T) {
	q := newQuay(t)
	q.release(func(rel *v1alpha1.Release) {
		rel.Status.Runs = append(rel.Status.Runs, v1alpha1.ReleaseRun{Kind: "PipelineRun", Name: "web-1-hop-m2", UID: "web-1-hop-m2-uid", Role: v1alpha1.RoleChild, Since: metav1.NewTime(noon)})
	})
	ofRelease := func(pr *pipelinev1.PipelineRun) {
		pr.Annotations = map[string]string{v1alpha1.AnnotationRelease: relName}
	}
	q.pipelineRun(root)
	q.pipelineRun("web-1-hop-m2", ofRelease)
	q.pipelineRun("somebodys", ofRelease) // says so, and the record knows nothing of it.
	q.ends(root, corev1.ConditionFalse, "Cancelled")
	q.settle()
	if rel := q.record(); rel.Status.Phase != v1alpha1.ReleaseRunning || q.locked() != "m1 m2 " {
		t.Fatalf("a child goes on, and the release is %s, locked %q", rel.Status.Phase, q.locked())
	}
	q.ends("web-1-hop-m2", corev1.ConditionFalse, "Cancelled")
	q.settle()
	if rel := q.record(); rel.Status.Phase != v1alpha1.ReleaseFailed || !rel.Status.Released {
		t.Errorf("all runs are over, and the release is %s", rel.Status.Phase)
	}
}

func TestAReleaseThatIsBackIsLetGoOf(t *testing.T) {
	q := newQuay(t)
	q.release()
	q.pipelineRun(root)
	q.stage(root, "back")
	q.begins(&v1beta1.CustomRun{ObjectMeta: metav1.ObjectMeta{Name: "back", UID: "back-uid"}})
	q.settle()
	if q.locked() != "m1 m2 " {
		t.Fatalf("it was let go of while it goes back: locked %q", q.locked())
	}
	q.goesBack("m1", "m2")
	q.over("back", corev1.ConditionTrue, "Succeeded")
	q.settle()
	if rel := q.record(); rel.Status.Phase != v1alpha1.ReleaseRolledBack || !rel.Status.Released || rel.Status.CompletionTime == nil || q.locked() != "" {
		t.Errorf("it is %+v, locked %q", rel.Status, q.locked())
	}
}

func TestHowAReleaseThatWentBackInPartIsConcluded(t *testing.T) {
	retried := func(st *v1alpha1.ReleaseStatus) {
		st.Runs = append(st.Runs, v1alpha1.ReleaseRun{Kind: "PipelineRun", Name: root, UID: root + "-uid", Role: v1alpha1.RoleRetry, Since: metav1.NewTime(noon.Add(time.Hour))})
	}
	for _, tc := range []struct {
		name   string
		back   []string
		change func(*v1alpha1.ReleaseStatus)
		status corev1.ConditionStatus
		phase  v1alpha1.ReleasePhase
	}{
		{"the run failed", []string{"m1"}, nil, corev1.ConditionFalse, v1alpha1.ReleaseFailed},
		{"the run went on and succeeded: a part of it does not carry the release", []string{"m1"}, nil, corev1.ConditionTrue, v1alpha1.ReleaseFailed},
		{"the rollback got nowhere, and nobody knows how far", nil, nil, corev1.ConditionTrue, v1alpha1.ReleaseFailed},
		{"a retry carried it on again and succeeded", nil, retried, corev1.ConditionTrue, v1alpha1.ReleaseSucceeded},
		{"a retry succeeded and left a part back", []string{"m1"}, retried, corev1.ConditionTrue, v1alpha1.ReleaseFailed},
		{"a retry failed", nil, retried, corev1.ConditionFalse, v1alpha1.ReleaseFailed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			q := newQuay(t)
			q.release()
			q.pipelineRun(root)
			q.begins(&v1beta1.CustomRun{ObjectMeta: metav1.ObjectMeta{Name: "back", UID: "back-uid"}})
			q.goesBack(tc.back...)
			if tc.change != nil {
				q.edit(tc.change)
			}
			q.ends(root, tc.status, "Ended")
			q.settle()
			rel := q.record()
			if rel.Status.Phase != tc.phase || !rel.Status.Released {
				t.Errorf("it is %s: %s; want %s", rel.Status.Phase, rel.Status.Message, tc.phase)
			}
		})
	}
}

func TestAMemberThatDoesNotAnswerKeepsNoOtherLocked(t *testing.T) {
	q := newQuay(t)
	q.release()
	q.pipelineRun(root)
	q.ends(root, corev1.ConditionTrue, "Succeeded")
	q.docks.silent["m1"] = true
	if after := q.pass(); after != unreachableRecheck {
		t.Errorf("it looks again after %s", after)
	}
	if rel := q.record(); rel.Status.Released || rel.Status.Phase != v1alpha1.ReleaseSucceeded || q.locked() != "m1 " {
		t.Fatalf("m1 does not answer: %+v, locked %q", rel.Status, q.locked())
	}
	q.docks.silent["m1"] = false
	q.settle()
	if rel := q.record(); !rel.Status.Released || q.locked() != "" {
		t.Errorf("m1 answers again: %+v, locked %q", rel.Status, q.locked())
	}
}

func TestOnlyItsOwnLocksAreTakenOff(t *testing.T) {
	for name, change := range map[string]func(q *quay){
		"another release's":                  func(q *quay) { q.docks.sets["m1"].Lock.Release = "web-9" },
		"that of a release of the same name": func(q *quay) { q.docks.sets["m1"].Lock.UID = "another" },
		"another hub's":                      func(q *quay) { q.docks.sets["m1"].Lock.Hub = "another" },
		"one on a workload made anew":        func(q *quay) { q.docks.sets["m1"].UID = "another" },
	} {
		t.Run(name, func(t *testing.T) {
			q := newQuay(t)
			q.release()
			q.pipelineRun(root)
			change(q)
			q.ends(root, corev1.ConditionTrue, "Succeeded")
			q.settle()
			if u := q.docks.sets["m1"]; u.Lock == nil || u.Partition.String() == "100%" || !q.record().Status.Released {
				t.Errorf("partition %s, lock %+v; released %t", u.Partition, u.Lock, q.record().Status.Released)
			}
		})
	}
}

func TestWhatIsGoneHoldsNothingUp(t *testing.T) {
	q := newQuay(t)
	q.release(func(rel *v1alpha1.Release) {
		gone := rel.Status.Touched[0]
		gone.Member = "sunk"
		rel.Status.Touched = append(rel.Status.Touched, gone)
	})
	delete(q.docks.sets, "m2")
	q.docks.sets["m2"] = q.docks.sets["m1"]
	q.docks.sets["m2"].Workload = "another"
	q.pipelineRun(root)
	q.ends(root, corev1.ConditionTrue, "Succeeded")
	q.settle()
	if !q.record().Status.Released {
		t.Error("a workload that is gone, or a member that left, holds it up")
	}
}

func TestAConflictPassesByItself(t *testing.T) {
	q := newQuay(t)
	q.release()
	q.pipelineRun(root)
	q.ends(root, corev1.ConditionTrue, "Succeeded")
	q.docks.fail = apierrors.NewConflict(schema.GroupResource{Resource: "inplacesets"}, "web-dca", errors.New("changed meanwhile"))
	q.pass()
	q.settle()
	if !q.record().Status.Released || q.locked() != "" {
		t.Errorf("locked %q", q.locked())
	}
	q = newQuay(t)
	q.release()
	q.pipelineRun(root)
	q.ends(root, corev1.ConditionTrue, "Succeeded")
	q.docks.fail = errors.New("the disk is full")
	if _, err := q.try(); err == nil || !strings.Contains(err.Error(), "the disk is full") {
		t.Errorf("got %v", err)
	}
}

func TestARunOfTheSameNameMadeLaterIsAnother(t *testing.T) {
	q := newQuay(t)
	q.release()
	q.pipelineRun(root, func(pr *pipelinev1.PipelineRun) { pr.UID = "another" })
	q.settle()
	if rel := q.record(); rel.Status.Phase != v1alpha1.ReleaseFailed || !strings.Contains(rel.Status.Message, "deleted") {
		t.Errorf("the root run is gone, and the release is %s: %s", rel.Status.Phase, rel.Status.Message)
	}
	if err := q.closer.reconcile(context.Background(), keyOf(q.record(), v1alpha1.RootRef{Name: "nobody", UID: "x"})); err != nil {
		t.Errorf("a release that is gone: %v", err)
	}
}
