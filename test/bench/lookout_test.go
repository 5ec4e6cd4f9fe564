//go:build bench

package bench

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	tektoninformers "github.com/tektoncd/pipeline/pkg/client/informers/externalversions"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
	"knative.dev/pkg/apis"

	appsv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	periplusinformers "github.com/periplus-dev/periplus/pkg/client/informers/externalversions"
	"github.com/periplus-dev/periplus/pkg/inplace"
	"github.com/periplus-dev/periplus/pkg/plan"
)

// write is one write of the hub to a workload.
type write struct {
	at  time.Time
	set string
	// opens is true where it lets pods start that were held back.
	opens bool
}

// stageSeen is a stage as its run shows it, and when what came to be.
type stageSeen struct {
	run, task              string
	reason                 string
	created, decided, done time.Time
}

// lookout watches the benchmark's namespace in all clusters. Its fields are read inside of `when` and `read` only.
type lookout struct {
	t       *testing.T
	mu      sync.Mutex
	at      time.Time // of the event that is being told
	pending map[*waiting]bool
	writes  []write
	sets    map[string]*appsv1alpha1.InPlaceSet // by member/set
	stages  map[string]*stageSeen               // by CustomRun
	pods    map[string]string                   // the image that a pod serves with, by member/pod; empty while it does not serve
	serving map[string]int                      // pods by that image
	ups     map[string][]time.Time              // when pods of a set came to serve, by member/set
}

type waiting struct {
	cond func() bool
	met  chan time.Time
}

// look starts a lookout that ends with the test.
func (b *bench) look() *lookout {
	b.t.Helper()
	l := &lookout{t: b.t, pending: map[*waiting]bool{}, sets: map[string]*appsv1alpha1.InPlaceSet{}, stages: map[string]*stageSeen{},
		pods: map[string]string{}, serving: map[string]int{}, ups: map[string][]time.Time{}}
	ctx, cancel := context.WithCancel(context.Background())
	b.t.Cleanup(cancel)
	var synced []cache.InformerSynced
	on := func(inf cache.SharedIndexInformer, tell func(obj any)) {
		handle := func(obj any, tell func(any)) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.at = time.Now()
			tell(obj)
			l.tellPending()
		}
		must(inf.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc: func(o any) { handle(o, tell) }, UpdateFunc: func(_, o any) { handle(o, tell) },
		}))(b.t)
		synced = append(synced, inf.HasSynced)
		go inf.Run(ctx.Done())
	}
	for _, m := range members {
		sets := periplusinformers.NewSharedInformerFactoryWithOptions(b.apps[m], 0, periplusinformers.WithNamespace(b.ns))
		on(sets.Apps().V1alpha1().InPlaceSets().Informer(), func(o any) { l.set(m, o.(*appsv1alpha1.InPlaceSet)) })
		pods := informers.NewSharedInformerFactoryWithOptions(b.kube[m], 0, informers.WithNamespace(b.ns))
		on(pods.Core().V1().Pods().Informer(), func(o any) { l.pod(m, o.(*corev1.Pod)) })
	}
	runs := tektoninformers.NewSharedInformerFactoryWithOptions(b.tekton, 0, tektoninformers.WithNamespace(b.ns))
	on(runs.Tekton().V1beta1().CustomRuns().Informer(), func(o any) { l.stage(o.(*v1beta1.CustomRun)) })
	if !cache.WaitForCacheSync(ctx.Done(), synced...) {
		b.t.Fatal("the watches did not start")
	}
	return l
}

func (l *lookout) tellPending() {
	for w := range l.pending {
		if w.cond() {
			delete(l.pending, w)
			w.met <- l.at
		}
	}
}

// when waits for a condition, and returns the time of the event that met it.
func (l *lookout) when(most time.Duration, what string, cond func() bool) time.Time {
	l.t.Helper()
	w := &waiting{cond, make(chan time.Time, 1)}
	l.mu.Lock()
	l.at = time.Now()
	l.pending[w] = true
	l.tellPending()
	l.mu.Unlock()
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case at := <-w.met:
		return at
	case <-timer.C:
		l.mu.Lock()
		defer l.mu.Unlock()
		var stages []string
		for _, name := range slices.Sorted(maps.Keys(l.stages)) {
			stages = append(stages, name+" "+l.stages[name].reason)
		}
		l.t.Fatalf("after %s it is not so that %s; %v serve; last stages: %s", most, what, l.serving, strings.Join(stages[max(0, len(stages)-10):], ", "))
		return time.Time{}
	}
}

// read looks at what was seen.
func (l *lookout) read(do func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	do()
}

// set notes a write by the hub: of the spec or the annotations, which nobody else writes here. What carries the status alone is its own controller's.
func (l *lookout) set(member string, set *appsv1alpha1.InPlaceSet) {
	key := member + "/" + set.Name
	before := l.sets[key]
	l.sets[key] = set
	if before == nil || (before.Generation == set.Generation && equality.Semantic.DeepEqual(before.Annotations, set.Annotations)) {
		return
	}
	// Before or after: whoever lets go of the one field that was his is not named any more.
	byHub := func(f metav1.ManagedFieldsEntry) bool { return f.Manager == "periplus-hub" && f.Subresource == "" }
	if !slices.ContainsFunc(before.ManagedFields, byHub) && !slices.ContainsFunc(set.ManagedFields, byHub) {
		l.t.Errorf("%s was written by somebody else than the hub: generation %d → %d, annotations %v → %v, by %v",
			key, before.Generation, set.Generation, before.Annotations, set.Annotations, set.ManagedFields)
	}
	l.writes = append(l.writes, write{at: l.at, set: key, opens: l.held(set) < l.held(before)})
}

func (l *lookout) held(set *appsv1alpha1.InPlaceSet) int32 {
	n, err := plan.Partition(set.Spec.UpdateStrategy.Partition, *set.Spec.Replicas)
	if err != nil {
		l.t.Error(err)
	}
	return n
}

func (l *lookout) locked() bool {
	for _, set := range l.sets {
		if _, locked := set.Annotations[v1alpha1.AnnotationLock]; locked {
			return true
		}
	}
	return false
}

func (l *lookout) pod(member string, pod *corev1.Pod) {
	key, now := member+"/"+pod.Name, ""
	if inplace.Ready(pod) && !inplace.UpdateInProgress(pod) && pod.DeletionTimestamp == nil {
		now = pod.Spec.Containers[0].Image
	}
	was := l.pods[key]
	if was == now {
		return
	}
	l.pods[key] = now
	l.serving[was]--
	l.serving[now]++
	if now != "" {
		set := member + "/" + pod.Labels[appsv1alpha1.LabelInPlaceSet]
		l.ups[set] = append(l.ups[set], l.at)
	}
}

func (l *lookout) stage(cr *v1beta1.CustomRun) {
	s := l.stages[cr.Name]
	if s == nil {
		s = &stageSeen{run: cr.Labels["tekton.dev/pipelineRun"], task: cr.Labels["tekton.dev/pipelineTask"], created: l.at}
		l.stages[cr.Name] = s
	}
	if c := cr.Status.GetCondition(apis.ConditionSucceeded); c != nil {
		s.reason = c.Reason
	}
	if s.decided.IsZero() && (cr.Status.CompletionTime != nil || strings.Contains(string(cr.Status.ExtraFields.Raw), `"ending":`)) {
		s.decided = l.at
	}
	if s.done.IsZero() && cr.Status.CompletionTime != nil {
		s.done = l.at
	}
}

// of is a stage of a run, nil while there is none.
func (l *lookout) of(run, task string) *stageSeen {
	for _, s := range l.stages {
		if s.run == run && s.task == task {
			return s
		}
	}
	return nil
}

// firstWrite to one of the sets, or to any where none is named, from a time on.
func (l *lookout) firstWrite(from time.Time, set string) (first time.Time, ok bool) {
	for _, w := range slices.Backward(l.writes) {
		if !w.at.After(from) {
			break
		}
		if set == "" || w.set == set {
			first, ok = w.at, true
		}
	}
	return first, ok
}

// upAfter is when a pod of a set first came to serve after a time.
func (l *lookout) upAfter(set string, at time.Time) (time.Time, bool) {
	for _, up := range l.ups[set] {
		if up.After(at) {
			return up, true
		}
	}
	return time.Time{}, false
}

// allServe waits until so many pods serve with an image, and none that does not, and returns since when.
func (l *lookout) allServe(n int, image string) time.Time {
	l.t.Helper()
	return l.when(limit, fmt.Sprintf("%d pods serve with %s", n, image), func() bool { return l.serving[image] == n })
}

// ended waits until a run's stages named are over, and nothing is locked any more.
func (l *lookout) ended(run string, tasks ...string) {
	l.t.Helper()
	l.when(limit, run+" is over and nothing is locked", func() bool {
		for _, task := range tasks {
			if s := l.of(run, task); s == nil || s.done.IsZero() {
				return false
			}
		}
		return !l.locked()
	})
}
