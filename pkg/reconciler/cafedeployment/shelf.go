package cafedeployment

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/overlay"
)

type object interface {
	metav1.Object
	runtime.Object
}

// client of one kind in one namespace: what the generated clients have.
type client[T any] interface {
	Get(ctx context.Context, name string, opts metav1.GetOptions) (T, error)
	Create(ctx context.Context, o T, opts metav1.CreateOptions) (T, error)
	Update(ctx context.Context, o T, opts metav1.UpdateOptions) (T, error)
	Delete(ctx context.Context, name string, opts metav1.DeleteOptions) error
}

// shelf holds the objects of one kind that deployments control: what the informer has, and over it what was written last.
type shelf[T object] struct {
	kind    string
	known   cache.Indexer
	written *overlay.Store[T]
	client  func(namespace string) client[T]
}

func newShelf[T object](kind string, informer cache.SharedIndexInformer, c clock.PassiveClock, of func(namespace string) client[T]) *shelf[T] {
	return &shelf[T]{kind: kind, known: informer.GetIndexer(), written: overlay.New(c, ownerUID[T]), client: of}
}

// of a deployment, those being deleted included.
func (s *shelf[T]) of(ctx context.Context, d *v1alpha1.CafeDeployment) ([]T, error) {
	uid := string(d.UID)
	for _, name := range s.written.Doubtful(uid) {
		o, err := s.client(d.Namespace).Get(ctx, name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			s.written.Settle(uid, name, nil)
		case err != nil:
			return nil, fmt.Errorf("reading %s %s/%s, whose last write is in doubt: %w", s.kind, d.Namespace, name, err)
		case ownerUID(o) != uid:
			s.written.Settle(uid, name, nil)
		default:
			s.written.Settle(uid, name, &o)
		}
	}
	found, err := s.known.ByIndex(byOwner, uid)
	if err != nil {
		return nil, fmt.Errorf("listing %ss of CafeDeployment %s/%s: %w", s.kind, d.Namespace, d.Name, err)
	}
	cached := make([]T, 0, len(found))
	for _, o := range found {
		if of, ok := o.(T); ok {
			cached = append(cached, of)
		}
	}
	return s.written.Over(uid, cached), nil
}

// create an object. One of that name which is the deployment's is taken as it is, in the next pass; another's is an error.
func (s *shelf[T]) create(ctx context.Context, d *v1alpha1.CafeDeployment, o T) error {
	c := s.client(d.Namespace)
	_, err := s.written.Write(string(d.UID), o.GetName(), func() (T, error) { return c.Create(ctx, o, metav1.CreateOptions{}) })
	if !apierrors.IsAlreadyExists(err) {
		if err != nil {
			return fmt.Errorf("creating %s %s/%s: %w", s.kind, d.Namespace, o.GetName(), err)
		}
		return nil
	}
	there, err := c.Get(ctx, o.GetName(), metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil // gone meanwhile; its event starts the next pass.
	case err != nil:
		return fmt.Errorf("reading %s %s/%s, which exists already: %w", s.kind, d.Namespace, o.GetName(), err)
	case ownerUID(there) != string(d.UID):
		return fmt.Errorf("creating %s %s/%s: there is one of that name which is not of CafeDeployment %s; delete or rename either", s.kind, d.Namespace, o.GetName(), d.Name)
	}
	s.written.Settle(string(d.UID), o.GetName(), &there)
	return nil
}

// update an object, if it is still the version that was read.
func (s *shelf[T]) update(ctx context.Context, d *v1alpha1.CafeDeployment, o T) error {
	_, err := s.written.Write(string(d.UID), o.GetName(), func() (T, error) { return s.client(d.Namespace).Update(ctx, o, metav1.UpdateOptions{}) })
	if err != nil {
		return fmt.Errorf("writing %s %s/%s: %w", s.kind, d.Namespace, o.GetName(), err)
	}
	return nil
}

// remove an object, if it is still the version that was read. copied is a copy of it, which is changed.
func (s *shelf[T]) remove(ctx context.Context, d *v1alpha1.CafeDeployment, copied T) error {
	uid, version, background := copied.GetUID(), copied.GetResourceVersion(), metav1.DeletePropagationBackground
	err := s.written.Delete(string(d.UID), copied, func() error {
		return s.client(d.Namespace).Delete(ctx, copied.GetName(), metav1.DeleteOptions{
			Preconditions: &metav1.Preconditions{UID: &uid, ResourceVersion: &version}, PropagationPolicy: &background,
		})
	})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("deleting %s %s/%s: %w", s.kind, d.Namespace, copied.GetName(), err)
	}
	return nil
}

// forget a deployment that is gone.
func (s *shelf[T]) forget(uid types.UID) { s.written.Forget(string(uid)) }
