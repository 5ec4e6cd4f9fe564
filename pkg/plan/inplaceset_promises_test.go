package plan

import (
	"fmt"
	"slices"
	"testing"
)

// broken says which promise a plan breaks in the state that it was made of.
func broken(s InPlaceSetState, p InPlaceSetPlan) string {
	l, _ := limitsOf(s)
	limit := l.unavailable
	by := map[string]InPlacePod{}
	unwanted := slices.ContainsFunc(s.Pods, func(pod InPlacePod) bool { return pod.Unwanted })
	live, available, updated, leaving := int32(0), int32(0), int32(0), map[string]int32{}
	for _, pod := range s.Pods {
		by[pod.Name] = pod
		if pod.Ended {
			continue
		}
		live++
		if pod.Available {
			available++
		}
		if pod.Revision == s.Update {
			updated++
		}
	}
	taken, serving := int32(0), int32(0)
	seen := map[string]bool{}
	for _, name := range slices.Concat(p.Discard, p.ScaleDown, p.Rebuild, p.Update) {
		pod, ok := by[name]
		if !ok || seen[name] {
			return name + " is not there, or named twice"
		}
		seen[name] = true
		if pod.Available {
			taken++
		}
		if pod.Ready && !pod.Available && !pod.Closed && !pod.Leaving && !pod.Ended {
			serving++
		}
		if s.Budgets != nil && pod.serves() && !pod.Ended {
			for _, budget := range s.Budgets(&pod) {
				leaving[budget]++
			}
		}
	}
	for budget, n := range leaving {
		if left := s.Left(budget); n > left {
			return fmt.Sprintf("takes %d of budget %s, of which %d are left", n, budget, left)
		}
	}
	after := updated + int32(len(p.Update))
	for _, name := range p.Rebuild {
		if !by[name].Unwanted {
			after++
			if s.Paused {
				return "rebuilds for an update while paused"
			}
		}
	}
	for _, name := range p.ScaleDown {
		if by[name].Revision == s.Update {
			after--
		}
	}
	for _, revision := range p.Create {
		if revision == s.Update {
			after++
		}
	}
	replaced := int32(0) // an unwanted pod and its replacement are one.
	for _, pod := range s.Pods {
		if pod.Unwanted && (pod.Revision == s.Update || s.Current == s.Update) {
			replaced++
		}
	}
	creates := int32(len(p.Create))
	above := max(live+creates-s.Replicas, 0) - max(live-s.Replicas, 0)
	scaled := creates - above - max(min(s.Established, s.Replicas)-live, 0)
	switch {
	case taken > 0 && available-taken < s.Replicas-limit:
		return fmt.Sprintf("takes %d of %d available of %d, limit %d", taken, available, s.Replicas, limit)
	case serving > 0 && available < s.Replicas-limit:
		return fmt.Sprintf("takes %d that serve while %d of %d are available, limit %d", serving, available, s.Replicas, limit)
	case after > updated && after-replaced > p.Expected:
		return fmt.Sprintf("goes to %d updated, the partition lets %d", after, p.Expected)
	case s.Paused && len(p.Update) > 0:
		return "moves pods while paused"
	case live+creates+p.Later < s.Replicas, p.Later > 0 && s.ScaleUnavailable == nil:
		return "creates too few"
	case creates > 0 && live+creates > s.Replicas+l.surge:
		return "creates too many"
	case above > 0 && (s.Paused || s.Refused || !unwanted && slices.ContainsFunc(p.Create[creates-above:], func(revision string) bool { return revision != s.Update })):
		return "surges while nothing may move, or on the old revision"
	case l.scale >= 0 && scaled > max(l.scale-(live-available), 0):
		return fmt.Sprintf("adds %d while %d of %d are unavailable, the limit of scaling is %d", scaled, live-available, live, l.scale)
	case live-int32(len(p.ScaleDown)) < s.Replicas && len(p.ScaleDown) > 0:
		return "scales down too many"
	}
	return ""
}

func TestTheRandomWorldsNoticeABrokenPromise(t *testing.T) {
	s := InPlaceSetState{Replicas: 3, Current: "v1", Update: "v2", Partition: intOrPercent("2"), MaxUnavailable: intOrPercent("1"), Pods: podsOf("v1 v1! v1")}
	wide := s
	wide.MaxUnavailable, wide.MaxSurge, wide.ScaleUnavailable = intOrPercent("3"), intOrPercent("1"), intOrPercent("1")
	wide.Budgets = func(*InPlacePod) []string { return []string{"x"} }
	wide.Left = func(string) int32 { return 0 }
	scaling := wide
	scaling.Replicas = 9
	for _, r := range []struct {
		name string
		plan InPlaceSetPlan
		in   *InPlaceSetState // s where nil
		want bool
	}{
		{name: "a budget that is used up lets none go", in: &wide, plan: InPlaceSetPlan{Expected: 1, Update: []string{"p0"}}, want: true},
		{name: "a budget does not hold a broken pod", in: &wide, plan: InPlaceSetPlan{Expected: 1, Update: []string{"p1"}}},
		{name: "one pod may surge", in: &wide, plan: InPlaceSetPlan{Expected: 1, Create: []string{"v2"}}},
		{name: "no more may surge than maxSurge", in: &wide, plan: InPlaceSetPlan{Expected: 3, Create: []string{"v2", "v2"}}, want: true},
		{name: "none surges on the old revision", in: &wide, plan: InPlaceSetPlan{Expected: 3, Create: []string{"v1"}}, want: true},
		{name: "no more are added than the limit of scaling lets", in: &scaling, plan: InPlaceSetPlan{Expected: 1, Create: []string{"v1"}, Later: 5}, want: true},
		{name: "a broken pod may move", plan: InPlaceSetPlan{Expected: 1, Update: []string{"p1"}}},
		{name: "an available pod may not move when the limit is used up", plan: InPlaceSetPlan{Expected: 1, Update: []string{"p0"}}, want: true},
		{name: "no more than the partition lets", plan: InPlaceSetPlan{Expected: 0, Update: []string{"p1"}}, want: true},
		{name: "no pod twice", plan: InPlaceSetPlan{Expected: 2, Update: []string{"p1", "p1"}}, want: true},
		{name: "no pod too many", plan: InPlaceSetPlan{Create: []string{"v1"}}, want: true},
	} {
		if r.in == nil {
			r.in = &s
		}
		if why := broken(*r.in, r.plan); (why != "") != r.want {
			t.Errorf("%s: broken says %q", r.name, why)
		}
	}
}
