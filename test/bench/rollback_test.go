//go:build bench

package bench

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/periplus-dev/periplus/pkg/localfleet"
)

var (
	podsPerMember = flag.Int("pods", 500, "how many pods each member has when a release goes back")
	rounds        = flag.Int("rounds", 2, "how often a release goes back under each limit")
)

// TestRollback moves every pod of three members, has a guard fail, and sees all of them go back: under a limit that bears everything, and one of a quarter. How
// long the same pods took on the way there says what of that is the simulated nodes'.
func TestRollback(t *testing.T) {
	total := *podsPerMember * len(members)
	b := newBench(t)
	r := newReport(t, "maxUnavailable", "pods there", "verdict → held back", "→ rollback begun", "→ first write", "→ all back", "verdict → all back", "pods/s", "back : there",
		"CPU for each pod: Periplus", "API servers", "simulated nodes")
	b.workload("web", *podsPerMember/len(units), "100%", members, units)
	b.target("quarter", "web", "25%")
	look := b.look()
	look.allServe(total, image(1))

	for _, way := range []struct{ target, limit string }{{"web", "100%"}, {"quarter", "25%"}} {
		for range *rounds {
			began := time.Now()
			run := b.start(fmt.Sprintf("tasks: [%s], finally: [%s]", stage("all", "", "Canary", fmt.Sprintf(
				`target: %s, members: [m1, m2, m3], pods: 100%%, change: {images: {app: "%s"}}, guards: [{name: sick, expr: "updated.size() == 0", deadline: 1s}]`, way.target, image(2))),
				stage("back", "", "Rollback", "scope: Release")))
			there := look.allServe(total, image(2))
			look.when(limit, "the guard failed", func() bool { s := look.of(run, "all"); return s != nil && !s.decided.IsZero() })
			before := b.spent()
			back := look.allServe(total, image(1))
			after := b.spent()
			look.ended(run, "all", "back")
			look.read(func() {
				all, rollback := look.of(run, "all"), look.of(run, "back")
				if all.reason != "GuardFailed" || rollback.reason != "Succeeded" {
					t.Errorf("the stage ended %s, the rollback %s", all.reason, rollback.reason)
				}
				moved, _ := look.firstWrite(began, "")
				first, _ := look.firstWrite(rollback.created, "")
				whole, way1 := back.Sub(all.decided), there.Sub(moved)
				r.row(way.limit, seconds(way1), seconds(all.done.Sub(all.decided)), seconds(rollback.created.Sub(all.done)), seconds(first.Sub(rollback.created)),
					seconds(back.Sub(first)), seconds(whole), fmt.Sprintf("%.0f", float64(total)/whole.Seconds()), fmt.Sprintf("%.2f", whole.Seconds()/way1.Seconds()),
					each(after.ours-before.ours, total), each(after.api-before.api, total), each(after.nodes-before.nodes, total))
			})
		}
	}
	r.note("%d members, %d simulated pods each; pods there: first write of the release → last pod serves on the new image", len(members), *podsPerMember)
	r.publish(t)
}

// spent is the processor time that the fleet has used.
type spent struct{ ours, api, nodes time.Duration }

func (b *bench) spent() spent {
	b.t.Helper()
	hub := []string{"hub"}
	return spent{
		ours:  b.cpuOf(hub, localfleet.PartController) + b.cpuOf(members, localfleet.PartWorkloads),
		api:   b.cpuOf(members, localfleet.PartAPIServer) + b.cpuOf(hub, localfleet.PartAPIServer) + b.cpu(localfleet.Fleet, localfleet.PartEtcd),
		nodes: b.cpuOf(members, localfleet.PartKwok),
	}
}

func each(used time.Duration, pods int) string {
	return fmt.Sprintf("%.0f ms", 1000*used.Seconds()/float64(pods))
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }
