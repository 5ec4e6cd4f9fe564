package plan

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
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
// A word that begins with * is a pod that has to be rebuilt, one that begins with - is unwanted. It may end with its scatter value, as in v1:a, then its
// priority, as in v1+7, and then the disruption budgets that it is under, as in v1&x&y. Pods are named p0, p1, ….
func podsOf(words string) []InPlacePod {
	var pods []InPlacePod
	for i, word := range strings.Fields(words) {
		p := InPlacePod{Name: fmt.Sprintf("p%d", i), Created: time.Unix(int64(i), 0)}
		word, _, _ = strings.Cut(word, "&") // see budgetsOf.
		word, priority, _ := strings.Cut(word, "+")
		if n, err := strconv.Atoi(priority); err == nil {
			p.Priority = int32(n)
		}
		word, p.Scatter, _ = strings.Cut(word, ":")
		word, p.Unwanted = strings.CutPrefix(word, "-")
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

// budgetsOf reads the names of the disruption budgets that each pod is under from the same words.
func budgetsOf(words string) func(*InPlacePod) []string {
	under := map[string][]string{}
	for i, word := range strings.Fields(words) {
		if _, names, ok := strings.Cut(word, "&"); ok {
			under[fmt.Sprintf("p%d", i)] = strings.Split(names, "&")
		}
	}
	return func(pod *InPlacePod) []string { return under[pod.Name] }
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
	for _, name := range slices.Sorted(maps.Keys(p.WaitingFor)) {
		parts = append(parts, fmt.Sprintf("%d wait for %s", p.WaitingFor[name], name))
	}
	if p.Later > 0 {
		parts = append(parts, fmt.Sprintf("%d later", p.Later))
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
		surge          string
		scale          string           // scaleStrategy.maxUnavailable
		established    int32            // pods that there were before
		budgets        map[string]int32 // what is left of each
		spread         bool
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
		{name: "a pod that was made to stay is not rebuilt, only to be made there again", replicas: 2, partition: "1", pods: "*v9 *v1!", want: "1 wait"},
		{name: "a pod that cannot stay is rebuilt before one that was made to stay", replicas: 2, partition: "1", pods: "*v9! *v1!", want: "rebuild p0"},
		{name: "an unwanted pod that waits leaves its turn to one that is down", replicas: 2, partition: "1", pods: "v9! -v1", want: "update p0, 1 wait"},

		// Surge.
		{name: "a surge makes new pods before an old one moves", replicas: 3, maxUnavailable: "0", surge: "1", pods: "v1 v1 v1", want: "create v2, 2 wait"},
		{name: "a surge pod that is not available yet lets nothing be taken", replicas: 3, maxUnavailable: "0", surge: "1", pods: "v1 v1 v1 v2!", want: "2 wait"},
		{name: "a surge pod that is available lets one old pod move in place", replicas: 3, maxUnavailable: "0", surge: "1", pods: "v1 v1 v1 v2", want: "update p0, 1 wait"},
		{name: "at the end of a surge the old pod that is left goes", replicas: 3, maxUnavailable: "0", surge: "1", pods: "v2 v2 v1 v2", want: "scale down p2"},
		{name: "at the end of a surge the old pod waits for all new ones", replicas: 3, maxUnavailable: "0", surge: "1", pods: "v2 v2% v1 v2", want: "1 wait"},
		{name: "a new pod that is not available never goes in the stead of an old one", replicas: 3, surge: "1", pods: "v2 v2! v1 v2", want: "scale down p2"},
		{name: "a broken old pod goes first at the end of a surge", replicas: 3, surge: "2", maxUnavailable: "0", pods: "v1 v1! v2 v2 v2!", want: "scale down p1, 1 wait"},
		{name: "a surge of all replaces all", replicas: 3, surge: "100%", maxUnavailable: "0", pods: "v1 v1 v1", want: "create v2 v2 v2"},
		{name: "a percentage of surge rounds up", replicas: 3, surge: "1%", maxUnavailable: "0", pods: "v1 v1 v1", want: "create v2, 2 wait"},
		{name: "a percentage of maxUnavailable may round to none where pods may surge", replicas: 3, surge: "1", maxUnavailable: "10%", pods: "v1 v1 v1", want: "create v2, 2 wait"},
		{name: "a percentage of maxUnavailable is at least one where none may surge", replicas: 3, surge: "0", maxUnavailable: "10%", pods: "v1 v1 v1", want: "update p0, 2 wait"},
		{name: "a surge adds to what may be unavailable", replicas: 4, surge: "1", maxUnavailable: "1", pods: "v1 v1 v1 v1", want: "create v2, update p0, 2 wait"},
		{name: "a partition that lets one go surges by one", replicas: 4, surge: "3", maxUnavailable: "0", partition: "3", pods: "v1 v1 v1 v1", want: "create v2"},
		{name: "a partition that is reached takes the surge out of the old ones above their share", replicas: 4, surge: "3", maxUnavailable: "0", partition: "3", pods: "v1 v1 v1 v1 v2", want: "scale down p3"},
		{name: "at 100 percent nothing surges", replicas: 2, surge: "2", partition: "100%", pods: "v1 v1", want: "nothing"},
		{name: "at rest nothing surges", replicas: 2, surge: "2", update: "v1", pods: "v1 v1", want: "nothing"},
		{name: "a paused set does not surge", replicas: 2, surge: "1", paused: true, pods: "v1 v1", want: "nothing"},
		{name: "a paused set takes its surge back and moves no old pod by it", replicas: 2, surge: "1", maxUnavailable: "0", paused: true, pods: "v1 v1 v2", want: "scale down p2"},
		{name: "a refused change does not surge", replicas: 2, surge: "1", refused: true, pods: "v1 v1", want: "nothing"},
		{name: "a lost pod is made again and is no surge", replicas: 3, surge: "1", update: "v1", pods: "v1 v1", want: "create v1"},
		{name: "a lost pod and the surge are made at once", replicas: 4, surge: "1", maxUnavailable: "0", partition: "2", pods: "v1 v1 v1", want: "create v2 v2"},
		{name: "a surge goes on with the rest when a surge pod is lost", replicas: 3, surge: "1", maxUnavailable: "0", pods: "v1 v1 v2", want: "create v2, 1 wait"},
		{name: "a surge that was made is kept while an old pod moves", replicas: 4, surge: "2", maxUnavailable: "0", pods: "v1 v1 v1% v2 v2 v2%", want: "update p2"},
		{name: "going back from a broken surge takes it out at once", replicas: 3, surge: "1", maxUnavailable: "0", update: "v1", pods: "v1 v1 v1 v2!", want: "scale down p3"},
		{name: "a third revision takes over the broken surge pod of the second", replicas: 3, surge: "1", maxUnavailable: "0", update: "v3", pods: "v1 v1 v1 v2!", want: "update p3, 2 wait"},
		{name: "a rebuild with a surge makes the new pod first", replicas: 3, surge: "1", maxUnavailable: "0", pods: "*v1 *v1 *v1", want: "create v2, 2 wait"},
		{name: "a rebuild with a surge goes on where the next one was deleted", replicas: 3, surge: "1", maxUnavailable: "0", pods: "v2 *v1 *v1", want: "create v2, 1 wait"},
		{name: "scaling down in the middle of a surge keeps the surge", replicas: 3, surge: "1", maxUnavailable: "0", pods: "v1 v1 v1 v1 v2 v2!", want: "scale down p5 p3, update p0"},

		// Adding pods bit by bit.
		{name: "pods are added no faster than the limit of scaling lets", replicas: 10, update: "v1", scale: "2", established: 3, pods: "v1 v1 v1", want: "create v1 v1, 5 later"},
		{name: "scaling waits while the pods that it made do not come up", replicas: 10, update: "v1", scale: "2", established: 5, pods: "v1 v1 v1 v1! v1!", want: "5 later"},
		{name: "scaling goes on with as many as came up", replicas: 10, update: "v1", scale: "2", established: 5, pods: "v1 v1 v1 v1 v1!", want: "create v1, 4 later"},
		{name: "pods that got lost are made again whatever the limit of scaling", replicas: 4, update: "v1", scale: "1", established: 4, pods: "v1", want: "create v1 v1 v1"},
		{name: "pods that got lost count against the limit of scaling", replicas: 6, update: "v1", scale: "1", established: 3, pods: "v1 v1", want: "create v1, 3 later"},
		{name: "a percentage of the limit of scaling is at least one", replicas: 4, update: "v1", scale: "10%", established: 0, pods: "", want: "create v1, 3 later"},
		{name: "the limit of scaling does not hold back repairs", replicas: 4, scale: "1", established: 2, pods: "v1! v1", want: "update p0, 1 wait, 2 later"},
		{name: "what scaling will add on the update revision is not made out of old pods meanwhile", replicas: 4, maxUnavailable: "4", partition: "2", scale: "1", established: 2, pods: "v1 v1", want: "create v2, 1 later"},
		{name: "a surge waits for the pods that are missing", replicas: 6, maxUnavailable: "0", surge: "1", scale: "1", established: 4, pods: "v1 v1 v1 v1", want: "create v2, 4 wait, 1 later"},

		// Pods that somebody named.
		{name: "an unwanted pod goes first when there are too many", replicas: 2, update: "v1", pods: "-v1 v1 v1", want: "scale down p0"},
		{name: "an unwanted pod goes before one that is not available", replicas: 2, update: "v1", pods: "-v1 v1! v1", want: "scale down p0"},
		{name: "an unwanted pod is replaced when there are not too many", replicas: 2, update: "v1", pods: "v1 -v1", want: "rebuild p1"},
		{name: "unwanted pods are replaced under the limit", replicas: 3, update: "v1", pods: "-v1 -v1 v1", want: "rebuild p0, 1 wait"},
		{name: "unwanted pods that do not serve are replaced whatever the limit", replicas: 3, update: "v1", pods: "-v1! v1! -v1!", want: "rebuild p0 p2"},
		{name: "unwanted pods are replaced while the set is paused", replicas: 2, paused: true, pods: "v1 -v1", want: "rebuild p1"},
		{name: "an unwanted old pod takes the place of one that would move", replicas: 3, partition: "2", pods: "v1 v1 -v1", want: "rebuild p2"},
		{name: "an unwanted pod is replaced though the partition holds all", replicas: 2, partition: "100%", pods: "-v1 v1", want: "rebuild p0"},
		{name: "where none may be unavailable an unwanted pod is replaced before it goes", replicas: 2, update: "v1", surge: "1", maxUnavailable: "0", pods: "-v1 v1", want: "create v1, 1 wait"},
		{name: "where none may be unavailable an unwanted pod goes once its replacement is available", replicas: 2, update: "v1", surge: "2", maxUnavailable: "0", pods: "-v1 v1 v1", want: "scale down p0"},
		{name: "the replacement of an unwanted pod that is held back is on the old revision", replicas: 2, partition: "100%", pods: "v1", want: "create v1"},

		// Disruption budgets.
		{name: "a budget that is used up holds a pod", replicas: 2, maxUnavailable: "2", budgets: map[string]int32{"x": 0}, pods: "v1&x v1&x", want: "2 wait for x"},
		{name: "a budget lets as many go as are left", replicas: 3, maxUnavailable: "3", budgets: map[string]int32{"x": 1}, pods: "v1&x v1&x v1&x", want: "update p0, 2 wait for x"},
		{name: "a budget below zero lets none go", replicas: 1, budgets: map[string]int32{"x": -2}, pods: "v1&x", want: "1 wait for x"},
		{name: "the limit counts before the budget", replicas: 3, budgets: map[string]int32{"x": 3}, pods: "v1&x v1&x v1&x", want: "update p0, 2 wait"},
		{name: "a pod that is not ready waits for no budget", replicas: 2, budgets: map[string]int32{"x": 0}, pods: "v1!&x v1&x", want: "update p0, 1 wait"},
		{name: "a pod that is ready for too short a time serves and waits for its budget", replicas: 2, maxUnavailable: "2", budgets: map[string]int32{"x": 0}, pods: "v1~&x v1", want: "update p1, 1 wait for x"},
		{name: "a pod whose gate is closed goes on whatever its budget", replicas: 2, budgets: map[string]int32{"x": 0}, pods: "v1c&x v1&x", want: "update p0, 1 wait"},
		{name: "a pod that is leaving goes on whatever its budget", replicas: 2, budgets: map[string]int32{"x": 0}, pods: "*v1l&x *v1&x", want: "rebuild p0, 1 wait"},
		{name: "a pod under two budgets needs both", replicas: 2, maxUnavailable: "2", budgets: map[string]int32{"x": 2, "y": 0}, pods: "v1&x&y v1&x", want: "update p1, 1 wait for y"},
		{name: "a pod that its budget holds gives its turn under a partition to the next", replicas: 3, partition: "2", maxUnavailable: "3", budgets: map[string]int32{"x": 0}, pods: "v1&x v1 v1", want: "update p1"},
		{name: "scaling down is a disruption", replicas: 1, update: "v1", budgets: map[string]int32{"x": 0}, pods: "v1&x v1&x", want: "1 wait for x"},
		{name: "scaling down a pod that is not ready is none", replicas: 1, update: "v1", budgets: map[string]int32{"x": 0}, pods: "v1&x v1!&x", want: "scale down p1"},
		{name: "the end of a surge is a disruption", replicas: 1, surge: "1", maxUnavailable: "0", budgets: map[string]int32{"x": 0}, pods: "v1&x v2&x", want: "1 wait for x"},
		{name: "replacing an unwanted pod is a disruption", replicas: 2, update: "v1", budgets: map[string]int32{"x": 0}, pods: "-v1&x v1&x", want: "1 wait for x"},
		{name: "discarding a pod that ended is none", replicas: 1, update: "v1", budgets: map[string]int32{"x": 0}, pods: "v1x&x v1&x", want: "discard p0"},

		// Which first: priority and scatter.
		{name: "the greatest priority moves first", replicas: 4, maxUnavailable: "2", pods: "v1 v1+5 v1+-3 v1+9", want: "update p3 p1, 2 wait"},
		{name: "a pod that does not serve moves before any priority", replicas: 3, maxUnavailable: "2", pods: "v1+9 v1 v1!+-9", want: "update p2 p0, 1 wait"},
		{name: "a pod of a revision in the middle moves before any priority", replicas: 3, update: "v3", partition: "2", pods: "v1+9 v1 v2+-9", want: "update p2"},
		{name: "pods of the same priority move the oldest first", replicas: 3, maxUnavailable: "2", pods: "v1+1 v1+1 v1+1", want: "update p0 p1, 1 wait"},
		{name: "scattered pods of two values take turns", replicas: 4, maxUnavailable: "4", spread: true, pods: "v1:a v1:a v1:b v1:b", want: "update p0 p2 p1 p3"},
		{name: "scattered pods of one value stay in the order of age", replicas: 3, maxUnavailable: "3", spread: true, pods: "v1:a v1:a v1:a", want: "update p0 p1 p2"},
		{name: "many scattered pods of one value stand between the few of others", replicas: 7, maxUnavailable: "7", spread: true, pods: "v1:a v1:a v1:a v1:a v1:b v1:c v1:d", want: "update p0 p4 p1 p5 p2 p6 p3"},
		{name: "scattering counts the pods that moved before", replicas: 4, maxUnavailable: "1", spread: true, pods: "v2:a v1:a v1:b v1:b", want: "update p2, 2 wait"},
		{name: "priority comes before scattering", replicas: 4, maxUnavailable: "4", spread: true, pods: "v1:a+1 v1:a+1 v1:b v1:b", want: "update p0 p1 p2 p3"},
		{name: "a pod without the value is scattered among its like", replicas: 4, maxUnavailable: "4", spread: true, pods: "v1 v1 v1:b v1:b", want: "update p0 p2 p1 p3"},
	} {
		t.Run(r.name, func(t *testing.T) {
			s := InPlaceSetState{
				Replicas: r.replicas, Partition: intOrPercent(r.partition), MaxUnavailable: intOrPercent(r.maxUnavailable),
				MaxSurge: intOrPercent(r.surge), ScaleUnavailable: intOrPercent(r.scale), Established: r.established, Spread: r.spread,
				Paused: r.paused, Refused: r.refused, Current: r.current, Update: r.update, Pods: podsOf(r.pods),
			}
			if r.budgets != nil {
				s.Budgets = budgetsOf(r.pods)
				s.Left = func(name string) int32 { return r.budgets[name] }
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
		{Replicas: 1, Current: "v1", Update: "v2", MaxSurge: intOrPercent("some")},
		{Replicas: 1, Current: "v1", Update: "v2", ScaleUnavailable: intOrPercent("any")},
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
