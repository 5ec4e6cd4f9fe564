package runplan

import (
	"context"
	"errors"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	clocktesting "k8s.io/utils/clock/testing"
	"knative.dev/pkg/controller"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/client/clientset/versioned/fake"
	listers "github.com/periplus-dev/periplus/pkg/client/listers/stages/v1alpha1"
)

// desk is a hub with one RunPlan, whose planner says what a test has it say.
type desk struct {
	t      *testing.T
	clock  *clocktesting.FakeClock
	client *fake.Clientset
	r      *reconciler
	// say is the planner's answer, lasts what it was told of waiting, closed how often members were let go of.
	say    func(last bool) (*v1alpha1.RunPlanStatus, error)
	lasts  []bool
	closed int
}

func (d *desk) Plan(_ context.Context, _ *v1alpha1.RunPlan, last bool, _ func()) (*v1alpha1.RunPlanStatus, error) {
	d.lasts = append(d.lasts, last)
	return d.say(last)
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	d := &desk{t: t, clock: clocktesting.NewFakeClock(at)}
	d.client = fake.NewSimpleClientset(&v1alpha1.RunPlan{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "shop", UID: "p-uid", CreationTimestamp: metav1.NewTime(at)}})
	d.r = &reconciler{planner: d, close: func(types.UID) { d.closed++ }, client: d.client.StagesV1alpha1(), clock: d.clock, enqueue: func(types.NamespacedName) {}}
	return d
}

// pass reconciles with a cache that is up to date, and says when the next pass is.
func (d *desk) pass() time.Duration {
	d.t.Helper()
	plans := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
	all, err := d.client.StagesV1alpha1().RunPlans("shop").List(context.Background(), metav1.ListOptions{})
	if err != nil {
		d.t.Fatal(err)
	}
	for i := range all.Items {
		if err := plans.Add(&all.Items[i]); err != nil {
			d.t.Fatal(err)
		}
	}
	d.r.plans = listers.NewRunPlanLister(plans)
	err = d.r.reconcile(context.Background(), types.NamespacedName{Namespace: "shop", Name: "p"})
	ok, after := controller.IsRequeueKey(err)
	if err != nil && !ok {
		d.t.Fatal(err)
	}
	return after
}

func (d *desk) plan() *v1alpha1.RunPlan {
	d.t.Helper()
	all, err := d.client.StagesV1alpha1().RunPlans("shop").List(context.Background(), metav1.ListOptions{})
	if err != nil {
		d.t.Fatal(err)
	}
	if len(all.Items) == 0 {
		return nil
	}
	return &all.Items[0]
}

func TestAPlanIsMadeOnceKeptForAWhileAndDeleted(t *testing.T) {
	d := newDesk(t)
	d.say = func(bool) (*v1alpha1.RunPlanStatus, error) {
		return &v1alpha1.RunPlanStatus{Phase: v1alpha1.PlanReady}, nil
	}
	if after := d.pass(); after != keep {
		t.Errorf("looked at again after %s, want %s", after, keep)
	}
	if p := d.plan(); p.Status.Phase != v1alpha1.PlanReady || d.closed != 1 {
		t.Errorf("phase %s; members were let go of %d times", p.Status.Phase, d.closed)
	}
	d.clock.Step(keep - time.Second)
	if after := d.pass(); after != time.Second || len(d.lasts) != 1 {
		t.Errorf("looked at again after %s; planned %d times", after, len(d.lasts))
	}
	d.clock.Step(time.Second)
	d.pass()
	if p := d.plan(); p != nil {
		t.Errorf("it is still there: %+v", p)
	}
	d.pass()
}

func TestMembersAreWaitedForFromWhenTheyWereFirstLookedFor(t *testing.T) {
	d := newDesk(t)
	d.clock.Step(time.Minute) // nobody led for a minute: that is none of the members' time.
	d.say = func(last bool) (*v1alpha1.RunPlanStatus, error) {
		if last {
			return &v1alpha1.RunPlanStatus{Phase: v1alpha1.PlanRefused, ProblemCount: 1}, nil
		}
		return &v1alpha1.RunPlanStatus{Phase: v1alpha1.PlanPending, Message: "connecting to member m1"}, nil
	}
	if after := d.pass(); after != patience {
		t.Errorf("looked at again after %s, want %s", after, patience)
	}
	if p := d.plan(); p.Status.Phase != v1alpha1.PlanPending || p.Status.Message != "connecting to member m1" || d.closed != 0 {
		t.Errorf("status %+v; let go of %d times", p.Status, d.closed)
	}
	d.clock.Step(patience / 2)
	if after := d.pass(); after != patience/2 {
		t.Errorf("looked at again after %s, want %s", after, patience/2)
	}
	d.clock.Step(patience / 2)
	d.pass()
	if p := d.plan(); p.Status.Phase != v1alpha1.PlanRefused || d.closed != 1 || !d.lasts[2] || d.lasts[1] {
		t.Errorf("status %+v; let go of %d times; last %v", p.Status, d.closed, d.lasts)
	}
}

func TestTroubleOfTheHubIsTriedAgainAndThenSaid(t *testing.T) {
	d := newDesk(t)
	d.say = func(bool) (*v1alpha1.RunPlanStatus, error) { return nil, errors.New("etcd sleeps") }
	if after := d.pass(); after != time.Second {
		t.Errorf("tried again after %s", after)
	}
	if p := d.plan(); p.Status.Phase != v1alpha1.PlanPending || p.Status.Message != "tries again: etcd sleeps" {
		t.Errorf("status %+v", p.Status)
	}
	d.clock.Step(resigned)
	d.pass()
	if p := d.plan(); p.Status.Phase != v1alpha1.PlanRefused || len(p.Status.Problems) != 1 || p.Status.Problems[0].Message != "the hub cannot tell what the run would do: etcd sleeps" {
		t.Errorf("status %+v", p.Status)
	}
}
