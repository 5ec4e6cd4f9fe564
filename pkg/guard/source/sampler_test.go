package source_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/guard"
	"github.com/periplus-dev/periplus/pkg/guard/source"
)

// shelf is a book whose sources are functions.
type shelf map[string]func(ctx context.Context, q source.Question) ([]guard.Series, error)

func (s shelf) Find(_ context.Context, name, _ string, _ map[string]string) (source.Source, error) {
	f, ok := s[name]
	if !ok {
		return nil, fmt.Errorf("%s: %w", name, source.ErrUnknown)
	}
	return asked(f), nil
}

func (s shelf) Terms(name string) source.Terms {
	if s[name] == nil {
		return source.Terms{}
	}
	return source.Terms{Timeout: 200 * time.Millisecond, Lag: time.Duration(len(name)) * time.Second}
}

type asked func(ctx context.Context, q source.Question) ([]guard.Series, error)

func (f asked) Ask(ctx context.Context, q source.Question) ([]guard.Series, error) { return f(ctx, q) }
func (f asked) Check(query string, _ time.Duration, _ *v1alpha1.MetricRange) error {
	if query == "bad" {
		return errors.New("line 1, column 1: no")
	}
	return nil
}

func one(context.Context, source.Question) ([]guard.Series, error) {
	return []guard.Series{{Value: 1}}, nil
}

// within waits for an answer, with a limit.
func within(t *testing.T, woken <-chan struct{}) {
	t.Helper()
	select {
	case <-woken:
	case <-time.After(20 * time.Second):
		t.Fatal("nobody was woken")
	}
}

func askOf(names ...string) *guard.Ask {
	a := &guard.Ask{}
	for _, n := range names {
		a.Queries = append(a.Queries, guard.Query{Metric: n, Source: n, Query: "q of " + n})
	}
	return a
}

func TestASampleIsTakenOffTheCallersGoroutineAndTheCallerIsWoken(t *testing.T) {
	release := make(chan struct{})
	sampler := source.NewSampler(t.Context(), shelf{"fast": one, "slow": func(context.Context, source.Question) ([]guard.Series, error) {
		<-release
		return []guard.Series{{Value: 2}}, nil
	}}, clock.RealClock{})
	key := source.Key{Run: "run", Guard: "g", Member: "m1"}
	woken := make(chan struct{}, 8)
	wake := func() { woken <- struct{}{} }
	began := time.Now()
	for range 3 { // asked once, however often it is wanted meanwhile.
		if got := sampler.Sample(key, askOf("fast", "slow"), source.About{}, wake); got != nil {
			t.Fatalf("an answer at once: %v", got)
		}
	}
	close(release)
	within(t, woken)
	got := sampler.Sample(key, nil, source.About{}, wake)
	if got == nil || got.Metrics["fast"].Series[0].Value != 1 || got.Metrics["slow"].Series[0].Value != 2 || got.Metrics["slow"].Query != "q of slow" {
		t.Fatalf("got %+v", got)
	}
	if got.At.Before(began) || got.At.After(time.Now()) {
		t.Errorf("taken at %s", got.At)
	}
	if len(woken) != 0 {
		t.Errorf("woken %d times more", len(woken))
	}
	sampler.Forget("run")
	if got := sampler.Sample(key, nil, source.About{}, wake); got != nil {
		t.Errorf("a run that is forgotten has %v", got)
	}
}

func TestWhatGoesWrongIsAReading(t *testing.T) {
	sampler := source.NewSampler(t.Context(), shelf{
		"down": func(context.Context, source.Question) ([]guard.Series, error) {
			return nil, errors.New("connection\nrefused")
		},
		"hangs": func(ctx context.Context, _ source.Question) ([]guard.Series, error) {
			<-ctx.Done()
			return nil, fmt.Errorf("asking: %w", ctx.Err())
		},
	}, clock.RealClock{})
	woken := make(chan struct{}, 1)
	key := source.Key{Run: "run", Guard: "g", Member: "m1"}
	ask := askOf("down", "hangs", "nobody", "mute")
	ask.Queries[3].Err = "member m1 has no label ring"
	sampler.Sample(key, ask, source.About{}, func() { woken <- struct{}{} })
	within(t, woken)
	got := sampler.Sample(key, nil, source.About{}, nil)
	for name, want := range map[string]string{
		"down": "connection refused", "hangs": "did not answer within 200ms", "nobody": "nobody: no such metric source", "mute": "member m1 has no label ring",
	} {
		if r := got.Metrics[name]; r.Err != want || r.Series != nil {
			t.Errorf("%s: %+v; want %s", name, r, want)
		}
	}
}

func TestASourceThatHangsHoldsUpNoOther(t *testing.T) {
	var now, most atomic.Int32
	sampler := source.NewSampler(t.Context(), shelf{"fast": one, "hangs": func(ctx context.Context, _ source.Question) ([]guard.Series, error) {
		most.Store(max(most.Load(), now.Add(1)))
		defer now.Add(-1)
		<-ctx.Done()
		return nil, ctx.Err()
	}}, clock.RealClock{})
	hung := make(chan struct{}, 100)
	for i := range 50 {
		sampler.Sample(source.Key{Run: "run", Guard: fmt.Sprint(i), Member: "m1"}, askOf("hangs"), source.About{}, func() { hung <- struct{}{} })
	}
	woken := make(chan struct{}, 1)
	sampler.Sample(source.Key{Run: "run", Guard: "fast", Member: "m1"}, askOf("fast"), source.About{}, func() { woken <- struct{}{} })
	within(t, woken)
	for range 50 {
		within(t, hung)
	}
	if most.Load() > 8 {
		t.Errorf("%d questions were asked at once", most.Load())
	}
	for i := range 50 {
		r := sampler.Sample(source.Key{Run: "run", Guard: fmt.Sprint(i), Member: "m1"}, nil, source.About{}, nil).Metrics["hangs"]
		if !strings.HasPrefix(r.Err, "did not get its turn within") && !strings.HasPrefix(r.Err, "did not answer within") {
			t.Errorf("question %d: %+v", i, r)
		}
	}
}

func TestCheckTellsTheQueryFromItsSource(t *testing.T) {
	sampler := source.NewSampler(t.Context(), shelf{"prom": one}, clock.RealClock{})
	var wrong *source.QueryError
	if err := sampler.Check(guard.Query{Source: "prom", Query: "bad"}, "m1", nil); !errors.As(err, &wrong) || wrong.Error() != "line 1, column 1: no" {
		t.Errorf("a query that is wrong: %v", err)
	}
	if err := sampler.Check(guard.Query{Source: "thanos", Query: "up"}, "m1", nil); !errors.Is(err, source.ErrUnknown) || errors.As(err, &wrong) {
		t.Errorf("a source that is not there: %v", err)
	}
	if err := sampler.Check(guard.Query{Source: "prom", Query: "up"}, "m1", nil); err != nil {
		t.Error(err)
	}
	if got := sampler.Lags([]string{"prom", "thanos"}); len(got) != 1 || got["prom"] != 4*time.Second {
		t.Errorf("lags: %v", got)
	}
}

// mute is a book whose hub does not answer.
type mute struct{ shelf }

func (mute) Find(ctx context.Context, name, _ string, _ map[string]string) (source.Source, error) {
	<-ctx.Done()
	return nil, fmt.Errorf("looking up %s: %w", name, ctx.Err())
}

func TestAHubThatDoesNotAnswerTakesNoMoreTimeThanAQuestionMay(t *testing.T) {
	sampler := source.NewSampler(t.Context(), mute{shelf{"prom": one}}, clock.RealClock{})
	woken := make(chan struct{}, 1)
	key := source.Key{Run: "run", Guard: "g", Member: "m1"}
	sampler.Sample(key, askOf("prom"), source.About{}, func() { woken <- struct{}{} })
	within(t, woken)
	if r := sampler.Sample(key, nil, source.About{}, nil).Metrics["prom"]; r.Err != "looking up prom: context deadline exceeded" {
		t.Errorf("got %+v", r)
	}
}
