package lb

import (
	"net/netip"
	"time"

	"github.com/periplus-dev/periplus/pkg/lb/haproxy"
)

// Pod is what the decision goes by. See factsOf for how it is read.
type Pod struct {
	// Address of the pod and the port that is balanced.
	Address netip.AddrPort
	// Serves: it is ready, has an address, and is not leaving.
	Serves bool
	// Leaving: it has to go out of service and its finalizer off: its gate is closed, it is being deleted, it ended, or it is no longer selected.
	// A pod that neither serves nor leaves is not ready by itself, and may be again.
	Leaving bool
	// Held: it carries our finalizer.
	Held bool
}

// Rules are the user's.
type Rules struct {
	// DrainTimeout is how long sessions in flight may go on; then they are cut. Whole seconds: HAProxy counts no others.
	DrainTimeout time.Duration
	// ReloadGrace is how long after a start of HAProxy no finalizer is let go of: after a reload the process before still ends its sessions,
	// and cannot be asked. 0 where HAProxy is restarted, not reloaded.
	ReloadGrace time.Duration
}

// Act is what is to be done next about one pod and its server.
type Act int

// Acts, in the order in which a pod meets them.
const (
	// Rest: all is as it should be, or somebody else has to move.
	Rest Act = iota
	// Claim puts the finalizer on the pod.
	Claim
	// Add adds the server and enables it.
	Add
	// Enable has HAProxy forward to a server that is there.
	Enable
	// Drain gives the server nothing new.
	Drain
	// Wait for sessions in flight, or for the end of ReloadGrace. No event tells that they ended: look again soon.
	Wait
	// Remove deletes the server.
	Remove
	// Cut ends the server's sessions, and deletes it.
	Cut
	// Release takes the finalizer off.
	Release
)

func (a Act) String() string {
	return [...]string{"rest", "claim", "add", "enable", "drain", "wait", "remove", "cut", "release"}[a]
}

// Next decides what is done about a pod, nil where there is none of that UID, and its server, nil where HAProxy has none. uptime is how long that
// HAProxy runs.
func Next(pod *Pod, server *haproxy.Server, uptime time.Duration, rules Rules) Act {
	switch {
	case server == nil && pod == nil:
		return Rest
	case server == nil:
		return unregistered(pod, uptime, rules)
	case pod == nil, pod.Leaving:
		return retire(server, rules)
	case pod.Address.IsValid() && pod.Address != server.Address:
		return retire(server, rules) // its sandbox was made anew, or the port is another now: it comes back under the new address.
	case pod.Serves && !pod.Held:
		return Claim // somebody took the finalizer: put it back first, whatever the server does.
	case !pod.Held:
		return retire(server, rules)
	case pod.Serves && server.State != haproxy.Ready:
		return Enable
	case !pod.Serves && server.State == haproxy.Ready:
		return Drain
	}
	return Rest
}

// unregistered is a pod that HAProxy does not know.
func unregistered(pod *Pod, uptime time.Duration, rules Rules) Act {
	switch {
	case pod.Leaving && !pod.Held:
		return Rest
	case pod.Leaving && uptime < rules.ReloadGrace:
		return Wait
	case pod.Leaving:
		return Release
	case pod.Serves && !pod.Held:
		return Claim
	case pod.Serves:
		return Add
	}
	return Rest
}

// retire is the way of a server out of HAProxy. While it is drained its checks may reset how long that lasts, which is HAProxy's count: a server that goes
// down meanwhile gets the time once more.
func retire(server *haproxy.Server, rules Rules) Act {
	switch {
	case server.State == haproxy.Ready:
		return Drain
	case server.Sessions == 0:
		return Remove
	case server.Since > rules.DrainTimeout: // whole seconds, of which the first may have been short.
		return Cut
	}
	return Wait
}
