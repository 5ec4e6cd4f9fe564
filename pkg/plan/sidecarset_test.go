package plan

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/intstr"
)

// sidecarPods reads pods, one a word: the revision's number, then marks: - not ready, x failing, ! closed by the set, s stays, u not selected, h held by another, @w its workload.
func sidecarPods(text string) []SidecarPod {
	var out []SidecarPod
	for i, word := range strings.Fields(text) {
		word, workload, _ := strings.Cut(word, "@")
		has := func(mark string) bool { return strings.Contains(word, mark) }
		down := has("-") || has("x") || has("!") || has("h")
		out = append(out, SidecarPod{
			Name: fmt.Sprintf("p%02d", i), Workload: workload, Revision: "r" + word[:1], Available: !down, Ready: !down, Up: !has("x") && !has("~"), Closed: has("!"),
			Selected: !has("u"), Stays: has("s"), Held: has("h"), Failing: has("x"), Created: time.Unix(int64(i), 0),
		})
		if has("~") { // on its way.
			out[i].Available, out[i].Ready = false, false
		}
	}
	return out
}

func intOr(text string) *intstr.IntOrString {
	if text == "" {
		return nil
	}
	v := intstr.Parse(text)
	return &v
}

func TestWhichPodsGetTheNewSidecars(t *testing.T) {
	for _, c := range []struct {
		name, pods, partition, limit string
		paused                       bool
		update                       string
		want                         func(SidecarSetPlan) string
	}{
		{"the first pod goes alone, whatever the limit", "1 1 1 1", "", "100%", false, "p00", nil},
		{"one that came up lets one more go", "2 1 1 1", "", "100%", false, "p01", nil},
		{"two that came up let two go", "2 2 1 1 1", "", "100%", false, "p02 p03", nil},
		{"one on its way is waited for", "2~ 1 1 1", "", "100%", false, "", func(p SidecarSetPlan) string { return fmt.Sprint(p.Behind) + "=3" }},
		{"a revision that fails stops at its first pod", "2x 1 1 1", "", "100%", false, "", func(p SidecarSetPlan) string { return fmt.Sprint(p.Stopped) + "=true" }},
		{"and what the set took out of service meanwhile goes back", "2x 2 1! 1", "", "100%", false, "", nil},
		{"a pod that was taken out of service goes on first", "2 1 1! 1", "", "100%", false, "p02", nil},
		{"an application that is broken does not hold the others up", "2- 2 1 1 1", "", "100%", false, "p02 p03", nil},
		{"pods that do not serve go first, and wait for no limit", "2 2 2 1 1- 1-", "", "1", false, "p04 p05", nil},
		{"the limit counts pods that are unavailable for any reason", "2 2 2- 1 1", "", "1", false, "", func(p SidecarSetPlan) string { return fmt.Sprint(p.Waiting) + "=2" }},
		{"the partition holds pods back", "2 2 1 1", "2", "100%", false, "", func(p SidecarSetPlan) string { return fmt.Sprint(p.Expected) + "=2" }},
		{"all of them where it is 100 percent", "1 1 1", "100%", "100%", false, "", nil},
		{"one goes where it is 99 percent", "1 1 1", "99%", "100%", false, "p00", nil},
		{"pods that are not selected stay, and the partition does not count them", "1u 1u 1 1", "50%", "100%", false, "p02", nil},
		{"pods that cannot change in place stay", "1s 1s 1", "", "100%", false, "p02", nil},
		{"a pod that somebody else changes waits, and takes nobody's turn", "1h 1 1", "", "100%", false, "p00 p01", nil},
		{"nor a place of the partition", "1h 1 1", "2", "100%", false, "p00 p01", nil},
		{"nothing moves while paused", "1 1", "", "100%", true, "", nil},
		{"a percentage holds in each workload, too", "2@a 2@a 2@a 2@b 2@b 2@b 1@a 1-@a 1@b 1@c", "", "50%", false, "p07 p06 p08 p09", nil},
		{"a workload that has its share unavailable waits, and another goes", "2-@a 2@b 2@b 2@b 1@a 1@b", "", "50%", false, "p05", func(p SidecarSetPlan) string { return fmt.Sprint(p.Waiting) + "=1" }},
		{"a number is of all pods together", "2@b 2@b 1@a 1@a 1@b", "", "2", false, "p02 p03", nil},
	} {
		p, err := SidecarSet(SidecarSetState{Partition: intOr(c.partition), MaxUnavailable: intOr(c.limit), Paused: c.paused, Current: "r1", Update: "r2", Pods: sidecarPods(c.pods)})
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(p.Update, " "); got != c.update {
			t.Errorf("%s: %q, want %q", c.name, got, c.update)
		}
		if c.want != nil {
			if got, want, _ := strings.Cut(c.want(p), "="); got != want {
				t.Errorf("%s: %s, want %s in %+v", c.name, got, want, p)
			}
		}
	}
}

func TestADisruptionBudgetHoldsSidecarsToo(t *testing.T) {
	p, err := SidecarSet(SidecarSetState{MaxUnavailable: intOr("100%"), Current: "r1", Update: "r2", Pods: sidecarPods("2 2 2 1 1 1-"),
		Budgets: func(*SidecarPod) []string { return []string{"web"} }, Left: func(string) int32 { return 1 }})
	if err != nil || strings.Join(p.Update, " ") != "p05 p03" || p.WaitingFor["web"] != 1 {
		t.Errorf("%+v, %v; want the one that does not serve, one more, and one that waits", p, err)
	}
}

func TestAnApplicationKeepsItsOwnLimit(t *testing.T) {
	app := func(replicas, available int32, limit string) *SidecarApplication {
		return &SidecarApplication{Replicas: replicas, Available: available, MaxUnavailable: intOr(limit)}
	}
	for _, c := range []struct {
		name, pods string
		apps       map[string]*SidecarApplication
		update     string
		waits      int32
	}{
		{"one of its pods goes where one may", "2@x 2@x 2@x 1@a 1@a", map[string]*SidecarApplication{"a": app(2, 2, "1")}, "p03", 1},
		{"none goes where one is missing already", "2@x 2@x 1@a 1@a", map[string]*SidecarApplication{"a": app(3, 2, "1")}, "", 2},
		{"pods without the sidecars count", "2@x 2@x 1@a 1@a", map[string]*SidecarApplication{"a": app(4, 4, "50%")}, "p02 p03", 0},
		{"a pod that does not serve waits for nothing", "2@x 2@x 1@a 1-@a", map[string]*SidecarApplication{"a": app(2, 1, "1")}, "p03", 1},
		{"while one application waits, another goes", "2@x 2@x 1@a 1@a 1@b", map[string]*SidecarApplication{"a": app(2, 1, "1"), "b": app(1, 1, "1")}, "p04", 2},
		{"none goes where what it wants is not known", "2@x 1@a", map[string]*SidecarApplication{"a": {Unknown: true, Available: 9}}, "", 1},
		{"none goes where none may be unavailable and none surges", "2@x 1@a", map[string]*SidecarApplication{"a": {Replicas: 1, Available: 1, MaxUnavailable: intOr("0"), MaxSurge: intOr("1")}}, "", 1},
		{"one goes where another stands in for it", "2@x 1@a", map[string]*SidecarApplication{"a": {Replicas: 1, Available: 2, MaxUnavailable: intOr("0"), MaxSurge: intOr("1")}}, "p01", 0},
	} {
		p, err := SidecarSet(SidecarSetState{MaxUnavailable: intOr("9"), Current: "r1", Update: "r2", Pods: sidecarPods(c.pods), Applications: c.apps})
		if err != nil {
			t.Fatal(err)
		}
		var waits int32
		for _, n := range p.WaitingForApplication {
			waits += n
		}
		if got := strings.Join(p.Update, " "); got != c.update || waits != c.waits {
			t.Errorf("%s: %q and %d wait, want %q and %d", c.name, got, waits, c.update, c.waits)
		}
	}
}

func TestTheRevisionThatPodsStayOn(t *testing.T) {
	for _, c := range []struct{ name, pods, partition, current, before, want string }{
		{"the first one", "1", "", "", "", "r2"},
		{"the old one while pods are on it", "2 1", "", "r1", "", "r1"},
		{"the new one once all run it", "2 2", "", "r1", "", "r2"},
		{"not before their sidecars are up", "2 2~", "", "r1", "", "r1"},
		{"whatever their applications do", "2 2-", "", "r1", "", "r2"},
		{"pods that wait for their creation hold nothing", "2 1s", "", "r1", "", "r2"},
		{"the new one once all run it, though a release has let go meanwhile and holds all back", "2 2", "100%", "r1", "", "r2"},
		{"the old one while pods are held back on it", "2 1", "1", "r1", "", "r1"},
		{"the old one where all is held back and no pod can get to the new one", "1s 1s", "100%", "r1", "", "r1"},
		{"the new one where pods that were created run it, and no other can get there", "2 1s", "100%", "r1", "", "r2"},
		{"the old one where there are no pods and all is held back", "", "100%", "r1", "", "r1"},
		{"the new one where there are none and nothing is", "", "", "r1", "", "r2"},
		{"not the new one where canaries of a release are all the pods that are left", "2", "100%", "r1", "r1", "r1"},
		{"the new one of a release once nothing is held back any more", "2 2", "", "r1", "r1", "r2"},
		{"nor by a release while pods are on the old one", "2 1", "", "r1", "r1", "r1"},
		{"the one that a release found, as soon as it takes the set back to it", "3 3 2", "100%", "r3", "r2", "r2"},
		{"also where there are no pods to show it", "", "100%", "r3", "r2", "r2"},
		{"also where all pods keep what is taken back until they are created anew", "3s 3s", "100%", "r3", "r2", "r2"},
		{"the old one while pods that were not selected are on it", "2 1u", "", "r1", "", "r1"},
	} {
		if got := SidecarRevision(SidecarSetState{Partition: intOr(c.partition), Current: c.current, Before: c.before, Update: "r2", Pods: sidecarPods(c.pods)}); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestWhateverIsUnavailableNoSidecarTakesThePodsBelowTheirLimit(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	r := rand.New(rand.NewPCG(seed, 3))
	for range 5000 {
		var words []string
		for range r.IntN(12) {
			words = append(words, fmt.Sprint(1+r.IntN(2))+[]string{"", "", "", "-", "x", "!", "~", "s", "u", "h"}[r.IntN(10)]+"@"+[]string{"a", "b"}[r.IntN(2)])
		}
		s := SidecarSetState{Partition: intOr([]string{"", "50%", "2", "100%"}[r.IntN(4)]), MaxUnavailable: intOr([]string{"1", "2", "25%", "50%", "100%"}[r.IntN(5)]),
			Current: "r1", Update: "r2", Pods: sidecarPods(strings.Join(words, " "))}
		s.Applications = map[string]*SidecarApplication{"a": {Replicas: int32(r.IntN(8)), MaxUnavailable: intOr([]string{"1", "2", "50%"}[r.IntN(3)])}} // #nosec G115 -- below 8.
		for _, pod := range s.Pods {
			if pod.Workload == "a" && pod.Available {
				s.Applications["a"].Available++
			}
		}
		p, err := SidecarSet(s)
		if err != nil {
			t.Fatal(err)
		}
		taken := map[string]bool{}
		for _, name := range p.Update {
			taken[name] = true
		}
		var served, left, moved int32
		sizes, out := map[string]int32{}, map[string]int32{}
		takes := map[string]bool{}
		for _, pod := range s.Pods {
			sizes[pod.Workload]++
			if pod.Available {
				served++
			}
			if pod.Available && !taken[pod.Name] {
				left++
			} else {
				out[pod.Workload]++
			}
			if pod.Available && taken[pod.Name] {
				takes[pod.Workload] = true
			}
			if pod.Revision == "r2" || taken[pod.Name] {
				moved++
			}
			if taken[pod.Name] && (pod.Revision == "r2" || pod.Stays || !pod.Selected) {
				t.Fatalf("seed %d: %s moves in %v", seed, pod.Name, words)
			}
		}
		all := int32(len(s.Pods))
		if left < served && left < all-p.MaxUnavailable {
			t.Fatalf("seed %d: %d of %d stay available, the limit is %d: %v takes %v", seed, left, all, p.MaxUnavailable, words, p.Update)
		}
		if a := s.Applications["a"]; takes["a"] {
			for _, pod := range s.Pods {
				if pod.Workload == "a" && pod.Available && taken[pod.Name] {
					a.Available--
				}
			}
			if a.Left() < 0 {
				t.Fatalf("seed %d: application %+v is %d below its limit: %v takes %v", seed, a, -a.Left(), words, p.Update)
			}
		}
		if s.MaxUnavailable.Type == intstr.String {
			for w := range takes {
				if n, _ := MaxUnavailable(s.MaxUnavailable, sizes[w]); out[w] > n {
					t.Fatalf("seed %d: workload %s has %d of %d unavailable: %v takes %v", seed, w, out[w], sizes[w], words, p.Update)
				}
			}
		}
	}
}

func TestEachUnitGoesByItsOwnPartition(t *testing.T) {
	state := func(pods string, partitions map[string]intstr.IntOrString, partition string) SidecarSetState {
		s := SidecarSetState{Partitions: partitions, Partition: intOr(partition), MaxUnavailable: intOr("100%"), Current: "r1", Update: "r2", Pods: sidecarPods(pods)}
		for i := range s.Pods {
			s.Pods[i].Unit = s.Pods[i].Workload
			s.Pods[i].Workload = ""
		}
		return s
	}
	all, none, one := intstr.FromString("100%"), intstr.FromInt32(0), intstr.FromInt32(1)
	for _, c := range []struct {
		name, pods string
		partitions map[string]intstr.IntOrString
		rest       string
		update     string
		expected   map[string]int32
		held       bool
		done       string
	}{
		{"what another unit holds back stays there", "2@a 2@a 1@b 1@a 1@b", map[string]intstr.IntOrString{"a": none, "b": all}, "100%", "p03", map[string]int32{"a": 3, "b": 0}, true, ""},
		{"both go", "2@a 2@a 2@a 2@a 1@a 1@b 1@b", map[string]intstr.IntOrString{"a": none, "b": one}, "100%", "p04 p05", map[string]int32{"a": 5, "b": 1}, true, ""},
		{"a unit that no partition names goes by the one of all", "1@a 1@c", map[string]intstr.IntOrString{"a": none}, "100%", "p00", map[string]int32{"a": 1, "c": 0}, true, ""},
		{"pods that cannot get there are counted by no partition", "1s@a 1s@a 1@a 1@a", map[string]intstr.IntOrString{"a": one}, "100%", "p02", map[string]int32{"a": 1}, true, ""},
		{"nothing is held back once no unit that there is does", "2@a 2@b", map[string]intstr.IntOrString{"a": none, "b": none}, "100%", "", map[string]int32{"a": 1, "b": 1}, false, "a b"},
		{"a unit is done before the others", "2@a 2@a 1@b", map[string]intstr.IntOrString{"a": none, "b": all}, "100%", "", map[string]int32{"a": 2, "b": 0}, true, "a"},
		{"a unit is not done while a sidecar of it comes up", "2@a 2~@a 1@b", map[string]intstr.IntOrString{"a": none, "b": all}, "100%", "", map[string]int32{"a": 2, "b": 0}, true, ""},
	} {
		s := state(c.pods, c.partitions, c.rest)
		p, err := SidecarSet(s)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(p.Update, " "); got != c.update {
			t.Errorf("%s: %q, want %q", c.name, got, c.update)
		}
		if fmt.Sprint(p.ExpectedIn) != fmt.Sprint(c.expected) {
			t.Errorf("%s: expected %v, want %v", c.name, p.ExpectedIn, c.expected)
		}
		if s.Held() != c.held {
			t.Errorf("%s: held is %v", c.name, s.Held())
		}
		var done []string
		for _, unit := range []string{"a", "b"} {
			if s.UnitDone(unit) {
				done = append(done, unit)
			}
		}
		if got := strings.Join(done, " "); got != c.done {
			t.Errorf("%s: done are %q, want %q", c.name, got, c.done)
		}
	}
	bad := intstr.FromString("many")
	if _, err := SidecarSet(state("1@a", map[string]intstr.IntOrString{"a": bad}, "")); err == nil || !strings.Contains(err.Error(), "partitions[a]") {
		t.Errorf("%v; want an error that names partitions[a]", err)
	}
}
