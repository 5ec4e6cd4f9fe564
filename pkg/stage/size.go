package stage

import (
	"cmp"
	"encoding/json"
	"slices"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/guard"
)

// What a status has room for, in bytes of JSON. etcd takes objects of 1.5 MiB, and a status that it does not take can never be written again, not even to say that the
// run is over. What is left belongs to the spec, members, verdicts and the attempts that failed.
const (
	metricsRoom   = 256 << 10
	baselinesRoom = 128 << 10
)

// fitting is the status that is stored: the same, but for what is only for people to read where it is too much. Guards' metrics keep to metricsRoom: first queries and recent
// values go, then the metrics, those of guards that pass before others and of the worst last. Verdict, value, counts and times of a guard always stay. Where
// baselines are larger than baselinesRoom they lose their queries. What was dropped comes back with the next sample if there is room by then.
func fitting(st *v1alpha1.RunStatus) *v1alpha1.RunStatus {
	kept := *st
	kept.Guards = fitMetrics(st.Guards, metricsRoom)
	kept.Baselines = fitBaselines(st.Baselines, baselinesRoom)
	return &kept
}

// fitMetrics drops of guards' metrics what does not fit into so many bytes, and leaves the ones it was given as they are.
func fitMetrics(guards []v1alpha1.GuardStatus, room int) []v1alpha1.GuardStatus {
	sizes, total := make([]int, len(guards)), 0
	for i := range guards {
		sizes[i] = metricsSize(guards[i].Metrics)
		total += sizes[i]
	}
	if total <= room {
		return guards
	}
	// The least interesting first; of the same kind the last first, so that the same ones keep theirs from pass to pass.
	order := make([]int, len(guards))
	for i := range order {
		order[i] = len(guards) - 1 - i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(interest(&guards[a]), interest(&guards[b])) })
	out := slices.Clone(guards)
	for _, less := range []func([]v1alpha1.MetricStatus) []v1alpha1.MetricStatus{withoutHistory, withoutMetrics} {
		for _, i := range order {
			if total <= room {
				return out
			}
			out[i].Metrics = less(out[i].Metrics)
			size := metricsSize(out[i].Metrics)
			total -= sizes[i] - size
			sizes[i] = size
		}
	}
	return out
}

// interest says how much people want to know of a guard's metrics: as much as its verdict is bad, and of those that let the stage go on alike.
func interest(g *v1alpha1.GuardStatus) int {
	return max(guard.Severity(v1alpha1.VerdictPass), guard.Severity(g.Verdict))
}

func withoutHistory(metrics []v1alpha1.MetricStatus) []v1alpha1.MetricStatus {
	out := slices.Clone(metrics)
	for i := range out {
		out[i].Query, out[i].Recent = "", nil
	}
	return out
}

func withoutMetrics([]v1alpha1.MetricStatus) []v1alpha1.MetricStatus { return nil }

// metricsSize is how many bytes the metrics of a guard take.
func metricsSize(metrics []v1alpha1.MetricStatus) int {
	if len(metrics) == 0 {
		return 0
	}
	return size(metrics)
}

func fitBaselines(all []v1alpha1.Baseline, room int) []v1alpha1.Baseline {
	if len(all) == 0 || size(all) <= room {
		return all
	}
	out := slices.Clone(all)
	for i := range out {
		out[i].Query = ""
	}
	return out
}

// size is how many bytes something takes in a status; nothing that has no JSON is asked for here.
func size(of any) int {
	raw, err := json.Marshal(of)
	if err != nil {
		return 0
	}
	return len(raw)
}
