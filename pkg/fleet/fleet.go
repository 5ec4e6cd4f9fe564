package fleet

import (
	"context"
	"fmt"
	"sort"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	fleetv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/fleet/v1alpha1"
)

// Fleet gives access to the members. All methods may be called from any goroutine; none but Stop blocks on I/O.
type Fleet struct {
	opts    Options
	metrics *metrics

	// Lock order: Fleet.mu, then member.mu. Neither is held across I/O or while calling back.
	mu          sync.Mutex
	members     map[string]*member
	sessions    map[types.UID]map[string]*Session
	subscribers map[int]func(member string)
	nextSub     int

	life lifetime
}

// New returns a Fleet. Nothing runs until a member is opened or attended to.
func New(opts Options) *Fleet {
	f := &Fleet{
		opts:        opts.withDefaults(),
		members:     map[string]*member{},
		sessions:    map[types.UID]map[string]*Session{},
		subscribers: map[int]func(string){},
	}
	f.life.ctx, f.life.cancel = context.WithCancel(context.Background())
	f.metrics = newMetrics(f)
	return f
}

// Stop ends everything that this Fleet started, and returns when it has ended. Sessions are closed by it.
func (f *Fleet) Stop() {
	f.life.stop()
	members := f.all()
	f.mu.Lock()
	sessions := f.sessions
	f.sessions = map[types.UID]map[string]*Session{}
	f.mu.Unlock()
	for _, of := range sessions {
		for _, s := range of {
			s.closed.Store(true)
		}
	}
	for _, m := range members {
		m.shutDown()
	}
	f.metrics.stop()
	f.life.wg.Wait()
}

// Info says what is known of a member. The error is ErrUnknownMember where there is no such Member.
func (f *Fleet) Info(name string) (Info, error) {
	obj, err := f.lookUp(name)
	if err != nil {
		return Info{}, err
	}
	return f.info(obj), nil
}

// List returns the members that a selector matches, by name; all of them where it is nil.
func (f *Fleet) List(sel labels.Selector) ([]Info, error) {
	if sel == nil {
		sel = labels.Everything()
	}
	objs, err := f.opts.Members.List(sel)
	if err != nil {
		return nil, fmt.Errorf("listing the Members: %w", err)
	}
	out := make([]Info, 0, len(objs))
	for _, obj := range objs {
		out = append(out, f.info(obj))
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out, nil
}

// Open returns the session of an owner, such as a CustomRun, with a member; the same one as long as the owner is not closed.
//
// wake is called when something that this session looks at may have changed: an event of an informer it asked for, an informer that
// came to be synced, the member's reachability, a free place after ErrBusy. It must be cheap and must not block: it puts the owner into
// a work queue. It can still be called once while Close runs. A later Open replaces it.
//
// The first contact is made in the background. The error is ErrUnknownMember, or ErrClosed after Stop.
func (f *Fleet) Open(owner types.UID, name string, wake func()) (*Session, error) {
	if _, err := f.lookUp(name); err != nil {
		return nil, err
	}
	f.mu.Lock()
	if f.life.ctx.Err() != nil {
		f.mu.Unlock()
		return nil, fmt.Errorf("opening member %q: %w", name, ErrClosed)
	}
	s := f.sessions[owner][name]
	isNew := s == nil
	if isNew {
		m := f.member(name)
		s = &Session{m: m}
		if f.sessions[owner] == nil {
			f.sessions[owner] = map[string]*Session{}
		}
		f.sessions[owner][name] = s
		m.join(s)
	}
	s.wake.Store(&wake)
	f.mu.Unlock()
	if isNew {
		s.m.poke()
	}
	return s, nil
}

// Close ends all sessions of an owner.
func (f *Fleet) Close(owner types.UID) {
	f.mu.Lock()
	sessions := f.sessions[owner]
	delete(f.sessions, owner)
	f.mu.Unlock()
	for _, s := range sessions {
		s.m.leave(s)
	}
}

// attendance is how long Attend lasts. It outlasts several heartbeats, each of which makes the Member's controller attend again, and ends
// soon after this replica stopped leading.
const attendance = 5 * time.Minute

// Attend keeps the heart of a member checked, at rest too, for the next five minutes. The controller of Members calls it whenever it
// looks at one. It does nothing where there is no such Member.
func (f *Fleet) Attend(name string) {
	if _, err := f.lookUp(name); err != nil {
		return
	}
	f.mu.Lock()
	if f.life.ctx.Err() != nil {
		f.mu.Unlock()
		return
	}
	m := f.member(name)
	f.mu.Unlock()
	m.attend(f.opts.Clock.Now().Add(attendance))
}

// MemberChanged tells that a Member was created, changed or deleted on the hub. New credentials are taken up at once where the Member
// names another Secret; without the call it happens with the next heartbeat.
func (f *Fleet) MemberChanged(name string) {
	f.mu.Lock()
	m := f.members[name]
	f.mu.Unlock()
	if m == nil {
		return
	}
	obj, err := f.lookUp(name)
	if err != nil || m.isStale(obj) {
		m.poke()
	}
}

// Subscribe has fn called after each heartbeat of any member, and when a call finds one unreachable. fn must be cheap and must
// not block. The returned function ends it.
func (f *Fleet) Subscribe(fn func(member string)) (cancel func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	id := f.nextSub
	f.nextSub++
	f.subscribers[id] = fn
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.subscribers, id)
	}
}

func (f *Fleet) notify(member string) {
	f.mu.Lock()
	fns := make([]func(string), 0, len(f.subscribers))
	for _, fn := range f.subscribers {
		fns = append(fns, fn)
	}
	f.mu.Unlock()
	for _, fn := range fns {
		fn(member)
	}
}

func (f *Fleet) lookUp(name string) (*fleetv1alpha1.Member, error) {
	obj, err := f.opts.Members.Get(name)
	if apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("member %q: %w", name, ErrUnknownMember)
	}
	if err != nil {
		return nil, fmt.Errorf("looking up member %q: %w", name, err)
	}
	return obj, nil
}

func (f *Fleet) info(obj *fleetv1alpha1.Member) Info {
	out := Info{
		Name:         obj.Name,
		Labels:       obj.Labels,
		Importance:   obj.Spec.Importance,
		Reachability: notContacted,
		Version:      obj.Status.Version,
	}
	f.mu.Lock()
	m := f.members[obj.Name]
	f.mu.Unlock()
	if m == nil {
		return out
	}
	var version string
	if out.Reachability, version = m.state(); version != "" {
		out.Version = version
	}
	if out.Reachability.Reason != ReasonNotContacted && m.isStale(obj) {
		out.Reachability = notContacted
		out.Reachability.Message = "the Member changed; not contacted yet by its new kubeconfig"
	}
	return out
}

func (f *Fleet) all() []*member {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make([]*member, 0, len(f.members))
	for _, m := range f.members {
		out = append(out, m)
	}
	return out
}

// member returns the entry of a name, made where there is none. f.mu is held.
func (f *Fleet) member(name string) *member {
	m := f.members[name]
	if m == nil {
		m = newMember(f, name)
		f.members[name] = m
	}
	return m
}

// forget drops the entry of a Member that is gone and that nobody uses.
func (f *Fleet) forget(m *member) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.members[m.name] == m && m.retire() {
		delete(f.members, m.name)
	}
}

// lifetime is of all goroutines of a Fleet. It has a lock of its own, which is held for nothing else: timers of a fake clock fire while
// that clock is locked.
type lifetime struct {
	ctx    context.Context
	cancel context.CancelFunc
	mu     sync.Mutex
	over   bool
	wg     sync.WaitGroup
}

// spawn runs fn in a goroutine that Stop waits for; it returns false, and runs nothing, after Stop.
func (l *lifetime) spawn(fn func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return false
	}
	l.wg.Go(fn)
	return true
}

func (l *lifetime) stop() {
	l.mu.Lock()
	l.over = true
	l.mu.Unlock()
	l.cancel()
}
