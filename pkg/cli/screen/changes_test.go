package screen

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	stages "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

func TestChanges(t *testing.T) {
	connecting := func(t *testing.T) *Model {
		st := newStory(t).started()
		st.stage("canary-m1", "Canary", s, stages.RunStatus{Waiting: &stages.Waiting{Reason: "Connecting", For: "connecting to member m1"}})
		return st.model(3 * s)
	}
	lost := func(t *testing.T, reachable bool) *Model {
		st := newStory(t).started()
		gone := member("m1", unit("dca", 1, 1, 4, 1))
		w := &stages.Waiting{Reason: "UpdatingPods", For: "m1/dca: 0 of 1 pods updated"}
		if !reachable {
			gone.Reachable, gone.Message = false, "member m1 cannot be reached since 12:11:30: refused"
			w = &stages.Waiting{Reason: "MemberUnreachable", For: gone.Message}
		}
		st.stage("canary-m1", "Canary", s, stages.RunStatus{Members: []stages.MemberProgress{gone}, Waiting: w})
		return st.model(m)
	}
	carrying := func(at string) func(*testing.T) *Model {
		return func(t *testing.T) *Model {
			st := newStory(t).started()
			st.stage("hop-m2", "ClusterHop", s, stages.RunStatus{Waiting: &stages.Waiting{Reason: "CarryingMembers", For: "working on m2 (" + at + ")"}})
			return st.model(m)
		}
	}
	for _, tc := range []struct {
		name          string
		before, after func(*testing.T) *Model
		want          []string
	}{
		{
			"the first sight is the verdict with its command", nil,
			func(t *testing.T) *Model { return confirmWaiting(t).model(5 * m) },
			[]string{`productpage-v2 in shop: Waiting at confirm-m1 · wants 1 more of sre, not alice, to approve "go on?" (1 of 2 said yes) · until 12:30 · periplus confirm productpage-v2 --message "…"`},
		},
		{
			"time that passes is no change",
			func(t *testing.T) *Model { return confirmWaiting(t).model(5 * m) },
			func(t *testing.T) *Model { return confirmWaiting(t).model(9 * m) }, nil,
		},
		{
			"pods that move are counted", connecting,
			func(t *testing.T) *Model { return canaryRunning(t).model(72 * s) },
			[]string{
				"m1/dca: old 3, new 1 (1 available), ready 4/4, want 1",
				"m1/dcb: old 3, new 1 (0 available), ready 3/4, want 1",
				"guard no-restarts on m1: Pass, 0",
				"productpage-v2: Running canary-m1 · m1/dcb: 0 of 1 pods updated, 0 available · until 12:25",
			},
		},
		{
			"what a carried run is at is said each time it changes", carrying("PipelineRun x-hop-m2 is about to be made"), carrying("PipelineRun x-hop-m2: Running: Tasks Completed: 1"),
			[]string{"productpage-v2: Running hop-m2 · working on m2 (PipelineRun x-hop-m2: Running: Tasks Completed: 1)"},
		},
		{
			"a pod that does not get on is said once, with its reason",
			func(t *testing.T) *Model { return canaryRunning(t).model(72 * s) },
			func(t *testing.T) *Model { return canaryInTrouble(t).model(80 * s) },
			[]string{`m1/dcb: trouble: pod productpage-dcb-2: ErrImagePull: failed to pull and unpack image "registry.example/productpage:bad": not found, and the registry says that no such tag was ever pushed`},
		},
		{
			"a stage that ends and one that begins",
			func(t *testing.T) *Model { return canaryRunning(t).model(72 * s) },
			func(t *testing.T) *Model { return confirmWaiting(t).model(5 * m) },
			[]string{
				"canary-m1: done after 3m12s",
				"confirm-m1: begun",
				"m1/dcb: old 3, new 1 (1 available), ready 4/4, want 1",
				"guard canaries-ready on m1: Pass, updated.size()=2, ready=2",
				"confirm-m1: bob answered Approve: graphs look fine",
				"confirm-m1: an answer does not count: productpage-v2-bbbbb by alice: who started the release may not answer",
				`productpage-v2: Waiting at confirm-m1 · wants 1 more of sre, not alice, to approve "go on?" (1 of 2 said yes) · until 12:30 · periplus confirm productpage-v2 --message "…"`,
			},
		},
		{
			"a pause, with who and why",
			func(t *testing.T) *Model { return canaryRunning(t).model(72 * s) },
			func(t *testing.T) *Model {
				st := canaryRunning(t)
				st.did("a", m, stages.ActionPause, "bob", "errors in dca")
				return st.model(72 * s)
			},
			[]string{
				"bob paused it: errors in dca",
				`productpage-v2: Paused by bob since 12:11:00 · errors in dca · canary-m1: m1/dcb: 0 of 1 pods updated, 0 available · periplus resume productpage-v2 --message "…"`,
			},
		},
		{
			"a freeze that stops it, and its end",
			func(t *testing.T) *Model {
				st := canaryRunning(t)
				st.frozenBy("freeze-a", "erin", "m1 moves", func(f *stages.FreezeSpec) { f.Members = []string{"m1"} })
				return st.model(72 * s)
			},
			func(t *testing.T) *Model {
				st := canaryRunning(t)
				st.frozenBy("freeze-b", "frank", "network", nil)
				return st.model(72 * s)
			},
			[]string{
				`frozen by frank since 12:11:00: network (everything) · periplus unfreeze freeze-b --message "…"`,
				"freeze freeze-a stops it no more",
			},
		},
		{
			"a rollback that gets on",
			func(t *testing.T) *Model { return goesBack(t, stages.ReleaseRollingBack, nil).model(11 * m) },
			func(t *testing.T) *Model { return goesBack(t, stages.ReleaseRolledBack, atp(12*m)).model(13 * m) },
			[]string{
				"rollback by bob since 12:20:00, over 12:22:00: all 4 workloads are back",
				"productpage-v2: Rolled back at 12:22:00 by bob · all 4 workloads are back · canary-m2 failed: GuardFailed",
			},
		},
		{
			"a member that stops answering",
			func(t *testing.T) *Model { return lost(t, true) }, func(t *testing.T) *Model { return lost(t, false) },
			[]string{
				"member m1 cannot be reached since 12:11:30: refused",
				"productpage-v2: Running canary-m1 · member m1 cannot be reached since 12:11:30: refused",
			},
		},
		{
			"a member that answers again",
			func(t *testing.T) *Model { return lost(t, false) }, func(t *testing.T) *Model { return lost(t, true) },
			[]string{"member m1 answers again", "productpage-v2: Running canary-m1 · m1/dca: 0 of 1 pods updated"},
		},
		{
			"the end",
			func(t *testing.T) *Model { return guardFailed(t).model(8 * m) },
			func(t *testing.T) *Model {
				return guardFailed(t).ended(8*m+s, corev1.ConditionFalse, "Failed", "").model(9 * m)
			},
			[]string{
				"rollback: skipped: the run ended before its turn",
				"productpage-v2: Failed at canary-m2 after 8m01s · GuardFailed: guard errors: on m2 errors=0.31, base=0.02: metrics.errors <= 1.1 * metrics.base + 0.01 is false",
			},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var before *Model
			if tc.before != nil {
				before = tc.before(t)
			}
			got := Changes(before, tc.after(t), Look{})
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestTextsOfOthersCannotSteerTheTerminal(t *testing.T) {
	st := confirmWaiting(t)
	q := question("confirm-m1")
	q.Message = "evil\x1b[2J\x1b]0;owned\x07\u202egnp\r\nnext"
	st.o.CustomRuns = st.o.CustomRuns[:1]
	st.stage("confirm-m1", "Confirm", 3*m, stages.RunStatus{Question: q})
	model := st.model(5 * m)
	for _, out := range append(Changes(nil, model, Look{}), Render(model, Look{Width: 100})) {
		if strings.ContainsAny(out, "\x1b\x07\r\u202e") {
			t.Errorf("a control character came through: %q", out)
		}
	}
}

func TestCommandsAreWrittenAsThePersonCallsUs(t *testing.T) {
	asking := confirmWaiting(t)
	holding := newStory(t).started()
	holding.stage("canary-m1", "Canary", s, stages.RunStatus{Waiting: &stages.Waiting{
		Reason: "GuardHolding", For: "guard errors holds", Who: "sre", Command: "periplus resume productpage-v2 -n shop",
	}})
	for _, tc := range []struct {
		name  string
		story *story
		opts  Options
		want  string
	}{
		{"by itself", asking, Options{}, `periplus confirm productpage-v2 --message "…"`},
		{"with the flags that reach the hub", asking, Options{Namespace: "-n shop", Flags: "--context hub"}, `periplus confirm productpage-v2 --message "…" -n shop --context hub`},
		{"as a plugin", asking, Options{Program: "tkn periplus", Namespace: "-n shop"}, `tkn periplus confirm productpage-v2 --message "…" -n shop`},
		{"a stage's own command, its namespace not twice", holding, Options{Program: "kubectl periplus", Namespace: "-n shop", Flags: "--context hub"}, "kubectl periplus resume productpage-v2 -n shop --context hub"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.opts.Now = began.Add(5 * m)
			if got := Build(tc.story.o, tc.opts).Verdict.Command; got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}

func TestOrderFollowsTheDAGAndElseThePipeline(t *testing.T) {
	model := newStory(t).model(s)
	var names []string
	for _, s := range model.Stages {
		names = append(names, s.Name)
	}
	want := []string{"canary-m1", "confirm-m1", "bump-m1", "hop-m2", "canary-m2", "bump-m2", "rollback"}
	if !slices.Equal(names, want) {
		t.Errorf("got %v, want %v", names, want)
	}
}

func TestRunsOfAnEarlierPipelineRunOfTheSameNameAreLeftOut(t *testing.T) {
	st := newStory(t).started()
	old := st.stage("canary-m1", "Canary", s, stages.RunStatus{})
	old.OwnerReferences[0].UID = "another"
	if got := st.model(m).Stages[0]; got.Run != "" || got.State != StagePending {
		t.Errorf("got %+v, want a stage that is not begun", got)
	}
}

func TestAConditionThatSomebodyResetIsReadFromTheStagesOwnRecord(t *testing.T) {
	st := newStory(t).started()
	run := st.stage("canary-m1", "Canary", s, stages.RunStatus{Outcome: &stages.Outcome{Reason: "GuardFailed", Message: "no"}})
	run.Status.CompletionTime = atp(m)
	if got := st.model(2 * m).Stages[0]; got.State != StageFailed || got.Reason != "GuardFailed" {
		t.Errorf("got %s %s, want Failed GuardFailed", got.State, got.Reason)
	}
}

func TestABarShowsEveryKindOfPodsThatIsThere(t *testing.T) {
	for _, tc := range []struct {
		name                         string
		replicas, updated, available int32
		want                         string
	}{
		{"one cell for each pod of a few", 4, 2, 1, "█▒░░"},
		{"one of a hundred has a cell", 100, 1, 1, "█░░░░░░░░░"},
		{"99 of a hundred are not all", 100, 99, 99, "█████████░"},
		{"all", 100, 100, 100, "██████████"},
		{"none", 0, 0, 0, ""},
		{"three kinds in a hundred", 100, 2, 1, "█▒░░░░░░░░"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			u := Unit{UnitProgress: stages.UnitProgress{Replicas: tc.replicas, Updated: tc.updated, UpdatedAvailable: tc.available}}
			var b strings.Builder
			bar(u, unicodeGlyphs).write(&b, false)
			if b.String() != tc.want {
				t.Errorf("got %q, want %q", b.String(), tc.want)
			}
		})
	}
}

func TestDurationsAreSaidAsPeopleDo(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-s: "0s", 42*s + 900*time.Millisecond: "42s", 3*m + 5*s: "3m05s", 2*time.Hour + 5*m: "2h05m", 76 * time.Hour: "3d4h",
	} {
		if got := lasting(d); got != want {
			t.Errorf("%s: got %s, want %s", d, got, want)
		}
	}
	if got := remaining(14*m + 59*s); got != "14m" {
		t.Errorf("got %s, want 14m", got)
	}
}
