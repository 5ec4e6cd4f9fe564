package simulation

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// patience is how long people see nothing happen before they end what holds it.
const patience = 5 * time.Minute

// Limits of a run, in steps.
const (
	// faultySteps is how long things break; then a release must come to its end.
	faultySteps = 3500
	mostSteps   = 40000
)

// brokenRule is a rule that was broken, or an end that did not come. It ends the run.
type brokenRule struct {
	rule int // 0 where the release did not end as it should.
	what string
}

func (b brokenRule) Error() string {
	if b.rule == 0 {
		return "the end: " + b.what
	}
	return fmt.Sprintf("rule %d: %s", b.rule, b.what)
}

// Result of one run.
type Result struct {
	Seed  uint64
	Story string
	Steps int
	// Outcome is how the release ended.
	Outcome string
	// Rule that was broken, -1 where none was; 0 means that the end was not as it should be.
	Rule  int
	Err   error
	Lines []string
}

// Simulate runs one seed. The log is kept where keep is true.
func Simulate(seed uint64, plant Plant, over *sites, keep bool) Result {
	w := newWorld(seed, plant, over)
	w.keep = keep
	return w.run()
}

func (w *World) run() (res Result) {
	res = Result{Seed: w.seed, Story: w.story.name, Rule: -1}
	defer func() {
		w.sites.ran(w.story.name, w.reached)
		res.Steps, res.Lines = w.step, w.lines
		if r := recover(); r != nil {
			b, ok := r.(brokenRule)
			if !ok {
				w.logf("panic: %v", r)
				res.Lines = w.lines
				fmt.Println(strings.Join(last(w.lines, 200), "\n"))
				panic(r)
			}
			res.Rule, res.Err = b.rule, b
			w.logf("%v", b)
			res.Lines = w.lines
		}
	}()
	w.logf("seed %d: %s; cuts %v, flaps %v, jumps %v, replicas %v", w.seed, w.story.name, w.story.cuts, w.story.flaps, w.story.jumps, w.story.replicas)
	for _, p := range w.procs {
		p.boot()
	}
	// A CafeDeployment alone makes its sets while things break already: nowhere else are they made.
	w.faults = w.alone != nil && w.story.alone.cafe != nil
	if w.apps != nil {
		w.settle("before there is an application")
		w.apps()
	}
	w.settle("before anything changes")
	if w.alone != nil {
		w.live()
		res.Outcome = "all sets are where they should be"
		w.checkSets()
		w.checkCafes()
		w.checkSidecars()
		w.rules.end()
		w.replay()
		return res
	}
	w.release()
	if n := len(w.story.dead); n > 0 {
		w.logf("the %d dead members are back", n)
		for _, c := range w.members {
			c.cut, c.dead = false, false
		}
		w.settle("after the dead members came back")
	}
	res.Outcome = w.outcome()
	w.checkEnd()
	w.checkSidecars()
	w.rules.end()
	w.replay()
	return res
}

func last(lines []string, n int) []string { return lines[max(0, len(lines)-n):] }

// release from its start until all is at rest.
func (w *World) release() {
	if w.story.carries || w.story.convoy {
		w.store(w.story.perMember(w.story.image))
	}
	w.submit(w.story.release("web", w.story.image))
	w.began, w.faults = w.step, true
	rivalAt := w.began + w.rand.IntN(1000)
	rival := w.story.rival
	for {
		if rival && w.step >= rivalAt {
			rival = false
			w.submit(w.story.rivalRelease("rival"))
		}
		if w.faults && w.step-w.began > w.story.faulty {
			w.logf("nothing breaks from here on")
			w.calmDown()
		}
		moved := w.stepOnce()
		switch {
		case !rival && w.over() && w.handsDone() && (!w.faults || w.rand.IntN(50) == 0):
			w.calmDown()
			w.settle("after the release")
			if w.over() && w.handsDone() {
				return
			}
		case !moved && w.over():
			w.step += 10
		case !moved && !w.faults:
			panic(brokenRule{0, "nothing moves any more, and the release is not over: " + w.outcome()})
		case !moved:
			w.faults = w.step-w.began < w.story.faulty
			w.step++
		}
		if w.step > w.story.most {
			panic(brokenRule{0, fmt.Sprintf("the release is not over after %d steps, at %s: %s", w.step, w.clock.Now().UTC().Format(time.TimeOnly), w.outcome())})
		}
	}
}

// calmDown ends all that breaks.
func (w *World) calmDown() {
	w.faults = false
	for _, c := range w.members {
		c.cut = c.dead
	}
}

// settle lets everything come to rest, without faults.
func (w *World) settle(when string) {
	for n := 0; w.stepOnce(); n++ {
		if n > w.story.most/2 {
			panic(brokenRule{0, "it never comes to rest " + when})
		}
	}
}

// over says whether every release is over and let go of what it held.
func (w *World) over() bool {
	if v := w.hub.api.Version(); w.isOver.at != v {
		w.isOver.at, w.isOver.over = v, w.allOver()
	}
	return w.isOver.over
}

func (w *World) allOver() bool {
	for _, cr := range w.hub.runs() {
		if cr.Status.CompletionTime == nil && madeBy(cr) == nil {
			return false // one that takes back what others moved.
		}
	}
	for _, pr := range w.hub.pipelineRuns() {
		if pr.Status.CompletionTime == nil {
			return false
		}
	}
	for _, rel := range w.hub.releases() {
		if !rel.Status.Released {
			return false
		}
	}
	return true
}

// outcome says how the releases stand.
func (w *World) outcome() string {
	var out []string
	for _, cr := range w.hub.runs() {
		reason := "not begun"
		if c := cr.Status.GetCondition("Succeeded"); c != nil {
			reason = string(c.Status) + " " + c.Reason + ": " + c.Message
		}
		if cr.DeletionTimestamp != nil {
			reason += " (being deleted)"
		}
		out = append(out, cr.Name+" "+reason)
	}
	for _, rel := range w.hub.releases() {
		out = append(out, fmt.Sprintf("release %s %s, released %v", rel.Name, rel.Status.Phase, rel.Status.Released))
	}
	return strings.Join(out, "; ")
}

// choice is something that can be done now.
type choice struct {
	weight int
	n      int
	do     func(n int)
}

// stepOnce does one thing that can be done, or lets time pass to the next that can. It returns false when nothing is left to wait for.
func (w *World) stepOnce() bool {
	now := w.clock.Now()
	for _, p := range w.procs {
		for _, q := range p.queues {
			if p.alive {
				q.due(now)
			}
		}
	}
	choices := w.choices()
	if w.faults {
		choices = append(choices, w.mischief()...)
	}
	total := 0
	for _, c := range choices {
		total += c.weight
	}
	if total == 0 && w.hasten() {
		return true
	}
	if total == 0 {
		next := w.next()
		if w.alone != nil {
			return w.wait()
		}
		if what, do := w.hand(next.IsZero() || next.Sub(w.clock.Now()) > patience); do != nil {
			w.step++
			w.logf("somebody: %s", what)
			w.must(what, do(ctx))
			return true
		}
		return w.wait()
	}
	w.step++
	if w.rand.IntN(40) == 0 {
		w.pass(time.Duration(w.rand.IntN(1500)) * time.Millisecond)
	}
	r := w.rand.IntN(total)
	for _, c := range choices {
		if r -= c.weight; r < 0 {
			c.do(w.rand.IntN(max(c.n, 1)))
			break
		}
	}
	for _, c := range w.clusters() {
		w.rules.follow(c)
	}
	w.rules.end()
	if w.step%1000 == 0 {
		w.forget()
	}
	return true
}

// hasten ends the slowness of watches, before time is let pass: it is a matter of seconds.
func (w *World) hasten() bool {
	slow := false
	for _, i := range w.caches() {
		slow = slow || i.stalled > w.step
		i.stalled = 0
	}
	return slow
}

// forget drops what no cache of the hub will be told of any more.
func (w *World) forget() {
	version := w.hub.checked
	for _, i := range w.caches() {
		if i.source == w.hub {
			version = min(version, i.looked)
		}
	}
	w.hub.api.Compact(version)
	clear(w.hub.objects)
}

// next is when something is due by itself, zero where nothing is.
func (w *World) next() time.Time {
	var next time.Time
	for _, p := range w.procs {
		if !p.alive {
			continue
		}
		for _, q := range p.queues {
			for _, at := range q.later {
				if next.IsZero() || at.Before(next) {
					next = at
				}
			}
		}
	}
	if w.alone != nil {
		for _, who := range w.alone.actors {
			if at := who.due(); !at.IsZero() && (next.IsZero() || at.Before(next)) {
				next = at
			}
		}
	}
	for c, at := range w.healAt {
		if c.cut && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	return next
}

// wait lets time pass until something is due.
func (w *World) wait() bool {
	next := w.next()
	if next.IsZero() {
		return false
	}
	w.step++
	w.pass(max(next.Sub(w.clock.Now()), time.Millisecond))
	return true
}

func (w *World) pass(d time.Duration) {
	w.clock.Step(d)
	for _, c := range w.members {
		if at, ok := w.healAt[c]; ok && c.cut && !w.clock.Now().Before(at) {
			w.logf("member %s is back", c.name)
			c.cut = false
		}
	}
}

var ctx = context.Background()
