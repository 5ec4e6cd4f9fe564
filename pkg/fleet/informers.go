package fleet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
)

// sharedInformer is one key of one member. It outlives its runs: each time the member comes back, or its credentials change, a
// new informer is made and lists everything again, which is the only proof that what it holds is newer than the outage.
type sharedInformer struct {
	key    string
	make   func(Clients) cache.SharedIndexInformer
	users  atomic.Pointer[[]*Session] // copied on write under member.mu, so that events take no lock
	linger clock.Timer                // set while nobody uses it
	run    *run                       // nil while the member is not reachable
	last   cache.SharedIndexInformer  // of the present or last run
	err    error                      // why there is no run, where that is not the member's reachability
}

func (i *sharedInformer) wake() {
	for _, s := range *i.users.Load() {
		s.callWake()
	}
}

// run is one life of an informer.
type run struct {
	cancel context.CancelFunc
	reg    cache.ResourceEventHandlerRegistration

	mu       sync.Mutex
	open     int       // watches that stream; more than one for a moment at most
	opened   bool      // one ever did
	observed bool      // a watch was ever tried; never so with clients that have no transport, such as fakes
	closed   time.Time // since when none is open, once observed
	stale    bool      // a watch opened again after a gap: what it missed is not known to have come, and the run is to be replaced
	err      error     // of the last list or watch; nil once a watch opened
}

func (r *run) synced(now time.Time, gap time.Duration) bool {
	if !r.reg.HasSynced() {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.stale && (r.open > 0 || !r.observed || now.Sub(r.closed) < gap)
}

// problem says why a run is not synced; nil where it is.
func (r *run) problem(now time.Time, gap time.Duration) error {
	if r.synced(now, gap) {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.err != nil:
		return r.err
	case r.stale:
		return errors.New("its watch opened again after a gap, and a new list is on its way")
	case r.reg.HasSynced():
		return fmt.Errorf("its watch is closed since %s", r.closed.UTC().Format(time.RFC3339))
	}
	return errors.New("its first list is not complete yet")
}

func (m *member) informer(s *Session, key string, make func(Clients) cache.SharedIndexInformer) (cache.SharedIndexInformer, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.sessions[s]; !ok || m.over {
		return nil, false
	}
	i := m.informers[key]
	if i == nil {
		i = &sharedInformer{key: key, make: make}
		i.users.Store(&[]*Session{})
		m.informers[key] = i
	}
	if i.linger != nil {
		i.linger.Stop()
		i.linger = nil
	}
	if users := *i.users.Load(); !slices.Contains(users, s) {
		users = append(slices.Clone(users), s)
		i.users.Store(&users)
	}
	if i.run == nil && m.reach.State == Reachable {
		m.startInformer(i)
	}
	synced := i.run != nil && m.reach.State == Reachable && i.run.synced(m.fleet.opts.Clock.Now(), m.fleet.opts.WatchGap)
	return i.last, synced
}

func (m *member) informerError(key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := m.informers[key]
	switch {
	case i == nil:
		return nil
	case m.reach.State == Unreachable:
		return m.unreachable()
	case i.run == nil:
		return i.err
	}
	return i.run.problem(m.fleet.opts.Clock.Now(), m.fleet.opts.WatchGap)
}

// letGo takes a user off; an informer that has none lingers and then ends. m.mu is held.
func (m *member) letGo(i *sharedInformer, s *Session) {
	users := *i.users.Load()
	at := slices.Index(users, s)
	if at < 0 {
		return
	}
	users = slices.Delete(slices.Clone(users), at, at+1)
	i.users.Store(&users)
	if len(users) > 0 || m.over {
		return
	}
	i.linger = m.fleet.opts.Clock.AfterFunc(m.fleet.opts.Linger, func() {
		m.fleet.life.spawn(func() { m.endLingering(i) })
	})
}

func (m *member) endLingering(i *sharedInformer) {
	m.mu.Lock()
	if len(*i.users.Load()) > 0 || m.informers[i.key] != i {
		m.mu.Unlock()
		return
	}
	m.stopInformer(i)
	delete(m.informers, i.key)
	var rest Connection
	if !m.worked() {
		rest = m.conn
	}
	m.mu.Unlock()
	if rest != nil {
		rest.Rest()
	}
}

// startInformers starts what does not run, and renews what lost its watch if the member comes back: the reflector would wait for up to
// half a minute. m.mu is held.
func (m *member) startInformers(back bool) {
	for _, i := range m.informers {
		if i.run != nil && back {
			i.run.mu.Lock()
			broken := i.run.stale || (i.run.observed && i.run.open == 0)
			i.run.mu.Unlock()
			if broken {
				m.stopInformer(i)
			}
		}
		if i.run == nil {
			m.startInformer(i)
		}
	}
}

func (m *member) stopInformers() {
	for _, i := range m.informers {
		m.stopInformer(i)
	}
}

func (m *member) stopInformer(i *sharedInformer) {
	if i.run != nil {
		i.run.cancel()
		i.run = nil
	}
}

// startInformer starts a new life. m.mu is held.
func (m *member) startInformer(i *sharedInformer) {
	r := &run{}
	clients, err := m.conn.Clients(func(e WatchEvent, err error) { m.watched(i, r, e, err) })
	if err != nil {
		i.err = err
		return
	}
	inf := i.make(clients)
	if err := inf.SetWatchErrorHandlerWithContext(func(_ context.Context, _ *cache.Reflector, err error) { m.listFailed(i, r, err) }); err != nil {
		i.err = fmt.Errorf("informer %q was already started by its make function: %w", i.key, err)
		return
	}
	r.reg, err = inf.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { i.wake() },
		UpdateFunc: func(any, any) { i.wake() },
		DeleteFunc: func(any) { i.wake() },
	})
	if err != nil {
		i.err = fmt.Errorf("informer %q: %w", i.key, err)
		return
	}
	ctx, cancel := context.WithCancel(m.fleet.life.ctx)
	if !m.fleet.life.spawn(func() { inf.RunWithContext(ctx) }) {
		cancel()
		return
	}
	// An empty list makes no event, so somebody has to say that it is complete.
	m.fleet.life.spawn(func() {
		if cache.WaitForCacheSync(ctx.Done(), r.reg.HasSynced) {
			i.wake()
		}
	})
	r.cancel = cancel
	i.run, i.last, i.err = r, inf, nil
}

// watched takes up what happened to a watch of a run. No lock is held.
func (m *member) watched(i *sharedInformer, r *run, e WatchEvent, err error) {
	now := m.fleet.opts.Clock.Now()
	r.mu.Lock()
	gap := r.opened && r.open == 0 && now.Sub(r.closed) >= m.fleet.opts.WatchGap
	switch e {
	case WatchOpened:
		// Before anybody can see the open watch: renew comes a moment later.
		r.stale = r.stale || gap
		r.open++
		r.opened = true
		r.err = nil
	case WatchEnded:
		r.open--
		r.closed = now
		r.err = err
	case WatchFailed:
		if !r.observed {
			r.closed = now
		}
		r.err = err
	}
	r.observed = true
	r.mu.Unlock()
	if e == WatchOpened && gap {
		m.renew(i, r)
	}
	if err != nil && !isAnswer(err) {
		m.doubt(i, r)
	}
}

// renew replaces a run whose watch opened again after a gap. The watch goes on where it broke off and delivers what was missed, but
// nothing says when it has; a new list does.
func (m *member) renew(i *sharedInformer, r *run) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if i.run == r && m.reach.State == Reachable && !m.over {
		m.stopInformer(i)
		m.startInformer(i)
	}
}

// listFailed takes up what the reflector's error handler is told: of lists, and of watches that broke it off. No lock is held.
func (m *member) listFailed(i *sharedInformer, r *run, err error) {
	r.mu.Lock()
	r.err = err
	r.mu.Unlock()
	if !isAnswer(err) {
		m.doubt(i, r)
	}
}

// doubt has the heart checked because a run of the member got into trouble.
func (m *member) doubt(i *sharedInformer, r *run) {
	m.mu.Lock()
	current := i.run == r
	m.mu.Unlock()
	if current {
		m.poke()
	}
}
