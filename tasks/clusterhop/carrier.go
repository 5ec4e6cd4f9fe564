package clusterhop

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/plan"
	"github.com/periplus-dev/periplus/pkg/release"
	"github.com/periplus-dev/periplus/pkg/stage"
)

// mark is where a member stands, one letter in the state.
type mark byte

const (
	waiting mark = '.'
	// meant is kept before the member's run is made, with the run's name: how many are worked on at once is known from what was kept, whatever a cache has not seen yet.
	meant   mark = 'm'
	begun   mark = 'b'
	done    mark = 'd'
	failed  mark = 'f'
	skipped mark = 's'
)

// log is what a carrier keeps between steps. The members themselves, in order, are kept with what was admitted; what their runs came to is in the runs.
type log struct {
	// Marks has a letter for each member.
	Marks string `json:"marks"`
	// Runs are the PipelineRuns of members that are worked on, by member.
	Runs map[string]string `json:"runs,omitempty"`
	// Notes on members that failed, were skipped, or are tried again, by their number in Marks.
	Notes map[int]note `json:"notes,omitempty"`
	// Wave is the last that was begun, from 0; Since when its turn is, nil for the one that was the first.
	Wave  int          `json:"wave"`
	Since *metav1.Time `json:"since,omitempty"`
	// Pipeline is a hash of the Pipeline as it was when the hop began.
	Pipeline string `json:"pipeline,omitempty"`
}

// note is why a member is over though it is not done, and since when; or since when it is tried again. Times are in seconds, as those of Unix.
type note struct {
	Why  string `json:"why,omitempty"`
	At   int64  `json:"at,omitempty"`
	From int64  `json:"from,omitempty"`
}

// maxWhy is how long a note is in bytes, and maxReasons how many have words: that of hundreds that fail the status stays small.
const (
	maxWhy     = 160
	maxReasons = 20
)

// member is one member in one pass.
type member struct {
	name  string
	index int
	wave  int
	mark  mark
	tries []stage.Child
	// child is the run that counts, nil where there is none.
	child *stage.Child
	// reason and at say what a member that is worked on, or could not be begun, is at.
	reason, at string
}

// hop is one pass of a carrier.
type hop struct {
	run     *stage.Run
	spec    *v1alpha1.ClusterHopSpec
	log     log
	members []*member
	hands   map[string]stage.Hand
	// limit of failures.
	limit int
	// course as it was decided last.
	course plan.Course
	// changed says what became of the Pipeline since the hop began.
	changed string
	// still is why nobody further may be begun: a pause, a freeze, a release that is being taken back.
	still *stage.Outcome
	// wake is when to look again though nothing happened.
	wake time.Time
	// kept is false while something was decided that must be kept before it is done.
	kept bool
}

// carry is one step of a carrier.
func carry(ctx context.Context, run *stage.Run, spec *v1alpha1.ClusterHopSpec) (stage.Outcome, error) {
	if run.Carrier != "" {
		return stage.Fail(stage.ReasonInvalid, fmt.Sprintf("spec.pipelineRef: this run was itself made by a ClusterHop (%s); a Pipeline that is carried cannot carry another", run.Carrier)), nil
	}
	// Over is a word that a cache may have from before a retry opened the record again.
	if run.Release == nil || release.Over(run.Release) {
		if err := run.OpenRelease(ctx); err != nil {
			return stage.Outcome{}, err
		}
	}
	if release.Over(run.Release) {
		return stage.Fail(stage.ReasonReleaseOver, "release "+run.Release.Name+" is over"), nil
	}
	h, err := newHop(run, spec)
	if err != nil {
		return stage.Outcome{}, err
	}
	if h.log.Pipeline == "" {
		if out, err := h.first(ctx); out != nil || err != nil {
			return *orNone(out), err
		}
	}
	for _, link := range []func(context.Context) error{
		h.look,   // what became of each member's run, and what people ask
		h.settle, // of those that succeeded: the silent period, During and After guards
		h.make,   // the runs that were meant
		h.next,   // whose turn it is, who of them is reached, Before guards
	} {
		if err := link(ctx); err != nil {
			return stage.Outcome{}, errors.Join(err, h.save())
		}
	}
	if err := h.save(); err != nil {
		return stage.Outcome{}, err
	}
	return h.outcome()
}

func orNone(out *stage.Outcome) *stage.Outcome {
	if out == nil {
		return &stage.Outcome{}
	}
	return out
}

// newHop gathers what a pass goes by. A log that is damaged starts over: what was done is found in the runs.
func newHop(run *stage.Run, spec *v1alpha1.ClusterHopSpec) (*hop, error) {
	h := &hop{run: run, spec: spec, kept: true}
	if err := run.LoadState(&h.log); err != nil || h.log.Marks != "" && len(h.log.Marks) != len(run.Admitted.Members) {
		h.log = log{}
	}
	if h.log.Marks == "" {
		h.log.Marks = strings.Repeat(string(waiting), len(run.Admitted.Members))
	}
	if h.log.Runs == nil {
		h.log.Runs = map[string]string{}
	}
	if h.log.Notes == nil {
		h.log.Notes = map[int]note{}
	}
	children, err := run.Children()
	if err != nil {
		return nil, err
	}
	if h.hands, err = run.Hands(); err != nil {
		return nil, err
	}
	if h.limit, err = plan.Failures(spec.MaxFailures, len(run.Admitted.Members)); err != nil {
		return nil, err
	}
	wave, left := 0, 0
	if len(run.Admitted.Waves) > 0 {
		left = run.Admitted.Waves[0]
	}
	for i, name := range run.Admitted.Members {
		for left == 0 && wave+1 < len(run.Admitted.Waves) {
			wave++
			left = run.Admitted.Waves[wave]
		}
		left--
		h.members = append(h.members, &member{name: name, index: i, wave: wave, mark: mark(h.log.Marks[i]), tries: children[name]})
	}
	return h, nil
}

// save keeps the log.
func (h *hop) save() error {
	marks := make([]byte, len(h.members))
	words := 0
	for i, m := range h.members {
		marks[i] = byte(m.mark)
		if n := h.log.Notes[m.index]; n.Why != "" {
			if words++; words > maxReasons {
				n.Why = ""
				h.log.Notes[m.index] = n
			}
		}
	}
	h.log.Marks = string(marks)
	h.report()
	return h.run.SaveState(h.log)
}

// over ends a member.
func (h *hop) over(m *member, as mark, why string, at time.Time) {
	m.mark, m.reason, m.at = as, "", ""
	delete(h.log.Runs, m.name)
	if as == done {
		delete(h.log.Notes, m.index)
		return
	}
	h.log.Notes[m.index] = note{Why: cut(why, maxWhy), At: at.Unix()}
}

// convoy is what the planner sees.
func (h *hop) convoy() *plan.Convoy {
	c := &plan.Convoy{MaxFailures: h.limit, Now: h.run.Now}
	if h.spec.WavePause != nil {
		c.Pause = h.spec.WavePause.Duration
	}
	c.Waves = make([][]plan.Carrying, max(1, len(h.run.Admitted.Waves)))
	for i := range c.Waves {
		n := h.spec.MaxParallel
		if i < len(h.spec.Waves) && h.spec.Waves[i].MaxParallel > 0 {
			n = h.spec.Waves[i].MaxParallel
		}
		c.Parallel = append(c.Parallel, int(n))
	}
	stopped := h.count(failed) > h.limit
	for _, m := range h.members {
		s := plan.MemberWaiting
		switch m.mark {
		case meant, begun:
			s = plan.MemberWorking
			if stopped && m.mark == begun && m.child != nil && m.child.Done {
				s = plan.MemberWaiting // its run is over; that it was not settled keeps nobody waiting.
			}
		case done:
			s = plan.MemberDone
		case failed:
			s = plan.MemberFailed
		case skipped:
			s = plan.MemberSkipped
		}
		c.Waves[m.wave] = append(c.Waves[m.wave], s)
	}
	return c
}

// decide asks the planner, and notes when another wave's turn has come.
func (h *hop) decide() plan.Course {
	c := h.convoy()
	course := c.Next()
	if course.Wave > h.log.Wave && course.Wave < len(c.Waves) {
		if h.count(done)+h.count(failed)+h.count(skipped) > 0 && h.log.Pipeline != "" {
			at := h.run.Stamp()
			h.log.Since = &at
		}
		h.log.Wave = course.Wave
	}
	if h.log.Since != nil && course.Wave == h.log.Wave {
		c.Since = h.log.Since.Time
		course = c.Next()
	}
	h.course = course
	return course
}

func (h *hop) count(as mark) int {
	n := 0
	for _, m := range h.members {
		if m.mark == as {
			n++
		}
	}
	return n
}

func (h *hop) names(as mark) []string {
	out := []string{}
	for _, m := range h.members {
		if m.mark == as {
			out = append(out, m.name)
		}
	}
	return out
}

// end tells every run that is on to end.
func end(ctx context.Context, run *stage.Run, spec *v1alpha1.ClusterHopSpec) (running []string, results map[string]string, err error) {
	if run.Release == nil {
		return nil, nil, nil // none was made before there is one.
	}
	h, err := newHop(run, spec)
	if err != nil {
		return nil, nil, err
	}
	var errs []error
	for _, m := range h.members {
		name := h.log.Runs[m.name]
		if name != "" && !slices.ContainsFunc(m.tries, func(c stage.Child) bool { return c.Name == name }) {
			c, err := run.Child(ctx, name, m.name)
			if err != nil && !errors.Is(err, stage.ErrNameTaken) {
				errs = append(errs, err)
			}
			if err == nil && c != nil {
				m.tries = append(m.tries, *c)
			}
		}
		for i := range m.tries {
			c := &m.tries[i]
			if c.Done {
				continue
			}
			running = append(running, c.Name)
			// Without the record knowing it a child's stages do not even end.
			if err := run.KnowChild(ctx, c); err != nil {
				errs = append(errs, err)
			}
			if err := run.EndChild(ctx, c); err != nil {
				errs = append(errs, err)
			}
		}
	}
	return running, h.results(), errors.Join(errs...)
}

func (h *hop) results() map[string]string {
	return map[string]string{"members": stage.JSONList(h.names(done)), "failed": stage.JSONList(h.names(failed)), "skipped": stage.JSONList(h.names(skipped))}
}

func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n-3] + "..."
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
