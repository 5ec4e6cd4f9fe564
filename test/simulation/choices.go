package simulation

import (
	"context"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// caches of all processes that live, in a fixed order. The slice is good until the next call.
func (w *World) caches() []*informer {
	out := w.buffer[:0]
	for _, p := range w.procs {
		if !p.alive {
			continue
		}
		out = append(out, p.informers...)
		if p.fleet == nil {
			continue
		}
		for _, m := range p.fleet.order {
			if !m.c.cut {
				out = append(out, m.order...)
			}
		}
	}
	w.buffer = out
	return out
}

// choices are what the programs and people can do now.
func (w *World) choices() []choice {
	var out []choice
	add := func(weight, n int, do func(n int)) {
		if n > 0 {
			out = append(out, choice{weight, n, do})
		}
	}
	var pending, unlisted []*informer
	for _, i := range w.caches() {
		if i.stalled > w.step && w.faults {
			continue
		}
		if i.pending() != nil {
			pending = append(pending, i)
		} else if !i.listed {
			unlisted = append(unlisted, i)
		}
	}
	add(40, len(pending), func(n int) { w.logf("%s gets %s", pending[n].name, pending[n].deliver()) })
	add(20, len(unlisted), func(n int) {
		w.logf("%s lists", unlisted[n].name)
		unlisted[n].list()
	})

	type key struct {
		q *queue
		n int
	}
	var passes []key
	var dead []*process
	var hearts []*memberSeen
	for _, p := range w.procs {
		if !p.alive {
			dead = append(dead, p)
			continue
		}
		for _, q := range p.queues {
			for n := range q.ready {
				passes = append(passes, key{q, n})
			}
		}
		if p.fleet == nil {
			continue
		}
		for _, m := range p.fleet.order {
			if m.heartDiffers() {
				hearts = append(hearts, m)
			}
		}
	}
	add(25, len(passes), func(n int) {
		w.logf("%s: %s %s", passes[n].q.p.name, passes[n].q.name, passes[n].q.ready[passes[n].n].Name)
		passes[n].q.run(passes[n].n)
	})
	add(10, len(dead), func(n int) {
		w.logf("%s starts", dead[n].name)
		dead[n].boot()
	})
	add(15, len(hearts), func(n int) {
		w.logf("heartbeat of %s", hearts[n].c.name)
		hearts[n].beat()
	})

	var moves []move
	var at []*cluster
	for _, c := range w.members {
		for _, m := range c.nodes.moves() {
			moves, at = append(moves, m), append(at, c)
		}
	}
	add(30, len(moves), func(n int) {
		w.logf("%s: %s", at[n].name, moves[n].String())
		w.must(moves[n].String(), ignoreGone(moves[n].do(ctx, moves[n].pod)))
	})
	once := func(weight int, who string, next func() (string, func(context.Context) error)) {
		if what, do := next(); do != nil {
			add(weight, 1, func(int) {
				w.logf("%s: %s", who, what)
				w.must(what, do(ctx))
			})
		}
	}
	if w.alone != nil {
		for n, who := range w.alone.actors {
			once(8, w.alone.names[n], who.move)
		}
	} else {
		once(8, "tekton", w.tekton.move)
		once(4, "somebody", w.person)
	}
	once(8, "a user", w.meshers.move)
	if w.dirty {
		add(10, 1, func(int) { w.collect() })
	}
	return out
}

// collect lets the garbage collectors make one move.
func (w *World) collect() {
	for _, c := range w.clusters() {
		what, err := c.api.Collect()
		w.must("collecting garbage", err)
		if what != "" {
			w.logf("%s: collects %s", c.name, what)
			return
		}
	}
	w.dirty = false
}

// mischief is what breaks by itself.
func (w *World) mischief() []choice {
	var out []choice
	if !w.chance(.02) {
		return nil
	}
	if w.story.cuts {
		for _, c := range w.members {
			if !c.cut && w.chance(.6/float64(len(w.members))) {
				out = append(out, choice{20, 1, func(int) {
					c.cut = true
					w.healAt[c] = w.clock.Now().Add(time.Duration(w.rand.IntN(200)) * time.Second)
					w.logf("member %s is cut off", c.name)
				}})
			}
		}
	}
	if w.story.flaps {
		var up []*corev1.Pod
		var at []*cluster
		for _, c := range w.members {
			for _, pod := range c.pods() {
				if pod.DeletionTimestamp == nil && len(pod.Status.ContainerStatuses) > 0 && pod.Status.ContainerStatuses[0].Ready && isTrue(pod, corev1.PodReady) {
					up, at = append(up, pod), append(at, c)
				}
			}
		}
		if len(up) > 0 {
			out = append(out, choice{20, len(up), func(n int) {
				w.logf("%s: %s goes down for a moment", at[n].name, up[n].Name)
				w.must("taking a pod down", ignoreGone(at[n].nodes.flap(ctx, up[n])))
			}}, choice{6, len(up), func(n int) {
				w.logf("%s: somebody deletes %s", at[n].name, up[n].Name)
				w.must("deleting a pod", ignoreGone(at[n].admin.kube.CoreV1().Pods(namespace).Delete(ctx, up[n].Name, metav1.DeleteOptions{})))
			}})
		}
	}
	if w.alone != nil {
		out = append(out, w.troubles()...)
	}
	if w.story.jumps {
		out = append(out, choice{3, 1, func(int) {
			d := time.Duration(1+w.rand.IntN(20*60)) * time.Second
			w.logf("the clock jumps by %s", d)
			w.pass(d)
		}})
	}
	if all := slices.Clone(w.caches()); len(all) > 0 {
		out = append(out, choice{10, len(all), func(n int) {
			w.logf("%s: its watch was too old", all[n].name)
			all[n].list()
		}}, choice{10, len(all), func(n int) {
			w.logf("%s: its watch is slow", all[n].name)
			all[n].stalled = w.step + w.rand.IntN(300)
		}})
	}
	out = append(out, choice{5, len(w.procs), func(n int) {
		w.logf("%s is killed", w.procs[n].name)
		w.procs[n].kill()
	}})
	return out
}
