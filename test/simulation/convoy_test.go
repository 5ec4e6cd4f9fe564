package simulation

import (
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"knative.dev/pkg/apis"

	stagesv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

// What a convoy is made of: members that never answer, and members in which the new image cannot be pulled.
const (
	convoyMembers = 200
	convoyDead    = 6
	convoyBad     = 8
	// mostHopStatus is the most that the status of a hop over that many members may be, in bytes: docs/releases.md promises a summary.
	mostHopStatus = 100 << 10
)

// convoy is one ClusterHop over 200 members of one unit with two pods each.
func convoy(s *story) {
	*s = story{
		name: "one hop over 200 members", image: imageNew, limit: 1, replicas: map[string]int32{"dca": 2}, cuts: true, flaps: true, convoy: true,
		faulty: 30000, most: 200000, sparse: 10,
	}
	for n := range convoyMembers {
		name := fmt.Sprintf("m%03d", n+1)
		s.members = append(s.members, name)
		switch {
		case n%29 == 11 && len(s.dead) < convoyDead:
			s.dead = append(s.dead, name)
		case n%23 == 7 && len(s.bad) < convoyBad:
			s.bad = append(s.bad, name)
		}
	}
	s.hands = []*hand{
		{does: doPause, at: 5000, lasts: 1000}, {does: doFreeze, at: 9000, lasts: 1000},
		{does: doRetryMember, at: 20000, members: s.bad[:1]}, {does: doSkipMember, at: 4000, members: []string{"m190"}},
	}
}

func TestOneHopOver200MembersKeepsTheRules(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes a minute")
	}
	over := newSites()
	seed := uint64(1)
	if *seedFlag > 0 {
		seed = *seedFlag
	}
	w := newWorld(seed, Plant{Story: convoy}, over)
	w.keep = *seedFlag > 0
	res := w.run()
	if w.keep {
		fmt.Println(strings.Join(res.Lines, "\n"))
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	t.Logf("%d steps, %d writes of ours, %d kills at writes; a hop's status has %d bytes at most, a Release %d; heap %d MiB", res.Steps, w.rules.writes, over.kills(), w.rules.largest["customruns"],
		w.rules.largest["releases"], m.HeapAlloc>>20)
	if res.Err != nil {
		t.Fatalf("seed %d: %v\nreplay it by: go test ./test/simulation -run TestOneHop -seed %d", seed, res.Err, seed)
	}
	if n := w.rules.largest["customruns"]; n > mostHopStatus {
		t.Errorf("the hop's run has %d bytes; at most %d are promised", n, mostHopStatus)
	}
	if over.kills() < 20 {
		t.Errorf("processes were killed at %d writes only", over.kills())
	}
	w.wantConvoy(t)
}

// wantConvoy is what people get of a hop that may lose a tenth of its members.
func (w *World) wantConvoy(t *testing.T) {
	t.Helper()
	results := map[string][]string{}
	for _, cr := range w.hub.runs() {
		if cr.Name != "web-carry" {
			continue
		}
		if c := cr.Status.GetCondition(apis.ConditionSucceeded); !c.IsTrue() {
			t.Errorf("the hop did not succeed: %s: %s", c.GetReason(), c.GetMessage())
		}
		for _, r := range cr.Status.Results {
			var names []string
			if err := json.Unmarshal([]byte(r.Value), &names); err != nil {
				t.Fatalf("result %s: %v", r.Name, err)
			}
			results[r.Name] = names
		}
	}
	done, failed, skipped := results["members"], results["failed"], results["skipped"]
	t.Logf("%d members done, failed %v, skipped %v", len(done), failed, skipped)
	if n := len(done) + len(failed) + len(skipped); n != convoyMembers {
		t.Errorf("%d of %d members are accounted for", n, convoyMembers)
	}
	for _, dead := range w.story.dead {
		if !slices.Contains(skipped, dead) {
			t.Errorf("member %s never answered, and is not among those skipped", dead)
		}
	}
	for _, c := range w.members {
		want := imageOld // what failed or was skipped went back, or was never begun.
		if slices.Contains(done, c.name) {
			want = imageNew
		}
		for _, pod := range c.pods() {
			if got := pod.Status.ContainerStatuses[0].Image; got != want {
				t.Errorf("pod %s in member %s runs %s, not %s", pod.Name, c.name, got, want)
			}
		}
	}
	for _, rel := range w.hub.releases() {
		if rel.Status.Phase != stagesv1alpha1.ReleaseSucceeded && rel.Status.Phase != stagesv1alpha1.ReleaseFailed {
			t.Errorf("the release is %s", rel.Status.Phase)
		}
		for _, x := range rel.Status.Touched {
			if slices.Contains(w.story.dead, x.Member) {
				t.Errorf("member %s never answered, and is in the record as touched", x.Member)
			}
		}
	}
}
