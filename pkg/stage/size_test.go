package stage

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	periplusfake "github.com/periplus-dev/periplus/pkg/client/clientset/versioned/fake"
	"github.com/periplus-dev/periplus/pkg/release"
)

// measuredGuard is a guard with a metric of about 1000 bytes, a few hundred of which are neither query nor recent values.
func measuredGuard(name string, verdict v1alpha1.Verdict) v1alpha1.GuardStatus {
	at := metav1.Unix(1_780_000_000, 0)
	g := v1alpha1.GuardStatus{
		Name: name, Member: "m1", When: v1alpha1.During, Expr: "metrics.errors < 1.0", Verdict: verdict, Value: "metrics.errors = 0.01", Begun: &at, LastSample: &at,
		Samples: 30, Passes: 30, Metrics: []v1alpha1.MetricStatus{{
			Name: "errors", Source: "prom", Query: strings.Repeat("q", 700), Value: "0.01", Sampled: &at, Message: strings.Repeat("m", 100),
		}},
	}
	for range 20 {
		g.Metrics[0].Recent = append(g.Metrics[0].Recent, "0.01")
	}
	return g
}

func TestMetricsFitIntoTheirRoom(t *testing.T) {
	pass, pending, inconclusive, wrong, fail := measuredGuard("pass", v1alpha1.VerdictPass), measuredGuard("pending", v1alpha1.VerdictPending),
		measuredGuard("inconclusive", v1alpha1.VerdictInconclusive), measuredGuard("wrong", v1alpha1.VerdictError), measuredGuard("fail", v1alpha1.VerdictFail)
	again := measuredGuard("again", v1alpha1.VerdictPass)
	full := metricsSize(pass.Metrics)
	bare := metricsSize(withoutHistory(pass.Metrics))
	all := []v1alpha1.GuardStatus{fail, pass, pending, wrong, again, inconclusive}
	for name, tc := range map[string]struct {
		guards []v1alpha1.GuardStatus
		room   int
		// want of each guard: "full", "bare" where query and recent values are gone, or "none".
		want string
	}{
		"what fits stays as it is":                                        {all, 6 * full, "full full full full full full"},
		"a guard that passes loses query and recent values first":         {all, 6*full - 1, "full full full full bare full"},
		"all that pass lose theirs before any other":                      {all, 4*full + 2*bare, "full bare full full bare full"},
		"then those that wait":                                            {all, 4*full + 2*bare - 1, "full bare bare full bare full"},
		"then those without data, and those that cannot be judged":        {all, full + 5*bare, "full bare bare bare bare bare"},
		"a guard that fails is the last to lose them":                     {all, 6 * bare, "bare bare bare bare bare bare"},
		"beyond that metrics go, of guards that pass first":               {all, 6*bare - 1, "bare bare bare bare none bare"},
		"and of the one that fails last":                                  {all, bare, "bare none none none none none"},
		"in no room there is nothing":                                     {all, 0, "none none none none none none"},
		"guards without metrics need no room":                             {[]v1alpha1.GuardStatus{{Name: "plain"}}, 0, "none"},
		"of those that pass the first ones keep theirs from pass to pass": {[]v1alpha1.GuardStatus{pass, again, pass}, 2*full + bare, "full full bare"},
	} {
		t.Run(name, func(t *testing.T) {
			before := make([]v1alpha1.GuardStatus, len(tc.guards))
			for i := range tc.guards {
				before[i] = *tc.guards[i].DeepCopy()
			}
			got := fitMetrics(tc.guards, tc.room)
			var kinds []string
			for i := range got {
				kind := "none"
				if m := got[i].Metrics; len(m) > 0 {
					kind = "full"
					if m[0].Query == "" && m[0].Recent == nil {
						kind = "bare"
					}
					if m[0].Value != "0.01" {
						t.Errorf("%s lost its value", got[i].Name)
					}
				}
				kinds = append(kinds, kind)
				rest, was := got[i], before[i]
				rest.Metrics, was.Metrics = nil, nil
				if !equality.Semantic.DeepEqual(rest, was) {
					t.Errorf("%s lost more than metrics: %+v", rest.Name, rest)
				}
			}
			if s := strings.Join(kinds, " "); s != tc.want {
				t.Errorf("got  %s\nwant %s", s, tc.want)
			}
			if !equality.Semantic.DeepEqual(before, tc.guards) {
				t.Error("what was given was changed")
			}
			if twice := fitMetrics(got, tc.room); !equality.Semantic.DeepEqual(twice, got) {
				t.Error("what fits is cut again")
			}
		})
	}
}

// vast is the status of a stage over 300 members, with 3 guards in each that have two metrics with long queries and their baselines.
func vast() *v1alpha1.RunStatus {
	st := &v1alpha1.RunStatus{Attempt: 1, Release: "web-1"}
	query := strings.Repeat(`sum(rate(requests{code=~"5..",pod=~"web-(0|1)"}[2m]))<1&&`, 7)
	for m := range 300 {
		for n := range 3 {
			g := measuredGuard(fmt.Sprintf("guard-%d", n), v1alpha1.VerdictPass)
			g.Member = fmt.Sprintf("member-%03d", m)
			g.Metrics = append(g.Metrics, *g.Metrics[0].DeepCopy())
			for i := range g.Metrics {
				g.Metrics[i].Name, g.Metrics[i].Query, g.Metrics[i].Message = fmt.Sprintf("metric-%d", i), query, ""
				st.Baselines = append(st.Baselines, v1alpha1.Baseline{Guard: g.Name, Member: g.Member, Metric: g.Metrics[i].Name, Query: query, Value: "0.01", Time: *g.LastSample})
			}
			st.Guards = append(st.Guards, g)
		}
	}
	return st
}

func TestTheStatusOfAStageOverHundredsOfMembersCanBeStored(t *testing.T) {
	cr := &v1beta1.CustomRun{}
	st := vast()
	if err := storeStatus(cr, st); err != nil {
		t.Fatal(err)
	}
	if n := len(cr.Status.ExtraFields.Raw); n > 1<<20 {
		t.Errorf("it has %d bytes", n)
	}
	stored, err := statusOf(cr)
	if err != nil {
		t.Fatal(err)
	}
	if len(stored.Guards) != 900 || len(stored.Baselines) != 1800 || stored.Baselines[1799].Value != "0.01" || stored.Guards[899].Samples != 30 {
		t.Errorf("%d guards and %d baselines are left", len(stored.Guards), len(stored.Baselines))
	}
	if len(st.Guards[899].Metrics) != 2 || st.Baselines[0].Query == "" {
		t.Error("storing changed the pass's own status")
	}
}

func TestAnAttemptThatFailedKeepsVerdictsAndNoMetrics(t *testing.T) {
	raw, err := trimmed(vast())
	if err != nil {
		t.Fatal(err)
	}
	if s := string(raw); strings.Contains(s, "metrics\"") || !strings.Contains(s, `"verdict":"Pass"`) {
		t.Errorf("kept %s", s[:1000])
	}
}

func TestASettledMemberLeavesNothingOfItsGuards(t *testing.T) {
	for name, guards := range map[string][]v1alpha1.GuardStatus{
		"one that was judged": {{Name: "errors", Member: "m1", LastSample: &metav1.Time{}}, {Name: "errors", Member: "m2"}},
		"one that was not":    {{Name: "errors", Member: "m2"}},
	} {
		t.Run(name, func(t *testing.T) {
			rel := &v1alpha1.Release{ObjectMeta: metav1.ObjectMeta{Name: "web-1", Namespace: "shop"}}
			records := &release.Records{Client: periplusfake.NewSimpleClientset(rel)}
			run := &Run{Namespace: "shop", Task: "hop", Release: rel, frame: &Frame{Config: Config{Records: records}}, Status: &v1alpha1.RunStatus{
				Guards: guards, Baselines: []v1alpha1.Baseline{{Guard: "errors", Member: "m1"}, {Guard: "errors", Member: "m2"}},
			}}
			if err := run.SettleGuards(t.Context(), "m1"); err != nil {
				t.Fatal(err)
			}
			if st := run.Status; len(st.Guards) != 1 || st.Guards[0].Member != "m2" || len(st.Baselines) != 1 || st.Baselines[0].Member != "m2" {
				t.Errorf("left %+v and %+v", st.Guards, st.Baselines)
			}
			if len(run.Release.Status.Verdicts) != len(guards)-1 {
				t.Errorf("recorded %+v", run.Release.Status.Verdicts)
			}
		})
	}
}
