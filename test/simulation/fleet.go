package simulation

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/labels"
	apitypes "k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	appsv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/fleet"
	"github.com/periplus-dev/periplus/pkg/stage"
	"github.com/periplus-dev/periplus/pkg/workload"
	"github.com/periplus-dev/periplus/test/simulation/store"
)

// seen is the fleet as one hub process sees it. It promises what pkg/fleet promises: data is synced only while a member is reachable and
// was listed since it last was not.
type seen struct {
	p       *process
	members map[string]*memberSeen
	// order of the members, by name.
	order []*memberSeen
}

type memberSeen struct {
	f        *seen
	c        *cluster
	clients  fleet.Clients
	reach    fleet.Reachability
	sessions map[apitypes.UID]*session
	caches   map[string]*informer
	// order of the caches, by key.
	order []*informer
}

type session struct {
	m      *memberSeen
	owner  apitypes.UID
	wake   func()
	closed bool
}

var (
	_ stage.Fleet      = (*seen)(nil)
	_ workload.Session = (*session)(nil)
)

func newFleet(p *process) *seen {
	f := &seen{p: p, members: map[string]*memberSeen{}}
	for _, c := range p.w.members {
		all := clientsFor(c.api.Config(p.through(c)))
		f.members[c.name] = &memberSeen{
			f: f, c: c, clients: fleet.Clients{Kube: all.kube, Periplus: all.periplus},
			reach:    fleet.Reachability{State: fleet.Unknown, Reason: fleet.ReasonNotContacted},
			sessions: map[apitypes.UID]*session{}, caches: map[string]*informer{},
		}
	}
	for _, name := range slices.Sorted(maps.Keys(f.members)) {
		f.order = append(f.order, f.members[name])
	}
	return f
}

// Info implements stage.Fleet.
func (f *seen) Info(member string) (fleet.Info, error) {
	m := f.members[member]
	if m == nil {
		return fleet.Info{}, fmt.Errorf("member %q: %w", member, fleet.ErrUnknownMember)
	}
	return fleet.Info{Name: member, Labels: map[string]string{"name": member}, Reachability: m.reach}, nil
}

// List implements stage.Fleet.
func (f *seen) List(sel labels.Selector) ([]fleet.Info, error) {
	var out []fleet.Info
	for _, m := range f.order {
		in, err := f.Info(m.c.name)
		if err != nil {
			return nil, err
		}
		if sel == nil || sel.Matches(labels.Set(in.Labels)) {
			out = append(out, in)
		}
	}
	return out, nil
}

// Open implements stage.Fleet.
func (f *seen) Open(owner apitypes.UID, member string, wake func()) (workload.Session, error) {
	m := f.members[member]
	if m == nil {
		return nil, fmt.Errorf("member %q: %w", member, fleet.ErrUnknownMember)
	}
	s := m.sessions[owner]
	if s == nil {
		s = &session{m: m, owner: owner}
		m.sessions[owner] = s
	}
	s.wake = wake
	return s, nil
}

// Close implements stage.Fleet.
func (f *seen) Close(owner apitypes.UID) {
	for _, m := range f.order {
		if s := m.sessions[owner]; s != nil {
			s.closed = true
			delete(m.sessions, owner)
		}
		if len(m.sessions) == 0 {
			clear(m.caches)
			m.order = nil
		}
	}
}

// wakeAll wakes everybody who works on the member.
func (m *memberSeen) wakeAll() {
	for _, owner := range slices.Sorted(maps.Keys(m.sessions)) {
		m.sessions[owner].wake()
	}
}

// heartDiffers says whether a heartbeat would find out something new.
func (m *memberSeen) heartDiffers() bool {
	return len(m.sessions) > 0 && (m.reach.State == fleet.Unknown || (m.reach.State == fleet.Reachable) == m.c.cut)
}

// beat is a heartbeat. A member that comes back is listed anew: that alone proves that what is known of it is newer than the outage.
func (m *memberSeen) beat() {
	if m.c.cut {
		m.lost("the heartbeat got no answer")
		return
	}
	m.reach = fleet.Reachability{State: fleet.Reachable, Reason: fleet.ReasonAnswering, Since: m.f.p.w.clock.Now(), LastContact: m.f.p.w.clock.Now()}
	for _, c := range m.caches {
		c.listed = false
	}
	m.wakeAll()
}

func (m *memberSeen) lost(why string) {
	if m.reach.State == fleet.Unreachable {
		return
	}
	m.reach = fleet.Reachability{
		State: fleet.Unreachable, Reason: fleet.ReasonNotAnswering, Since: m.f.p.w.clock.Now(), Message: why, LastContact: m.reach.LastContact,
	}
	m.wakeAll()
}

// Reachability implements workload.Session.
func (s *session) Reachability() fleet.Reachability {
	if s.m.f.p.w.plant.AlwaysReachable {
		return fleet.Reachability{State: fleet.Reachable, Reason: fleet.ReasonAnswering}
	}
	return s.m.reach
}

// Informer implements workload.Session. The key says what is watched, as the adapter of each kind of workload makes it.
func (s *session) Informer(key string, make func(fleet.Clients) cache.SharedIndexInformer) (cache.SharedIndexInformer, bool) {
	m := s.m
	i := m.caches[key]
	if i == nil {
		i = m.newCache(key, make)
		m.caches[key] = i
		m.order = nil
		for _, key := range slices.Sorted(maps.Keys(m.caches)) {
			m.order = append(m.order, m.caches[key])
		}
	}
	reachable := m.reach.State == fleet.Reachable || m.f.p.w.plant.AlwaysReachable
	return i, reachable && i.listed
}

func (m *memberSeen) newCache(key string, make func(fleet.Clients) cache.SharedIndexInformer) *informer {
	what, namespace, _ := strings.Cut(key, "/")
	f := &store.Selection{Namespace: namespace}
	switch what {
	case "inplacesets", "cafedeployments", "sidecarsets":
		f.Kind = m.c.api.Kind(appsv1alpha1.SchemeGroupVersion.Group, what)
	case "inplaceset-pods", "cafedeployment-pods":
		f.Kind = m.c.api.Kind("", "pods")
		label := appsv1alpha1.LabelInPlaceSet
		if what == "cafedeployment-pods" {
			label = appsv1alpha1.LabelCafeDeployment
		}
		ours, err := labels.Parse(label)
		if err != nil {
			panic(fmt.Errorf("label %q: %w", label, err))
		}
		f.Labels = ours
	default:
		panic(fmt.Errorf("the simulation does not know what informer %q watches: say so in newCache", key))
	}
	i := newInformer(m.f.p.name+">"+m.c.name+"/"+f.Kind.Resource, m.c, f)
	i.lie = m.f.p.w.lieOf(m.f.p.name, f.Kind.Resource)
	i.woken = m.wakeAll
	i.indexer = make(m.clients).GetIndexer() // with the indices that the adapter wants.
	return i
}

// InformerError implements workload.Session.
func (s *session) InformerError(key string) error {
	if i := s.m.caches[key]; i != nil && !i.listed {
		return errors.New("its first list is not complete yet")
	}
	return nil
}

// Do implements workload.Session.
func (s *session) Do(ctx context.Context, what string, fn func(ctx context.Context, c fleet.Clients) error) error {
	m := s.m
	switch {
	case s.closed:
		return fmt.Errorf("%s in member %q: session: %w", what, m.c.name, fleet.ErrClosed)
	case m.reach.State == fleet.Unreachable:
		return fmt.Errorf("%s: %w", what, &fleet.UnreachableError{Member: m.c.name, Since: m.reach.Since, Err: errors.New(m.reach.Message)})
	case m.reach.State != fleet.Reachable:
		return fmt.Errorf("%s: member %q: the first contact is under way: %w", what, m.c.name, fleet.ErrBusy)
	}
	err := fn(ctx, m.clients)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errNoAnswer):
		m.lost(what + ": no answer")
		return fmt.Errorf("%s: %w", what, &fleet.UnreachableError{Member: m.c.name, Since: m.reach.Since, Err: err})
	}
	return fmt.Errorf("%s in member %q: %w", what, m.c.name, err)
}
