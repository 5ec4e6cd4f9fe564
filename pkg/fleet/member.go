package fleet

import (
	"context"
	"errors"
	"sync"
	"time"

	"k8s.io/utils/clock"

	fleetv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/fleet/v1alpha1"
)

var notContacted = Reachability{State: Unknown, Reason: ReasonNotContacted, Message: "not contacted yet"}

// member is what this process holds of one member.
type member struct {
	fleet *Fleet
	name  string

	// mu guards all below. It is never held across I/O or while calling back into sessions or subscribers; it is held while the
	// callers' make functions run, which only construct.
	mu      sync.Mutex
	reach   Reachability
	version serverVersion
	source  source
	conn    Connection
	clients Clients // over conn
	// up ends, with a cause, when the member is found unreachable or conn is replaced. Calls end with it: that their connections are
	// cut is not enough, because reads are tried again over new ones.
	up  context.Context
	cut context.CancelCauseFunc

	sessions      map[*Session]struct{}
	attendedUntil time.Time
	calls         int
	waiting       map[*Session]struct{} // found no place for a call
	informers     map[string]*sharedInformer

	beating   bool // a heartbeat is under way
	again     bool // and another one has to follow it
	suspicion int  // counts failed calls; a heartbeat begun before the last one clears nothing
	misses    int  // heartbeats missed one after the other
	timer     clock.Timer
	over      bool
}

// source is where the present connection came from.
type source struct {
	ref  fleetv1alpha1.SecretKeyRef
	hash [32]byte
	read time.Time
}

type serverVersion struct {
	name string
	read time.Time
}

func newMember(f *Fleet, name string) *member {
	reach := notContacted
	reach.Since = f.opts.Clock.Now()
	m := &member{
		fleet:     f,
		name:      name,
		reach:     reach,
		sessions:  map[*Session]struct{}{},
		waiting:   map[*Session]struct{}{},
		informers: map[string]*sharedInformer{},
	}
	m.up, m.cut = context.WithCancelCause(f.life.ctx)
	return m
}

// errCut is why calls were ended before their time.
var errCut = errors.New("cut")

// cutCalls ends the calls that are under way. m.mu is held.
func (m *member) cutCalls(why string) {
	m.cut(&cause{text: why, err: errCut})
	m.up, m.cut = context.WithCancelCause(m.fleet.life.ctx)
}

func (m *member) state() (Reachability, string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.reach, m.version.name
}

// become changes the state and returns whether that is news. A state that stays keeps its Since. m.mu is held.
func (m *member) become(state State, reason Reason, message string) (changed bool) {
	changed = m.reach.State != state || m.reach.Reason != reason
	if m.reach.State != state {
		m.reach.Since = m.fleet.opts.Clock.Now()
	}
	m.reach.State, m.reach.Reason, m.reach.Message = state, reason, message
	return changed
}

// everybody returns the sessions to wake, where there is news. m.mu is held.
func (m *member) everybody(news bool) []*Session {
	if !news {
		return nil
	}
	out := make([]*Session, 0, len(m.sessions))
	for s := range m.sessions {
		out = append(out, s)
	}
	return out
}

// tell wakes sessions and tells subscribers. No lock is held.
func (m *member) tell(notify bool, sessions []*Session) {
	for _, s := range sessions {
		s.callWake()
	}
	if notify {
		m.fleet.notify(m.name)
	}
}

func (m *member) join(s *Session) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sessions[s] = struct{}{}
}

func (m *member) leave(s *Session) {
	s.closed.Store(true)
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.sessions, s)
	delete(m.waiting, s)
	for _, inf := range m.informers {
		m.letGo(inf, s)
	}
}

func (m *member) attend(until time.Time) {
	m.mu.Lock()
	m.attendedUntil = until
	idle := m.timer == nil && !m.beating
	m.mu.Unlock()
	if idle {
		m.poke()
	}
}

// worked says whether stages work on the member, or did a moment ago. m.mu is held.
func (m *member) worked() bool { return len(m.sessions) > 0 || len(m.informers) > 0 }

// isStale says whether the present connection was made by another reference than the Member has.
func (m *member) isStale(obj *fleetv1alpha1.Member) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	ref, _, _ := secretRef(obj, m.fleet.opts.SecretNamespace)
	return ref != m.source.ref
}

// retire ends a member that nobody uses, and returns whether it did. Fleet.mu is held, so that nobody can join.
func (m *member) retire() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.worked() {
		return false
	}
	m.over = true
	m.unschedule()
	m.cut(nil)
	return true
}

// shutDown ends everything of the member.
func (m *member) shutDown() {
	m.mu.Lock()
	m.over = true
	m.unschedule()
	for key, inf := range m.informers {
		m.stopInformer(inf)
		if inf.linger != nil {
			inf.linger.Stop()
		}
		delete(m.informers, key)
	}
	m.become(Unreachable, ReasonNotContacted, "this process is stopping")
	conn := m.conn
	m.mu.Unlock()
	if conn != nil {
		conn.Cut()
	}
}

func (m *member) unschedule() {
	if m.timer != nil {
		m.timer.Stop()
		m.timer = nil
	}
}
