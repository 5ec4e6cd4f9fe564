package simulation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	apitypes "k8s.io/apimachinery/pkg/types"
	"knative.dev/pkg/controller"
	"knative.dev/pkg/logging"

	"github.com/periplus-dev/periplus/test/simulation/store"
)

// The back-off of a failed key, as knative's work queues have it.
const (
	firstBackoff = 5 * time.Millisecond
	mostBackoff  = 1000 * time.Second
)

// errKilled is what a killed process gets from all that it still tries. Nothing of it is left afterwards.
var errKilled = errors.New("the process was killed")

// process is one of our binaries. All that it has in memory is lost when it is killed.
type process struct {
	w      *World
	name   string
	home   *cluster
	start  func(*process)
	alive  bool
	life   int
	queues []*queue
	// informers of its own cluster, and the fleet of a hub.
	informers []*informer
	fleet     *seen
	// current is the pass that is being made.
	current pass
}

// pass names one pass of one controller.
type pass struct {
	queue string
	key   apitypes.NamespacedName
}

func (p pass) String() string { return p.queue + " " + p.key.Name }

// queue is the work queue of one controller.
type queue struct {
	p         *process
	name      string
	reconcile func(context.Context, apitypes.NamespacedName) error
	ready     []apitypes.NamespacedName
	later     map[apitypes.NamespacedName]time.Time
	failures  map[apitypes.NamespacedName]int
	// sorted has keys wait in the order of their names: their controller wakes them by what it finds in maps.
	sorted bool
}

func (p *process) newQueue(name string) *queue {
	q := &queue{p: p, name: name, later: map[apitypes.NamespacedName]time.Time{}, failures: map[apitypes.NamespacedName]int{}}
	p.queues = append(p.queues, q)
	return q
}

func (q *queue) add(key apitypes.NamespacedName) {
	if !slices.Contains(q.ready, key) {
		q.ready = append(q.ready, key)
	}
	if q.sorted {
		slices.SortFunc(q.ready, byName)
	}
}

func (q *queue) addAfter(key apitypes.NamespacedName, after time.Duration) {
	at := q.p.w.clock.Now().Add(after)
	if known, ok := q.later[key]; !ok || at.Before(known) {
		q.later[key] = at
	}
}

// due moves what has waited long enough.
func (q *queue) due(now time.Time) {
	var keys []apitypes.NamespacedName
	for key, at := range q.later {
		if !at.After(now) {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, byName)
	for _, key := range keys {
		delete(q.later, key)
		q.add(key)
	}
}

func byName(a, b apitypes.NamespacedName) int {
	switch {
	case a.Name < b.Name:
		return -1
	case a.Name > b.Name:
		return 1
	}
	return 0
}

// run makes one pass over a key that is ready.
func (q *queue) run(n int) {
	key := q.ready[n]
	q.ready = slices.Delete(q.ready, n, n+1)
	q.p.current = pass{q.name, key}
	err := q.reconcile(logging.WithLogger(context.Background(), zap.NewNop().Sugar()), key)
	q.p.current = pass{}
	if !q.p.alive {
		return
	}
	ok, after := controller.IsRequeueKey(err)
	switch {
	case err == nil:
		delete(q.failures, key)
	case ok:
		delete(q.failures, key)
		q.p.w.logf("  again in %s", after)
		q.addAfter(key, after)
	case controller.IsSkipKey(err), controller.IsPermanentError(err):
		delete(q.failures, key)
	default:
		q.p.w.logf("  failed: %v", err)
		q.addAfter(key, min(firstBackoff<<min(q.failures[key], 30), mostBackoff))
		q.failures[key]++
	}
}

// inform returns an informer of the process's own cluster.
func (p *process) inform(group, resource, label string) *informer {
	f := &store.Selection{Kind: p.home.api.Kind(group, resource)}
	if label != "" {
		s, err := labels.Parse(label)
		if err != nil {
			panic(fmt.Errorf("label %q: %w", label, err))
		}
		f.Labels = s
	}
	i := newInformer(p.name+"/"+resource, p.home, f)
	i.lie = p.w.lieOf(p.name, resource)
	p.informers = append(p.informers, i)
	return i
}

// boot starts the process: it lists everything, and then works.
func (p *process) boot() {
	p.life++
	p.alive = true
	p.queues, p.informers, p.fleet = nil, nil, nil
	p.start(p)
	for _, i := range p.informers {
		i.list()
	}
}

// kill ends the process where it is.
func (p *process) kill() { p.alive = false }

// quiet takes the Events that controllers record.
type quiet struct{}

func (quiet) Event(runtime.Object, string, string, string)          {}
func (quiet) Eventf(runtime.Object, string, string, string, ...any) {}
func (quiet) AnnotatedEventf(runtime.Object, map[string]string, string, string, string, ...any) {
}
