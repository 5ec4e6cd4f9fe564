package boot

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"k8s.io/apimachinery/pkg/types"
	"knative.dev/pkg/controller"
)

// slow is a reconciler whose one pass takes until it is let go.
type slow struct {
	began, goOn chan struct{}
	note        func(string)
}

func (s *slow) Reconcile(context.Context, string) error {
	close(s.began)
	<-s.goOn
	s.note("reconciled")
	return nil
}

func TestWhatReconcilersWorkWithEndsAfterThem(t *testing.T) {
	const patience = 10 * time.Second
	ctx, ends := withEnds(t.Context())
	ctx, sigterm := context.WithCancel(ctx)
	defer sigterm()
	var mu sync.Mutex
	var happened []string
	note := func(what string) {
		mu.Lock()
		defer mu.Unlock()
		happened = append(happened, what)
	}
	AtEnd(ctx, func() { note("the fleet stopped") })
	AtEnd(ctx, func() { note("what used the fleet stopped") })
	r := &slow{began: make(chan struct{}), goOn: make(chan struct{}), note: note}
	impl := controller.NewContext(ctx, r, controller.ControllerOptions{WorkQueueName: "slow", Logger: zap.NewNop().Sugar(), Concurrency: 1})
	impl.EnqueueKey(types.NamespacedName{Namespace: "shop", Name: "web"})
	done := make(chan error, 1)
	go func() { done <- drive(ctx, ends, []*controller.Impl{impl}) }()
	<-r.began
	sigterm()
	for until := time.Now().Add(patience); !impl.WorkQueue().ShuttingDown(); time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("the controller does not drain")
		}
	}
	close(r.goOn)
	select {
	case err := <-done:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(patience):
		t.Fatal("it did not end")
	}
	ends.run() // as a run that could not start does: nothing is done twice.
	mu.Lock()
	defer mu.Unlock()
	if want := []string{"reconciled", "what used the fleet stopped", "the fleet stopped"}; !slices.Equal(happened, want) {
		t.Errorf("it ended as %q, want %q", happened, want)
	}
}

func TestWithoutABinaryTheEndIsThatOfTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	AtEnd(ctx, func() { close(done) })
	cancel()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("nothing was done at the end")
	}
}
