package guard

import (
	"fmt"
	"testing"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

// fleetOf is a member with n pods in two units, the first half of them updated.
func fleetOf(n int) Input {
	in := Input{Member: "fra", MemberLabels: map[string]string{"ring": "1"}, Want: int64(n / 2),
		Workload: Workload{Kind: "InPlaceSet", Name: "web", Replicas: int64(n), Updated: int64(n / 2), Want: int64(n / 2)},
		Params:   map[string]string{"version": "v2"}}
	for i := range n {
		p := Pod{Name: fmt.Sprintf("web-%d", i), Member: "fra", Unit: []string{"dca", "dcb"}[i%2], Node: fmt.Sprintf("node-%d", i%50),
			Revision: "web-1", Ready: true, Available: true, Created: t0.Add(-3600e9), Phase: "Running"}
		if i < n/2 {
			p.Updated, p.Revision = true, "web-2"
		}
		in.Pods = append(in.Pods, p)
	}
	for _, u := range []string{"dca", "dcb"} {
		in.Units = append(in.Units, Unit{Name: u, Member: "fra", Replicas: int64(n / 2), Updated: int64(n / 4), UpdatedReady: int64(n / 4), Want: int64(n / 4)})
	}
	return in
}

var benchmarked = []struct{ name, expr string }{
	{"all updated ready", "updated.all(p, p.ready) && updated.size() >= want"},
	{"all pods, four fields", "pods.all(p, p.ready && p.available && p.restarts < 3 && p.phase == 'Running')"},
	{"restarts compared", "updated.filter(p, p.restarts > 0).size() <= stable.filter(p, p.restarts > 0).size() + 1"},
	{"units", "units.all(u, u.updatedReady >= u.want)"},
	{"one pod is sick", "updated.all(p, p.name != 'web-3')"},
}

func BenchmarkJudge(b *testing.B) {
	for _, n := range []int{10, 1000, 10000} {
		for _, bm := range benchmarked {
			b.Run(fmt.Sprintf("%d pods/%s", n, bm.name), func(b *testing.B) {
				p := compiled(b, v1alpha1.Guard{Name: "g", Expr: bm.expr, When: v1alpha1.During})
				in, at := fleetOf(n), Moment{Now: t0.Add(60e9), Step: 1, FirstMove: t0, Move: t0}
				st, _ := Judge(p, v1alpha1.GuardStatus{}, at, in)
				b.ReportAllocs()
				for b.Loop() {
					st, _ = Judge(p, st, at, in)
				}
			})
		}
	}
}

// A stage with ten guards over 1,000 pods, as a controller judges it on every event.
func BenchmarkSetOfTen(b *testing.B) {
	var guards []v1alpha1.Guard
	for i := range 10 {
		guards = append(guards, v1alpha1.Guard{Name: fmt.Sprintf("g%d", i), Expr: benchmarked[i%len(benchmarked)].expr})
	}
	set, errs := CompileAll(guards, nil, Limits{})
	if len(errs) > 0 {
		b.Fatal(errs)
	}
	inputs, at := []Input{fleetOf(1000)}, Moment{Now: t0.Add(60e9), Step: 1, FirstMove: t0, Move: t0}
	out := judged(set, nil, at, inputs)
	b.ReportAllocs()
	for b.Loop() {
		out = judged(set, out.Statuses, at, inputs)
	}
}

// Close to the dearest that is admitted: 32 units, each over 10,000 pods, and no pod is the one that is looked for.
func BenchmarkDearest(b *testing.B) {
	p := compiled(b, v1alpha1.Guard{Name: "g", Expr: "units.all(u, !pods.exists(p, p.unit == u.name && p.restarts > 3))", When: v1alpha1.During})
	in, at := fleetOf(10_000), Moment{Now: t0.Add(60e9), Step: 1, FirstMove: t0, Move: t0}
	for i := len(in.Units); i < DefaultUnits; i++ {
		in.Units = append(in.Units, Unit{Name: fmt.Sprintf("cell-%d", i), Member: "fra"})
	}
	for b.Loop() {
		if st, _ := Judge(p, v1alpha1.GuardStatus{}, at, in); st.Verdict != v1alpha1.VerdictPass {
			b.Fatal(st.Message)
		}
	}
}

func BenchmarkCompile(b *testing.B) {
	for b.Loop() {
		compiled(b, v1alpha1.Guard{Name: "g", Expr: benchmarked[1].expr})
	}
}
