//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
)

// lives watches the containers of all pods of a namespace: which of them ever ran what, and whether the application's container began anew though its image did not change.
type lives struct {
	mu     sync.Mutex
	faults []string
	// app is the image and the life of a pod's application as last seen, by member/pod.
	app map[string][2]string
	// ran are the pods that ever ran an image, by member and tag, as "m1 proxy:v2".
	ran map[string]map[string]bool
}

// watchLives starts it. It ends with the test.
func (p *port) watchLives() *lives {
	p.t.Helper()
	l := &lives{app: map[string][2]string{}, ran: map[string]map[string]bool{}}
	ctx, cancel := context.WithCancel(context.Background())
	p.t.Cleanup(cancel)
	for _, m := range p.members {
		f := informers.NewSharedInformerFactoryWithOptions(p.kube[m], 0, informers.WithNamespace(p.ns))
		inf := f.Core().V1().Pods().Informer()
		p.must(inf.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: func(o any) { l.see(m, o) }, UpdateFunc: func(_, o any) { l.see(m, o) }}))
		f.Start(ctx.Done())
		if !cache.WaitForCacheSync(ctx.Done(), inf.HasSynced) {
			p.t.Fatal("the watch of containers did not start")
		}
	}
	return l
}

func (l *lives) see(member string, o any) {
	pod, ok := o.(*corev1.Pod)
	if !ok {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	at := member + "/" + pod.Name
	for _, s := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		if s.State.Running == nil {
			continue
		}
		what := member + " " + s.Image[strings.LastIndexByte(s.Image, '/')+1:]
		if l.ran[what] == nil {
			l.ran[what] = map[string]bool{}
		}
		l.ran[what][pod.Name] = true
		if s.Name != "app" {
			continue
		}
		now := [2]string{s.Image, s.ContainerID + " since " + s.State.Running.StartedAt.UTC().Format(time.RFC3339)}
		if was, known := l.app[at]; known && was[0] == now[0] && was[1] != now[1] {
			l.faults = append(l.faults, fmt.Sprintf("the application of %s began anew on %s: %s, then %s", at, now[0], was[1], now[1]))
		}
		l.app[at] = now
	}
}

// pods that ever ran a tag in a member.
func (l *lives) pods(member, tag string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.ran[member+" "+tag])
}

func (l *lives) report(p *port) {
	p.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.faults {
		p.t.Error(f)
	}
	if len(l.app) == 0 {
		p.t.Errorf("no application was ever seen to run; seen were %v", slices.Sorted(maps.Keys(l.ran)))
	}
}

func TestAnApplicationThatBeginsAnewOnItsImageIsAFault(t *testing.T) {
	l := &lives{app: map[string][2]string{}, ran: map[string]map[string]bool{}}
	runs := func(image, container string) {
		l.see("m1", &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "shop-dca-1"}, Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{
			{Name: "app", Image: "registry.example/" + image, ContainerID: container, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}}}})
	}
	runs("shop:v1", "a")
	runs("shop:v1", "a")
	runs("shop:v2", "b")
	runs("shop:v1", "c")
	if len(l.faults) != 0 || l.pods("m1", "shop:v2") != 1 || l.pods("m2", "shop:v2") != 0 {
		t.Errorf("a change of the image is taken for a fault, or not counted: %v, %v", l.faults, l.ran)
	}
	runs("shop:v1", "d")
	if len(l.faults) != 1 {
		t.Errorf("the same image in another container is no fault: %v", l.faults)
	}
}
