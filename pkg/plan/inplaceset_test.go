package plan

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/intstr"
)

// podsOf reads pods from words, oldest first: a revision and what is the matter with the pod.
//
//	v1    available          v1!   not ready            v1~   ready, not for minReadySeconds
//	v1c   gate closed for a change   v1l   gate closed to be deleted   v1%   change in progress   v1x   ended
//
// A word that begins with * is a pod that has to be rebuilt. Pods are named p0, p1, ….
func podsOf(words string) []InPlacePod {
	var pods []InPlacePod
	for i, word := range strings.Fields(words) {
		p := InPlacePod{Name: fmt.Sprintf("p%d", i), Created: time.Unix(int64(i), 0)}
		word, p.Rebuild = strings.CutPrefix(word, "*")
		switch word[len(word)-1] {
		case '!':
		case '~':
			p.Ready = true
		case 'c':
			p.Closed = true
		case 'l':
			p.Leaving = true
		case '%':
			p.Changing, p.Closed = true, true
		case 'x':
			p.Ended = true
		default:
			p.Available, p.Ready = true, true
			word += "."
		}
		p.Revision = word[:len(word)-1]
		pods = append(pods, p)
	}
	return pods
}

// said writes a plan as the tables do.
func said(p InPlaceSetPlan) string {
	var parts []string
	add := func(verb string, names []string) {
		if len(names) > 0 {
			parts = append(parts, verb+" "+strings.Join(names, " "))
		}
	}
	add("create", p.Create)
	add("discard", p.Discard)
	add("scale down", p.ScaleDown)
	add("rebuild", p.Rebuild)
	add("update", p.Update)
	if p.Waiting > 0 {
		parts = append(parts, fmt.Sprintf("%d wait", p.Waiting))
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}

func intOrPercent(s string) *intstr.IntOrString {
	if s == "" {
		return nil
	}
	v := intstr.Parse(s)
	return &v
}

func TestInPlaceSet(t *testing.T) {
	type row struct {
		name           string
		replicas       int32
		current        string // v1 where empty
		update         string // v2 where empty
		partition      string // 0 where empty
		maxUnavailable string // 1 where empty
		paused         bool
		refused        bool
		pods           string
		want           string
	}
	for _, r := range []row{
		// Creating and scaling.
		{name: "a new set creates all of its pods on the one revision that there is", replicas: 3, current: "v1", update: "v1", pods: "", want: "create v1 v1 v1"},
		{name: "a new set under a partition creates all of its pods on the one revision that there is", replicas: 2, update: "v1", partition: "100%", pods: "", want: "create v1 v1"},
		{name: "a set of none has nothing to do", replicas: 0, update: "v1", pods: "", want: "nothing"},
		{name: "a set that is whole has nothing to do", replicas: 2, update: "v1", pods: "v1 v1", want: "nothing"},
		{name: "a pod that is gone is replaced", replicas: 3, update: "v1", pods: "v1 v1", want: "create v1"},
		{name: "a pod that ended is discarded and replaced", replicas: 2, update: "v1", pods: "v1 v1x", want: "create v1, discard p1"},
		{name: "pods that ended are discarded while the set is paused", replicas: 1, update: "v1", paused: true, pods: "v1x v1", want: "discard p0"},
		{name: "scaling out while pods do not come up creates all the same", replicas: 10, update: "v1", pods: "v1 v1! v1!", want: "create v1 v1 v1 v1 v1 v1 v1"},
		{name: "a paused set creates", replicas: 3, paused: true, pods: "v1", want: "create v2 v2"},
		{name: "a paused set scales down", replicas: 1, paused: true, pods: "v1 v1", want: "scale down p1"},
		{name: "scaling to none takes every pod", replicas: 0, update: "v1", pods: "v1 v1", want: "scale down p1 p0"},
		{name: "scaling down takes a pod that is not ready before an available one", replicas: 2, update: "v1", pods: "v1! v1 v1", want: "scale down p0"},
		{name: "scaling down takes a pod that is not ready before one that is ready for too short a time", replicas: 1, update: "v1", pods: "v1~ v1!", want: "scale down p1"},
		{name: "scaling down goes on with the pods whose gate was closed for it", replicas: 2, update: "v1", pods: "v1l v1! v1", want: "scale down p0"},
		{name: "scaling down takes the newest of equals", replicas: 1, update: "v1", pods: "v1 v1 v1", want: "scale down p2 p1"},
		{name: "scaling down takes updated pods where they are over their share", replicas: 4, partition: "2", pods: "v1 v1 v2 v2 v2", want: "scale down p4"},
		{name: "scaling down takes old pods where they are over their share", replicas: 4, partition: "2", pods: "v1 v1 v1 v2 v2", want: "scale down p2"},
		{name: "scaling down in the middle of a canary keeps the canary", replicas: 3, partition: "99%", pods: "v2 v1 v1 v1 v1", want: "scale down p4 p3"},
		{name: "scaling down takes pods of a forgotten revision first once the template is back", replicas: 2, update: "v1", pods: "v9 v1 v1", want: "scale down p0"},
		{name: "scaling down never leaves fewer available than the limit lets", replicas: 2, update: "v1", maxUnavailable: "1", pods: "v1 v1 v1", want: "scale down p2"},
		{name: "scaling down stops where an available pod would be missing", replicas: 3, update: "v1", maxUnavailable: "1", pods: "v1l v1 v1 v1", want: "scale down p0"},

		// Who is created on what.
		{name: "a pod is created on the old revision while fewer than partition are on it", replicas: 4, partition: "3", pods: "v1 v1 v2", want: "create v1"},
		{name: "a pod is created on the update revision when partition pods are on the old one", replicas: 4, partition: "3", pods: "v1 v1 v1", want: "create v2"},
		{name: "scaling out at 100 percent creates on the old revision alone", replicas: 4, partition: "100%", pods: "v1 v1", want: "create v1 v1"},
		{name: "scaling out under half a partition creates on both revisions", replicas: 6, partition: "50%", pods: "v1 v1", want: "create v1 v2 v2 v2"},
		{name: "what is refused is held back in creation too", replicas: 3, refused: true, pods: "v1 v1", want: "create v1"},
		{name: "a pod rebuilt is created on the update revision", replicas: 3, pods: "*v1 *v1", want: "create v2, 2 wait"},
		{name: "a canary that somebody deleted comes back on the update revision", replicas: 4, partition: "3", pods: "v1 v1 v1", want: "create v2"},
		{name: "an old pod that somebody deleted in a canary comes back on the old revision", replicas: 4, partition: "3", pods: "v2 v1 v1", want: "create v1"},
		{name: "a pod of a forgotten revision does not count as staying", replicas: 4, partition: "3", pods: "v9 v1 v1", want: "create v1, 1 wait"},

		// Partition.
		{name: "at 100 percent a change of the template is held back", replicas: 4, partition: "100%", maxUnavailable: "4", pods: "v1 v1 v1 v1", want: "nothing"},
		{name: "at 100 percent not even a broken pod moves", replicas: 2, partition: "100%", pods: "v1! v1", want: "nothing"},
		{name: "99 percent of 4 lets one go", replicas: 4, partition: "99%", maxUnavailable: "4", pods: "v1 v1 v1 v1", want: "update p0"},
		{name: "a partition above replicas holds all", replicas: 2, partition: "5", maxUnavailable: "2", pods: "v1 v1", want: "nothing"},
		{name: "one replica at 99 percent stays", replicas: 1, partition: "99%", pods: "v1", want: "nothing"},
		{name: "one replica at 0 goes", replicas: 1, pods: "v1", want: "update p0"},
		{name: "raising the partition takes no pod back", replicas: 3, partition: "3", pods: "v2 v2 v1", want: "nothing"},
		{name: "raising the partition returns a pod that was only taken out of service", replicas: 3, partition: "3", pods: "v1c v1 v1", want: "nothing"},
		{name: "a canary that breaks is not replaced by another", replicas: 3, partition: "2", pods: "v2! v1 v1", want: "nothing"},

		// maxUnavailable.
		{name: "one at a time", replicas: 3, pods: "v1 v1 v1", want: "update p0, 2 wait"},
		{name: "25 percent of 10 is two at a time", replicas: 10, maxUnavailable: "25%", pods: "v1 v1 v1 v1 v1 v1 v1 v1 v1 v1", want: "update p0 p1, 8 wait"},
		{name: "all at once", replicas: 3, maxUnavailable: "100%", pods: "v1 v1 v1", want: "update p0 p1 p2"},
		{name: "a pod on its way counts", replicas: 3, pods: "v2% v1 v1", want: "2 wait"},
		{name: "a pod that was just taken out of service goes on and counts", replicas: 3, pods: "v1 v1c v1", want: "update p1, 2 wait"},
		{name: "a pod that is ready but not for long enough counts", replicas: 3, pods: "v2~ v1 v1", want: "2 wait"},
		{name: "a pod that is missing counts", replicas: 3, pods: "v1 v1", want: "create v2, 2 wait"},
		{name: "a pod that broke on the update revision counts", replicas: 3, pods: "v2! v1 v1", want: "2 wait"},
		{name: "a broken pod of the wrong revision is repaired though the limit is used up", replicas: 3, pods: "v1! v1! v1", want: "update p0 p1, 1 wait"},
		{name: "a broken pod of the wrong revision goes before an older available one", replicas: 3, maxUnavailable: "2", pods: "v1 v1 v1!", want: "update p2 p0, 1 wait"},
		{name: "broken pods take the whole share of the partition", replicas: 4, partition: "2", maxUnavailable: "4", pods: "v1 v1 v1! v1!", want: "update p2 p3"},
		{name: "pods of a bad revision in the middle are repaired first", replicas: 4, update: "v3", pods: "v1 v2% v2! v1", want: "update p1 p2, 2 wait"},
		{name: "an available pod of a revision in the middle goes before one that may stay", replicas: 3, update: "v3", partition: "2", pods: "v1 v1 v2", want: "update p2"},
		{name: "pods that are ready, but not for long enough, serve, and do not all move at once", replicas: 2, pods: "v1~ v1~", want: "2 wait"},
		{name: "a pod that is ready, but not for long enough, moves while the limit holds", replicas: 2, pods: "v1 v1~", want: "update p1, 1 wait"},
		{name: "surplus pods let more be taken", replicas: 2, update: "v2", maxUnavailable: "1", pods: "v2 v1 v1", want: "scale down p2, update p1"},

		// Going back, pausing, refusing.
		{name: "a template set back to the current revision repairs what had moved", replicas: 4, update: "v1", maxUnavailable: "2", pods: "v2 v2% v1 v1", want: "update p1 p0"},
		{name: "a template set back takes healthy pods no faster than the partition lets it", replicas: 4, update: "v1", partition: "75%", pods: "v2 v2 v2 v2", want: "update p0"},
		{name: "a template set back repairs though the partition is at 100 percent", replicas: 3, update: "v1", partition: "100%", pods: "v2! v1 v1", want: "update p0"},
		{name: "a template set back in the grace period leaves the pod as it is", replicas: 2, update: "v1", pods: "v1c v1", want: "nothing"},
		{name: "a paused set updates nothing", replicas: 2, paused: true, maxUnavailable: "2", pods: "v1 v1!", want: "nothing"},
		{name: "a paused set lets a pod that was taken out of service return", replicas: 2, paused: true, pods: "v1c v1", want: "nothing"},
		{name: "a refused change moves nothing", replicas: 2, refused: true, maxUnavailable: "2", pods: "*v1 v1!", want: "nothing"},

		// Rebuilding.
		{name: "what does not fit in place is rebuilt under the same limit", replicas: 3, pods: "*v1 *v1 *v1", want: "rebuild p0, 2 wait"},
		{name: "a rebuild goes on with the pod that is leaving", replicas: 3, pods: "*v1 *v1l *v1", want: "rebuild p1, 2 wait"},
		{name: "a rebuild waits for the replacement to be available", replicas: 3, pods: "v2! *v1 *v1", want: "2 wait"},
		{name: "a rebuild keeps to the partition", replicas: 4, partition: "3", maxUnavailable: "4", pods: "*v1 *v1 *v1 *v1", want: "rebuild p0"},
	} {
		t.Run(r.name, func(t *testing.T) {
			s := InPlaceSetState{
				Replicas: r.replicas, Partition: intOrPercent(r.partition), MaxUnavailable: intOrPercent(r.maxUnavailable),
				Paused: r.paused, Refused: r.refused, Current: r.current, Update: r.update, Pods: podsOf(r.pods),
			}
			if s.Current == "" {
				s.Current = "v1"
			}
			if s.Update == "" {
				s.Update = "v2"
			}
			p, err := InPlaceSet(s)
			if err != nil {
				t.Fatal(err)
			}
			if got := said(p); got != r.want {
				t.Errorf("pods %q: %s; want %s", r.pods, got, r.want)
			}
		})
	}
}

func TestInPlaceSetSaysWhatThePartitionExpects(t *testing.T) {
	for _, r := range []struct {
		name            string
		current, update string
		partition       string
		refused         bool
		want            int32
	}{
		{name: "all without a partition", current: "v1", update: "v2", want: 4},
		{name: "none at 100 percent", current: "v1", update: "v2", partition: "100%"},
		{name: "one at 99 percent", current: "v1", update: "v2", partition: "99%", want: 1},
		{name: "all where nothing is new, whatever the partition", current: "v1", update: "v1", partition: "100%", want: 4},
		{name: "none where the change is refused", current: "v1", update: "v2", refused: true},
	} {
		t.Run(r.name, func(t *testing.T) {
			p, err := InPlaceSet(InPlaceSetState{Replicas: 4, Current: r.current, Update: r.update, Partition: intOrPercent(r.partition), Refused: r.refused})
			if err != nil || p.Expected != r.want {
				t.Errorf("Expected = %d, %v; want %d", p.Expected, err, r.want)
			}
		})
	}
}

func TestInPlaceSetRefusesWhatItCannotRead(t *testing.T) {
	for _, s := range []InPlaceSetState{
		{Replicas: 1, Current: "v1", Update: "v2", Partition: intOrPercent("many")},
		{Replicas: 1, Current: "v1", Update: "v2", MaxUnavailable: intOrPercent("few")},
	} {
		if p, err := InPlaceSet(s); err == nil {
			t.Errorf("InPlaceSet(%+v) = %s; want an error", s, said(p))
		}
	}
}

func TestCurrentRevision(t *testing.T) {
	for _, r := range []struct {
		name     string
		replicas int32
		pods     string
		want     string
	}{
		{name: "moves on once every pod runs the update revision and is available", replicas: 2, pods: "v2 v2", want: "v2"},
		{name: "no pods prove nothing: what was held back stays so when a set is scaled to none and back", replicas: 0, pods: "", want: "v1"},
		{name: "stays while a pod is old", replicas: 2, pods: "v2 v1", want: "v1"},
		{name: "stays while a pod is missing", replicas: 3, pods: "v2 v2", want: "v1"},
		{name: "stays while a pod is too many", replicas: 1, pods: "v2 v2", want: "v1"},
		{name: "stays while a change is in progress", replicas: 2, pods: "v2 v2%", want: "v1"},
		{name: "stays while a pod is not available for long enough", replicas: 2, pods: "v2 v2~", want: "v1"},
	} {
		t.Run(r.name, func(t *testing.T) {
			if got := CurrentRevision(InPlaceSetState{Replicas: r.replicas, Current: "v1", Update: "v2", Pods: podsOf(r.pods)}); got != r.want {
				t.Errorf("%q: %s; want %s", r.pods, got, r.want)
			}
		})
	}
}
