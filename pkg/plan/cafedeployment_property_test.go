package plan

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/intstr"
)

// cafeWorld is a deployment whose pod sets obey, one thing at a time and in any order, and whose controller is killed between any two writes.
type cafeWorld struct {
	rng   *rand.Rand
	s     CafeState
	pods  map[string][]cafePod
	stay  map[string]int32
	bad   map[string]bool
	made  int
	fault string
}

type cafePod struct {
	revision  string
	available bool
}

func newCafeWorld(rng *rand.Rand) *cafeWorld {
	w := &cafeWorld{rng: rng, pods: map[string][]cafePod{}, stay: map[string]int32{}, bad: map[string]bool{}}
	w.s = CafeState{Replicas: 1 + rng.Int32N(14), MaxUnavailable: number(1 + rng.Int32N(3)), Beta: rng.IntN(2) == 0, Current: "r1", Update: "r1", Change: "r1-1", Next: "scale-1"}
	if rng.IntN(3) > 0 {
		w.s.BatchSize = number(1 + rng.Int32N(5))
	}
	for _, unit := range []string{"dca", "dcb", "dcc"}[:1+rng.IntN(3)] {
		w.s.Units = append(w.s.Units, CafeUnit{Name: unit})
	}
	return w
}

// look makes the units anew from the pods.
func (w *cafeWorld) look() {
	for i := range w.s.Units {
		u := &w.s.Units[i]
		pods := w.pods[u.Name]
		u.Goes, u.Updated, u.UpdatedAvailable = nil, 0, 0
		for _, broken := range []bool{true, false} {
			for _, pod := range pods {
				if pod.available == broken {
					continue
				}
				u.Goes = append(u.Goes, pod.available)
			}
		}
		for _, pod := range pods {
			if pod.revision == w.s.Update {
				u.Updated++
				if pod.available {
					u.UpdatedAvailable++
				}
			}
		}
	}
}

// pass plans, and makes some of the writes: a kill leaves the rest.
func (w *cafeWorld) pass() (CafePlan, bool) {
	w.look()
	p, err := CafeDeployment(w.s)
	if err != nil {
		w.fault = err.Error()
		return p, false
	}
	w.check(p)
	wrote := false
	for i := range p.Units {
		to := &p.Units[i]
		u := &w.s.Units[i]
		if w.rng.IntN(4) == 0 {
			return p, wrote // killed.
		}
		if u.Kept != to.Keep || w.stay[u.Name] != to.Stay {
			u.Kept, w.stay[u.Name], wrote = to.Keep, to.Stay, true
		}
	}
	current := CafeCurrentRevision(w.s, p)
	wrote = wrote || current != w.s.Current || p.Asked != w.s.Asked || p.Reset || (p.Scaling == nil) != (w.s.Scaling == nil) || p.Scaling != nil && !same(p.Scaling, w.s.Scaling)
	w.s.Current, w.s.Scaling, w.s.Asked = current, p.Scaling, p.Asked
	if p.Reset {
		w.s.Confirmed = "false"
	}
	return p, wrote
}

// check what holds of every plan.
func (w *cafeWorld) check(p CafePlan) {
	var wanted, available, lost int32
	for i := range p.Units {
		u, to := &w.s.Units[i], &p.Units[i]
		wanted += to.Wanted
		available += u.available() - u.loses(u.Kept)
		lost += max(u.loses(to.Keep)-u.loses(u.Kept), 0)
		if to.Stay < 0 || to.Stay > to.Keep {
			w.fault = fmt.Sprintf("%s is to hold back %d of %d", to.Name, to.Stay, to.Keep)
		}
	}
	if wanted != w.s.Replicas {
		w.fault = fmt.Sprintf("units are to have %d pods of %d replicas", wanted, w.s.Replicas)
	}
	limit, _ := MaxUnavailable(w.s.MaxUnavailable, w.s.Replicas)
	if p.Scaling != nil && lost > 0 && available-lost < w.s.Replicas-limit {
		w.fault = fmt.Sprintf("%d pods are taken away of %d that are available, while others are to be made; %d replicas and a limit of %d", lost, available, w.s.Replicas, limit)
	}
}

// obey has one unit's set do one thing.
func (w *cafeWorld) obey() bool {
	for _, i := range w.rng.Perm(len(w.s.Units)) {
		u := &w.s.Units[i]
		pods := w.pods[u.Name]
		old := int32(0)
		for _, pod := range pods {
			if pod.revision != w.s.Update {
				old++
			}
		}
		n := int32(len(pods)) // #nosec G115 -- a few.
		switch {
		case n > u.Kept:
			at := 0
			for j, pod := range pods {
				if !pod.available {
					at = j
				}
			}
			w.pods[u.Name] = append(pods[:at:at], pods[at+1:]...)
			return true
		case n < u.Kept:
			revision := w.s.Update
			if old < w.stay[u.Name] {
				revision = w.s.Current
			}
			w.pods[u.Name] = append(pods, cafePod{revision: revision})
			return true
		}
		for _, j := range w.rng.Perm(len(pods)) {
			if pod := &pods[j]; !pod.available && !w.bad[pod.revision] {
				pod.available = true
				return true
			}
		}
		if old > w.stay[u.Name] {
			for j := range pods {
				if pods[j].revision != w.s.Update {
					pods[j] = cafePod{revision: w.s.Update}
					return true
				}
			}
		}
	}
	return false
}

// change what the user wants.
func (w *cafeWorld) change() {
	switch w.rng.IntN(6) {
	case 0, 1:
		w.made++
		w.s.Update = fmt.Sprintf("r%d", w.made+1)
		w.s.Change = fmt.Sprintf("%s-%d", w.s.Update, w.made)
		w.bad[w.s.Update] = w.rng.IntN(3) == 0
	case 2:
		w.s.Replicas = w.rng.Int32N(15)
	case 3:
		i := w.rng.IntN(len(w.s.Units))
		if w.s.Units[i].Draining || w.active() > 1 {
			w.s.Units[i].Draining = !w.s.Units[i].Draining
		}
	case 4:
		w.s.Pause = !w.s.Pause
	case 5:
		w.s.Wishes = map[string]intstr.IntOrString{}
		for i := range w.s.Units {
			if w.rng.IntN(3) == 0 && !w.s.Units[i].Draining {
				w.s.Wishes[w.s.Units[i].Name] = intstr.FromInt32(w.rng.Int32N(6))
			}
		}
	}
	for i := range w.s.Units {
		if w.s.Units[i].Draining {
			delete(w.s.Wishes, w.s.Units[i].Name)
		}
	}
	w.made++
	w.s.Next = fmt.Sprintf("scale-%d", w.made)
}

func (w *cafeWorld) active() (n int) {
	for i := range w.s.Units {
		if !w.s.Units[i].Draining {
			n++
		}
	}
	return n
}

// Whatever users change, and wherever the controller is killed: no more pods are updated than the open group wants, the limits hold while pods move between
// units, and once the user lets it, every pod runs a good template where it belongs.
func TestCafeDeploymentsArriveWhateverHappens(t *testing.T) {
	base := uint64(time.Now().UnixNano()) // #nosec G115 -- a seed.
	for n := range uint64(400) {
		w := newCafeWorld(rand.New(rand.NewPCG(base, n))) // #nosec G404 -- a test's dice.
		for range 150 {
			if w.rng.IntN(25) == 0 {
				w.change()
			}
			if w.rng.IntN(2) == 0 {
				w.obey()
			} else {
				w.pass()
			}
			if w.fault != "" {
				t.Fatalf("seed %d, world %d: %s\n%+v", base, n, w.fault, w.s)
			}
		}
		w.s.Pause = false
		w.s.Update, w.s.Change = "good", "good-1"
		for quiet, step := 0, 0; quiet < 40; step++ {
			_, wrote := w.pass()
			if w.obey() || wrote {
				quiet = 0
			}
			quiet++
			if w.fault != "" || step == 5000 {
				t.Fatalf("seed %d, world %d: %s; it never arrives\n%+v\n%+v", base, n, w.fault, w.s, w.pods)
			}
		}
		for i := range w.s.Units {
			u := &w.s.Units[i]
			if u.Draining && len(w.pods[u.Name]) > 0 {
				t.Fatalf("seed %d, world %d: %s is not drained: %+v\n%+v", base, n, u.Name, w.pods, w.s)
			}
			for _, pod := range w.pods[u.Name] {
				if pod.revision != "good" {
					t.Fatalf("seed %d, world %d: a pod of %s is on %s at the end\n%+v\n%+v", base, n, u.Name, pod.revision, w.s, w.pods)
				}
			}
		}
		var all int
		for _, pods := range w.pods {
			all += len(pods)
		}
		if all != int(w.s.Replicas) {
			t.Fatalf("seed %d, world %d: %d pods of %d replicas at the end", base, n, all, w.s.Replicas)
		}
	}
}
