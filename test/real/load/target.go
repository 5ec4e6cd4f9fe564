package load

import (
	"errors"
	"sync"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/utils/clock"
)

// Target says where the next connection goes.
type Target interface {
	// Pick returns a host and a port.
	Pick() (string, error)
}

// Fixed is one address, such as a load balancer's.
type Fixed string

// Pick returns the address.
func (f Fixed) Pick() (string, error) { return string(f), nil }

// ErrNobody is what Pick says where no address is known.
var ErrNobody = errors.New("no address is listed")

// Followed is a set of addresses that changes, which is known some time late: as a kube-proxy knows EndpointSlices.
type Followed struct {
	lag   time.Duration
	clock clock.PassiveClock

	mu sync.Mutex
	// now are the addresses that connections go to, one after the other; coming replace them, each when its time has come.
	now    []string
	coming []coming
	next   int
}

type coming struct {
	at        time.Time
	addresses []string
}

// NewFollowed returns an empty set.
func NewFollowed(lag time.Duration, clock clock.PassiveClock) *Followed {
	return &Followed{lag: lag, clock: clock}
}

// Set says that the addresses are these from now on, which connections hear of when the lag is over.
func (f *Followed) Set(addresses []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.coming = append(f.coming, coming{f.clock.Now().Add(f.lag), addresses})
}

// Pick returns the next of the addresses in turn.
func (f *Followed) Pick() (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.coming) > 0 && !f.coming[0].at.After(f.clock.Now()) {
		f.now, f.coming = f.coming[0].addresses, f.coming[1:]
	}
	if len(f.now) == 0 {
		return "", ErrNobody
	}
	f.next++
	return f.now[f.next%len(f.now)], nil
}

// ready are the addresses that a kube-proxy sends to: those of ready endpoints, and where there is none, those that still serve while they terminate.
func ready(slices []*discoveryv1.EndpointSlice) []string {
	var ready, serving []string
	for _, s := range slices {
		for _, e := range s.Endpoints {
			switch c := e.Conditions; {
			case c.Ready == nil || *c.Ready:
				ready = append(ready, e.Addresses...)
			case c.Serving != nil && *c.Serving && c.Terminating != nil && *c.Terminating:
				serving = append(serving, e.Addresses...)
			}
		}
	}
	if len(ready) > 0 {
		return ready
	}
	return serving
}
