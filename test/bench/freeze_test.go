//go:build bench

package bench

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

var freezes = flag.Int("freezes", 200, "how many freezes to measure")

// quiet is how long nothing more is written before the last write is taken for the last.
const quiet = 500 * time.Millisecond

// TestFreeze lets three stages, one in each member, move 300 pods one by one in each unit, and freezes them at any moment: how long do they write on? When a release is over
// the next takes its place.
func TestFreeze(t *testing.T) {
	const pods = 50
	b, r := newBench(t), newReport(t, timesColumns...)
	b.workload("web", pods, "1", members, units)
	look := b.look()
	look.allServe(pods*len(units)*len(members), image(1))

	var fromReturn, fromStart, opening, create, shown []time.Duration
	run, version, releases, silent := "", 1, 0, 0
	for len(fromReturn) < *freezes {
		if run == "" || over(look, run) {
			if run != "" {
				look.ended(run, members...)
			}
			version, releases = version+1, releases+1
			run = b.start(everywhere(image(version)))
		}
		// The freeze falls at any moment of a release that moves.
		from := time.Now()
		look.when(limit, "the release moves", func() bool { _, moved := look.firstWrite(from, ""); return moved || overNow(look, run) })
		<-time.After(time.Duration(rand.Int64N(int64(quiet)))) // #nosec G404 -- a moment.
		if over(look, run) {
			continue
		}
		name := fmt.Sprintf("%s-%d", b.ns, len(fromReturn))
		start := time.Now()
		must(b.hub.StagesV1alpha1().Freezes().Create(context.Background(), &v1alpha1.Freeze{ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: v1alpha1.FreezeSpec{Namespaces: []string{b.ns}, Message: "benchmark"}}, metav1.CreateOptions{}))(t)
		returned := time.Now()
		frozen := look.when(limit, "all stages say that they are frozen", func() bool {
			for _, m := range members {
				if s := look.of(run, m); s == nil || (s.done.IsZero() && s.reason != "Frozen") {
					return false
				}
			}
			return true
		})
		last, lastOpening := start, start
		for {
			look.read(func() {
				for _, w := range look.writes {
					if w.at.After(start) {
						last = w.at
						if w.opens {
							lastOpening = w.at
						}
					}
				}
			})
			still := max(time.Until(last.Add(quiet)), time.Until(frozen.Add(quiet)))
			if still <= 0 {
				break
			}
			<-time.After(still)
		}
		if last.Equal(start) {
			silent++
		}
		create, shown = append(create, returned.Sub(start)), append(shown, frozen.Sub(returned))
		fromStart, fromReturn = append(fromStart, last.Sub(start)), append(fromReturn, max(0, last.Sub(returned)))
		opening = append(opening, max(0, lastOpening.Sub(returned)))
		b.lift(name)
	}
	r.times("create call", create)
	r.times("call's return → last write", fromReturn)
	r.times("call's start → last write", fromStart)
	r.times("call's return → last write that lets a pod start", opening)
	r.times("call's return → all stages say Frozen", shown)
	r.note("%d releases of %d pods; after %d freezes nothing was written at all, which counts as 0 ms", releases, pods*len(units)*len(members), silent)
	r.publish(t)
}

// everywhere moves all pods one by one in each unit, by a stage for each member.
func everywhere(image string) string {
	tasks := ""
	for _, m := range members {
		tasks += stage(m, "", "PartitionBump", fmt.Sprintf("target: web, members: [%s], order: [dca, dcb], by: 1, change: {images: {app: \"%s\"}}", m, image)) + ", "
	}
	return "tasks: [" + tasks + "]"
}

// over says whether no stage of the run moves any more.
func over(look *lookout, run string) (is bool) {
	look.read(func() { is = overNow(look, run) })
	return is
}

func overNow(look *lookout, run string) bool {
	for _, m := range members {
		if s := look.of(run, m); s == nil || s.done.IsZero() {
			return false
		}
	}
	return true
}

func (b *bench) lift(name string) {
	b.t.Helper()
	ctx, api := context.Background(), b.hub.StagesV1alpha1().Freezes()
	must(api.Patch(ctx, name, types.MergePatchType, []byte(`{"spec":{"lifted":{"message":"measured"}}}`), metav1.PatchOptions{}))(b.t)
	if err := api.Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
		b.t.Fatal(err)
	}
}
