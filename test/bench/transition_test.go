//go:build bench

package bench

import (
	"flag"
	"fmt"
	"testing"
	"time"
)

var (
	transitions = flag.Int("transitions", 200, "how many transitions to measure, idle and with others waiting")
	others      = flag.Int("others", 200, "how many other runs wait")
)

// TestTransition has a Canary followed by a PartitionBump again and again: how long from the last canary that is ready to the first write of the bump, when
// nothing else goes on and with runs that wait for people? One run after the other, over workloads in turn, so that none waits for the end of the one before.
func TestTransition(t *testing.T) {
	const workloads = 6
	b, r := newBench(t), newReport(t, timesColumns...)
	for i := range workloads {
		b.workload(fmt.Sprintf("app-%d", i), 2, "100%", members[:1], units[:1])
	}
	look := b.look()
	look.allServe(2*workloads, image(1))
	n := 0
	measure := func(what string) {
		var whole, stage1, tekton, stage2 []time.Duration
		for range *transitions {
			app, version := fmt.Sprintf("app-%d", n%workloads), 2+n/workloads
			set := "m1/" + app + "-dca"
			look.when(limit, app+" is free", func() bool { return len(look.sets[set].Annotations) == 0 })
			run := b.start(canaryAndBump(app, image(version)))
			n++
			look.when(limit, "the bump is there", func() bool { return look.of(run, "bump") != nil })
			look.when(limit, "the bump writes", func() bool { _, ok := look.firstWrite(look.of(run, "bump").created, set); return ok })
			// The member's watch may be later than the hub's, and show the canary after the stage that it was the end of.
			look.when(limit, "the canary is seen", func() bool { _, ok := look.upAfter(set, look.of(run, "canary").created); return ok })
			look.read(func() {
				canary, bump := look.of(run, "canary"), look.of(run, "bump")
				first, _ := look.firstWrite(bump.created, set)
				ready, _ := look.upAfter(set, canary.created) // there is one canary; the bump's pod comes after its first write.
				whole, stage1 = append(whole, first.Sub(ready)), append(stage1, canary.done.Sub(ready))
				tekton, stage2 = append(tekton, bump.created.Sub(canary.done)), append(stage2, first.Sub(bump.created))
			})
		}
		r.times(what+": last pod ready → first write of the next stage", whole)
		r.times(what+": last pod ready → Canary Succeeded (ours)", stage1)
		r.times(what+": Canary Succeeded → PartitionBump created (Tekton)", tekton)
		r.times(what+": PartitionBump created → first write (ours)", stage2)
	}
	measure("idle")
	b.waiting(*others)
	measure(fmt.Sprintf("%d waiting", *others))
	r.publish(t)
}

func canaryAndBump(target, image string) string {
	rollout := fmt.Sprintf(`target: %s, members: [m1], change: {images: {app: "%s"}}`, target, image)
	return "tasks: [" + stage("canary", "", "Canary", rollout+", pods: 1") + ", " + stage("bump", "canary", "PartitionBump", rollout+", order: [dca]") + "]"
}
