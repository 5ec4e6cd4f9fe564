package plan

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/intstr"
)

// cafe2 is a deployment of 10 over dca and dcb that goes by Beta and batches of 4, complete on revision r1.
func cafe2(change ...func(*CafeState)) CafeState {
	s := CafeState{
		Replicas: 10, MaxUnavailable: percentOf("25%"), Beta: true, BatchSize: number(4), Current: "r1", Update: "r1", Change: "r1-1", Next: "scale-1",
		Units: []CafeUnit{well("dca", 5, 5), well("dcb", 5, 5)},
	}
	for _, c := range change {
		c(&s)
	}
	return s
}

// well: all pods are available, updated of them run the update revision.
func well(name string, pods, updated int32) CafeUnit {
	return CafeUnit{Name: name, HasSets: pods > 0, Kept: pods, Goes: goes(0, pods), Updated: updated, UpdatedAvailable: updated}
}

// goes: broken pods go before those that are available.
func goes(broken, available int32) []bool {
	out := make([]bool, broken+available)
	for i := range available {
		out[broken+i] = true
	}
	return out
}

func percentOf(s string) *intstr.IntOrString { v := intstr.FromString(s); return &v }
func number(n int32) *intstr.IntOrString     { v := intstr.FromInt32(n); return &v }

// changed: the template is revision r2, and units have these pods on it, all available.
func changed(updated ...int32) func(*CafeState) {
	return func(s *CafeState) {
		s.Update, s.Change = "r2", "r2-2"
		for i, n := range updated {
			s.Units[i].Updated, s.Units[i].UpdatedAvailable = n, n
		}
	}
}

// brief says what becomes of each unit: kept pods and, after a dash, how many of them stay.
func brief(p CafePlan) string {
	var parts []string
	for _, u := range p.Units {
		text := fmt.Sprintf("%s %d", u.Name, u.Keep)
		if u.Stay > 0 {
			text += fmt.Sprintf(" (%d stay)", u.Stay)
		}
		if u.Moved != 0 {
			text += fmt.Sprintf(" moved %+d", u.Moved)
		}
		if u.Full {
			text += " full"
		}
		if u.Delete {
			text += " delete"
		}
		parts = append(parts, text)
	}
	if p.Scaling != nil {
		parts = append(parts, "records")
	}
	if g := p.Group; g != nil {
		parts = append(parts, fmt.Sprintf("%s %d/%d %s", g.For, g.Index, g.Total, g.Waits))
	}
	if p.Reset {
		parts = append(parts, "reset")
	}
	if p.Asked != "" {
		parts = append(parts, "asked "+p.Asked)
	}
	return strings.Join(parts, ", ")
}

func scaling(change string, fromTo ...int32) *CafeScaling {
	s := &CafeScaling{From: map[string]int32{}, To: map[string]int32{}, Change: change}
	for i, unit := range []string{"dca", "dcb", "dcc"}[:len(fromTo)/2] {
		s.From[unit], s.To[unit] = fromTo[2*i], fromTo[2*i+1]
	}
	return s
}

func TestCafeDeployment(t *testing.T) {
	none := func(s *CafeState) { s.Units = []CafeUnit{{Name: "dca"}, {Name: "dcb"}} }
	confirm := func(annotation, asked string) func(*CafeState) {
		return func(s *CafeState) { s.Confirm, s.Confirmed, s.Asked = true, annotation, asked }
	}
	for _, r := range []struct {
		name  string
		state CafeState
		want  string
	}{
		{name: "at rest nothing moves", state: cafe2(), want: "dca 5, dcb 5"},
		{name: "what is to be created is recorded first", state: cafe2(none), want: "dca 0, dcb 0, records"},
		{name: "creation begins with one in each unit", state: cafe2(none, func(s *CafeState) { s.Scaling = scaling("scale-1", 0, 5, 0, 5) }),
			want: "dca 1, dcb 1, records, Scale 1/3 Pods"},
		{name: "the first batch of creation is four", state: cafe2(func(s *CafeState) {
			s.Units = []CafeUnit{well("dca", 1, 1), well("dcb", 1, 1)}
			s.Scaling = scaling("scale-1", 0, 5, 0, 5)
		}), want: "dca 3, dcb 3, records, Scale 2/3 Pods"},
		{name: "a broken pod holds the next batch of creation", state: cafe2(func(s *CafeState) {
			s.Units = []CafeUnit{well("dca", 1, 1), {Name: "dcb", Kept: 1, HasSets: true, Goes: goes(1, 0), Updated: 1}}
			s.Scaling = scaling("scale-1", 0, 5, 0, 5)
		}), want: "dca 1, dcb 1, records, Scale 1/3 Pods"},
		{name: "creation is over once all are available", state: cafe2(func(s *CafeState) { s.Scaling = scaling("scale-1", 0, 5, 0, 5) }), want: "dca 5, dcb 5"},
		{name: "an update begins with one in each unit", state: cafe2(changed(0, 0)), want: "dca 5 (4 stay), dcb 5 (4 stay), Update 1/3 Pods"},
		{name: "the first batch of an update is four", state: cafe2(changed(1, 1)), want: "dca 5 (2 stay), dcb 5 (2 stay), Update 2/3 Pods"},
		{name: "the last batch of an update is four", state: cafe2(changed(3, 3)), want: "dca 5, dcb 5, Update 3/3 Pods"},
		{name: "an updated pod that is not available holds the next batch", state: cafe2(changed(1, 1), func(s *CafeState) { s.Units[1].UpdatedAvailable = 0 }),
			want: "dca 5 (4 stay), dcb 5 (4 stay), Update 1/3 Pods"},
		{name: "a pod of an earlier batch that breaks takes nothing back", state: cafe2(changed(3, 3), func(s *CafeState) { s.Units[1].UpdatedAvailable = 0 }),
			want: "dca 5 (2 stay), dcb 5 (2 stay), Update 1/3 Pods"},
		{name: "Batch has no beta", state: cafe2(changed(0, 0), func(s *CafeState) { s.Beta = false }), want: "dca 5 (3 stay), dcb 5 (3 stay), Update 1/3 Pods"},
		{name: "without a batch size beta is followed by all", state: cafe2(changed(1, 1), func(s *CafeState) { s.BatchSize = nil }), want: "dca 5, dcb 5, Update 2/2 Pods"},
		{name: "paused, no further pod goes", state: cafe2(changed(2, 1), func(s *CafeState) { s.Pause = true }), want: "dca 5 (3 stay), dcb 5 (4 stay), Update 2/3 Pause"},
		{name: "paused, no further pod is added", state: cafe2(func(s *CafeState) {
			s.Pause = true
			s.Units = []CafeUnit{well("dca", 1, 1), well("dcb", 1, 1)}
			s.Scaling = scaling("scale-1", 0, 5, 0, 5)
		}), want: "dca 1, dcb 1, records, Scale 2/3 Pause"},

		{name: "the first group needs no confirmation", state: cafe2(changed(0, 0), confirm("", "")), want: "dca 5 (4 stay), dcb 5 (4 stay), Update 1/3 Pods"},
		{name: "an answer before its question is taken back", state: cafe2(changed(1, 1), confirm("true", "")), want: "dca 5 (4 stay), dcb 5 (4 stay), Update 2/3 Confirmation, reset"},
		{name: "the question is recorded once the annotation says no", state: cafe2(changed(1, 1), confirm("false", "")),
			want: "dca 5 (4 stay), dcb 5 (4 stay), Update 2/3 Confirmation, asked r2-2/1"},
		{name: "nothing begins without an answer", state: cafe2(changed(1, 1), confirm("false", "r2-2/1")), want: "dca 5 (4 stay), dcb 5 (4 stay), Update 2/3 Confirmation, asked r2-2/1"},
		{name: "a deleted annotation is no answer", state: cafe2(changed(1, 1), confirm("", "r2-2/1")), want: "dca 5 (4 stay), dcb 5 (4 stay), Update 2/3 Confirmation, asked r2-2/1"},
		{name: "an answer lets one group go", state: cafe2(changed(1, 1), confirm("true", "r2-2/1")), want: "dca 5 (2 stay), dcb 5 (2 stay), Update 2/3 Pods, asked r2-2/1"},
		{name: "an answer that was given twice does not let the next go", state: cafe2(changed(3, 3), confirm("true", "r2-2/1")),
			want: "dca 5 (2 stay), dcb 5 (2 stay), Update 3/3 Confirmation, reset, asked r2-2/1"},
		{name: "an answer to an older template is void", state: cafe2(changed(1, 1), confirm("true", "r3-3/1")),
			want: "dca 5 (4 stay), dcb 5 (4 stay), Update 2/3 Confirmation, reset, asked r3-3/1"},
		{name: "after the last group nobody is asked", state: cafe2(changed(5, 5), confirm("true", "r2-2/2")), want: "dca 5, dcb 5, asked r2-2/2"},
		{name: "additions are confirmed too", state: cafe2(confirm("false", "scale-1/1"), func(s *CafeState) {
			s.Units = []CafeUnit{well("dca", 1, 1), well("dcb", 1, 1)}
			s.Scaling = scaling("scale-1", 0, 5, 0, 5)
		}), want: "dca 1, dcb 1, records, Scale 2/3 Confirmation, asked scale-1/1"},

		{name: "back at the current revision all go at once", state: cafe2(func(s *CafeState) { s.Units[0].Updated, s.Units[0].UpdatedAvailable = 2, 2 }),
			want: "dca 5, dcb 5, Update 1/1 Pods"},
		{name: "partitions are followed exactly", state: cafe2(changed(0, 0), func(s *CafeState) {
			s.Driven, s.Partitions = true, map[string]intstr.IntOrString{"dca": intstr.FromString("50%")}
		}), want: "dca 5 (3 stay), dcb 5 (5 stay)"},
		{name: "while partitions are set all pods are added at once", state: cafe2(func(s *CafeState) {
			s.Driven, s.Partitions = true, map[string]intstr.IntOrString{"dca": intstr.FromString("100%"), "dcb": intstr.FromString("100%")}
			s.Replicas, s.Scaling = 14, scaling("scale-1", 5, 7, 5, 7)
		}), want: "dca 7 (7 stay), dcb 7 (7 stay), records, Scale 1/1 Pods"},

		{name: "fewer replicas go at once", state: cafe2(func(s *CafeState) { s.Replicas = 4 }), want: "dca 2, dcb 2"},
		{name: "fewer replicas take no pod that stands in for those of another unit that are not available", state: cafe2(func(s *CafeState) {
			s.Replicas = 9
			s.Units[0] = well("dca", 10, 10)
			s.Units[1] = CafeUnit{Name: "dcb", HasSets: true, Kept: 5, Goes: goes(5, 0)}
		}), want: "dca 7, dcb 4, Update 1/1 Pods"},
		{name: "pods that are added in the middle of an update stay on the old revision", state: cafe2(changed(1, 1), func(s *CafeState) {
			s.Replicas, s.Scaling = 14, scaling("scale-1", 5, 7, 5, 7)
		}), want: "dca 6 (3 stay), dcb 6 (3 stay), records, Update 2/4 Pods"},
		{name: "an update does not wait for pods that wait for a broken one that it repairs", state: cafe2(changed(1, 0), func(s *CafeState) {
			s.Scaling = scaling("scale-1", 0, 5, 0, 5)
			s.Units[0] = well("dca", 1, 1)
			s.Units[1] = CafeUnit{Name: "dcb", HasSets: true, Kept: 2, Goes: goes(1, 1), Updated: 1, UpdatedAvailable: 1}
		}), want: "dca 3, dcb 3, records, Update 2/3 Pods"},
		{name: "a number that does not fit is cut", state: cafe2(func(s *CafeState) {
			s.Replicas, s.Wishes = 3, map[string]intstr.IntOrString{"dca": intstr.FromInt32(4)}
		}), want: "dca 3, dcb 0"},
		{name: "a move between units is recorded first, and takes no more than the limit", state: cafe2(func(s *CafeState) {
			s.Wishes = map[string]intstr.IntOrString{"dca": intstr.FromInt32(2)}
		}), want: "dca 3, dcb 5, records"},
		{name: "a move makes all pods at once", state: cafe2(func(s *CafeState) {
			s.Wishes, s.Scaling = map[string]intstr.IntOrString{"dca": intstr.FromInt32(2)}, scaling("scale-1", 5, 2, 5, 8)
			s.Units[0] = well("dca", 3, 3)
		}), want: "dca 3, dcb 8, records, Scale 1/1 Pods"},
		{name: "a move is over once pods are where they belong", state: cafe2(func(s *CafeState) {
			s.Wishes, s.Scaling = map[string]intstr.IntOrString{"dca": intstr.FromInt32(2)}, scaling("scale-1", 5, 2, 5, 8)
			s.Units[0], s.Units[1] = well("dca", 2, 2), well("dcb", 8, 8)
		}), want: "dca 2, dcb 8"},
		{name: "a removed unit is drained as far as the limit lets it", state: cafe2(func(s *CafeState) {
			s.Scaling = scaling("scale-1", 5, 10, 5, 0)
			s.Units[0] = CafeUnit{Name: "dca", HasSets: true, Kept: 10, Goes: goes(4, 6), Updated: 10, UpdatedAvailable: 6}
			s.Units[1].Draining = true
		}), want: "dca 10, dcb 2, records, Scale 1/1 Pods"},
		{name: "a drained unit's sets are deleted", state: cafe2(func(s *CafeState) {
			s.Units[0], s.Units[1] = well("dca", 10, 10), CafeUnit{Name: "dcb", Draining: true, HasSets: true}
		}), want: "dca 10, dcb 0 delete"},
		{name: "sets stay until the last pod is gone", state: cafe2(func(s *CafeState) {
			s.Units[0], s.Units[1] = well("dca", 10, 10), CafeUnit{Name: "dcb", Draining: true, HasSets: true, Leaving: 1}
		}), want: "dca 10, dcb 0"},
		{name: "a draining unit has no part in an update", state: cafe2(changed(0, 0), func(s *CafeState) {
			s.Units[1].Draining, s.Scaling = true, scaling("scale-1", 5, 10, 5, 0)
		}), want: "dca 10 (9 stay), dcb 3 (3 stay), records, Update 1/4 Pods"},

		{name: "pods that find no room are moved, once that is recorded", state: cafe2(func(s *CafeState) {
			s.Reschedule = true
			s.Units[0] = CafeUnit{Name: "dca", HasSets: true, Kept: 5, Goes: goes(2, 3), Updated: 5, UpdatedAvailable: 3, Pending: 2, Movable: 2}
		}), want: "dca 5 moved -2 full, dcb 5 moved +2"},
		{name: "what was moved is made elsewhere, and gone where it was", state: cafe2(func(s *CafeState) {
			s.Reschedule, s.Scaling = true, scaling("scale-1", 5, 3, 5, 7)
			s.Units[0] = CafeUnit{Name: "dca", HasSets: true, Kept: 5, Goes: goes(2, 3), Updated: 5, UpdatedAvailable: 3, Pending: 2, Movable: 2, Moved: -2, Full: true}
			s.Units[1].Moved = 2
		}), want: "dca 3 moved -2 full, dcb 7 moved +2, records, Scale 1/1 Pods"},
		{name: "nothing is moved to a unit that was full", state: cafe2(func(s *CafeState) {
			s.Reschedule = true
			s.Units[0].Full = true
			s.Units[1] = CafeUnit{Name: "dcb", HasSets: true, Kept: 5, Goes: goes(1, 4), Updated: 5, UpdatedAvailable: 4, Pending: 1, Movable: 1}
		}), want: "dca 5 full, dcb 5"},
		{name: "a unit keeps one pod", state: cafe2(func(s *CafeState) {
			s.Reschedule, s.Replicas = true, 2
			s.Units[0] = CafeUnit{Name: "dca", HasSets: true, Kept: 1, Goes: goes(1, 0), Updated: 1, Pending: 1, Movable: 1}
			s.Units[1] = well("dcb", 1, 1)
		}), want: "dca 1, dcb 1"},
		{name: "moves are taken back when the spec changes", state: cafe2(func(s *CafeState) {
			s.Restore, s.Scaling = true, nil
			s.Units[0], s.Units[1] = well("dca", 3, 3), well("dcb", 7, 7)
			s.Units[0].Moved, s.Units[0].Full, s.Units[1].Moved = -2, true, 2
		}), want: "dca 3, dcb 5, records"},
		{name: "moves stay while pods of the unit still wait", state: cafe2(func(s *CafeState) {
			s.Restore = true
			s.Units[0] = CafeUnit{Name: "dca", HasSets: true, Kept: 3, Goes: goes(1, 2), Updated: 3, UpdatedAvailable: 2, Pending: 1, Moved: -2, Full: true}
			s.Units[1] = well("dcb", 7, 7)
			s.Units[1].Moved = 2
		}), want: "dca 3 moved -2 full, dcb 7 moved +2"},
	} {
		t.Run(r.name, func(t *testing.T) {
			p, err := CafeDeployment(r.state)
			if err != nil {
				t.Fatal(err)
			}
			if got := brief(p); got != r.want {
				t.Errorf("plan is %q; want %q", got, r.want)
			}
		})
	}
}

func TestCafeDeploymentRefuses(t *testing.T) {
	for name, change := range map[string]func(*CafeState){
		"a unit that is not there": func(s *CafeState) { s.Wishes = map[string]intstr.IntOrString{"moon": intstr.FromInt32(1)} },
		"a partition that cannot be read": func(s *CafeState) {
			s.Driven, s.Partitions = true, map[string]intstr.IntOrString{"dca": intstr.FromString("half")}
		},
		"a limit that cannot be read": func(s *CafeState) { s.MaxUnavailable = percentOf("some") },
		"a batch that cannot be read": func(s *CafeState) { s.BatchSize = percentOf("few") },
		"no units":                    func(s *CafeState) { s.Units = nil },
	} {
		t.Run(name, func(t *testing.T) {
			if p, err := CafeDeployment(cafe2(change)); err == nil {
				t.Errorf("it plans %q", brief(p))
			}
		})
	}
}

func TestCafeCurrentRevision(t *testing.T) {
	for _, r := range []struct {
		name  string
		state CafeState
		want  string
	}{
		{name: "not before every pod is updated and available", state: cafe2(changed(5, 4)), want: "r1"},
		{name: "once every pod is", state: cafe2(changed(5, 5)), want: "r2"},
		{name: "no pods prove nothing", state: cafe2(changed(0, 0), func(s *CafeState) {
			s.Replicas = 0
			s.Units = []CafeUnit{{Name: "dca"}, {Name: "dcb"}}
		}), want: "r1"},
	} {
		t.Run(r.name, func(t *testing.T) {
			p, err := CafeDeployment(r.state)
			if err != nil {
				t.Fatal(err)
			}
			if got := CafeCurrentRevision(r.state, p); got != r.want {
				t.Errorf("current is %s; want %s", got, r.want)
			}
		})
	}
}
