package source

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/periplus-dev/periplus/pkg/guard"
)

// atOnce is how many questions of one source are under way at once for one member: one that hangs holds up no other.
const atOnce = 8

// Sampler asks sources for guards, off the goroutine that judges, and keeps the last sample of each guard. What it keeps is lost with the process, and asked anew: a sample
// that counted is in the run's status.
type Sampler struct {
	ctx   context.Context
	book  Book
	clock clock.PassiveClock
	// observers are sources that live on what stages see.
	observers []Observer

	mu    sync.Mutex
	cells map[types.UID]map[Key]*cell
	gates map[string]chan struct{}
}

// Key tells what is sampled.
type Key struct {
	// Run and Attempt that the guard belongs to.
	Run     types.UID
	Attempt int
	// Guard and Member by name.
	Guard, Member string
	// Baseline is true where it is about all pods of the target.
	Baseline bool
}

// About is what a sample is about, beside its queries.
type About struct {
	// Namespace of the run.
	Namespace string
	// Labels of the member.
	Labels map[string]string
	// Seen is what the controllers saw of the target in the member. It must not change any more.
	Seen *guard.Input
}

// cell is the last sample of one guard in one member, and whether another is under way.
type cell struct {
	last   *guard.Sample
	asking bool
}

// NewSampler returns a sampler of a book's sources. Questions end with the context.
func NewSampler(ctx context.Context, book Book, c clock.PassiveClock, observers ...Observer) *Sampler {
	return &Sampler{ctx: ctx, book: book, clock: c, observers: observers, cells: map[types.UID]map[Key]*cell{}, gates: map[string]chan struct{}{}}
}

// Sample returns the last sample there is, nil where there is none. Where one is asked for, and none is under way, it begins to ask the sources and calls wake
// once all have answered or run out of time.
func (s *Sampler) Sample(key Key, ask *guard.Ask, about About, wake func()) *guard.Sample {
	s.mu.Lock()
	defer s.mu.Unlock()
	cells := s.cells[key.Run]
	c := cells[key]
	if c == nil {
		if ask == nil {
			return nil
		}
		if cells == nil {
			cells = map[Key]*cell{}
			s.cells[key.Run] = cells
		}
		c = &cell{}
		cells[key] = c
	}
	if ask != nil && !c.asking {
		c.asking = true
		go s.ask(key, c, ask, about, wake)
	}
	return c.last
}

// Forget drops all samples of a run.
func (s *Sampler) Forget(run types.UID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.cells, run)
}

func (s *Sampler) ask(key Key, c *cell, ask *guard.Ask, about About, wake func()) {
	readings := make([]guard.Reading, len(ask.Queries))
	asked := make([]time.Time, len(ask.Queries))
	var wg sync.WaitGroup
	for i, q := range ask.Queries {
		wg.Go(func() { readings[i], asked[i] = s.one(key, q, about) })
	}
	wg.Wait()
	sample := &guard.Sample{At: asked[0], Metrics: make(map[string]guard.Reading, len(readings))}
	for i, q := range ask.Queries {
		sample.Metrics[q.Metric] = readings[i]
		if asked[i].Before(sample.At) {
			sample.At = asked[i]
		}
	}
	s.mu.Lock()
	c.last, c.asking = sample, false
	s.mu.Unlock()
	wake()
}

// one asks one question, and says when it was asked.
func (s *Sampler) one(key Key, q guard.Query, about About) (guard.Reading, time.Time) {
	r := guard.Reading{Query: q.Query, Err: q.Err}
	if r.Err != "" {
		return r, s.clock.Now()
	}
	// What the hub takes to say what the source is, and the wait for a turn, are part of the time that a question may take: a source with too many of them is a slow one.
	terms := s.book.Terms(q.Source)
	ctx, cancel := context.WithTimeout(s.ctx, terms.Timeout)
	defer cancel()
	src, err := s.book.Find(ctx, q.Source, key.Member, about.Labels)
	if err != nil {
		r.Err = oneLine(err.Error())
		return r, s.clock.Now()
	}
	gate := s.gate(q.Source + "/" + key.Member)
	select {
	case gate <- struct{}{}:
		defer func() { <-gate }()
	case <-ctx.Done():
		r.Err = fmt.Sprintf("did not get its turn within %s: %d other questions are being asked of it", terms.Timeout, atOnce)
		return r, s.clock.Now()
	}
	at := s.clock.Now()
	series, err := src.Ask(ctx, Question{
		Namespace: about.Namespace, Member: key.Member, MemberLabels: about.Labels, Query: q.Query, Window: q.Window, Range: q.Range, Seen: about.Seen, Baseline: key.Baseline,
	})
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		r.Err = fmt.Sprintf("did not answer within %s", terms.Timeout)
	case err != nil:
		r.Err = oneLine(err.Error())
	default:
		r.Series = series
	}
	return r, at
}

func (s *Sampler) gate(name string) chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.gates[name]
	if g == nil {
		g = make(chan struct{}, atOnce)
		s.gates[name] = g
	}
	return g
}

// Lags are how late what happens can be asked for, by source. One that is not there has none: asking it says what is wrong.
func (s *Sampler) Lags(sources []string) map[string]time.Duration {
	out := map[string]time.Duration{}
	for _, name := range sources {
		if lag := s.book.Terms(name).Lag; lag > 0 {
			out[name] = lag
		}
	}
	return out
}

// Observe tells what a pass saw to whoever watches.
func (s *Sampler) Observe(at time.Time, namespace string, in *guard.Input) {
	for _, o := range s.observers {
		o.Observe(at, namespace, in)
	}
}

// Check says what is wrong with a query, as a QueryError, or with the source that it is asked of; ErrUnknown where there is none of that name, an
// UnavailableError where that could not be found out just now.
func (s *Sampler) Check(q guard.Query, member string, labels map[string]string) error {
	src, err := s.book.Find(s.ctx, q.Source, member, labels)
	if err != nil {
		return err
	}
	if err := src.Check(q.Query, q.Window, q.Range); err != nil {
		return &QueryError{err}
	}
	return nil
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
