package sidecarset

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/utils/clock"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/client/clientset/versioned"
	listers "github.com/periplus-dev/periplus/pkg/client/listers/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/inplace"
	"github.com/periplus-dev/periplus/pkg/overlay"
	"github.com/periplus-dev/periplus/pkg/plan"
	"github.com/periplus-dev/periplus/pkg/sidecar"
	"github.com/periplus-dev/periplus/pkg/taken"
)

var kind = v1alpha1.SchemeGroupVersion.WithKind("SidecarSet")

type reconciler struct {
	kube     kubernetes.Interface
	periplus versioned.Interface
	system   string

	sets       listers.SidecarSetLister
	pods       cache.Indexer
	revisions  cache.Indexer
	slices     cache.Indexer
	budgets    cache.Indexer
	namespaces corelisters.NamespaceLister
	// workloads are ours, whose limits are kept; nil where there are none.
	workloads *Workloads
	// taken is shared with the controller of InPlaceSets.
	taken *taken.Register
	// audited says whether the audit has seen all pods.
	audited func() bool
	// begin what is needed only where there is a set: the watch of all other pods.
	begin func()

	// Pods are grouped by their namespace: several sets share them. The others by their set's UID.
	writtenPods      *overlay.Store[*corev1.Pod]
	writtenRevisions *overlay.Store[*appsv1.ControllerRevision]
	writtenSets      *overlay.Store[*v1alpha1.SidecarSet]

	clock    clock.PassiveClock
	recorder record.EventRecorder
	audit    *audit
	quiet    *quiet
	changes  changes

	// What passes remember. There is one pass at a time.
	contents map[*appsv1.ControllerRevision]*sidecar.Content
	refused  map[string]string
	sees     map[types.UID]*seen
	mu       sync.Mutex // of unfit, which writes fill side by side, and held, which events read.
	unfit    map[types.UID]refusal
	held     map[string]bool
	reported map[types.UID]time.Time
	told     map[types.UID]string
	rebuilds map[types.UID]*rebuild

	writesAtOnce int
	enqueue      func(set string)
	enqueueAfter func(set string, after time.Duration)
}

// refusal of a resize, in the API server's words, and when it is tried again.
type refusal struct {
	why   string
	until time.Time
}

// pass is what one pass knows, and what it came to.
type pass struct {
	set *v1alpha1.SidecarSet
	now time.Time
	// holder is the set in the records of pods.
	holder string

	// pods that carry the set's sidecars, live, and that it still means; strays are those that it means no more.
	pods, strays []*seen
	byName       map[string]*seen
	// newest are all pods with sidecars in these namespaces, whoever's.
	newest     map[types.UID]*corev1.Pod
	namespaces map[string]bool
	lacks      map[string]sidecar.Lack

	history []known
	// current and update are revisions; injects is the one that new pods get, empty where they get none.
	current, update, injects string
	// problems of the spec: where there are any, nothing moves.
	problems []string
	changes  map[string]inplace.Change
	// misfits are the fields that do not change in place.
	misfits []string

	budgets map[string][]disruption
	// workloads are the keys of what pods belong to, by the UIDs of their controllers, and applications those of them that have a limit of their own.
	workloads    map[types.UID]string
	applications map[string]*application
	// taken says whether somebody else is taking a pod out of service.
	taken func(types.UID) bool
	// comes is when a pod of an application may become available by time alone.
	comes time.Duration
	state plan.SidecarSetState
	plan  plan.SidecarSetPlan

	waits  waits
	wakeIn time.Duration
}

func (p *pass) wakeAfter(d time.Duration) {
	if d > 0 && (p.wakeIn == 0 || d < p.wakeIn) {
		p.wakeIn = d
	}
}

// reconcile is one pass over one set.
func (r *reconciler) reconcile(ctx context.Context, key types.NamespacedName) error {
	cached, err := r.sets.Get(key.Name)
	if apierrors.IsNotFound(err) {
		r.audit.forget(key.Name)
		r.taken.Keep(by(key.Name), func(types.UID) bool { return false })
		r.holdsBack(key.Name, false)
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading SidecarSet %s: %w", key.Name, err)
	}
	r.begin()
	set := r.writtenSets.Over(string(cached.UID), []*v1alpha1.SidecarSet{cached})[0]
	p, err := r.observe(ctx, set)
	if err != nil {
		return err
	}
	r.settle(p)
	if set.DeletionTimestamp != nil {
		err := r.leave(ctx, p)
		r.settle(p)
		if p.wakeIn > 0 {
			r.enqueueAfter(set.Name, p.wakeIn)
		}
		return err
	}
	if err := r.hold(ctx, p); err != nil {
		return err
	}
	if err := r.revise(ctx, p); err != nil {
		return err
	}
	r.taken.Decide(by(set.Name), func(see taken.View) []*corev1.Pod {
		p.taken = func(uid types.UID) bool { return see(uid, by(set.Name)) }
		if err = r.decide(p); err != nil {
			return nil
		}
		return p.takes()
	})
	if err != nil {
		return err
	}
	r.holds(p)
	errs := []error{r.move(ctx, p)}
	r.settle(p)
	errs = append(errs, r.forgetHistory(ctx, p), r.report(ctx, p))
	if p.wakeIn > 0 {
		r.enqueueAfter(set.Name, p.wakeIn)
	}
	return mostImportant(errs)
}

// by names a set of this controller in the register.
func by(set string) taken.By {
	return taken.By{Kind: kind.Kind, NamespacedName: types.NamespacedName{Name: set}}
}

// takes are the pods that serve and that the plan takes.
func (p *pass) takes() []*corev1.Pod {
	var out []*corev1.Pod
	for _, name := range p.plan.Update {
		if seen := p.byName[name]; taken.Healthy(seen.pod) && !heldByAnother(seen, p.holder) {
			out = append(out, seen.pod)
		}
	}
	return out
}

// settle gives back what was to be taken and was not: the write failed, or the engine had to wait first. One whose answer got lost is kept until the API server was
// asked.
func (r *reconciler) settle(p *pass) {
	if !r.taken.Takes(by(p.set.Name)) {
		return
	}
	out := map[types.UID]bool{}
	for namespace := range p.namespaces {
		inDoubt := map[string]bool{}
		for _, name := range r.writtenPods.Doubtful(namespace) {
			inDoubt[name] = true
		}
		found, err := r.pods.ByIndex(cache.NamespaceIndex, namespace)
		if err != nil {
			return // a cache fails at nothing.
		}
		for _, pod := range r.writtenPods.Over(namespace, podsOf(found)) {
			out[pod.UID] = inDoubt[pod.Name] || !taken.Healthy(pod)
		}
	}
	r.taken.Keep(by(p.set.Name), func(uid types.UID) bool { return out[uid] })
}

// mostImportant returns all errors, but conflicts alone only if there is nothing else: they are usual, and retried quietly.
func mostImportant(errs []error) error {
	var conflicts, others []error
	for _, err := range errs {
		switch {
		case err == nil:
		case apierrors.IsConflict(err):
			conflicts = append(conflicts, err)
		default:
			others = append(others, err)
		}
	}
	if len(others) > 0 {
		return errors.Join(others...)
	}
	return errors.Join(conflicts...)
}
