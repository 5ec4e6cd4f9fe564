package fleet

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"k8s.io/client-go/tools/cache"
)

// Session is one owner's access to one member.
type Session struct {
	m      *member
	wake   atomic.Pointer[func()]
	closed atomic.Bool
}

// Member is the member's name.
func (s *Session) Member() string { return s.m.name }

// Reachability says whether the member can be worked with, as of now.
func (s *Session) Reachability() Reachability {
	r, _ := s.m.state()
	return r
}

// Informer returns the informer of a key, such as "pods|app=web", shared by all sessions with the member. The first to ask starts it in
// the background by means of make, which must return the same kind of informer for the same key, must neither start it nor block,
// and is called again when the informer has to be renewed: with other credentials, or after the member was unreachable.
//
// Unless synced is true the data must not be decided upon, and inf can be nil or one that has stopped; what synced guarantees is said
// in the package's documentation. The session is woken when synced may have become true. Do not keep inf: ask each time.
func (s *Session) Informer(key string, make func(Clients) cache.SharedIndexInformer) (inf cache.SharedIndexInformer, synced bool) {
	if s.closed.Load() {
		return nil, false
	}
	return s.m.informer(s, key, make)
}

// InformerError says why the informer of a key is not synced, as last seen; nil where it is, or has not been asked for.
func (s *Session) InformerError(key string) error { return s.m.informerError(key) }

// Do makes one call, a read or a write, to the member. what says it, for errors and people, such as "patching InPlaceSet web/productpage".
//
// It is bounded by Options.CallTimeout through the context given to fn, which fn must pass on. It never waits for others: the error
// is ErrBusy where Options.CallsPerMember calls are under way. A timeout or a broken connection marks the member unreachable at once
// and returns an *UnreachableError, as does, without a call, a member that is known to be unreachable; the heartbeat finds out when it is
// back and wakes the session. Whether a write that failed so took effect is not known. Errors of the member's API pass through, wrapped.
func (s *Session) Do(ctx context.Context, what string, fn func(ctx context.Context, c Clients) error) error {
	m := s.m
	if s.closed.Load() {
		return fmt.Errorf("%s in member %q: session: %w", what, m.name, ErrClosed)
	}
	call, err := m.begin(s)
	if err != nil {
		m.fleet.metrics.call(ctx, m.name, outcomeOf(err), 0)
		return fmt.Errorf("%s: %w", what, err)
	}
	limited, cancel := context.WithTimeout(ctx, m.fleet.opts.CallTimeout)
	defer cancel()
	bounded, cut := context.WithCancelCause(limited)
	defer cut(nil)
	defer context.AfterFunc(call.up, func() { cut(context.Cause(call.up)) })()
	started := time.Now()
	err = func() error {
		// A fn that panics must not keep its place for ever.
		defer m.end()
		return fn(bounded, call.clients)
	}()
	took := time.Since(started)
	outcome, seen := judge(ctx, bounded, err)
	m.fleet.metrics.call(ctx, m.name, outcome, took)
	switch outcome {
	case outcomeTimeout:
		err = &cause{text: fmt.Sprintf("no answer within %s", m.fleet.opts.CallTimeout), err: err}
		return fmt.Errorf("%s: %w", what, m.suspect(call.conn, what, err))
	case outcomeConnection:
		if cut := context.Cause(bounded); errors.Is(cut, errCut) {
			err = cut
		}
		return fmt.Errorf("%s: %w", what, m.suspect(call.conn, what, err))
	}
	if seen {
		m.contact()
	}
	if err == nil {
		return nil
	}
	if outcome == outcomeServer || outcome == outcomeUnauthorized {
		m.poke()
	}
	return fmt.Errorf("%s in member %q: %w", what, m.name, err)
}

func (s *Session) callWake() {
	if s.closed.Load() {
		return
	}
	if wake := s.wake.Load(); wake != nil && *wake != nil {
		(*wake)()
	}
}
