package cafedeployment

import (
	"context"
	"errors"
	"fmt"
	"time"

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

var kind = v1alpha1.SchemeGroupVersion.WithKind("CafeDeployment")

type reconciler struct {
	kube     kubernetes.Interface
	periplus versioned.Interface

	deployments listers.CafeDeploymentLister
	pods        []cache.Indexer
	sets        map[v1alpha1.PodSetType]podSets
	written     *overlay.Store[*v1alpha1.CafeDeployment]
	book        *revision.Book

	clock    clock.PassiveClock
	recorder record.EventRecorder
	memory   *memory

	enqueue      func(types.NamespacedName)
	enqueueAfter func(types.NamespacedName, time.Duration)
}

// reconcile is one pass over one deployment.
func (r *reconciler) reconcile(ctx context.Context, key types.NamespacedName) error {
	d, err := r.deployment(ctx, key)
	if err != nil {
		return err
	}
	if d == nil || d.DeletionTimestamp != nil {
		return nil // its pod sets and revisions go by their owner reference.
	}
	p, err := r.observe(ctx, d)
	if err != nil {
		return err
	}
	p.decide()
	var errs []error
	if len(p.problems) == 0 {
		errs = append(errs, r.resetConfirmation(ctx, p), r.bring(ctx, p))
	}
	errs = append(errs, r.forgetHistory(ctx, p))
	if !p.plan.Reset {
		errs = append(errs, r.report(ctx, p))
	}
	if p.wakeIn > 0 {
		r.enqueueAfter(key, p.wakeIn)
	}
	return mostImportant(errs)
}

// deployment returns the newest known state of a deployment, or nil if there is none any more.
func (r *reconciler) deployment(ctx context.Context, key types.NamespacedName) (*v1alpha1.CafeDeployment, error) {
	d, err := r.deployments.CafeDeployments(key.Namespace).Get(key.Name)
	if apierrors.IsNotFound(err) {
		r.forget(r.memory.forget(key))
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading CafeDeployment %s: %w", key, err)
	}
	r.forget(r.memory.know(key, d.UID))
	if len(r.written.Doubtful(string(d.UID))) > 0 {
		return r.ask(ctx, key, d.UID)
	}
	return r.written.Over(string(d.UID), []*v1alpha1.CafeDeployment{d})[0], nil
}

func (r *reconciler) forget(uid types.UID) {
	if uid == "" {
		return
	}
	for _, sets := range r.sets {
		sets.forget(uid)
	}
	r.book.Written.Forget(string(uid))
	r.written.Forget(string(uid))
}

// bring each unit's pod sets to where the plan wants them. One unit that cannot be brought there does not stop the others.
func (r *reconciler) bring(ctx context.Context, p *pass) error {
	var errs []error
	for _, u := range p.units {
		var err error
		switch {
		case u.plan.Delete:
			err = p.sets.drop(ctx, p, u)
		case u.draining && len(u.sets) == 0:
		default:
			err = p.sets.bring(ctx, p, u)
		}
		var missing *missingRevision
		if errors.As(err, &missing) {
			p.missing = missing.Error()
			continue // said in the condition: only the user can help.
		}
		if err != nil && !apierrors.IsConflict(err) {
			u.stalled, u.why = ReasonWriteFailed, err.Error()
			p.wakeAfter(writeAgain)
		}
		errs = append(errs, err)
	}
	return mostImportant(errs)
}

// pass is what one pass knows, and what it came to.
type pass struct {
	d    *v1alpha1.CafeDeployment
	now  time.Time
	sets podSets
	// units in the order of the spec, and after them those that are draining.
	units   []*unit
	history *revision.History
	// current and update are the revisions' hashes.
	current, update string
	// problems of the spec: where there are any, nothing moves.
	problems []string
	looks    looks
	best     *deadline.Best

	state plan.CafeState
	plan  plan.CafePlan

	missing string
	wakeIn  time.Duration
}

// unit is what is seen of one, and what is to become of it.
type unit struct {
	name     string
	draining bool
	sets     []podSet
	// pods that are not being deleted, in the order in which the pod sets would take them away; leaving are those that are.
	pods    []*seenPod
	leaving []*seenPod
	plan    plan.CafeUnitPlan

	pending      int32
	pendingFor   string
	stalled, why string
}

// writeAgain is the longest that a refused write waits to be tried again: no event tells that a quota was raised or a name is free.
const writeAgain = 10 * time.Second

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
