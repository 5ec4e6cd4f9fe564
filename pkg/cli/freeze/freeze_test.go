package freeze

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clienttesting "k8s.io/client-go/testing"
	clocktesting "k8s.io/utils/clock/testing"

	fleet "github.com/periplus-dev/periplus/pkg/apis/fleet/v1alpha1"
	stages "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/cli/act"
	"github.com/periplus-dev/periplus/pkg/cli/clitest"
	"github.com/periplus-dev/periplus/pkg/cli/terminal"
)

const m = time.Minute

// fleetOf is a hub where shop bumps m1 and takes m2 back, and till confirms; m1 is of ring 1.
func fleetOf(t *testing.T, freezes ...*stages.Freeze) *clitest.Hub {
	t.Helper()
	shop := clitest.PipelineRun("productpage-v2", "bump-m1:PartitionBump", "rollback-m2:Rollback", "canary-m1:Canary")
	bump := clitest.Stage(t, "productpage-v2", "bump-m1", "PartitionBump", stages.RunStatus{
		Admitted: &stages.Admitted{Members: []string{"m1"}}, Waiting: &stages.Waiting{For: "m1/dca: 1 of 4 pods updated"},
	})
	back := clitest.Stage(t, "productpage-v2", "rollback-m2", "Rollback", stages.RunStatus{Admitted: &stages.Admitted{Members: []string{"m2"}}})
	done := clitest.Stage(t, "productpage-v2", "canary-m1", "Canary", stages.RunStatus{Admitted: &stages.Admitted{Members: []string{"m1"}}})
	clitest.End(done, m, true, "Succeeded", "")
	till, confirm := clitest.PipelineRun("till-v7", "confirm:Confirm"), clitest.Stage(t, "till-v7", "confirm", "Confirm", stages.RunStatus{})
	till.Namespace, confirm.Namespace = "till", "till"
	h := clitest.NewHub(shop, bump, back, done, till, confirm)
	for name, ring := range map[string]string{"m1": "1", "m2": "2", "member3": "2"} {
		must(t, h.Periplus.Tracker().Add(&fleet.Member{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"ring": ring}}}))
	}
	for _, name := range []string{"shop", "till"} {
		must(t, h.Kube.Tracker().Add(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}))
	}
	for _, f := range freezes {
		must(t, h.Periplus.Tracker().Add(f))
	}
	return h
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func frozen(name, user, message string, change func(*stages.FreezeSpec)) *stages.Freeze {
	f := &stages.Freeze{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: "uid", CreationTimestamp: *clitest.At(0)}, Spec: stages.FreezeSpec{User: user, Message: message},
	}
	if change != nil {
		change(&f.Spec)
	}
	return f
}

// typed runs a command without a terminal.
func typed(t *testing.T, h *clitest.Hub, args ...string) (string, error) {
	t.Helper()
	t.Setenv("LC_ALL", "C.UTF-8")
	t.Setenv("COLUMNS", "200")
	for _, cmd := range newCommands(h.Connect, clocktesting.NewFakePassiveClock(clitest.Began.Add(12*m))) {
		if cmd.Name() != args[0] && !cmd.HasAlias(args[0]) {
			continue
		}
		var out bytes.Buffer
		cmd.SetOut(&out)
		cmd.SetErr(&out)
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		cmd.SetArgs(args[1:])
		err := cmd.ExecuteContext(context.Background())
		return out.String(), err
	}
	t.Fatalf("there is no command %s", args[0])
	return "", nil
}

func written(h *clitest.Hub) (out []clienttesting.Action) {
	for _, a := range h.Periplus.Actions() {
		if a.GetVerb() == "create" || a.GetVerb() == "update" || a.GetVerb() == "delete" || a.GetVerb() == "patch" {
			out = append(out, a)
		}
	}
	return out
}

const (
	bumps    = "shop/productpage-v2: bump-m1 in m1, at: m1/dca: 1 of 4 pods updated"
	back     = "shop/productpage-v2: rollback-m2 in m2"
	confirms = "till/till-v7: confirm"
)

func TestAFreezeSaysWhatItStops(t *testing.T) {
	forbid := func(namespaces ...string) func(*clitest.Hub) {
		return func(h *clitest.Hub) {
			h.Tekton.PrependReactor("list", "*", func(a clienttesting.Action) (bool, runtime.Object, error) {
				for _, n := range namespaces {
					if a.GetNamespace() == n {
						return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: a.GetResource().Resource}, "", nil)
					}
				}
				return false, nil, nil
			})
		}
	}
	for _, tc := range []struct {
		name       string
		args       []string
		prepare    func(*clitest.Hub)
		want, lack []string
	}{
		{"everything", []string{"--all"}, nil, []string{"freeze everything · until it is lifted", "stops    " + bumps, back, confirms, "rollbacks do not (--rollbacks Allow lets them)"}, []string{"canary-m1"}},
		{"everything but rollbacks", []string{"--all", "--rollbacks", "Allow"}, nil, []string{bumps, confirms, "goes on  rollbacks, and pods"}, []string{back}},
		{"a member leaves alone what has no member", []string{"--member", "m1", "--until", "2h"}, nil, []string{"freeze member m1 · until 2026-11-21T14:22:00Z, 2h00m", bumps}, []string{back, confirms}},
		{"members by their labels, which are named", []string{"--selector", "ring=2"}, nil, []string{"members with ring=2", "members  m2, member3", back}, []string{bumps, confirms}},
		{"a namespace", []string{"-n", "till"}, nil, []string{"freeze everything in namespace till", confirms}, []string{bumps}},
		{"members of a namespace", []string{"--members", "m1,m2", "--namespaces", "shop"}, nil, []string{"freeze members m1, m2 in namespace shop", bumps, back}, []string{confirms}},
		{"nothing that runs", []string{"--member", "member3"}, nil, []string{"no stage that runs now; those to come, in its scope, make no move"}, []string{bumps}},
		{
			"whoever may see his own namespace only is told what he does not see", []string{"--all"}, forbid("", "till"),
			[]string{bumps, "runs of other namespaces than shop: you may not read them; it stops them all the same"}, []string{confirms},
		},
		{"whoever may see nothing too", []string{"--all"}, forbid("", "till", "shop"), []string{"not seen  runs of all namespaces: you may not read them"}, []string{bumps}},
		{
			"a selector without the permission to read members", []string{"--selector", "ring=2"}, func(h *clitest.Hub) {
				h.Periplus.PrependReactor("list", "members", func(clienttesting.Action) (bool, runtime.Object, error) {
					return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: "members"}, "", nil)
				})
			}, []string{"perhaps " + bumps, "perhaps " + back, "you may not read members"}, []string{confirms},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := fleetOf(t)
			if tc.prepare != nil {
				tc.prepare(h)
			}
			got, err := typed(t, h, append([]string{"freeze", "--dry-run"}, tc.args...)...)
			must(t, err)
			for _, want := range tc.want {
				if !strings.Contains(got, want) {
					t.Errorf("%q is missing in\n%s", want, got)
				}
			}
			for _, lack := range tc.lack {
				if strings.Contains(got, lack) {
					t.Errorf("%q should not be in\n%s", lack, got)
				}
			}
			if w := written(h); len(w) > 0 {
				t.Errorf("a dry run wrote %v", w)
			}
		})
	}
}

func TestAFreezeIsTheCallersOwn(t *testing.T) {
	h := fleetOf(t)
	h.Periplus.PrependReactor("create", "freezes", func(a clienttesting.Action) (bool, runtime.Object, error) {
		f := a.(clienttesting.CreateAction).GetObject().(*stages.Freeze)
		f.Name = f.GenerateName + "x7k2p"
		return false, nil, nil
	})
	got, err := typed(t, h, "freeze", "--member", "m1", "-n", "shop", "--until", "2026-11-21T15:00:00Z", "--rollbacks", "Allow", "-m", "m1 moves", "--yes")
	must(t, err)
	if want := "frozen by bob as freeze-x7k2p; to lift it: "; !strings.Contains(got, want) {
		t.Errorf("%q is missing in\n%s", want, got)
	}
	made, err := h.Periplus.StagesV1alpha1().Freezes().Get(context.Background(), "freeze-x7k2p", metav1.GetOptions{})
	must(t, err)
	until := metav1.NewTime(time.Date(2026, 11, 21, 15, 0, 0, 0, time.UTC))
	want := stages.FreezeSpec{
		Members: []string{"m1"}, Namespaces: []string{"shop"}, Rollbacks: stages.RollbacksAllow, Until: &until, Message: "m1 moves", User: "bob",
		Groups: []string{"system:authenticated", "sre"},
	}
	if diff := cmp.Diff(want, made.Spec); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWhatIsNoFreezeIsRefused(t *testing.T) {
	refuse := func(verb, resource string, err error) func(*clitest.Hub) {
		return func(h *clitest.Hub) {
			h.Periplus.PrependReactor(verb, resource, func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, err })
		}
	}
	forbidden := apierrors.NewForbidden(schema.GroupResource{Group: "stages.periplus.dev", Resource: "freezes"}, "", nil)
	missing := &apierrors.StatusError{ErrStatus: metav1.Status{Reason: metav1.StatusReasonNotFound, Code: 404, Message: "the server could not find the requested resource"}}
	for _, tc := range []struct {
		name    string
		args    []string
		prepare func(*clitest.Hub)
		want    string
	}{
		{"no scope names --all", []string{"freeze", "-m", "why", "--yes"}, nil, "say what is frozen: --member, --selector or --namespace, or --all for everything everywhere"},
		{"all of a member", []string{"freeze", "--all", "--member", "m1", "-m", "why", "--yes"}, nil, "--all freezes everything everywhere"},
		{"names and labels", []string{"freeze", "--selector", "a=b", "--member", "m1", "-m", "why", "--yes"}, nil, "give --member or --selector, not both"},
		{"no message", []string{"freeze", "--all", "--yes"}, nil, "say why, for those who read it later"},
		{"no terminal", []string{"freeze", "--all", "-m", "why"}, nil, "there is no terminal to ask on"},
		{"a selector that is none", []string{"freeze", "--selector", "=,", "-m", "why", "--yes"}, nil, `--selector is "=,"`},
		{"a time that is none", []string{"freeze", "--all", "--until", "tomorrow", "-m", "why", "--yes"}, nil, `--until is "tomorrow", and must be a duration, such as 2h or 90m`},
		{"a time that is past", []string{"freeze", "--all", "--until", "2026-11-21T12:00:00Z", "-m", "why", "--yes"}, nil, "which is not in the future: it is 2026-11-21T12:22:00Z"},
		{"a duration of less than nothing", []string{"freeze", "--all", "--until", "-2h", "-m", "why", "--yes"}, nil, "which is not in the future"},
		{"another word for rollbacks", []string{"freeze", "--all", "--rollbacks", "allow", "-m", "why", "--yes"}, nil, `--rollbacks is "allow", and must be Stop or Allow`},
		{"a member with a slip", []string{"freeze", "--member", "membr3", "-m", "why", "--yes"}, nil, "there is no member membr3; did you mean member3?"},
		{"a namespace with a slip", []string{"freeze", "-n", "shpo", "-m", "why", "--yes"}, nil, "there is no namespace shpo; did you mean shop?"},
		{"a name that can be no namespace's", []string{"freeze", "-n", "Shop!", "-m", "why", "--yes"}, nil, "spec.namespaces[0]"},
		{
			"without the permission", []string{"freeze", "--all", "-m", "why", "--yes"}, refuse("create", "freezes", forbidden),
			"you lack a permission: create on freezes.stages.periplus.dev in the whole cluster; the cluster role periplus-freezer",
		},
		{"a hub without the kind", []string{"freeze", "--all", "-m", "why", "--yes"}, refuse("create", "freezes", missing), "has no freezes.stages.periplus.dev: is it the hub"},
		{"a lift of what is not there", []string{"unfreeze", "freeze-x", "-m", "why", "--yes"}, nil, "there is no freeze freeze-x, nor any that is in force"},
		{"a list without the permission", []string{"freezes"}, refuse("list", "freezes", forbidden), "you lack a permission: list on freezes.stages.periplus.dev in the whole cluster"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := fleetOf(t)
			if tc.prepare != nil {
				tc.prepare(h)
			}
			_, err := typed(t, h, tc.args...)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got error %v, want %q", err, tc.want)
			}
		})
	}
}

func TestLiftingSaysWhatGoesOnAndRecordsWho(t *testing.T) {
	all := frozen("freeze-aaaaa", "erin", "network", nil)
	m2 := frozen("freeze-bbbbb", "frank", "m2 moves", func(f *stages.FreezeSpec) { f.Members = []string{"m2"} })
	over := frozen("freeze-ccccc", "frank", "over", func(f *stages.FreezeSpec) {
		f.Lifted = &stages.Lifting{User: "dave", Message: "done", Time: clitest.At(m)}
	})
	ranOut := frozen("freeze-ddddd", "frank", "over", func(f *stages.FreezeSpec) { f.Until = clitest.At(m) })
	h := fleetOf(t, all, m2, over, ranOut)

	got, err := typed(t, h, "unfreeze", "freeze-aaaaa", "-m", "fine again", "--yes")
	must(t, err)
	for _, want := range []string{
		"unfreeze freeze-aaaaa · everything · frozen by erin 12m00s ago", "because       network", "goes on       " + bumps, confirms,
		"still frozen  member m2, by frank: m2 moves (freeze-bbbbb)", "freeze-aaaaa is lifted by bob",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
	if strings.Contains(got, back) {
		t.Errorf("what another freeze stops does not go on:\n%s", got)
	}
	now, err := h.Periplus.StagesV1alpha1().Freezes().Get(context.Background(), "freeze-aaaaa", metav1.GetOptions{})
	must(t, err)
	at := metav1.NewTime(clitest.Began.Add(12 * m))
	if diff := cmp.Diff(&stages.Lifting{Message: "fine again", User: "bob", Groups: []string{"system:authenticated", "sre"}, Time: &at}, now.Spec.Lifted); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	for name, want := range map[string]string{
		"freeze-aaaaa": "freeze-aaaaa was lifted already, by bob at 2026-11-21T12:22:00Z: fine again",
		"freeze-ccccc": "freeze-ccccc was lifted already, by dave at 2026-11-21T12:11:00Z: done",
		"freeze-ddddd": "nothing: it ran out at 2026-11-21T12:11:00Z",
	} {
		got, err := typed(t, h, "lift", name, "-m", "why", "--yes")
		must(t, err)
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
	if _, err := typed(t, h, "unfreeze", "freeze-bbbbc", "-m", "why", "--yes"); err == nil || !strings.Contains(err.Error(), "did you mean freeze-bbbbb?") {
		t.Errorf("got %v", err)
	}
}

func TestALiftThatConflictsIsTriedAgainOnWhatIsThere(t *testing.T) {
	h, tries := fleetOf(t, frozen("freeze-aaaaa", "erin", "network", nil)), 0
	h.Periplus.PrependReactor("update", "freezes", func(clienttesting.Action) (bool, runtime.Object, error) {
		tries++
		if tries == 1 {
			return true, nil, apierrors.NewConflict(schema.GroupResource{Resource: "freezes"}, "freeze-aaaaa", fmt.Errorf("changed"))
		}
		return false, nil, nil
	})
	got, err := typed(t, h, "unfreeze", "freeze-aaaaa", "-m", "fine", "--yes")
	if err != nil || tries != 2 || !strings.Contains(got, "is lifted by bob") {
		t.Errorf("got %v after %d tries:\n%s", err, tries, got)
	}
}

func TestAPersonIsAskedBeforeAFreeze(t *testing.T) {
	for answer, want := range map[string]int{"y\n": 1, "no\n": 0} {
		h := fleetOf(t)
		c := &command{connect: h.Connect, clock: clocktesting.NewFakePassiveClock(clitest.Began.Add(12 * m)), program: "periplus"}
		c.act.Message, c.scope = "why", scope{all: true, rollbacks: "Stop"}
		var out bytes.Buffer
		err := c.freeze(context.Background(), act.Stage{In: strings.NewReader(answer), Out: terminal.Of(&out), Interactive: true})
		if len(written(h)) != want || (err == nil) != (want == 1) || !strings.Contains(out.String(), "Freeze? [y/N]") {
			t.Errorf("%q: got %v, and %d writes:\n%s", answer, err, len(written(h)), out.String())
		}
	}
}

func TestListingFreezes(t *testing.T) {
	h := fleetOf(t,
		frozen("freeze-aaaaa", "erin", "network\x1b[2J", func(f *stages.FreezeSpec) { f.Until = clitest.At(2 * time.Hour) }),
		frozen("freeze-bbbbb", "frank", "m2 moves", func(f *stages.FreezeSpec) {
			f.Members, f.Namespaces, f.Rollbacks = []string{"m2"}, []string{"shop"}, stages.RollbacksAllow
		}),
		frozen("freeze-ccccc", "frank", "over", func(f *stages.FreezeSpec) {
			f.Lifted = &stages.Lifting{User: "dave", Message: "done", Time: clitest.At(m)}
		}),
		frozen("freeze-ddddd", "frank", "short", func(f *stages.FreezeSpec) { f.Until = clitest.At(m) }))
	got, err := typed(t, h, "freezes")
	must(t, err)
	want := `  FREEZE          SCOPE                        BY     SINCE  UNTIL         ROLLBACKS  MESSAGE
! freeze-aaaaa  everything                   erin   12:10  14:10         stop       network[2J
! freeze-bbbbb  member m2 in namespace shop  frank  12:10  it is lifted  go on      m2 moves
`
	if diff := cmp.Diff(strings.TrimLeft(want, " "), got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	got, err = typed(t, h, "freezes", "--all")
	must(t, err)
	for _, want := range []string{"freeze-ccccc", "lifted by dave 12:11:00: done", "freeze-ddddd", "ran out"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
	got, err = typed(t, fleetOf(t), "freezes")
	if err != nil || strings.TrimSpace(got) != "Nothing is frozen." {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestCompletionOffersFreezesThatCanBeLiftedAndMembers(t *testing.T) {
	h := fleetOf(t, frozen("freeze-aaaaa", "erin", "network", nil),
		frozen("freeze-ccccc", "frank", "over", func(f *stages.FreezeSpec) { f.Lifted = &stages.Lifting{User: "dave", Message: "done"} }))
	for _, tc := range []struct {
		args []string
		want string
	}{
		{[]string{"unfreeze", ""}, "freeze-aaaaa\n:4"},
		{[]string{"freeze", "--member", ""}, "m1\nm2\nmember3\n:4"},
		{[]string{"freeze", "--rollbacks", ""}, "Stop\nAllow\n:4"},
	} {
		top := &cobra.Command{Use: "periplus"}
		top.AddCommand(newCommands(h.Connect, clocktesting.NewFakePassiveClock(clitest.Began))...)
		var out bytes.Buffer
		top.SetOut(&out)
		top.SetErr(&bytes.Buffer{})
		top.SetArgs(append([]string{"__complete"}, tc.args...))
		must(t, top.ExecuteContext(context.Background()))
		if got := strings.TrimSpace(out.String()); got != tc.want {
			t.Errorf("%v: got %q, want %q", tc.args, got, tc.want)
		}
	}
}
