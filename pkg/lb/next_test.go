package lb

import (
	"net/netip"
	"testing"
	"time"

	"github.com/periplus-dev/periplus/pkg/lb/haproxy"
)

var (
	here  = netip.MustParseAddrPort("10.0.0.1:8080")
	there = netip.MustParseAddrPort("10.0.0.2:8080")
	rules = Rules{DrainTimeout: 30 * time.Second}
)

const (
	long  = time.Hour
	ready = haproxy.Ready
	drain = haproxy.Drain
	maint = haproxy.Maint
)

func serves(held bool) *Pod   { return &Pod{Address: here, Serves: true, Held: held} }
func leaves(held bool) *Pod   { return &Pod{Address: here, Leaving: true, Held: held} }
func notReady(held bool) *Pod { return &Pod{Address: here, Held: held} }

func server(state haproxy.State, sessions int, since time.Duration) *haproxy.Server {
	return &haproxy.Server{Address: here, State: state, Sessions: sessions, Since: since}
}

func TestWhatIsDoneNextAboutOnePod(t *testing.T) {
	moved := server(ready, 0, long)
	moved.Address = there
	movedAndDrained := server(drain, 0, 0)
	movedAndDrained.Address = there
	reloads := Rules{DrainTimeout: 30 * time.Second, ReloadGrace: time.Minute}
	for _, c := range []struct {
		sentence string
		pod      *Pod
		server   *haproxy.Server
		uptime   time.Duration
		rules    Rules
		want     Act
	}{
		{"a ready pod gets the finalizer before anything else", serves(false), nil, long, rules, Claim},
		{"a ready pod that is held is added", serves(true), nil, long, rules, Add},
		{"a server that was added and not enabled, by a crash, is enabled", serves(true), server(maint, 0, 0), long, rules, Enable},
		{"a pod that is registered and serves is left alone", serves(true), server(ready, 7, long), long, rules, Rest},
		{"a pod that is not ready yet is not claimed", notReady(false), nil, long, rules, Rest},
		{"a pod without an address is not claimed", &Pod{}, nil, long, rules, Rest},

		{"a gate that closes drains the server", leaves(true), server(ready, 0, long), long, rules, Drain},
		{"requests in flight are waited for", leaves(true), server(drain, 1, 30*time.Second), long, rules, Wait},
		{"without requests in flight the server goes", leaves(true), server(drain, 0, 0), long, rules, Remove},
		{"a server in maintenance whose last connection ended goes", leaves(true), server(maint, 0, 0), long, rules, Remove},
		{"a session that came between the last look and the maintenance is waited for", leaves(true), server(maint, 1, 0), long, rules, Wait},
		{"what is in flight after the drain timeout is cut", leaves(true), server(drain, 1, 31*time.Second), long, rules, Cut},
		{"what was cut and does not end is cut again", leaves(true), server(maint, 1, 31*time.Second), long, rules, Cut},
		{"the finalizer goes when HAProxy has no such server", leaves(true), nil, long, rules, Release},
		{"a pod that left is left alone", leaves(false), nil, long, rules, Rest},
		{"a pod that leaves before it was claimed is not claimed", leaves(false), nil, 0, rules, Rest},

		{"a gate that opens again while the server drains enables it", serves(true), server(drain, 3, time.Second), long, rules, Enable},
		{"a gate that opens again after the server went adds it anew", serves(true), nil, long, rules, Add},
		{"a pod that is not ready by itself is drained and stays held", notReady(true), server(ready, 0, long), long, rules, Drain},
		{"a pod that is not ready by itself stays registered", notReady(true), server(drain, 0, long), long, rules, Rest},
		{"a pod that is not ready by itself is not cut off, however long it takes", notReady(true), server(drain, 1, long), long, rules, Rest},
		{"a pod that is not ready by itself and then leaves goes the whole way", leaves(true), server(drain, 0, long), long, rules, Remove},

		{"after HAProxy restarted, a held pod that serves is added", serves(true), nil, 0, rules, Add},
		{"after HAProxy restarted, a pod that leaves is let go of: nothing forwards to it", leaves(true), nil, 0, rules, Release},
		{"after HAProxy was reloaded, a pod that leaves is held until the process before is gone", leaves(true), nil, 59 * time.Second, reloads, Wait},
		{"the process before is gone after the reload grace", leaves(true), nil, time.Minute, reloads, Release},
		{"after HAProxy was reloaded, a pod that serves is added at once", serves(true), nil, 0, reloads, Add},
		{"after HAProxy restarted, a pod that is not ready waits as it is", notReady(true), nil, 0, rules, Rest},

		{"a server that no pod has is drained", nil, server(ready, 0, long), long, rules, Drain},
		{"a server that no pod has, drained, is waited for like any", nil, server(drain, 2, time.Second), long, rules, Wait},
		{"a server that no pod has goes", nil, server(drain, 0, time.Second), long, rules, Remove},
		{"neither pod nor server is nothing to do", nil, nil, long, rules, Rest},

		{"a finalizer that somebody took off a pod that serves is put back at once", serves(false), server(ready, 0, long), long, rules, Claim},
		{"a server that drains is not enabled before the finalizer is back", serves(false), server(drain, 0, long), long, rules, Claim},
		{"a pod that lost its finalizer and is not ready is taken out", notReady(false), server(ready, 0, long), long, rules, Drain},
		{"a pod that lost its finalizer and leaves is drained none the less", leaves(false), server(ready, 0, long), long, rules, Drain},
		{"a pod with another address is taken out under the old one", serves(true), moved, long, rules, Drain},
		{"a pod with another address comes back once the old one is out", serves(true), movedAndDrained, long, rules, Remove},
		{"a pod that is not ready and lost its address keeps its server", &Pod{Held: true}, server(drain, 0, long), long, rules, Rest},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			if got := Next(c.pod, c.server, c.uptime, c.rules); got != c.want {
				t.Errorf("Next(%+v, %+v) = %s, want %s", c.pod, c.server, got, c.want)
			}
		})
	}
}
