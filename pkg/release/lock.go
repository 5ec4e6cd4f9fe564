package release

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/client/clientset/versioned"
	"github.com/periplus-dev/periplus/pkg/workload"
)

// Locks takes and judges locks on behalf of one hub.
type Locks struct {
	// Hub is the UID of the hub's kube-system namespace.
	Hub    string
	Client versioned.Interface
}

// HeldError says which release holds a workload; Unit is the one that was asked about.
type HeldError struct {
	Unit string
	Lock v1alpha1.Lock
}

// Error implements error.
func (e *HeldError) Error() string {
	return fmt.Sprintf("%s is held by release %s/%s (run %s) since %s UTC", e.Unit, e.Lock.Namespace, e.Lock.Release, e.Lock.Root, e.Lock.Since.UTC().Format("15:04:05"))
}

// For is the lock that a release puts on a workload.
func (l *Locks) For(rel *v1alpha1.Release, o workload.Object, now metav1.Time) *v1alpha1.Lock {
	return &v1alpha1.Lock{Hub: l.Hub, Namespace: rel.Namespace, Release: rel.Name, UID: rel.UID, Root: rel.Spec.Root.Name, Since: now, Previous: o.Previous()}
}

// Mine says whether the lock on a workload is this release's.
func (l *Locks) Mine(rel *v1alpha1.Release, lock *v1alpha1.Lock) bool {
	return lock != nil && lock.Hub == l.Hub && lock.UID == rel.UID && lock.Namespace == rel.Namespace && lock.Release == rel.Name
}

// Check returns nil when the workload of a unit is free for a release: not locked, locked by it, or locked by a release of this hub that is over. It returns a
// HeldError where another release holds it. Locks of other hubs are always held.
func (l *Locks) Check(ctx context.Context, rel *v1alpha1.Release, u *workload.Unit) error {
	if u.LockError != nil {
		return u.LockError
	}
	if u.Lock == nil || l.Mine(rel, u.Lock) {
		return nil
	}
	held := &HeldError{Unit: u.Ref(), Lock: *u.Lock}
	if u.Lock.Hub != l.Hub {
		return held
	}
	// The API server itself is asked: a record that a cache does not have yet would look like one that is over.
	other, err := l.Client.StagesV1alpha1().Releases(u.Lock.Namespace).Get(ctx, u.Lock.Release, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return fmt.Errorf("reading the release that holds %s: %w", u.Ref(), err)
	case other.UID != u.Lock.UID || Over(other):
		return nil
	}
	return held
}

// GoingBack is the rollback that is taking a release back now, or nil.
func GoingBack(rel *v1alpha1.Release) *v1alpha1.RollbackRecord {
	if b := rel.Status.Rollback; b != nil && b.CompletionTime == nil && rel.Status.Phase == v1alpha1.ReleaseRollingBack {
		return b
	}
	return nil
}

// Over says whether a release moves nothing any more.
func Over(rel *v1alpha1.Release) bool {
	switch rel.Status.Phase {
	case v1alpha1.ReleaseSucceeded, v1alpha1.ReleaseFailed, v1alpha1.ReleaseRolledBack:
		return true
	}
	return false
}

// IsHeld says whether err is a HeldError.
func IsHeld(err error) (*HeldError, bool) {
	var h *HeldError
	ok := errors.As(err, &h)
	return h, ok
}
