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
	mu       sync.Mutex // of unfit, which writes fill side by side.
	unfit    map[types.UID]refusal
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
	namespaces   map[string]bool
	lacks        map[string]sidecar.Lack

	history []known
	// current and update are revisions; injects is the one that new pods get, empty where they get none.
	current, update, injects string
	// problems of the spec: where there are any, nothing moves.
	problems []string
	changes  map[string]inplace.Change
	// misfits are the fields that do not change in place.
	misfits []string

	budgets map[string][]disruption
	state   plan.SidecarSetState
	plan    plan.SidecarSetPlan

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
	if set.DeletionTimestamp != nil {
		err := r.leave(ctx, p)
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
	if err := r.decide(p); err != nil {
		return err
	}
	errs := []error{r.move(ctx, p), r.forgetHistory(ctx, p), r.report(ctx, p)}
	if p.wakeIn > 0 {
		r.enqueueAfter(set.Name, p.wakeIn)
	}
	return mostImportant(errs)
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
