package release

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clienttesting "k8s.io/client-go/testing"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

// answered stores an answer that was given to a stage, at noon.
func (q *quay) answered(name, stage, uid string) {
	q.store(&v1alpha1.Approval{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: ns, UID: types.UID(name + "-uid"), CreationTimestamp: metav1.NewTime(noon)},
		Spec: v1alpha1.ApprovalSpec{RunRef: v1alpha1.RunRef{Name: stage, UID: types.UID(uid)}, Decision: v1alpha1.Approve, User: "bob"}})
}

// old is a release that ended at noon, with what people said of it and of others.
func old(t *testing.T) *quay {
	t.Helper()
	q := newQuay(t)
	q.release(func(rel *v1alpha1.Release) {
		rel.Status.Runs = append(rel.Status.Runs, v1alpha1.ReleaseRun{Kind: "PipelineRun", Name: "web-2", UID: "web-2-uid", Role: v1alpha1.RoleRetry, Since: metav1.NewTime(noon)})
		rel.Status.Stages = []v1alpha1.StageRecord{{Name: "ask", Kind: "Confirm", Run: "web-1-ask", UID: "ask-uid"}}
	})
	q.pipelineRun(root)
	q.pipelineRun("web-2")
	q.ends("web-2", corev1.ConditionTrue, "Succeeded")
	q.intervene("paused", v1alpha1.ActionPause, root)
	q.intervene("resumed", v1alpha1.ActionResume, "web-2")
	q.intervene("others", v1alpha1.ActionPause, "till-1")
	q.answered("yes", "web-1-ask", "ask-uid")
	q.answered("orphan", "pruned-ask", "pruned-uid")
	q.answered("theirs", "till-1-ask", "till-1-ask-uid")
	q.store(&v1beta1.CustomRun{ObjectMeta: metav1.ObjectMeta{Name: "till-1-ask", Namespace: ns, UID: "till-1-ask-uid"}})
	q.settle()
	if !q.record().Status.Released {
		t.Fatal("it is not at rest")
	}
	return q
}

// kept are the names of what is there.
func (q *quay) kept() string {
	q.t.Helper()
	var names []string
	for _, resource := range []string{"releases", "interventions", "approvals"} {
		for _, o := range q.list(resource) {
			names = append(names, o.(metav1.Object).GetName())
		}
	}
	return strings.ReplaceAll(strings.Join(names, " "), relName, "RELEASE")
}

const everything = "RELEASE others paused resumed orphan theirs yes"

func TestARecordGoesWhenItsTimeHasComeAndWhatPeopleSaidWithIt(t *testing.T) {
	q := old(t)
	q.clock.Step(DefaultRetention - time.Minute)
	if after := q.pass(); after != time.Minute || q.kept() != everything {
		t.Fatalf("a minute before its time: %q is left, and it looks again after %s", q.kept(), after)
	}
	q.clock.Step(time.Minute)
	first := len(q.periplus.Actions())
	q.pass()
	if got := q.kept(); got != "others theirs" {
		t.Errorf("%q is left", got)
	}
	var order []string
	for _, a := range q.periplus.Actions()[first:] {
		if a.GetVerb() == "delete" {
			order = append(order, a.GetResource().Resource)
			if d := a.(clienttesting.DeleteActionImpl).DeleteOptions; d.Preconditions == nil || d.Preconditions.UID == nil {
				t.Errorf("%s is deleted whatever it is by now", a.(clienttesting.DeleteAction).GetName())
			}
		}
	}
	if got := strings.Join(order, " "); got != "interventions interventions approvals approvals releases" {
		t.Errorf("deleted in the order %s", got)
	}
}

func TestARecordStaysAsLongAsSomethingOfItDoes(t *testing.T) {
	q := old(t)
	q.clock.Step(DefaultRetention)
	refuse := true
	q.periplus.PrependReactor("delete", "approvals", func(a clienttesting.Action) (bool, runtime.Object, error) {
		return refuse && a.(clienttesting.DeleteAction).GetName() == "yes", nil, errors.New("no")
	})
	if _, err := q.try(); err == nil || q.record() == nil {
		t.Fatalf("an answer could not be deleted: %v, left %q", err, q.kept())
	}
	refuse = false
	q.pass()
	if got := q.kept(); got != "others theirs" {
		t.Errorf("%q is left", got)
	}
}

func TestRecordsAreKeptForEverWhereSoConfigured(t *testing.T) {
	q := old(t)
	q.closer.retention = 0
	q.clock.Step(100 * DefaultRetention)
	if after := q.pass(); after != 0 || q.kept() != everything {
		t.Errorf("%q is left, and it looks again after %s", q.kept(), after)
	}
}

func TestARecordThatIsNotAtRestIsKept(t *testing.T) {
	q := newQuay(t)
	q.release()
	q.pipelineRun(root)
	q.docks.silent["m1"] = true
	q.ends(root, corev1.ConditionTrue, "Succeeded")
	q.pass()
	q.clock.Step(2 * DefaultRetention)
	q.pass()
	if q.record() == nil {
		t.Error("the record is gone, and a workload in m1 is still locked")
	}
}
