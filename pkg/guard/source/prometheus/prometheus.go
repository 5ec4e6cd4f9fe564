package prometheus

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/api"
	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
	"k8s.io/utils/clock"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/guard"
	"github.com/periplus-dev/periplus/pkg/guard/source"
)

// Options of a Source.
type Options struct {
	// Address is what comes before /api/v1.
	Address     string
	Credentials Credentials
	// Matchers that every selector of every query gets, by label; references in the values are replaced for each question.
	Matchers map[string]string
	// Timeout of one question.
	Timeout time.Duration
	Clock   clock.PassiveClock
}

// Source is one server, asked with one set of credentials. It keeps its connections, and what it learned of the server's clock; nothing of a question.
type Source struct {
	address     string
	credentials Credentials
	secrets     []string
	matchers    map[string]string
	timeout     time.Duration
	clock       clock.PassiveClock
	api         v1.API
	transport   *http.Transport

	mu sync.Mutex
	// ahead is how far the server's clock was ahead of ours at learned.
	ahead   time.Duration
	learned time.Time
}

var _ source.Source = (*Source)(nil)

// Bounds of a source's connections.
const (
	dialTimeout     = 5 * time.Second
	idleTimeout     = 90 * time.Second
	idleConnections = 16
	mostConnections = 64
)

// skewAge is how long what was learned of the server's clock is good.
const skewAge = 5 * time.Minute

// mostSteps is how many values a range can have: as many as Prometheus gives.
const mostSteps = 11000

// New makes a Source without contacting its server. Errors say what is wrong with the address or the credentials, and name no secret.
func New(o Options) (*Source, error) {
	u, err := url.Parse(o.Address)
	if err != nil {
		return nil, errors.New("the address is no URL: give one such as http://prometheus.example.com:9090") // err would show credentials that somebody put there.
	}
	if (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return nil, errors.New("the address must be a URL such as http://prometheus.example.com:9090, without user, query and fragment")
	}
	header, err := o.Credentials.header()
	if err != nil {
		return nil, err
	}
	tlsConfig, err := o.Credentials.tls()
	if err != nil {
		return nil, err
	}
	s := &Source{
		address: strings.TrimRight(u.String(), "/"), credentials: o.Credentials, secrets: o.Credentials.spellings(), matchers: o.Matchers,
		timeout: o.Timeout, clock: o.Clock,
		transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}).DialContext,
			TLSClientConfig: tlsConfig, TLSHandshakeTimeout: dialTimeout, ForceAttemptHTTP2: true,
			IdleConnTimeout: idleTimeout, MaxIdleConnsPerHost: idleConnections, MaxConnsPerHost: mostConnections,
		},
	}
	client, err := api.NewClient(api.Config{Address: s.address, Client: &http.Client{
		Transport:     &authorizing{header: header, next: &bounded{next: s.transport}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}})
	if err != nil {
		return nil, fmt.Errorf("making a client for %s: %w", s.address, err)
	}
	s.api = v1.NewAPI(&strict{Client: client})
	return s, nil
}

// Close gives up connections that are open and not in use. Questions under way end as they would have.
func (s *Source) Close() { s.transport.CloseIdleConnections() }

// Check implements source.Source.
func (s *Source) Check(query string, window time.Duration, ranged *v1alpha1.MetricRange) error {
	if err := within(query, window, ranged); err != nil {
		return err
	}
	_, err := confine(query, s.matchers)
	return err
}

// Ask implements source.Source.
func (s *Source) Ask(ctx context.Context, q source.Question) ([]guard.Series, error) {
	// References may stand in durations too, and have their values only now.
	if err := within(q.Query, q.Window, q.Range); err != nil {
		return nil, err
	}
	matchers := make(map[string]string, len(s.matchers))
	for name, value := range s.matchers {
		v, err := expand(name, value, q)
		if err != nil {
			return nil, err
		}
		matchers[name] = v
	}
	query, err := confine(q.Query, matchers)
	if err != nil {
		return nil, err
	}
	if q.Range == nil {
		return s.ask(ctx, func(ctx context.Context) (model.Value, v1.Warnings, error) {
			return s.api.Query(ctx, query, time.Time{}, s.bound()...)
		}, nil)
	}
	step := q.Range.Step.Duration
	if step <= 0 || q.Window < step {
		return nil, fmt.Errorf("range.step %s must be longer than 0, and not longer than the window %s", step, q.Window)
	}
	// back is how far before the end the first value lies: as many whole steps as leave it a step to look back on within the window.
	back := (q.Window - step).Truncate(step)
	if back/step >= mostSteps {
		return nil, fmt.Errorf("range.step %s is too short for the window %s: a range has at most %d values", step, q.Window, mostSteps)
	}
	return s.ask(ctx, func(ctx context.Context) (model.Value, v1.Warnings, error) {
		end, err := s.serverNow(ctx)
		if err != nil {
			return nil, nil, err
		}
		return s.api.QueryRange(ctx, query, v1.Range{Start: end.Add(-back), End: end, Step: step}, s.bound()...)
	}, &q.Range.Reduce)
}

// Probe asks for the least there is, with the credentials: nil where the server answers.
func (s *Source) Probe(ctx context.Context) error {
	got, err := s.ask(ctx, func(ctx context.Context) (model.Value, v1.Warnings, error) {
		return s.api.Query(ctx, "vector(1)", time.Time{}, s.bound()...)
	}, nil)
	if err == nil && (len(got) != 1 || got[0].Value != 1) {
		return s.fail("did not answer as Prometheus does: vector(1) is not 1 there")
	}
	return err
}

// ask bounds a question in time, and makes series or an error for people of its answer.
func (s *Source) ask(ctx context.Context, query func(context.Context) (model.Value, v1.Warnings, error), reduce *v1alpha1.Reduction) ([]guard.Series, error) {
	limit := s.timeout
	if at, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(at).Round(100*time.Millisecond))
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	v, warnings, err := query(ctx)
	if err != nil {
		return nil, s.explain(err, limit)
	}
	if err := s.whole(warnings); err != nil {
		return nil, err
	}
	return s.seriesOf(v, reduce)
}

// whole refuses answers that warnings say are not whole. Servers before 3.0 sent infos as warnings too.
func (s *Source) whole(warnings v1.Warnings) error {
	for _, w := range warnings {
		if !strings.HasPrefix(w, "PromQL info:") {
			return s.fail("warns that its answer is not whole: %s", s.quote(w))
		}
	}
	return nil
}

// bound lets the server give up when we do; whole seconds are understood by all of them.
func (s *Source) bound() []v1.Option {
	return []v1.Option{v1.WithTimeout(max(s.timeout.Truncate(time.Second), time.Second))}
}

// serverNow is the time by the server's clock, a round trip late at most and never ahead of it.
func (s *Source) serverNow(ctx context.Context) (time.Time, error) {
	now := s.clock.Now()
	s.mu.Lock()
	ahead, age := s.ahead, now.Sub(s.learned)
	s.mu.Unlock()
	if age >= 0 && age < skewAge {
		return now.Add(ahead), nil
	}
	v, _, err := s.api.Query(ctx, "time()", time.Time{}, s.bound()...)
	if err != nil {
		return time.Time{}, err
	}
	sc, ok := v.(*model.Scalar)
	if !ok {
		return time.Time{}, s.fail("did not answer as Prometheus does: time() is no scalar there")
	}
	now, at := s.clock.Now(), sc.Timestamp.Time()
	s.mu.Lock()
	s.ahead, s.learned = at.Sub(now), now
	s.mu.Unlock()
	return at, nil
}
