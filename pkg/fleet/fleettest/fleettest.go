// Package fleettest makes fleets of fake members for the tests of those who use pkg/fleet.
package fleettest

import (
	"context"
	"fmt"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/cache"

	fleetv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/fleet/v1alpha1"
	listers "github.com/periplus-dev/periplus/pkg/client/listers/fleet/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/fleet"
)

// Members are the fake members of a Fleet.
type Members struct {
	// Indexer holds the Member objects that the Fleet sees.
	Indexer cache.Indexer
	// Hub holds the Secrets.
	Hub *fake.Clientset

	mu    sync.Mutex
	conns map[string]*Connection
}

// New returns options for a Fleet whose members are those of clients, by name, and the way to steer them. Add to the options what the test
// needs, such as a fake clock, and give them to fleet.New.
func New(t testing.TB, clients map[string]fleet.Clients) (fleet.Options, *Members) {
	t.Helper()
	m := &Members{
		Indexer: cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{}),
		Hub:     fake.NewClientset(),
		conns:   map[string]*Connection{},
	}
	for name, c := range clients {
		m.Add(t, name, c)
	}
	return fleet.Options{
		Members: listers.NewMemberLister(m.Indexer),
		Hub:     m.Hub,
		Connect: func(kubeconfig []byte) (fleet.Connection, error) {
			m.mu.Lock()
			defer m.mu.Unlock()
			c := m.conns[string(kubeconfig)]
			if c == nil {
				return nil, fmt.Errorf("no fake member %q", kubeconfig)
			}
			return c, nil
		},
	}, m
}

// Add adds a member: the object, its Secret (whose "kubeconfig" is just the name), and its clients.
func (m *Members) Add(t testing.TB, name string, c fleet.Clients) *fleetv1alpha1.Member {
	t.Helper()
	obj := &fleetv1alpha1.Member{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       fleetv1alpha1.MemberSpec{KubeconfigSecretRef: &fleetv1alpha1.SecretKeyRef{Namespace: fleet.DefaultSecretNamespace, Name: name}},
	}
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: fleet.DefaultSecretNamespace, Name: name},
		Data:       map[string][]byte{"kubeconfig": []byte(name)},
	}
	if err := m.Hub.Tracker().Add(secret); err != nil {
		t.Fatalf("adding the Secret of member %q: %v", name, err)
	}
	if err := m.Indexer.Add(obj); err != nil {
		t.Fatalf("adding member %q: %v", name, err)
	}
	m.mu.Lock()
	m.conns[name] = &Connection{clients: c}
	m.mu.Unlock()
	return obj
}

// Connection is the fake way to a member.
func (m *Members) Connection(name string) *Connection {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.conns[name]
}

// Connection is a fleet.Connection over given clients.
type Connection struct {
	clients fleet.Clients

	mu   sync.Mutex
	down error
	cuts int
}

// SetDown makes heartbeats fail with err, until it is nil. Calls are not affected: give the fake clients reactors for that.
func (c *Connection) SetDown(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.down = err
}

// Cuts counts how often the connection was cut.
func (c *Connection) Cuts() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cuts
}

// Clients implements fleet.Connection. Fakes have no transport, so nothing is observed.
func (c *Connection) Clients(fleet.WatchObserver) (fleet.Clients, error) { return c.clients, nil }

// Ready implements fleet.Connection.
func (c *Connection) Ready(context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.down
}

// Version implements fleet.Connection.
func (c *Connection) Version(context.Context) (string, error) { return "v1.36.3", nil }

// Cut implements fleet.Connection.
func (c *Connection) Cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cuts++
}

// Rest implements fleet.Connection.
func (c *Connection) Rest() {}
