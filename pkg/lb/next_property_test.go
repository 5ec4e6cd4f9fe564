package lb

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/periplus-dev/periplus/pkg/lb/haproxy"
)

// town is one pod, one HAProxy and the controller, whose cache may be behind. What the controller does to each of them is guarded as in act.go.
type town struct {
	rnd *rand.Rand
	// history of the pod by version; the last is how it is. cached is the version that the controller knows.
	history []Pod
	cached  int
	// server is nil where HAProxy has none; uptime counts steps.
	server *haproxy.Server
	log    []string
	// peace: nobody is killed, and nothing changes while the controller works.
	peace bool
}

func (w *town) pod() Pod { return w.history[len(w.history)-1] }

func (w *town) write(what string, change func(*Pod)) {
	p := w.pod()
	change(&p)
	w.history = append(w.history, p)
	w.say(what)
}

func (w *town) say(what string) { w.log = append(w.log, what) }

// pass is one act of the controller. It may be killed between what it decided and what it does, and between two writes.
func (w *town) pass() {
	known := w.history[w.cached]
	act := Next(&known, w.server, time.Hour, rules)
	killed := !w.peace && w.rnd.IntN(10) == 0
	if killed {
		// The next one lists from a server whose own cache may be behind.
		defer func() { w.cached = w.rnd.IntN(len(w.history)); w.say("controller killed") }()
		if w.rnd.IntN(2) == 0 {
			return
		}
	}
	switch act {
	case Claim, Release:
		if w.cached == len(w.history)-1 { // else it is a conflict.
			w.write(act.String(), func(p *Pod) { p.Held = act == Claim })
		}
	case Add:
		if now := w.pod(); now.Serves && now.Held {
			// The pod may change between this read and the command.
			if !w.peace && w.rnd.IntN(3) == 0 {
				w.others()
			}
			w.server = &haproxy.Server{Address: here, State: maint}
			w.say("add")
			if !killed {
				w.server.State = ready
				w.say("enable")
			}
		}
	case Enable:
		w.server.State = ready
		w.say("enable")
	case Drain:
		w.server.State = drain
		w.say("drain")
	case Remove, Cut:
		w.server.State = maint
		if act == Cut {
			w.server.Sessions = 0
		}
		if w.server.Sessions == 0 {
			w.server = nil
			w.say("del")
		}
	}
}

// others is what happens without the controller.
func (w *town) others() {
	switch w.rnd.IntN(8) {
	case 0:
		w.write("gate closed", func(p *Pod) { p.Leaving, p.Serves = true, false })
	case 1:
		w.write("gate open", func(p *Pod) { p.Leaving, p.Serves = false, true })
	case 2:
		if !w.pod().Leaving {
			w.write("not ready", func(p *Pod) { p.Serves = false })
		}
	case 3:
		w.cached = w.cached + w.rnd.IntN(len(w.history)-w.cached)
	case 4:
		w.cached = len(w.history) - 1
	case 5:
		if w.server != nil && w.server.State == ready {
			w.server.Sessions++
		}
	case 6:
		if w.server != nil && w.server.Sessions > 0 {
			w.server.Sessions--
		}
	case 7:
		if w.rnd.IntN(6) == 0 {
			w.server = nil
			w.say("HAProxy restarted")
		}
	}
}

func TestHAProxyForwardsToNoPodWithoutTheFinalizer(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	for world := range 3000 {
		w := &town{rnd: rand.New(rand.NewPCG(seed, uint64(world))), history: []Pod{{Address: here, Leaving: true}}}
		check := func() {
			if w.server != nil && !w.pod().Held {
				t.Fatalf("world %d of seed %d: HAProxy has a server for a pod without finalizer after\n%s", world, seed, strings.Join(w.log, "\n"))
			}
		}
		for range 150 {
			w.others()
			check()
			w.pass()
			check()
		}
		w.peace = true
		for _, leaving := range []bool{false, true} {
			w.write(fmt.Sprintf("in the end leaving is %v", leaving), func(p *Pod) { p.Leaving, p.Serves = leaving, !leaving })
			for range 10 {
				w.cached = len(w.history) - 1
				if w.server != nil {
					w.server.Sessions = 0
				}
				w.pass()
				check()
			}
			if registered := w.server != nil && w.server.State == ready; registered == leaving || w.pod().Held == leaving {
				t.Fatalf("world %d of seed %d: it ends with leaving %v, registered %v, held %v\n%s", world, seed, leaving, registered, w.pod().Held, strings.Join(w.log, "\n"))
			}
		}
	}
}
