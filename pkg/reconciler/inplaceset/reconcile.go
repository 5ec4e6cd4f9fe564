package inplaceset

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/utils/clock"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/client/clientset/versioned"
	listers "github.com/periplus-dev/periplus/pkg/client/listers/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/deadline"
	"github.com/periplus-dev/periplus/pkg/overlay"
	"github.com/periplus-dev/periplus/pkg/plan"
	"github.com/periplus-dev/periplus/pkg/revision"
)

var kind = v1alpha1.SchemeGroupVersion.WithKind("InPlaceSet")

type reconciler struct {
	kube     kubernetes.Interface
	periplus versioned.Interface

	sets    listers.InPlaceSetLister
	pods    cache.Indexer
	slices  cache.Indexer
	budgets cache.Indexer
	// carriers are pods with sidecars, whoever owns them; nil where nobody puts them in.
	carriers cache.Indexer

	writtenPods *overlay.Store[*corev1.Pod]
	book        *revision.Book
	writtenSets *overlay.Store[*v1alpha1.InPlaceSet]

	clock    clock.PassiveClock
	recorder record.EventRecorder
	drains   *drains
	ledger   *ledger
	memory   *memory

	writesAtOnce int
	enqueue      func(types.NamespacedName)
	enqueueAfter func(types.NamespacedName, time.Duration)
}

// reconcile is one pass over one set.
func (r *reconciler) reconcile(ctx context.Context, key types.NamespacedName) error {
	set, err := r.set(key)
	if err != nil {
		return err
	}
	pods := 0
	r.passes(key)
	defer func() { r.passed(key, pods) }()
	again, held := r.letGo(ctx, key, set)
	if again > 0 {
		r.enqueueAfter(key, again)
	}
	if set == nil || set.DeletionTimestamp != nil {
		return held // its pods and revisions go by their owner reference.
	}
	p, err := r.observe(ctx, set)
	if err != nil {
		return err
	}
	pods = len(p.pods)
	r.establish(p)
	if err := r.decideUnderBudgets(p); err != nil {
		return err
	}
	errs := []error{held, r.create(ctx, p), r.move(ctx, p)}
	r.settle(p)
	errs = append(errs, r.forgetHistory(ctx, p), r.report(ctx, p))
	if p.wakeIn > 0 {
		r.enqueueAfter(key, p.wakeIn)
	}
	return mostImportant(errs)
}

// set returns the newest known state of a set, or nil if there is none any more.
func (r *reconciler) set(key types.NamespacedName) (*v1alpha1.InPlaceSet, error) {
	set, err := r.sets.InPlaceSets(key.Namespace).Get(key.Name)
	if apierrors.IsNotFound(err) {
		r.ledger.forget(key)
		if uid, ok := r.memory.forget(key); ok {
			r.writtenPods.Forget(uid)
			r.book.Written.Forget(uid)
			r.writtenSets.Forget(uid)
		}
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading InPlaceSet %s: %w", key, err)
	}
	if uid, replaced := r.memory.know(key, string(set.UID)); replaced {
		r.writtenPods.Forget(uid)
		r.book.Written.Forget(uid)
		r.writtenSets.Forget(uid)
	}
	return r.writtenSets.Over(string(set.UID), []*v1alpha1.InPlaceSet{set})[0], nil
}

// pass is what one pass knows, and what it came to.
type pass struct {
	set *v1alpha1.InPlaceSet
	now time.Time
	// holder of the changes that the set makes.
	holder string

	// pods of the set that are not being deleted; leaving are those that are. strayed were made by the set, but their labels were changed: they are left
	// alone, and keep their names.
	pods, leaving, strayed []*corev1.Pod
	history                *revision.History
	// current and update are the revisions' hashes.
	current, update string

	// problems of the spec: where there are any, nothing moves.
	problems []string
	// misfits are the fields that do not change in place.
	misfits []string
	changes map[string]change
	// refused are the resizes that the API server did not take, by pod; unfits is why pods, by name, cannot get to the update revision where they are.
	looked  []*seenPod
	texts   *texts
	best    *deadline.Best
	refused map[types.UID]refusal
	unfits  map[string]string
	// established is how many pods there were; budgets and left tell of disruption budgets, nil where there are none.
	established int32
	budgets     func(*plan.InPlacePod) []string
	left        func(string) int32
	// takenByOthers says whether another controller of this process is taking a pod; nil where none may.
	takenByOthers func(types.UID) bool

	state plan.InPlaceSetState
	plan  plan.InPlaceSetPlan

	// What came of it. forNode is how many pods wait for room on the node of the pod before them.
	forNode    int
	waits      waits
	missing    string
	createErr  error
	publishers map[string]bool
	wakeIn     time.Duration
}

// wakeAfter asks for another pass, at the latest after d.
func (p *pass) wakeAfter(d time.Duration) {
	if d > 0 && (p.wakeIn == 0 || d < p.wakeIn) {
		p.wakeIn = d
	}
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
