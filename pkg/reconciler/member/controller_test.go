package member

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"knative.dev/pkg/controller"
	rtesting "knative.dev/pkg/reconciler/testing"

	fleetv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/fleet/v1alpha1"
	fakeclient "github.com/periplus-dev/periplus/pkg/client/injection/client/fake"
	memberinformer "github.com/periplus-dev/periplus/pkg/client/injection/informers/fleet/v1alpha1/member"
	_ "github.com/periplus-dev/periplus/pkg/client/injection/informers/fleet/v1alpha1/member/fake"
	"github.com/periplus-dev/periplus/pkg/fleet"
	"github.com/periplus-dev/periplus/pkg/fleet/fleettest"
)

func TestAMemberIsAddedGoesAwayAndComesBack(t *testing.T) {
	ctx, cancel, informers := rtesting.SetupFakeContextWithCancel(t)
	opts, members := fleettest.New(t, nil)
	opts.Members = memberinformer.Get(ctx).Lister()
	opts.HeartbeatAtRest = 50 * time.Millisecond
	f := fleet.New(opts)
	impl := NewController(func(context.Context) *fleet.Fleet { return f })(ctx, nil)
	stopInformers, err := rtesting.RunAndSyncInformers(ctx, informers...)
	if err != nil {
		t.Fatal(err)
	}
	ran := make(chan error, 1)
	go func() { ran <- impl.RunContext(ctx, controller.DefaultThreadsPerController) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ran; err != nil {
			t.Errorf("running the controller: %v", err)
		}
		f.Stop()
		stopInformers()
	})

	client := fakeclient.Get(ctx).FleetV1alpha1().Members()
	obj := members.Add(t, "north", fleet.Clients{})
	obj.Generation = 1
	if _, err := client.Create(ctx, obj, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	// expect waits for a condition and returns the status.
	expect := func(status metav1.ConditionStatus, reason fleet.Reason) fleetv1alpha1.MemberStatus {
		t.Helper()
		deadline := time.Now().Add(20 * time.Second)
		for {
			got, err := client.Get(ctx, "north", metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			c := meta.FindStatusCondition(got.Status.Conditions, fleetv1alpha1.ConditionReachable)
			if c != nil && c.Status == status && c.Reason == string(reason) {
				return got.Status
			}
			if time.Now().After(deadline) {
				t.Fatalf("want Reachable=%s because %s, got %+v", status, reason, c)
			}
			time.Sleep(2 * time.Millisecond)
		}
	}

	got := expect(metav1.ConditionTrue, fleet.ReasonAnswering)
	if got.Version != "v1.36.3" || got.LastContactTime == nil || got.ObservedGeneration != 1 {
		t.Errorf("status: %+v", got)
	}
	members.Connection("north").SetDown(errors.New("dial tcp 10.0.0.1:6443: connect: connection refused"))
	got = expect(metav1.ConditionFalse, fleet.ReasonNotAnswering)
	if m := got.Conditions[0].Message; !strings.HasPrefix(m, "Since 20") || !strings.Contains(m, "connection refused; last contact 20") {
		t.Errorf("message: %s", m)
	}
	members.Connection("north").SetDown(nil)
	expect(metav1.ConditionTrue, fleet.ReasonAnswering)

	writes := 0
	for _, a := range fakeclient.Get(ctx).Actions() {
		if a.Matches("update", "members") {
			writes++
		}
	}
	if writes != 3 {
		t.Errorf("%d writes of the status for three changes", writes)
	}
}
