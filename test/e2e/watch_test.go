//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"

	appsv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	periplusinformers "github.com/periplus-dev/periplus/pkg/client/informers/externalversions"
	"github.com/periplus-dev/periplus/pkg/plan"
)

// lookout watches every pod and set of the test's namespace in all members, and notes each moment at which a rule did not hold.
type lookout struct {
	mu     sync.Mutex
	faults []string
	pods   map[string]map[string]*corev1.Pod // by member/unit, then name
	allows map[string]int32                  // the most pods a unit's partition ever let go, by member/unit
	limits map[string]int32
	image  string
}

// watch starts a lookout for pods that run image, with the greatest number of unavailable pods in each unit. It ends with the test.
func (p *port) watch(image string, unavailable int32) *lookout {
	p.t.Helper()
	l := &lookout{pods: map[string]map[string]*corev1.Pod{}, allows: map[string]int32{}, limits: map[string]int32{}, image: image}
	ctx, cancel := context.WithCancel(context.Background())
	p.t.Cleanup(cancel)
	for _, m := range p.members {
		for _, u := range []string{"dca", "dcb"} {
			l.limits[m+"/"+u] = unavailable
		}
		sets := periplusinformers.NewSharedInformerFactoryWithOptions(p.apps[m], 0, periplusinformers.WithNamespace(p.ns))
		inf := sets.Apps().V1alpha1().InPlaceSets().Informer()
		p.must(inf.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc: func(o any) { l.set(m, o) }, UpdateFunc: func(_, o any) { l.set(m, o) },
		}))
		pods := informers.NewSharedInformerFactoryWithOptions(p.kube[m], 0, informers.WithNamespace(p.ns))
		podInf := pods.Core().V1().Pods().Informer()
		p.must(podInf.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc: func(o any) { l.pod(m, o) }, UpdateFunc: func(_, o any) { l.pod(m, o) }, DeleteFunc: func(o any) { l.drop(m, o) },
		}))
		sets.Start(ctx.Done())
		pods.Start(ctx.Done())
		if !cache.WaitForCacheSync(ctx.Done(), inf.HasSynced) || !cache.WaitForCacheSync(ctx.Done(), podInf.HasSynced) {
			p.t.Fatal("the lookout's watches did not start")
		}
	}
	return l
}

func (p *port) must(_ cache.ResourceEventHandlerRegistration, err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

func (l *lookout) set(member string, obj any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s, ok := obj.(*appsv1alpha1.InPlaceSet)
	if !ok {
		return
	}
	unit := member + "/" + s.Labels[appsv1alpha1.LabelUnit]
	hold, err := plan.Partition(s.Spec.UpdateStrategy.Partition, *s.Spec.Replicas)
	if err != nil {
		l.fault("%s: %v", unit, err)
		return
	}
	// A pod event may reach us before the set's event that allowed it: what was ever let go is what counts, as no test lowers it to go on.
	l.allows[unit] = max(l.allows[unit], *s.Spec.Replicas-hold)
	l.judge(unit)
}

func (l *lookout) pod(member string, obj any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	pod, ok := obj.(*corev1.Pod)
	if !ok {
		return
	}
	unit := member + "/" + pod.Labels[appsv1alpha1.LabelUnit]
	if l.pods[unit] == nil {
		l.pods[unit] = map[string]*corev1.Pod{}
	}
	l.pods[unit][pod.Name] = pod
	l.judge(unit)
}

func (l *lookout) drop(member string, obj any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if pod, ok := obj.(*corev1.Pod); ok {
		delete(l.pods[member+"/"+pod.Labels[appsv1alpha1.LabelUnit]], pod.Name)
	}
}

func (l *lookout) judge(unit string) {
	down := int32(0)
	for _, pod := range l.pods[unit] {
		if !ready(pod) {
			down++
		}
	}
	if down > l.limits[unit] {
		l.fault("%s: %d pods not ready, the limit is %d", unit, down, l.limits[unit])
	}
}

func (l *lookout) updated(unit string) int32 {
	n := int32(0)
	for _, pod := range l.pods[unit] {
		if strings.HasSuffix(pod.Spec.Containers[0].Image, l.image) {
			n++
		}
	}
	return n
}

func (l *lookout) fault(format string, args ...any) {
	l.faults = append(l.faults, time.Now().Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
}

// overstepped waits for the set's event where a pod's came first, and says where more pods run the image than was ever let go.
func (l *lookout) report(p *port) {
	p.t.Helper()
	p.eventually("no partition was overstepped", func() (bool, string) {
		l.mu.Lock()
		defer l.mu.Unlock()
		for unit := range l.pods {
			if n := l.updated(unit); n > l.allows[unit] {
				return false, fmt.Sprintf("%s: %d pods run %s, %d were let go", unit, n, l.image, l.allows[unit])
			}
		}
		return true, ""
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.faults {
		p.t.Error(f)
	}
}
