package policy_test

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/policy"
)

func asks(name string, required int32, forbid bool, groups ...string) policy.Stage {
	return policy.Stage{Name: name, Confirms: true, Confirm: &v1alpha1.ConfirmSpec{Approvers: v1alpha1.Approvers{Groups: groups}, Required: required, ForbidInitiator: forbid}}
}

func moves(name string, m policy.Object, after ...string) policy.Stage {
	return policy.Stage{Name: name, Moves: true, Target: "web", Members: []policy.Object{m}, After: after}
}

func bakes(name string, bake time.Duration, m policy.Object, after ...string) policy.Stage {
	s := moves(name, m, after...)
	s.Bakes, s.Bake = true, bake
	return s
}

func TestWhatARunLacks(t *testing.T) {
	yes := named("yes", func(s *v1alpha1.ReleasePolicySpec) {
		s.Members = byLabel("ring", "prod")
		s.Require.Confirms = []v1alpha1.DemandedConfirm{{Approvers: v1alpha1.Approvers{Groups: []string{"sre", "leads"}}, Required: 2, ForbidInitiator: true}}
	})
	bake := named("bake", func(s *v1alpha1.ReleasePolicySpec) { s.Require.MinBake = &metav1.Duration{Duration: 10 * time.Minute} })
	open := named("open", nil)
	confirm := asks("confirm", 2, true, "sre")
	hidden := func(s policy.Stage) policy.Stage { s.Hidden, s.Confirm, s.Members = true, nil, nil; return s }
	last := func(s policy.Stage) policy.Stage { s.Finally = true; return s }
	other := func(s policy.Stage) policy.Stage { s.Target = "other"; return s }
	for name, tc := range map[string]struct {
		policies []v1alpha1.ReleasePolicy
		run      []policy.Stage
		above    []policy.Stage
		// lack is "stage: words" of the one thing that is lacking, empty for none.
		lack string
	}{
		"nothing where nothing is demanded":                        {policies: []v1alpha1.ReleasePolicy{open}, run: []policy.Stage{moves("bump", prod)}},
		"nothing in members that need no yes":                      {policies: []v1alpha1.ReleasePolicy{open, yes}, run: []policy.Stage{moves("bump", dev)}},
		"a yes, where there is no Confirm":                         {policies: []v1alpha1.ReleasePolicy{yes}, run: []policy.Stage{moves("bump", prod)}, lack: `bump: ReleasePolicy "yes" demands that before anything moves in member "p1" 2 of group sre, leads must say yes, not counting who started the run`},
		"nothing with a Confirm before it":                         {policies: []v1alpha1.ReleasePolicy{yes}, run: []policy.Stage{confirm, moves("bump", prod, "confirm")}},
		"nothing with a Confirm far before it":                     {policies: []v1alpha1.ReleasePolicy{open, yes}, run: []policy.Stage{moves("bump", prod, "x"), {Name: "x", After: []string{"y"}}, moves("y", dev, "confirm"), confirm}},
		"a yes, where the Confirm comes after":                     {policies: []v1alpha1.ReleasePolicy{yes}, run: []policy.Stage{moves("bump", prod), {Name: "confirm", Confirms: true, Confirm: confirm.Confirm, After: []string{"bump"}}}, lack: "bump:"},
		"a yes, where the Confirm is beside it":                    {policies: []v1alpha1.ReleasePolicy{yes}, run: []policy.Stage{confirm, moves("bump", prod)}, lack: "bump:"},
		"a yes, where others are asked":                            {policies: []v1alpha1.ReleasePolicy{yes}, run: []policy.Stage{asks("confirm", 2, true, "sre", "everybody"), moves("bump", prod, "confirm")}, lack: `bump: ReleasePolicy "yes"`},
		"a yes, where anybody is asked":                            {policies: []v1alpha1.ReleasePolicy{yes}, run: []policy.Stage{asks("confirm", 2, true), moves("bump", prod, "confirm")}, lack: `Confirm "confirm" before it asks others, or fewer`},
		"a yes, where fewer are asked":                             {policies: []v1alpha1.ReleasePolicy{yes}, run: []policy.Stage{asks("confirm", 1, true, "sre"), moves("bump", prod, "confirm")}, lack: "bump:"},
		"a yes, where who started it may answer":                   {policies: []v1alpha1.ReleasePolicy{yes}, run: []policy.Stage{asks("confirm", 2, false, "sre"), moves("bump", prod, "confirm")}, lack: "bump:"},
		"nothing yet, where it is not known who will be asked":     {policies: []v1alpha1.ReleasePolicy{yes}, run: []policy.Stage{hidden(confirm), moves("bump", prod, "confirm")}},
		"nothing yet, where it is not known where it will move":    {policies: []v1alpha1.ReleasePolicy{yes}, run: []policy.Stage{hidden(moves("bump", prod))}},
		"nothing with a Confirm in the run above":                  {policies: []v1alpha1.ReleasePolicy{yes}, run: []policy.Stage{moves("bump", prod)}, above: []policy.Stage{confirm}},
		"nothing for a stage that comes last, after all Confirms":  {policies: []v1alpha1.ReleasePolicy{yes}, run: []policy.Stage{confirm, last(moves("bump", prod))}},
		"a yes, where the Confirm comes last":                      {policies: []v1alpha1.ReleasePolicy{yes}, run: []policy.Stage{last(confirm), moves("bump", prod)}, lack: "bump:"},
		"a member that is not given, whichever stage is the first": {policies: []v1alpha1.ReleasePolicy{yes}, run: []policy.Stage{confirm, moves("one", prod, "confirm"), moves("two", dev, "one")}, lack: `two: no ReleasePolicy gives member "d1"`},
		"time, where a canary bakes too short":                     {policies: []v1alpha1.ReleasePolicy{bake}, run: []policy.Stage{bakes("canary", 9*time.Minute, prod)}, lack: `canary: ReleasePolicy "bake" demands that canaries in member "p1" bake for 10m0s or longer; this one bakes for 9m0s`},
		"nothing with a canary that bakes":                         {policies: []v1alpha1.ReleasePolicy{bake}, run: []policy.Stage{bakes("canary", 10*time.Minute, prod), moves("bump", prod, "canary")}},
		"a canary, where a bump comes without one":                 {policies: []v1alpha1.ReleasePolicy{bake}, run: []policy.Stage{moves("bump", prod)}, lack: `bump: ReleasePolicy "bake" demands that canaries in member "p1" bake for 10m0s or longer: put such a Canary of target "web" before this stage`},
		"a canary, where it is in another member":                  {policies: []v1alpha1.ReleasePolicy{bake}, run: []policy.Stage{bakes("canary", time.Hour, dev), moves("bump", prod, "canary")}, lack: "bump:"},
		"a canary, where it is of another target":                  {policies: []v1alpha1.ReleasePolicy{bake}, run: []policy.Stage{other(bakes("canary", time.Hour, prod)), moves("bump", prod, "canary")}, lack: "bump:"},
		"a canary, where it is beside the bump":                    {policies: []v1alpha1.ReleasePolicy{bake}, run: []policy.Stage{bakes("canary", time.Hour, prod), moves("bump", prod)}, lack: "bump:"},
	} {
		t.Run(name, func(t *testing.T) {
			lacks := policy.For(tc.policies, shop).Lacks(tc.run, tc.above)
			if tc.lack == "" {
				if len(lacks) > 0 {
					t.Errorf("lacks %+v", lacks)
				}
				return
			}
			if len(lacks) != 1 || !strings.Contains(lacks[0].Stage+": "+lacks[0].What, tc.lack) {
				t.Errorf("lacks %+v, want %s", lacks, tc.lack)
			}
		})
	}
}

func TestWhoseYesCounts(t *testing.T) {
	answer := func(user string, groups ...string) v1alpha1.Answer {
		return v1alpha1.Answer{User: user, Groups: groups, Decision: v1alpha1.Approve}
	}
	demand := policy.Confirm{DemandedConfirm: v1alpha1.DemandedConfirm{Approvers: v1alpha1.Approvers{Users: []string{"dora"}, Groups: []string{"sre"}}, Required: 2, ForbidInitiator: true}}
	alice := []string{"alice"}
	for name, tc := range map[string]struct {
		answers  []v1alpha1.Answer
		starters []string
		want     bool
	}{
		"two of the group":                                {[]v1alpha1.Answer{answer("bob", "sre"), answer("carol", "x", "sre")}, alice, true},
		"one of the group and one by name":                {[]v1alpha1.Answer{answer("bob", "sre"), answer("dora")}, alice, true},
		"one is too few":                                  {[]v1alpha1.Answer{answer("bob", "sre")}, alice, false},
		"one who says it twice is one":                    {[]v1alpha1.Answer{answer("bob", "sre"), answer("bob", "sre")}, alice, false},
		"others count for nothing":                        {[]v1alpha1.Answer{answer("bob", "sre"), answer("erin", "devs")}, alice, false},
		"a name without the group counts for nothing":     {[]v1alpha1.Answer{answer("bob"), answer("carol", "sre")}, alice, false},
		"who started it counts for nothing":               {[]v1alpha1.Answer{answer("alice", "sre"), answer("bob", "sre")}, alice, false},
		"nor does who started it for somebody":            {[]v1alpha1.Answer{answer("carol", "sre"), answer("bob", "sre")}, []string{"carol", "alice"}, false},
		"nothing counts where it is not known who did":    {[]v1alpha1.Answer{answer("bob", "sre"), answer("carol", "sre")}, nil, false},
		"an answer without a name counts for nothing":     {[]v1alpha1.Answer{answer("", "sre"), answer("carol", "sre")}, alice, false},
		"no answers, as where somebody skipped the stage": {nil, alice, false},
		"a no ends it":                                    {[]v1alpha1.Answer{answer("bob", "sre"), answer("carol", "sre"), {User: "dora", Decision: v1alpha1.Reject}}, alice, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := demand.Yes(&v1alpha1.Question{Answers: tc.answers}, tc.starters); got != tc.want {
				t.Errorf("counts: %t, want %t", got, tc.want)
			}
		})
	}
	if demand.Yes(nil, alice) {
		t.Error("what was never asked counts")
	}
}
