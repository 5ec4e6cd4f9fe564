package plan

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/intstr"
)

var (
	worldSeed = flag.Uint64("seed", 0, "the one world to run; all where 0")
	worlds    = flag.Uint64("worlds", 400, "how many random worlds to run")
)

// world is an InPlaceSet with a kubelet and a user that do things in any order. A pod takes the planner's wishes one write at a time.
type world struct {
	rng  *rand.Rand
	set  InPlaceSetState
	pods []*worldPod
	next int
	// template numbers the revisions.
	template int
	// spare is how many of the pods under budget x, those with an even number, may be away.
	spare int32
	log   []string
}

type worldPod struct {
	InPlacePod
	// bad: its image does not run, whatever the kubelet does.
	bad bool
}

func (p *worldPod) budgeted() bool { return p.Created.Unix()%2 == 0 }

func (w *world) note(format string, args ...any) {
	w.log = append(w.log, fmt.Sprintf(format, args...))
}

func (w *world) observe() InPlaceSetState {
	s := w.set
	s.Pods = nil
	healthy, under := int32(0), int32(0)
	for _, p := range w.pods {
		s.Pods = append(s.Pods, p.InPlacePod)
		if p.budgeted() && !p.Ended {
			under++
			if p.serves() {
				healthy++
			}
		}
	}
	s.Budgets = func(pod *InPlacePod) []string {
		if w.pod(pod.Name).budgeted() {
			return []string{"x"}
		}
		return nil
	}
	s.Left = func(string) int32 { return healthy - (under - w.spare) }
	return s
}

// settle remembers how many pods there were, as the controller does.
func (w *world) settle() {
	live := int32(0)
	for _, p := range w.pods {
		if !p.Ended {
			live++
		}
	}
	w.set.Established = min(w.set.Replicas, max(w.set.Established, live))
}

func (w *world) pod(name string) *worldPod {
	for _, p := range w.pods {
		if p.Name == name {
			return p
		}
	}
	return nil
}

func (w *world) remove(p *worldPod) {
	w.pods = slices.DeleteFunc(w.pods, func(o *worldPod) bool { return o == p })
}

// act makes the plan's writes as the controller would, but only some of them: the rest conflict, or it was killed.
func (w *world) act(p InPlaceSetPlan, all bool) {
	w.set.Current = CurrentRevision(w.observe())
	lands := func() bool { return all || w.rng.IntN(4) > 0 }
	for _, revision := range p.Create {
		if lands() {
			w.next++
			w.pods = append(w.pods, &worldPod{InPlacePod: InPlacePod{
				Name: fmt.Sprintf("p%d", w.next), Revision: revision, Created: time.Unix(int64(w.next), 0),
			}})
		}
	}
	named := map[string]bool{}
	for _, name := range p.Discard {
		if lands() {
			w.remove(w.pod(name))
		}
	}
	for _, name := range slices.Concat(p.ScaleDown, p.Rebuild) {
		named[name] = true
		if pod := w.pod(name); lands() {
			if pod.Leaving || !pod.Ready {
				w.remove(pod)
			} else {
				pod.Leaving, pod.Available = true, false
			}
		}
	}
	for _, name := range p.Update {
		named[name] = true
		if pod := w.pod(name); lands() {
			if pod.Closed || !pod.Ready {
				pod.Revision, pod.Changing, pod.Closed, pod.Available, pod.bad = w.set.Update, true, true, false, false
			} else {
				pod.Closed, pod.Available = true, false
			}
		}
	}
	for _, pod := range w.pods {
		// What is not named returns to service once its containers are ready.
		if !named[pod.Name] && (pod.Closed || pod.Leaving) && !pod.Changing && lands() {
			pod.Closed, pod.Leaving = false, false
		}
	}
}

// kubelet lets pods get on, one by one at random, or all of them.
func (w *world) kubelet(all bool) {
	for _, pod := range w.pods {
		switch {
		case !all && w.rng.IntN(2) == 0, pod.Ended:
		case pod.bad:
			pod.Changing, pod.Ready, pod.Available = pod.Changing && !all, false, false
		case pod.Changing:
			pod.Changing, pod.Ready = false, false
		case pod.Closed || pod.Leaving:
			pod.Ready, pod.Available = false, false
		case !pod.Ready:
			pod.Ready = true
		default:
			pod.Available = true
		}
	}
}

// user and fate do something that the planner did not ask for.
func (w *world) user() {
	percent := func() *intstr.IntOrString {
		v := intstr.FromString(fmt.Sprintf("%d%%", w.rng.IntN(101)))
		return &v
	}
	switch w.rng.IntN(13) {
	case 0:
		w.template++
		w.set.Update = fmt.Sprintf("v%d", w.template)
		rebuild := w.rng.IntN(3) == 0
		for _, p := range w.pods {
			p.Rebuild = rebuild
		}
		w.note("template %s, rebuild %t", w.set.Update, rebuild)
	case 1:
		w.set.Update = w.set.Current
		w.note("template back to %s", w.set.Update)
	case 2:
		w.set.Partition = percent()
		w.note("partition %s", w.set.Partition)
	case 3:
		v := intstr.FromInt32(w.rng.Int32N(12))
		w.set.Partition = &v
		w.note("partition %s", w.set.Partition)
	case 4:
		w.set.Replicas = w.rng.Int32N(12)
		w.note("replicas %d", w.set.Replicas)
	case 5:
		v := intstr.FromInt32(1 + w.rng.Int32N(4))
		w.set.MaxUnavailable = &v
		w.note("maxUnavailable %s", w.set.MaxUnavailable)
	case 6:
		w.set.Paused = !w.set.Paused
		w.note("paused %t", w.set.Paused)
	case 7:
		if len(w.pods) > 0 {
			pod := w.pods[w.rng.IntN(len(w.pods))]
			w.note("%s was deleted by somebody", pod.Name)
			w.remove(pod)
		}
	case 8:
		if len(w.pods) > 0 {
			pod := w.pods[w.rng.IntN(len(w.pods))]
			pod.Ready, pod.Available = false, false
			pod.bad = w.rng.IntN(2) == 0
			pod.Ended = !pod.bad && w.rng.IntN(3) == 0
			w.note("%s broke, bad %t, ended %t", pod.Name, pod.bad, pod.Ended)
		}
	case 9:
		surge, unavailable := intstr.FromInt32(w.rng.Int32N(5)), intstr.FromInt32(w.rng.Int32N(3))
		w.set.MaxSurge, w.set.MaxUnavailable = &surge, &unavailable
		w.note("maxSurge %s, maxUnavailable %s", w.set.MaxSurge, w.set.MaxUnavailable)
	case 10:
		w.spare = w.rng.Int32N(4)
		w.note("budget x lets %d be away", w.spare)
	case 11:
		if len(w.pods) > 0 {
			pod := w.pods[w.rng.IntN(len(w.pods))]
			pod.Unwanted = !pod.Unwanted
			w.note("%s unwanted %t", pod.Name, pod.Unwanted)
		}
	case 12:
		w.set.ScaleUnavailable = nil
		if w.rng.IntN(3) > 0 {
			v := intstr.FromInt32(1 + w.rng.Int32N(3))
			w.set.ScaleUnavailable = &v
		}
		w.note("scale limit %v", w.set.ScaleUnavailable)
	}
}

// worldSeeds are the seeds of the worlds to run.
func worldSeeds() []uint64 {
	if *worldSeed != 0 {
		return []uint64{*worldSeed}
	}
	seeds := make([]uint64, 0, *worlds)
	for seed := range *worlds {
		seeds = append(seeds, seed+1)
	}
	return seeds
}

func TestInPlaceSetKeepsItsPromisesInRandomWorlds(t *testing.T) {
	for _, seed := range worldSeeds() {
		w := &world{rng: rand.New(rand.NewPCG(seed, seed)), template: 1} // #nosec G404 -- a replayable test.
		w.set = InPlaceSetState{Replicas: w.rng.Int32N(12), Current: "v1", Update: "v1"}
		fail := func(why string) {
			t.Fatalf("seed %d (go test -run RandomWorlds -seed %d): %s\nset %+v\nlast of the log:\n%v", seed, seed, why, w.observe(), w.log[max(0, len(w.log)-20):])
		}
		step := func(all bool) InPlaceSetPlan {
			w.settle()
			s := w.observe()
			p, err := InPlaceSet(s)
			if err != nil {
				fail(err.Error())
			}
			w.note("%s", said(p))
			if why := broken(s, p); why != "" {
				fail(why)
			}
			w.act(p, all)
			return p
		}
		for range 120 {
			if w.rng.IntN(4) == 0 {
				w.user()
			}
			step(false)
			w.kubelet(false)
		}

		// Then the user fixes what he broke and goes home.
		w.set.Paused, w.spare = false, max(w.spare, 1)
		for _, pod := range w.pods {
			pod.bad = false
		}
		for i := 0; ; i++ {
			p := step(true)
			w.kubelet(true)
			if said(p) == "nothing" && settled(w) {
				break
			}
			if i == 500 {
				fail("does not come to rest")
			}
		}
	}
}

// settled says whether the world is as its set wishes.
func settled(w *world) bool {
	s := w.observe()
	p, err := InPlaceSet(s)
	if err != nil || said(p) != "nothing" || len(s.Pods) != int(s.Replicas) {
		return false
	}
	updated := int32(0)
	for _, pod := range s.Pods {
		if !pod.Available || pod.Closed || pod.Leaving || pod.Changing || pod.Unwanted {
			return false
		}
		if pod.Revision == s.Update {
			updated++
		}
	}
	return updated >= p.Expected
}
