//go:build e2e

package e2e

import (
	"flag"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/periplus-dev/periplus/pkg/localfleet"
)

var sidecarSeed = flag.Uint64("sidecar-seed", uint64(time.Now().UnixNano()), "seed of the moments at which controllers are killed while sidecars are upgraded") // #nosec G115 -- a seed.

// Not parallel: other tests' pods would be hit, too.
func TestSidecarsAreUpgradedOnceThoughControllersAreKilled(t *testing.T) {
	t.Logf("seed %d: -sidecar-seed kills at the same moments", *sidecarSeed)
	rng := rand.New(rand.NewPCG(*sidecarSeed, 3)) // #nosec G404 -- a test's dice.
	m := newMate(newPort(t))
	m.service()
	m.set("mesh", "mesh:v1", `{maxUnavailable: 2, drain: true, gracePeriodSeconds: 1}`)
	m.app("Deployment", 8, "v1")
	m.app("InPlaceSet", 4, "v1")
	m.serving(12)
	before := m.identities(ipsMember)
	m.asks(func(m *mate) { m.drained, m.least = true, 10 })
	m.image("mesh", "mesh:v2")
	for range 5 {
		time.Sleep(time.Duration(200+rng.IntN(2500)) * time.Millisecond) // the moment is what is tried.
		part := localfleet.PartWorkloads
		if rng.IntN(4) == 0 {
			part = localfleet.PartWebhook
		}
		m.kill(part)
		m.start(part)
	}
	m.says("mesh", "Complete")
	m.serving(12)
	m.restarted("mesh", 12, 1)
	if got := m.identities(ipsMember); len(got) != 12 || m.with("mesh:v2") != 12 {
		t.Errorf("%d pods have mesh:v2: %v", m.with("mesh:v2"), got)
	} else {
		for name, was := range before {
			if got[name] != was {
				t.Errorf("%s is %q; it was %q", name, got[name], was)
			}
		}
	}
	m.noFaults()
}
