package pods

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/periplus-dev/periplus/pkg/guard"
	"github.com/periplus-dev/periplus/pkg/guard/source"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// world is what passes see, at times in seconds after noon.
type world struct {
	t        *testing.T
	recorder *Recorder
	clock    *clocktesting.FakePassiveClock
	seen     *guard.Input
}

func newWorld(t *testing.T) *world {
	return &world{t: t, recorder: NewRecorder(), clock: clocktesting.NewFakePassiveClock(noon)}
}

func at(seconds int) time.Time { return noon.Add(time.Duration(seconds) * time.Second) }

func (w *world) pass(seconds int, pods ...guard.Pod) {
	for i := range pods {
		pods[i].Member, pods[i].Workload = "fra", "web"
	}
	w.clock.SetTime(at(seconds))
	w.seen = &guard.Input{Member: "fra", Workload: guard.Workload{Kind: "InPlaceSet", Name: "web"}, Pods: pods}
	w.recorder.Observe(at(seconds), "shop", w.seen)
}

// ask returns the one value that a query has, by what the last pass saw; "none" where there is none.
func (w *world) ask(query string, window time.Duration) string {
	w.t.Helper()
	got := w.series(query, window, false)
	if len(got) == 0 {
		return "none"
	}
	if len(got) != 1 {
		w.t.Errorf("%s: %v", query, got)
	}
	return fmt.Sprint(got[0].Value)
}

func (w *world) series(query string, window time.Duration, baseline bool) []guard.Series {
	w.t.Helper()
	got, err := New(w.recorder, w.clock).Ask(w.t.Context(), source.Question{Namespace: "shop", Member: "fra", Query: query, Window: window, Seen: w.seen, Baseline: baseline})
	if err != nil {
		w.t.Fatal(err)
	}
	return got
}

func (w *world) expect(query string, window time.Duration, want string) {
	w.t.Helper()
	if got := w.ask(query, window); got != want {
		w.t.Errorf("%s over %s: got %s, want %s", query, window, got, want)
	}
}

// old is a pod that was made an hour before noon, and has been ready for as long.
func old(change ...func(*guard.Pod)) guard.Pod {
	return made(-3600, append([]func(*guard.Pod){ready(-3590)}, change...)...)
}

// made is an updated pod that is not ready yet.
func made(seconds int, change ...func(*guard.Pod)) guard.Pod {
	p := guard.Pod{Name: "web-0", Updated: true, Created: at(seconds), Begun: at(seconds), ReadyChanged: at(seconds)}
	for _, c := range change {
		c(&p)
	}
	return p
}

func ready(since int) func(*guard.Pod) {
	return func(p *guard.Pod) { p.Ready, p.ReadyChanged = true, at(since) }
}

func unready(since int) func(*guard.Pod) {
	return func(p *guard.Pod) { p.Ready, p.ReadyChanged = false, at(since) }
}
func restarted(n int64) func(*guard.Pod)   { return func(p *guard.Pod) { p.Restarts = n } }
func changed(seconds int) func(*guard.Pod) { return func(p *guard.Pod) { p.Begun = at(seconds) } }
func named(name string) func(*guard.Pod)   { return func(p *guard.Pod) { p.Name = name } }
func moving(p *guard.Pod)                  { p.Updated, p.Moving = false, true }
func stablePod(p *guard.Pod)               { p.Updated = false }
func takenOut(p *guard.Pod)                { p.TakenOut = true }

func TestRestarts(t *testing.T) {
	const q = "sum(restarts(updated))"
	t.Run("are counted within the window only", func(t *testing.T) {
		w := newWorld(t)
		w.pass(0, old(restarted(3)))
		w.pass(60, old(restarted(5)))
		w.pass(90, old(restarted(6)))
		w.expect(q, 80*time.Second, "3")
		w.expect(q, 20*time.Second, "1")
		w.pass(200, old(restarted(6)))
		w.expect(q, 30*time.Second, "0")
	})
	t.Run("of a window that began before the pod was known are no data", func(t *testing.T) {
		w := newWorld(t)
		w.pass(0, old(restarted(3)))
		w.pass(60, old(restarted(3)))
		w.expect(q, 61*time.Second, "none")
		w.expect(q, 60*time.Second, "0")
	})
	t.Run("are known without having been seen where there were none", func(t *testing.T) {
		w := newWorld(t)
		w.pass(0, old())
		w.expect(q, 10*time.Minute, "0")
	})
	t.Run("are known of a pod that was made in the window", func(t *testing.T) {
		w := newWorld(t)
		w.pass(100, made(0, restarted(2)))
		w.expect(q, 2*time.Minute, "2")
		w.expect(q, 50*time.Second, "none")
	})
	t.Run("of a pod whose making was seen are known at once", func(t *testing.T) {
		w := newWorld(t)
		w.pass(0, old())
		w.pass(100, old(), made(30, named("web-1"), restarted(2)))
		w.expect(q, 50*time.Second, "2")
		w.expect(q, 200*time.Second, "2")
	})
	t.Run("before the last change in place are not the pod's any more", func(t *testing.T) {
		w := newWorld(t)
		w.pass(0, old(restarted(4)))
		w.pass(10, old(restarted(1), changed(10), moving)) // 1: of a sidecar that the change leaves alone
		w.pass(20, old(restarted(1), changed(10)))
		w.expect(q, time.Hour, "0")
		w.pass(30, old(restarted(3), changed(10)))
		w.expect(q, time.Hour, "2")
	})
	t.Run("of a change that nobody saw under way are no data until the window began after it", func(t *testing.T) {
		w := newWorld(t)
		w.pass(0, old(restarted(4)))
		w.pass(60, old(restarted(1), changed(10)))
		w.expect(q, time.Minute, "none")
		w.pass(130, old(restarted(1), changed(10)))
		w.expect(q, time.Minute, "0")
	})
	t.Run("of a pod that another took the name of are not its own", func(t *testing.T) {
		w := newWorld(t)
		w.pass(0, old(restarted(1)))
		w.pass(10, old(restarted(5)))
		w.pass(20, made(15))
		w.expect(q, time.Minute, "0")
	})
	t.Run("are no data for a pod that no pass saw", func(t *testing.T) {
		w := newWorld(t)
		w.pass(0, old())
		w.seen.Pods = append(w.seen.Pods, guard.Pod{Name: "web-9", Updated: true, Created: at(-5)})
		w.expect(q, time.Minute, "none")
	})
	t.Run("are no data of a pod that was not seen for long", func(t *testing.T) {
		w := newWorld(t)
		w.pass(0, old(restarted(1)))
		w.pass(660, old(restarted(3)))
		w.expect(q, time.Minute, "none")
		w.clock.SetTime(at(2000))
		w.expect(q, time.Second, "none")
	})
	t.Run("more than are kept are joined, never lost", func(t *testing.T) {
		w := newWorld(t)
		for i := range 200 {
			w.pass(i, old(restarted(int64(i))))
		}
		w.expect(q, 10*time.Minute, "199")
		w.expect(q, 20*time.Second, "20")
		if n := len(w.recorder.pods[podKey{"shop", "fra", "/web-0"}].restarts.list); n > mostEvents {
			t.Errorf("%d events are kept", n)
		}
	})
}

func TestFlaps(t *testing.T) {
	const q = "sum(flaps(updated))"
	t.Run("losing readiness counts, at the time the cluster says", func(t *testing.T) {
		w := newWorld(t)
		w.pass(0, old())
		w.pass(30, old(unready(25)))
		w.pass(40, old(ready(40)))
		w.expect(q, 20*time.Second, "1")
		w.expect(q, 15*time.Second, "0")
	})
	t.Run("one that came and went between two passes counts", func(t *testing.T) {
		w := newWorld(t)
		w.pass(0, old())
		w.pass(30, old(ready(20)))
		w.expect(q, 15*time.Second, "1")
		w.pass(40, old(unready(35)))
		w.pass(50, old(unready(45)))
		w.expect(q, time.Minute, "3")
	})
	t.Run("becoming ready is none", func(t *testing.T) {
		w := newWorld(t)
		w.pass(0, old(named("web-1")))
		w.pass(10, old(named("web-1")), made(5))
		w.pass(20, old(named("web-1")), made(5, ready(18)))
		w.expect(q, time.Minute, "0")
	})
	t.Run("being taken out to be changed is none", func(t *testing.T) {
		w := newWorld(t)
		w.pass(0, old(stablePod))
		w.pass(10, old(stablePod, takenOut))
		w.pass(11, old(stablePod, takenOut, unready(11)))
		w.expect("sum(flaps(stable))", time.Minute, "0")
		w.pass(20, old(moving, takenOut, unready(11), changed(20)))
		w.pass(30, old(ready(29), changed(20)))
		w.expect(q, time.Minute, "0")
		w.pass(40, old(unready(40), changed(20)))
		w.expect(q, time.Minute, "1")
	})
	t.Run("of a pod that has been ready since before the window there were none, though nobody watched", func(t *testing.T) {
		w := newWorld(t)
		w.pass(0, old())
		w.expect(q, time.Minute, "0")
	})
	t.Run("of a pod that became ready within the window are no data where nobody watched", func(t *testing.T) {
		w := newWorld(t)
		w.pass(0, old(ready(-10)))
		w.expect(q, time.Minute, "none")
		w.pass(50, old(ready(-10)))
		w.expect(q, time.Minute, "0")
	})
}

func TestTimeToReady(t *testing.T) {
	const q = "max(timeToReady(updated))"
	t.Run("is from the making to the first time ready, whatever comes after", func(t *testing.T) {
		w := newWorld(t)
		w.pass(0, made(0))
		w.pass(7, made(0))
		w.expect(q, time.Second, "7")
		w.pass(20, made(0, ready(18)))
		w.pass(50, made(0, unready(40)))
		w.pass(60, made(0, ready(55)))
		w.expect(q, time.Second, "18")
	})
	t.Run("is from the change where the pod was changed in place", func(t *testing.T) {
		w := newWorld(t)
		w.pass(0, old(stablePod))
		w.pass(10, old(moving, changed(10))) // the cluster still says ready
		w.pass(12, old(moving, changed(10), unready(11)))
		w.pass(25, old(changed(10), ready(24)))
		w.expect(q, time.Second, "14")
	})
	t.Run("is 0 where a change did not take readiness away", func(t *testing.T) {
		w := newWorld(t)
		w.pass(0, old(changed(-5)))
		w.expect(q, time.Second, "0")
	})
	t.Run("is known of a pod that nobody watched", func(t *testing.T) {
		w := newWorld(t)
		w.pass(0, old())
		w.expect(q, time.Second, "10")
	})
}

func TestListsReductionsAndSeries(t *testing.T) {
	w := newWorld(t)
	w.pass(0, made(0, named("a"), ready(10)), made(0, named("b"), ready(20)), made(0, named("c"), ready(30), stablePod), made(0, named("d"), ready(40), moving, takenOut))
	w.clock.SetTime(at(100))
	for q, want := range map[string]string{
		"max(timeToReady(updated))": "20", "min(timeToReady(updated))": "10", "sum(timeToReady(updated))": "30", "avg(timeToReady(updated))": "15",
		"count(timeToReady(updated))": "2", "max(timeToReady(stable))": "30", "count(timeToReady(pods))": "4", "max(timeToReady(pods))": "100",
	} {
		w.expect(q, time.Minute, want)
	}
	want := []guard.Series{{Labels: map[string]string{"pod": "a"}, Value: 10}, {Labels: map[string]string{"pod": "b"}, Value: 20}}
	if diff := cmp.Diff(want, w.series("timeToReady(updated)", time.Minute, false), cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
	if n := len(w.series("timeToReady(stable)", time.Minute, true)); n != 4 {
		t.Errorf("the baseline is about %d pods", n)
	}
	w.pass(200, made(0, named("c"), stablePod))
	w.expect("count(restarts(updated))", time.Minute, "none")
	w.seen.Missing = "fra has not answered"
	w.expect("count(restarts(stable))", time.Minute, "none")
}

func TestWhatIsNotSeenAnyMoreIsForgotten(t *testing.T) {
	w := newWorld(t)
	for i := range 500 {
		w.pass(i*10, made(i*10, named(fmt.Sprint("web-", i))))
	}
	if n := len(w.recorder.pods); n > 70 {
		t.Errorf("%d pods are kept", n)
	}
	w.recorder.Observe(at(10000), "other", &guard.Input{Member: "ham", Missing: "no answer", Pods: []guard.Pod{{Name: "x"}}})
	w.recorder.Observe(at(10000), "other", &guard.Input{Member: "ham"})
	if len(w.recorder.pods) != 0 || len(w.recorder.groups) != 0 {
		t.Errorf("%d pods and %d workloads are kept", len(w.recorder.pods), len(w.recorder.groups))
	}
}

func TestAPassThatIsLateChangesNothing(t *testing.T) {
	w := newWorld(t)
	w.pass(0, old(restarted(1)))
	w.pass(20, old(restarted(3)))
	w.pass(10, old(restarted(2)))
	w.pass(30, old(restarted(3)))
	w.expect("sum(restarts(updated))", 30*time.Second, "2")
}

func BenchmarkObserve(b *testing.B) {
	r := NewRecorder()
	in := &guard.Input{Member: "fra"}
	for i := range 1000 {
		in.Pods = append(in.Pods, old(named(fmt.Sprint("web-", i))))
	}
	for i := 0; b.Loop(); i++ {
		r.Observe(at(i), "shop", in)
	}
}
