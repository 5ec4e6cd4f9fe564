package overlay

import (
	"errors"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/utils/clock"
)

// DoubtAfter is how long an informer may lag behind a write before the API server is asked.
const DoubtAfter = 10 * time.Second

// Store remembers objects in groups, such as the pods of one owner in the group of the owner's UID. Names are unique in a group. It is safe for
// concurrent use.
type Store[T metav1.Object] struct {
	clock   clock.PassiveClock
	groupOf func(T) string

	mu     sync.Mutex
	groups map[string]map[string]*entry[T]
}

// entry is what is known of one name beyond the informer.
type entry[T metav1.Object] struct {
	// object that a write returned; nil where there is none.
	object *T
	// leaving: object was deleted by us. It stays until the informer shows a newer version, or that it is gone.
	leaving bool
	// gone is the UID of an object that the API server no longer has but the informer may.
	gone types.UID
	// doubtful: a write may or may not have landed.
	doubtful bool
	since    time.Time

	// What the informer told while writes were under way.
	writing int
	seen    map[types.UID]string
	deleted map[types.UID]bool
}

// New returns an empty Store. groupOf says to which group an object of the informer belongs; "" to none.
func New[T metav1.Object](c clock.PassiveClock, groupOf func(T) string) *Store[T] {
	return &Store[T]{clock: c, groupOf: groupOf, groups: map[string]map[string]*entry[T]{}}
}

// Write makes a write of one object and remembers what it returned.
func (s *Store[T]) Write(group, name string, write func() (T, error)) (T, error) {
	s.begin(group, name)
	object, err := write()
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entry(group, name)
	if err == nil && e.news(object) {
		e.object, e.leaving, e.doubtful, e.since = &object, false, false, s.clock.Now()
	}
	s.end(group, name, e, err)
	return object, err
}

// Delete makes a delete of an object and remembers that it is on its way out.
func (s *Store[T]) Delete(group string, object T, del func() error) error {
	s.begin(group, object.GetName())
	err := del()
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entry(group, object.GetName())
	if err == nil && e.news(object) {
		now := metav1.NewTime(s.clock.Now())
		object.SetDeletionTimestamp(&now)
		e.object, e.leaving, e.doubtful, e.since = &object, true, false, now.Time
	}
	s.end(group, object.GetName(), e, err)
	return err
}

// Settle remembers what the API server says about a name: the object, or nil where there is none.
func (s *Store[T]) Settle(group, name string, object *T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entry(group, name)
	e.doubtful, e.leaving, e.since = false, false, s.clock.Now()
	if object == nil && e.object != nil {
		e.gone = (*e.object).GetUID()
	}
	e.object = object
	s.tidy(group, name, e)
}

// Doubtful are the names of a group for which the API server has to be asked before the group is judged.
func (s *Store[T]) Doubtful(group string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for name, e := range s.groups[group] {
		if e.doubtful || e.object != nil && s.clock.Since(e.since) > DoubtAfter {
			names = append(names, name)
		}
	}
	return names
}

// Over returns the newest known state of a group, of which cached is what the informer has. Objects that are not in cached come last.
func (s *Store[T]) Over(group string, cached []T) []T {
	s.mu.Lock()
	defer s.mu.Unlock()
	entries := s.groups[group]
	if len(entries) == 0 {
		return cached
	}
	out := make([]T, 0, len(cached)+len(entries))
	inCache := make(map[string]bool, len(cached))
	for _, object := range cached {
		name := object.GetName()
		inCache[name] = true
		e := entries[name]
		switch {
		case e == nil:
			out = append(out, object)
		case e.gone != "" && e.gone == object.GetUID():
			continue
		case e.object != nil && !e.settledBy(object):
			out = append(out, *e.object)
		default:
			out = append(out, object)
		}
	}
	for name, e := range entries {
		if inCache[name] {
			continue
		}
		e.gone = "" // the informer knows it, too.
		if e.object != nil {
			out = append(out, *e.object)
		}
		s.tidy(group, name, e)
	}
	return out
}

// Observed takes an object that the informer added or updated.
func (s *Store[T]) Observed(object T) {
	s.event(object, func(e *entry[T]) {
		if e.object != nil && e.settledBy(object) {
			e.object = nil
		}
		if e.writing > 0 {
			if e.seen == nil {
				e.seen = map[types.UID]string{}
			}
			e.seen[object.GetUID()] = object.GetResourceVersion()
		}
	})
}

// Removed takes an object that the informer no longer has.
func (s *Store[T]) Removed(object T) {
	s.event(object, func(e *entry[T]) {
		if e.object != nil && (*e.object).GetUID() == object.GetUID() {
			e.object = nil
		}
		if e.gone == object.GetUID() {
			e.gone = ""
		}
		if e.writing > 0 {
			if e.deleted == nil {
				e.deleted = map[types.UID]bool{}
			}
			e.deleted[object.GetUID()] = true
		}
	})
}

// Forget a group.
func (s *Store[T]) Forget(group string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.groups, group)
}

func (s *Store[T]) event(object T, apply func(*entry[T])) {
	group := s.groupOf(object)
	if group == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.groups[group][object.GetName()]; e != nil {
		apply(e)
		s.tidy(group, object.GetName(), e)
	}
}

func (s *Store[T]) begin(group, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.entry(group, name).writing++
}

func (s *Store[T]) end(group, name string, e *entry[T], err error) {
	e.writing--
	if err != nil && !refused(err) {
		e.doubtful = true
	}
	if e.writing == 0 {
		e.seen, e.deleted = nil, nil
	}
	s.tidy(group, name, e)
}

// refused says whether the API server answered that it did not make the write. Any other error leaves that open: the request timed out, or the
// connection broke.
func refused(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return false
	}
	return status.Status().Code < 500 && !apierrors.IsTimeout(err)
}

func (s *Store[T]) entry(group, name string) *entry[T] {
	if s.groups[group] == nil {
		s.groups[group] = map[string]*entry[T]{}
	}
	e := s.groups[group][name]
	if e == nil {
		e = &entry[T]{}
		s.groups[group][name] = e
	}
	return e
}

// tidy forgets an entry that says nothing.
func (s *Store[T]) tidy(group, name string, e *entry[T]) {
	if e.object != nil || e.doubtful || e.gone != "" || e.writing > 0 {
		return
	}
	delete(s.groups[group], name)
	if len(s.groups[group]) == 0 {
		delete(s.groups, group)
	}
}

// news says whether the answer of a write is newer than all that is known.
func (e *entry[T]) news(object T) bool {
	if e.deleted[object.GetUID()] {
		return false
	}
	if rv, ok := e.seen[object.GetUID()]; ok && !older(rv, object.GetResourceVersion()) {
		return false
	}
	return e.object == nil || (*e.object).GetUID() != object.GetUID() || !older(object.GetResourceVersion(), (*e.object).GetResourceVersion())
}

// settledBy says whether the informer, which has object, caught up with what is remembered.
func (e *entry[T]) settledBy(object T) bool {
	mine := *e.object
	if mine.GetUID() != object.GetUID() {
		// Another object of the same name. The one with the later version was made later.
		return older(mine.GetResourceVersion(), object.GetResourceVersion())
	}
	if e.leaving && object.GetDeletionTimestamp() == nil {
		return false
	}
	return !older(object.GetResourceVersion(), mine.GetResourceVersion())
}

// Older says whether a is an older state of the same object than b.
func Older(a, b metav1.Object) bool {
	return a.GetUID() == b.GetUID() && older(a.GetResourceVersion(), b.GetResourceVersion())
}

// older says whether version a is before b. Versions that cannot be compared are never older, so that the informer wins.
func older(a, b string) bool {
	n, err := resourceversion.CompareResourceVersion(a, b)
	return err == nil && n < 0
}
