package intervene

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	pipelinev1beta1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clienttesting "k8s.io/client-go/testing"

	stages "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/cli/clitest"
)

// A command says what it would touch before it acts: each line that a person needs is there.
func TestThePlanSaysWhatWillHappen(t *testing.T) {
	for _, tc := range []struct {
		name   string
		action stages.Action
		world  func(*testing.T) *world
		args   []string
		want   []string
	}{
		{
			"a pause says which stage stops where, and which pods go on all the same", stages.ActionPause, releasing, []string{root},
			[]string{
				"pause productpage-v2 in shop · started by alice, 12m00s ago · release productpage-v2-8xk2p",
				"now      bump-m1 (PartitionBump): m1/dca: 3 of 4 pods updated, 1 available, until 12:25",
				"touched  m1/dca productpage-dca: 2 of 4 pods on the new revision, 1 of them available",
				"m1/dcb productpage-dcb: 1 of 4 pods on the new revision",
				"then     stage bump-m1 stops before its next move; pods whose update has not begun are held back; 1 pod of m1/dca finishes its update",
			},
		},
		{
			"a pause leaves questions open", stages.ActionPause, func(t *testing.T) *world {
				w := releasing(t)
				w.stage("confirm-m1", "Confirm", stages.RunStatus{Question: &stages.Question{ID: "confirm-m1", Required: 1}})
				return w
			}, []string{root},
			[]string{"stage confirm-m1 goes on asking; what comes after it makes no move"},
		},
		{
			"a pause reaches the runs that a ClusterHop made", stages.ActionPause, func(t *testing.T) *world { return releasing(t).child("m3").child("m4") }, []string{root},
			[]string{
				"productpage-v2-hop-m2-m3: Running bump · m3/dca: 1 of 4 pods updated", "m4/dca productpage-dca: 1 of 4 pods on the new revision",
				"the stages of 2 runs of ClusterHops stop before their next moves",
			},
		},
		{
			"one of these runs stands for the whole release, and that is said", stages.ActionPause, func(t *testing.T) *world { return releasing(t).child("m3") },
			[]string{root + "-hop-m2-m3"},
			[]string{"pause productpage-v2 in shop", "productpage-v2-hop-m2-m3 is a part of the release of productpage-v2: it is about the whole of that"},
		},
		{
			"a stage stands for its run, and that is said", stages.ActionPause, releasing, []string{root + "-bump-m1"},
			[]string{"productpage-v2-bump-m1 is a stage of productpage-v2"},
		},
		{
			"a pause of a run that was retried is about the retry", stages.ActionPause,
			func(t *testing.T) *world { return releasing(t).stop(false, "Failed").retried(root+"-retry-1", false) }, []string{root},
			[]string{"productpage-v2 was carried on by productpage-v2-retry-1", "bump-m1 (PartitionBump): m1/dca: going on", "started by carol"},
		},
		{
			"a resume names the freeze that still stops it", stages.ActionResume, func(t *testing.T) *world {
				w := releasing(t).did(stages.ActionPause, 5*m, "carol", "looking")
				w.kinds = append(w.kinds, &stages.Freeze{ObjectMeta: metav1.ObjectMeta{Name: "freeze-x"}, Spec: stages.FreezeSpec{User: "erin", Message: "network"}})
				return w
			}, []string{root},
			[]string{"frozen   by erin: network (everything): freeze-x", "stage bump-m1 goes on", "what a freeze stops goes on standing still until that is lifted"},
		},
		{
			"an abort says what ends, what is never begun, and what stays", stages.ActionAbort, releasing, []string{root},
			[]string{
				"stage bump-m1 ends; pods whose update has not begun are held back; 1 pod of m1/dca finishes its update", "never begun: hop-m2, bump-m2",
				"finally comes after it as after every end: rollback (Rollback)", "what is on the new revision stays so",
			},
		},
		{
			"a skip says what is left undone and what comes next", stages.ActionSkip, releasing, []string{root, "--stage", "bump-m1"},
			[]string{
				"stage bump-m1 ends as if it had succeeded, and moves nothing further", "m1/dca stays at 2 of 4 pods on the new revision; the stage wanted 3",
				"guard ready on m1 is not judged any more; it is at Pending", "comes next: hop-m2",
			},
		},
		{
			"a retry says what is kept and where it goes on", stages.ActionRetry, func(t *testing.T) *world { return releasing(t).stop(false, "Failed") }, []string{root},
			[]string{"new run  productpage-v2-retry-1", "kept     canary-m1 (Canary), done at 2026-11-21 12:13", "goes on  at bump-m1", "then hop-m2, bump-m2"},
		},
		{
			"a retry of a release that is paused ends the pause, and says so", stages.ActionRetry,
			func(t *testing.T) *world {
				return releasing(t).stop(false, "Failed").did(stages.ActionPause, 5*m, "carol", "looking")
			}, []string{root},
			[]string{"by carol at 12:15:00: looking; the retry ends the pause"},
		},
		{
			"a rollback of a run that goes on ends it, and goes back newest first", stages.ActionRollback, releasing, []string{root},
			[]string{
				"back     m1 productpage-dcb: 84fb -> 6c7d, touched 2026-11-21 12:10:02\n           m1 productpage-dca: 84fb -> 6c7d, touched 2026-11-21 12:10:01",
				"ends: bump-m1; then it is taken back, newest first",
			},
		},
		{
			"a rollback of a run that is over is made by the hub", stages.ActionRollback, func(t *testing.T) *world { return releasing(t).stop(true, "Completed") }, []string{root},
			[]string{"the hub makes a stage that takes it back, newest first"},
		},
		{
			"a rollback of a run that is gone goes by its record", stages.ActionRollback, func(t *testing.T) *world {
				w := releasing(t).stop(false, "Failed")
				w.pr, w.stages = nil, nil
				return w
			}, []string{root},
			[]string{"productpage-v2 is not there any more; its record, release productpage-v2-8xk2p, is", "m1 productpage-dca: 84fb -> 6c7d"},
		},
		{
			"a rollback warns of what another release has touched since", stages.ActionRollback, func(t *testing.T) *world {
				w := releasing(t).stop(true, "Completed")
				other := w.release.DeepCopy()
				other.Name, other.UID, other.Labels, other.Spec.Root.UID, other.Status.Runs = "till-1", "other", nil, "other", nil
				other.Status.Touched = other.Status.Touched[:1]
				other.Status.Touched[0].Time = *clitest.At(9 * m)
				w.kinds = append(w.kinds, other)
				return w
			}, []string{root},
			[]string{"taken over  m1 productpage-dca was touched by release till-1 since"},
		},
		{
			"a rollback of one member is a run of its own and leaves the run alone", stages.ActionRollback, releasing, []string{root, "--member", "m1"},
			[]string{"of one Rollback is made, for m1 alone", "the run is not ended; the other stages of the release stand still meanwhile"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Setenv("LC_ALL", "C.UTF-8")
			t.Setenv("COLUMNS", "200")
			w := tc.world(t)
			got, err := w.run(tc.action, append(tc.args, "--dry-run")...)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range append(tc.want, "Nothing was done: this was a dry run.") {
				if !strings.Contains(got, want) {
					t.Errorf("%q is missing in\n%s", want, got)
				}
			}
			w.nothingMade()
		})
	}
}

func TestWhatHasNoEffectIsRefusedOrSaid(t *testing.T) {
	failed := func(t *testing.T) *world { return releasing(t).stop(false, "Failed") }
	paused := func(t *testing.T) *world { return releasing(t).did(stages.ActionPause, 5*m, "carol", "looking") }
	forbid := func(verb, resource, name string) func(*world) {
		return func(w *world) {
			h := w.open()
			refuse := func(clienttesting.Action) (bool, runtime.Object, error) {
				return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: resource}, name, nil)
			}
			h.Tekton.PrependReactor(verb, resource, refuse)
			h.Periplus.PrependReactor(verb, resource, refuse)
		}
	}
	unknown := func(resources ...string) func(*world) {
		return func(w *world) {
			for _, r := range resources {
				w.open().Periplus.PrependReactor("*", r, func(clienttesting.Action) (bool, runtime.Object, error) {
					return true, nil, &apierrors.StatusError{ErrStatus: metav1.Status{Reason: metav1.StatusReasonNotFound, Code: 404, Message: "the server could not find the requested resource"}}
				})
			}
		}
	}
	for _, tc := range []struct {
		name    string
		action  stages.Action
		world   func(*testing.T) *world
		prepare func(*world)
		args    []string
		// want is said with success, wantErr as an error.
		want, wantErr string
	}{
		{"no message", stages.ActionPause, releasing, nil, []string{root, "--yes", "-m", " "}, "", `say why, for those who read it later: --message "…"`},
		{"a message that is too long", stages.ActionPause, releasing, nil, []string{root, "--yes", "-m", strings.Repeat("x", 1025)}, "", "--message has 1025 letters, and may have 1024"},
		{"no terminal and no --yes", stages.ActionPause, releasing, nil, []string{root, "-m", "why"}, "", "there is no terminal to ask on; --yes does it without asking"},
		{"a name with a slip", stages.ActionPause, releasing, nil, []string{"produktpage-v2", "-m", "why", "--yes"}, "", "did you mean productpage-v2?"},
		{
			"somebody else's namespace", stages.ActionPause, releasing, forbid("get", "pipelineruns", root), []string{root, "-m", "why", "--yes"}, "",
			"you lack a permission: get on pipelineruns.tekton.dev in namespace shop",
		},
		{
			"a person who may only look on", stages.ActionPause, releasing, forbid("create", "interventions", ""), []string{root, "-m", "why", "--yes"}, "",
			"you lack a permission: create on interventions.stages.periplus.dev in namespace shop; the cluster roles periplus-view (read)",
		},
		{
			"a hub without the kind", stages.ActionPause, releasing, unknown("interventions", "freezes"), []string{root, "-m", "why", "--yes"}, "",
			"the cluster at https://hub.example has no interventions.stages.periplus.dev: is it the hub (see --context), and is Periplus installed there?",
		},
		{
			"a hub without Periplus cannot say what was touched", stages.ActionRollback, failed, unknown("interventions", "freezes", "releases"),
			[]string{root, "-m", "why", "--yes"}, "", "what productpage-v2 touched is not known: the cluster at https://hub.example has no releases.stages.periplus.dev",
		},
		{"a pause of a run that is over", stages.ActionPause, failed, nil, []string{root, "-m", "why", "--yes"}, "", "run productpage-v2 is over (Failed at bump-m1"},
		{"a pause of a run that is paused", stages.ActionPause, paused, nil, []string{root, "-m", "why", "--yes"}, "productpage-v2 is paused already: carol at 12:15:00: looking", ""},
		{"a resume of a run that is not paused", stages.ActionResume, releasing, nil, []string{root, "-m", "why", "--yes"}, "", "productpage-v2 is not paused (Running bump-m1"},
		{
			"a resume of a run that only a freeze stops", stages.ActionResume, func(t *testing.T) *world {
				w := releasing(t)
				w.kinds = append(w.kinds, &stages.Freeze{ObjectMeta: metav1.ObjectMeta{Name: "freeze-x"}, Spec: stages.FreezeSpec{User: "erin", Message: "network"}})
				return w
			}, nil, []string{root, "-m", "why", "--yes"}, "", `a freeze by erin stops it: `,
		},
		{
			"a resume of what was resumed", stages.ActionResume, func(t *testing.T) *world { return paused(t).did(stages.ActionResume, 6*m, "carol", "fine") }, nil,
			[]string{root, "-m", "why", "--yes"}, "", "productpage-v2 is not paused",
		},
		{"an abort of a run that is over", stages.ActionAbort, failed, nil, []string{root, "-m", "why", "--yes"}, "", "is over"},
		{
			"an abort of what is being aborted", stages.ActionAbort, func(t *testing.T) *world { return releasing(t).did(stages.ActionAbort, 5*m, "carol", "wrong image") }, nil,
			[]string{root, "-m", "why", "--yes"}, "productpage-v2 is being ended already: carol at 12:15:00: wrong image", "",
		},
		{"a skip without a stage", stages.ActionSkip, releasing, nil, []string{root, "-m", "why", "--yes"}, "", "say which stage of productpage-v2 is skipped: --stage NAME; running now: bump-m1"},
		{"a skip of a stage with a slip", stages.ActionSkip, releasing, nil, []string{root, "--stage", "bmup-m1", "-m", "why", "--yes"}, "", "run productpage-v2 has no stage bmup-m1; did you mean bump-m1?"},
		{"a skip of a stage that is done", stages.ActionSkip, releasing, nil, []string{root, "--stage", "canary-m1", "-m", "why", "--yes"}, "", "does not run (done)"},
		{"a skip of a stage that has not begun", stages.ActionSkip, releasing, nil, []string{root, "--stage", "bump-m2", "-m", "why", "--yes"}, "", "stage bump-m2 of run productpage-v2 has not begun"},
		{
			"a skip of a Confirm", stages.ActionSkip, func(t *testing.T) *world {
				w := releasing(t)
				w.stage("confirm-m1", "Confirm", stages.RunStatus{Question: &stages.Question{ID: "confirm-m1", Required: 1}})
				return w
			}, nil, []string{root, "--stage", "confirm-m1", "-m", "why", "--yes"}, "",
			`stage confirm-m1 asks people, and is answered, not skipped: `,
		},
		{
			"a skip of another kind of stage that asks", stages.ActionSkip, func(t *testing.T) *world {
				w := releasing(t)
				w.stage("beta-m1", "BetaBatch", stages.RunStatus{Question: &stages.Question{ID: "beta-m1-2", Required: 1}})
				return w
			}, nil, []string{root, "--stage", "beta-m1", "-m", "why", "--yes"}, "", "asks people",
		},
		{"a retry of a member without a ClusterHop that runs", stages.ActionRetry, releasing, nil, []string{root, "--member", "m3", "-m", "why", "--yes"}, "", "say which ClusterHop of productpage-v2 carries m3: --stage NAME; running now: nothing"},
		{"a retry of a member of another kind of stage", stages.ActionRetry, releasing, nil, []string{root, "--stage", "bump-m1", "--member", "m3", "-m", "why", "--yes"}, "", "stage bump-m1 is no ClusterHop"},
		{"a retry of a member with a slip", stages.ActionRetry, hopping, nil, []string{root, "--member", "m33", "-m", "why", "--yes"}, "", "ClusterHop hop-m2 does not carry the release to m33; did you mean m3?"},
		{"a retry of a stage", stages.ActionRetry, releasing, nil, []string{root, "--stage", "bump-m1", "-m", "why", "--yes"}, "", "--stage goes with --member"},
		{"a retry while a ClusterHop runs names the way for its members", stages.ActionRetry, hopping, nil, []string{root, "-m", "why", "--yes"}, "", "single members of ClusterHop hop-m2 are tried again with --member"},
		{"a retry of a run that goes on", stages.ActionRetry, releasing, nil, []string{root, "-m", "why", "--yes"}, "", "still goes on"},
		{"a retry of a run that succeeded", stages.ActionRetry, func(t *testing.T) *world { return releasing(t).stop(true, "Completed") }, nil, []string{root, "-m", "why", "--yes"}, "", "succeeded: there is nothing to retry"},
		{"a retry of a run that touched nothing", stages.ActionRetry, func(t *testing.T) *world { w := failed(t); w.release = nil; return w }, nil, []string{root, "-m", "why", "--yes"}, "", "has no release record"},
		{
			"a retry of what was taken back", stages.ActionRetry, func(t *testing.T) *world { w := failed(t); w.release.Status.Phase = stages.ReleaseRolledBack; return w }, nil,
			[]string{root, "-m", "why", "--yes"}, "", "was taken back or is being so",
		},
		{
			"a retry while a retry goes on", stages.ActionRetry, func(t *testing.T) *world { return failed(t).retried(root+"-retry-1", false) }, nil,
			[]string{root, "-m", "why", "--yes"}, "", "run productpage-v2-retry-1 still goes on",
		},
		{
			"a retry that has not joined yet", stages.ActionRetry, func(t *testing.T) *world {
				w := failed(t).retried(root+"-retry-1", false)
				w.release.Status.Runs, w.release.Status.Phase = w.release.Status.Runs[:1], stages.ReleaseFailed
				return w
			}, nil, []string{root, "-m", "why", "--yes"}, "", "productpage-v2-retry-1 retries productpage-v2 already, and is about to join its release",
		},
		{
			"a retry of a run whose stages still stop", stages.ActionRetry, func(t *testing.T) *world {
				w := failed(t)
				w.stages[1].Status.CompletionTime = nil
				w.stages[1].Status.Conditions = releasing(t).stages[1].Status.Conditions
				return w
			}, nil, []string{root, "-m", "why", "--yes"}, "", "stages of it are still stopping",
		},
		{
			"a rollback of what is being taken back", stages.ActionRollback, func(t *testing.T) *world {
				w := failed(t)
				w.release.Status.Phase = stages.ReleaseRollingBack
				w.release.Status.Rollback = &stages.RollbackRecord{Scope: stages.RollbackRelease, Since: *clitest.At(9 * m), Message: "1 of 2"}
				return w
			}, nil, []string{root, "-m", "why", "--yes"}, "productpage-v2 is being taken back already, since 12:19:00: 1 of 2", "",
		},
		{
			"a rollback of what was taken back", stages.ActionRollback, func(t *testing.T) *world {
				w := failed(t)
				w.release.Status.Phase = stages.ReleaseRolledBack
				w.release.Status.Rollback = &stages.RollbackRecord{Scope: stages.RollbackRelease, Message: "2 of 2"}
				return w
			}, nil, []string{root, "-m", "why", "--yes"}, "productpage-v2 was taken back already: 2 of 2", "",
		},
		{"a rollback of what touched nothing", stages.ActionRollback, func(t *testing.T) *world { w := failed(t); w.release.Status.Touched = nil; return w }, nil, []string{root, "-m", "why", "--yes"}, "", "touched nothing: there is nothing to take back"},
		{"a rollback of a member that was not touched", stages.ActionRollback, failed, nil, []string{root, "--member", "m2", "-m", "why", "--yes"}, "", "did not touch m2; it touched m1"},
		{"a rollback by hand without the permission", stages.ActionRollback, failed, forbid("create", "pipelineruns", ""), []string{root, "--member", "m1", "-m", "why", "--yes"}, "", "you lack a permission: create on pipelineruns.tekton.dev in namespace shop"},
		{"a rollback of nothing", stages.ActionRollback, failed, nil, []string{"-m", "why", "--yes"}, "", "name the run whose release is taken back"},
		{"a rollback from members of a run", stages.ActionRollback, failed, nil, []string{root, "--from-members", "--release", "x", "-m", "why", "--yes"}, "", "--from-members is for a release whose record is lost"},
		{"a rollback from members of no release", stages.ActionRollback, failed, nil, []string{"--from-members", "-m", "why", "--yes"}, "", "--from-members needs --release"},
		{"a rollback from members of a record that is there", stages.ActionRollback, failed, nil, []string{"--from-members", "--release", root + "-8xk2p", "-m", "why", "--yes"}, "", "this hub has the record of release productpage-v2-8xk2p"},
		{"a rollback from members of a hub that has none", stages.ActionRollback, failed, nil, []string{"--from-members", "--release", "x", "-m", "why", "--yes"}, "", "this hub has no members yet"},
		{
			"a child whose record is gone", stages.ActionPause, func(t *testing.T) *world { w := releasing(t).child("m3"); w.release = nil; return w }, nil,
			[]string{root + "-hop-m2-m3", "-m", "why", "--yes"}, "", "is a part of release productpage-v2-8xk2p, whose record is gone or may not be read by you",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := tc.world(t)
			if tc.prepare != nil {
				tc.prepare(w)
			}
			got, err := w.run(tc.action, tc.args...)
			switch {
			case tc.wantErr == "" && err != nil:
				t.Fatal(err)
			case tc.wantErr != "" && (err == nil || !strings.Contains(err.Error(), tc.wantErr)):
				t.Fatalf("got error %v, want %q", err, tc.wantErr)
			case tc.want != "" && strings.TrimSpace(got) != tc.want:
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
			if !strings.Contains(tc.wantErr, "you lack a permission: create") && !strings.Contains(tc.wantErr, "has no interventions") {
				w.open()
				w.nothingMade()
			}
		})
	}
}

func TestAPersonIsAskedAndOnlyYesIsYes(t *testing.T) {
	for answer, agreed := range map[string]bool{"y\n": true, "Yes\n": true, "\n": false, "n\n": false, "": false, "yesterday\n": false} {
		t.Run(fmt.Sprintf("%q", answer), func(t *testing.T) {
			w := releasing(t)
			out, err := w.runAt(stages.ActionPause, &answer, root, "-m", "why")
			did, _, _ := w.made()
			if (err == nil) != agreed || (len(did) == 1) != agreed {
				t.Errorf("got error %v and %d interventions, want agreed=%t:\n%s", err, len(did), agreed, out)
			}
			if !strings.Contains(out, "Pause it? [y/N]") {
				t.Errorf("it was not asked:\n%s", out)
			}
			if !agreed && !strings.Contains(err.Error(), "nothing was done: you did not say yes") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestWhatEndedWhileAPersonThoughtIsNotActedOn(t *testing.T) {
	w, reads, answer := releasing(t), 0, "y\n"
	h := w.open()
	over := releasing(t).stop(true, "Completed")
	h.Tekton.PrependReactor("get", "pipelineruns", func(clienttesting.Action) (bool, runtime.Object, error) {
		reads++
		return reads > 1, over.pr, nil
	})
	h.Tekton.PrependReactor("list", "customruns", func(clienttesting.Action) (bool, runtime.Object, error) {
		if reads < 2 {
			return false, nil, nil
		}
		list := &pipelinev1beta1.CustomRunList{}
		for _, c := range over.stages {
			list.Items = append(list.Items, *c)
		}
		return true, list, nil
	})
	_, err := w.runAt(stages.ActionPause, &answer, root, "-m", "why")
	if err == nil || !strings.Contains(err.Error(), "nothing was done: meanwhile run productpage-v2 is over") {
		t.Errorf("got %v", err)
	}
	w.nothingMade()
}

func TestTheInterventionIsTheCallersOwnAndNamesTheRoot(t *testing.T) {
	ref := stages.RootRef{Kind: "PipelineRun", Name: root, UID: "uid-" + root}
	for _, tc := range []struct {
		name  string
		world *world
		args  []string
		want  stages.InterventionSpec
	}{
		{"a pause of the root", releasing(t), []string{root}, stages.InterventionSpec{RunRef: ref, Action: stages.ActionPause}},
		{"a pause of a run of a ClusterHop", releasing(t).child("m3"), []string{root + "-hop-m2-m3"}, stages.InterventionSpec{RunRef: ref, Action: stages.ActionPause}},
		{"a pause of a retry", releasing(t).stop(false, "Failed").retried("again", false), []string{"again"}, stages.InterventionSpec{RunRef: ref, Action: stages.ActionPause}},
		{"an abort", releasing(t), []string{root}, stages.InterventionSpec{RunRef: ref, Action: stages.ActionAbort}},
		{"a resume", releasing(t).did(stages.ActionPause, m, "carol", "x"), []string{root}, stages.InterventionSpec{RunRef: ref, Action: stages.ActionResume}},
		{"a rollback", releasing(t), []string{root}, stages.InterventionSpec{RunRef: ref, Action: stages.ActionRollback}},
		{
			"a skip names the very stage that runs", releasing(t), []string{root, "--stage", "bump-m1"},
			stages.InterventionSpec{RunRef: ref, Action: stages.ActionSkip, StageRef: &stages.RunRef{Name: root + "-bump-m1", UID: "uid-" + root + "-bump-m1"}},
		},
		{
			"a skip of a stage of a ClusterHop's run", releasing(t).child("m3"), []string{root, "--stage", root + "-hop-m2-m3-bump"},
			stages.InterventionSpec{RunRef: ref, Action: stages.ActionSkip, StageRef: &stages.RunRef{Name: root + "-hop-m2-m3-bump", UID: "uid-" + root + "-hop-m2-m3-bump"}},
		},
		{
			"a skip of one member of a ClusterHop", hopping(t), []string{root, "--stage", "hop-m2", "--member", "m3"},
			stages.InterventionSpec{RunRef: ref, Action: stages.ActionSkip, Member: "m3", StageRef: &stages.RunRef{Name: root + "-hop-m2", UID: "uid-" + root + "-hop-m2"}},
		},
		{
			"a retry of one member of the ClusterHop that runs", hopping(t), []string{root, "--member", "m4"},
			stages.InterventionSpec{RunRef: ref, Action: stages.ActionRetry, Member: "m4", StageRef: &stages.RunRef{Name: root + "-hop-m2", UID: "uid-" + root + "-hop-m2"}},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.world.t = t
			out, err := tc.world.run(tc.want.Action, append(tc.args, "-m", " why ", "--yes")...)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(out, "recorded: bob ") {
				t.Errorf("got\n%s", out)
			}
			did, runs, customs := tc.world.made()
			if len(did) != 1 || len(runs)+len(customs) > 0 {
				t.Fatalf("got %d interventions, %d runs, %d stages", len(did), len(runs), len(customs))
			}
			tc.want.Message, tc.want.User, tc.want.Groups = "why", "bob", []string{"system:authenticated", "sre"}
			want := &stages.Intervention{ObjectMeta: metav1.ObjectMeta{GenerateName: root + "-", Namespace: "shop"}, Spec: tc.want}
			if diff := cmp.Diff(want, did[0]); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestACustomRunThatNoPipelineMadeIsItsOwnRoot(t *testing.T) {
	w := releasing(t)
	lone := clitest.Stage(t, "lone", "canary", "Canary", stages.RunStatus{Attempt: 1})
	lone.OwnerReferences, lone.Labels = nil, nil
	w.others = append(w.others, lone)
	if _, err := w.run(stages.ActionPause, "lone-canary", "-m", "why", "--yes"); err != nil {
		t.Fatal(err)
	}
	did, _, _ := w.made()
	if want := (stages.RootRef{Kind: "CustomRun", Name: "lone-canary", UID: "uid-lone-canary"}); len(did) != 1 || did[0].Spec.RunRef != want {
		t.Errorf("got %v, want %v", did, want)
	}
	if _, err := w.run(stages.ActionRetry, "lone-canary", "-m", "why", "--yes"); err == nil || !strings.Contains(err.Error(), "is a CustomRun that no pipeline made") {
		t.Errorf("got %v", err)
	}
}
