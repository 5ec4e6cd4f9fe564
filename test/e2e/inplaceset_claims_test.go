//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	appsv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

// balancer plays a load-balancer controller for the pods of a set: it claims those that serve, and lets go of the others.
type balancer struct {
	*ips
	finalizer string
	mu        sync.Mutex
	asleep    bool
}

func (s *ips) balancer(name string) *balancer {
	s.t.Helper()
	b := &balancer{ips: s, finalizer: appsv1alpha1.BalancerPrefix + name}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for tick := time.NewTicker(50 * time.Millisecond); ; {
			select {
			case <-ctx.Done():
				tick.Stop()
				return
			case <-tick.C:
				b.pass(ctx)
			}
		}
	}()
	s.t.Cleanup(func() {
		cancel()
		<-done
		b.release()
	})
	return b
}

func (b *balancer) sleeps(asleep bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asleep = asleep
}

// pass looks at each pod as the watch has it. A write that conflicts is made again at the next pass.
func (b *balancer) pass(ctx context.Context) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.asleep {
		return
	}
	b.ips.mu.Lock()
	var pods []*corev1.Pod
	for _, pod := range b.pods {
		pods = append(pods, pod)
	}
	b.ips.mu.Unlock()
	for _, pod := range pods {
		claims := slices.Contains(pod.Finalizers, b.finalizer)
		serves := pod.DeletionTimestamp == nil && gate(pod) == corev1.ConditionTrue && ready(pod)
		switch {
		case serves && !claims:
			b.write(ctx, pod, append(slices.Clone(pod.Finalizers), b.finalizer))
		case !serves && claims && (pod.DeletionTimestamp != nil || gate(pod) != corev1.ConditionTrue):
			b.write(ctx, pod, slices.DeleteFunc(slices.Clone(pod.Finalizers), func(f string) bool { return f == b.finalizer }))
		}
	}
}

func (b *balancer) write(ctx context.Context, pod *corev1.Pod, finalizers []string) {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"resourceVersion": pod.ResourceVersion, "finalizers": finalizers}})
	if err == nil {
		_, _ = b.kube[ipsMember].CoreV1().Pods(b.ns).Patch(ctx, pod.Name, types.MergePatchType, patch, metav1.PatchOptions{})
	}
}

// release what is left, so that the namespace can go.
func (b *balancer) release() {
	for _, pod := range b.live() {
		_, _ = b.kube[ipsMember].CoreV1().Pods(b.ns).Patch(context.Background(), pod.Name, types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
	}
}

// claimed waits until the balancer claims as many pods.
func (b *balancer) claimed(n int) {
	b.t.Helper()
	b.eventually(fmt.Sprintf("%s claims %d pods", b.finalizer, n), func() (bool, string) {
		have := 0
		for _, pod := range b.live() {
			if slices.Contains(pod.Finalizers, b.finalizer) {
				have++
			}
		}
		return have == n, fmt.Sprintf("%d", have)
	})
}

func TestInPlaceSetWaitsForItsLoadBalancersToLetGoAndTakeBack(t *testing.T) {
	s := newPort(t).withSet(3, "v1", `{maxUnavailable: 1, gracePeriodSeconds: 1}`)
	edge, mesh := s.balancer("edge"), s.balancer("mesh")
	edge.claimed(3)
	mesh.claimed(3)
	before := s.identities(ipsMember)
	edge.sleeps(true)
	s.keeps(2)
	s.image("v2")
	s.untilStatus("the one who does not answer is named", func(st *appsv1alpha1.InPlaceSetStatus) bool {
		return len(st.WaitingFor) == 1 && st.WaitingFor[0].Name == edge.finalizer && st.WaitingFor[0].For == "LetGo" && st.WaitingFor[0].Pods == 1
	})
	s.keeps(-1) // the controller that is killed does not count.
	s.killController()
	s.keeps(2)
	if n := s.run("v2"); n != 0 {
		t.Errorf("%d pods were changed that %s had not let go of", n, edge.finalizer)
	}
	// It lets go of the pod, and is gone again before the pod is back.
	edge.sleeps(false)
	s.eventually("one pod is changed", func() (bool, string) { return s.run("v2") == 1, fmt.Sprint(s.run("v2")) })
	edge.sleeps(true)
	s.untilStatus("the pod waits for it to return, and no other pod moves", func(st *appsv1alpha1.InPlaceSetStatus) bool {
		return len(st.WaitingFor) == 1 && st.WaitingFor[0].For == "TakeBack" && st.AvailableReplicas == 2
	})
	if n := s.run("v2"); n != 1 {
		t.Errorf("%d pods are changed while the first gets no traffic; want 1", n)
	}
	edge.sleeps(false)
	s.done()
	if got := s.identities(ipsMember); fmt.Sprint(got) != fmt.Sprint(before) {
		t.Errorf("pods are %v; want them as before: %v", got, before)
	}
	for _, pod := range s.live() {
		if len(pod.Finalizers) != 2 {
			t.Errorf("%s is available, and claimed by %v; want both balancers", pod.Name, pod.Finalizers)
		}
	}
	s.keeps(-1)
	s.noFaults()
}

func TestInPlaceSetHoldsOrGoesOnWhenALoadBalancerDoesNotAnswer(t *testing.T) {
	t.Parallel()
	s := newPort(t).withSet(2, "v1", `{maxUnavailable: 1, gracePeriodSeconds: 0, drainTimeoutSeconds: 2}`)
	edge := s.balancer("edge")
	edge.claimed(2)
	edge.sleeps(true)
	s.image("v2")
	if message := s.progressing("DrainTimeout"); !strings.Contains(message, edge.finalizer) || !strings.Contains(message, "since") {
		t.Errorf("it says %q; want who does not answer, and since when", message)
	}
	if n := s.run("v2"); n != 0 {
		t.Errorf("%d pods were changed that the balancer had not let go of", n)
	}
	s.mu.Lock()
	s.forced = true // as told.
	s.mu.Unlock()
	s.spec(`{"updateStrategy":{"onDrainTimeout":"GoOn"}}`)
	s.done()
	if n := s.run("v2"); n != 2 {
		t.Errorf("%d pods run v2; want both", n)
	}
	s.noFaults()
}

func TestInPlaceSetAsksItsHooksAndSurvivesARollbackInTheMiddle(t *testing.T) {
	t.Parallel()
	s := newPort(t).withSet(2, "v1", `{maxUnavailable: 1, gracePeriodSeconds: 0}`)
	s.spec(`{"lifecycle":{"inPlaceUpdate":{"labels":{"dns":"registered"}},"preDelete":{"finalizers":["example.com/archive"]}}}`)
	mark := func(labels, finalizers string) {
		for _, pod := range s.live() {
			patch := fmt.Sprintf(`{"metadata":{"labels":%s,"finalizers":%s}}`, labels, finalizers)
			must(s.kube[ipsMember].CoreV1().Pods(s.ns).Patch(context.Background(), pod.Name, types.MergePatchType, []byte(patch), metav1.PatchOptions{}))(t)
		}
	}
	mark(`{"dns":"registered"}`, `["example.com/archive"]`)
	before := s.identities(ipsMember)
	waits := func(claim string) {
		t.Helper()
		s.untilStatus("it waits for "+claim, func(st *appsv1alpha1.InPlaceSetStatus) bool {
			return len(st.WaitingFor) == 1 && st.WaitingFor[0].Name == claim
		})
	}
	s.image("v2")
	waits("dns=registered")
	s.image("v1")
	s.progressing("Complete")
	if s.run("v2") != 0 || fmt.Sprint(s.identities(ipsMember)) != fmt.Sprint(before) {
		t.Error("a rollback in the middle of a hook moved pods")
	}
	s.image("v2")
	waits("dns=registered")
	mark(`{"dns":null}`, `["example.com/archive"]`)
	s.untilStatus("changed, it is not available before the hook is back", func(st *appsv1alpha1.InPlaceSetStatus) bool {
		return len(st.WaitingFor) == 1 && st.WaitingFor[0].For == "TakeBack" && st.UpdatedReplicas == 1 && st.UpdatedAvailableReplicas == 0
	})
	mark(`{"dns":"registered"}`, `["example.com/archive"]`)
	waits("dns=registered") // of the other pod.
	mark(`{"dns":null}`, `["example.com/archive"]`)
	s.eventually("both are changed", func() (bool, string) { return s.run("v2") == 2, fmt.Sprint(s.run("v2")) })
	mark(`{"dns":"registered"}`, `["example.com/archive"]`)
	s.done()
	s.spec(`{"replicas":1}`)
	waits("example.com/archive")
	if n := len(s.live()); n != 2 {
		t.Errorf("%d pods; want both, until the hook of deletes lets one go", n)
	}
	mark(`{"dns":"registered"}`, `null`)
	s.progressing("Complete")
	if n := len(s.live()); n != 1 {
		t.Errorf("%d pods; want one", n)
	}
	s.noFaults()
}
