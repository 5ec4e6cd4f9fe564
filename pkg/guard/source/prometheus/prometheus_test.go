package prometheus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/guard"
	"github.com/periplus-dev/periplus/pkg/guard/source"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// asked is a server that answers every question with the same, and keeps what it was asked.
type asked struct {
	*httptest.Server
	mu    sync.Mutex
	paths []string
	forms []url.Values
}

func serve(t *testing.T, answer http.HandlerFunc) *asked {
	t.Helper()
	a := &asked{}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			t.Errorf("reading the form: %v", err)
		}
		a.mu.Lock()
		a.paths, a.forms = append(a.paths, r.URL.Path), append(a.forms, r.Form)
		a.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(a.Close)
	return a
}

func body(code int, contentType, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(code)
		_, _ = w.Write([]byte(text))
	}
}

func data(text string) http.HandlerFunc {
	return body(200, "application/json", `{"status":"success","data":`+text+`}`)
}

func sourceFor(t *testing.T, address string, change ...func(*Options)) *Source {
	t.Helper()
	o := Options{Address: address, Timeout: 5 * time.Second, Clock: clocktesting.NewFakePassiveClock(noon)}
	for _, c := range change {
		c(&o)
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func TestAnswersBecomeSeries(t *testing.T) {
	for _, tc := range []struct {
		name, data string
		want       []guard.Series
		wrong      string
	}{
		{name: "a scalar", data: `{"resultType":"scalar","result":[1,"2.5"]}`, want: []guard.Series{{Value: 2.5}}},
		{name: "one series, whose metric's name tells nothing", data: `{"resultType":"vector","result":[{"metric":{"__name__":"up"},"value":[1,"1"]}]}`, want: []guard.Series{{Value: 1}}},
		{
			name: "several", data: `{"resultType":"vector","result":[{"metric":{"pod":"a"},"value":[1,"1"]},{"metric":{"pod":"b"},"value":[1,"+Inf"]}]}`,
			want: []guard.Series{{Labels: map[string]string{"pod": "a"}, Value: 1}, {Labels: map[string]string{"pod": "b"}, Value: math.Inf(1)}},
		},
		{
			name: "several that their names tell", data: `{"resultType":"vector","result":[{"metric":{"__name__":"a"},"value":[1,"1"]},{"metric":{"__name__":"b"},"value":[1,"2"]}]}`,
			want: []guard.Series{{Labels: map[string]string{"__name__": "a"}, Value: 1}, {Labels: map[string]string{"__name__": "b"}, Value: 2}},
		},
		{name: "NaN, which is for the guard to judge", data: `{"resultType":"vector","result":[{"metric":{},"value":[1,"NaN"]}]}`, want: []guard.Series{{Value: math.NaN()}}},
		{name: "no data", data: `{"resultType":"vector","result":[]}`},
		{name: "a text", data: `{"resultType":"string","result":[1,"x"]}`, wrong: "did not answer as Prometheus does"},
		{name: "a range", data: `{"resultType":"matrix","result":[{"metric":{},"values":[[1,"1"]]}]}`, wrong: "answered with a range vector"},
		{name: "a native histogram", data: `{"resultType":"vector","result":[{"metric":{"__name__":"h"},"histogram":[1,{"count":"1","sum":"1","buckets":[]}]}]}`, wrong: "native histogram (h)"},
		{name: "nothing known", data: `{"resultType":"vibes","result":[]}`, wrong: "did not answer as Prometheus does"},
		{name: "no data field", data: `null`, wrong: "did not answer as Prometheus does"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			srv := serve(t, data(tc.data))
			got, err := sourceFor(t, srv.URL+"/tenant/").Ask(t.Context(), source.Question{Query: "up", Window: time.Minute})
			if diff := cmp.Diff(tc.want, got, cmpopts.EquateNaNs(), cmpopts.EquateEmpty()); diff != "" {
				t.Error(diff)
			}
			if (err == nil) != (tc.wrong == "") || (err != nil && !strings.Contains(err.Error(), tc.wrong)) {
				t.Errorf("error: %v", err)
			}
			if srv.paths[0] != "/tenant/api/v1/query" || srv.forms[0].Has("time") || srv.forms[0].Get("timeout") != "5s" {
				t.Errorf("asked %s with %v: the server's clock must decide", srv.paths[0], srv.forms[0])
			}
		})
	}
}

func TestAServerThatCannotAnswerSaysWhyInOneLine(t *testing.T) {
	many := `{"metric":{"a":"b"},"value":[1,"1"]}` + strings.Repeat(`,{"metric":{"a":"b"},"value":[1,"1"]}`, 1000)
	for _, tc := range []struct {
		name   string
		answer http.HandlerFunc
		want   string
	}{
		{"a query that it does not take", body(400, "application/json", `{"status":"error","errorType":"bad_data","error":"invalid parameter \"query\":\n 1:4: parse error"}`), `refused the query: invalid parameter "query": 1:4: parse error`},
		{"a query that it cannot carry out", body(422, "application/json", `{"status":"error","errorType":"execution","error":"multiple matches for labels"}`), `refused the query: multiple matches for labels`},
		{"one that is being started", body(503, "text/plain", "Service Unavailable"), "answered 503 Service Unavailable"},
		{"one that gives up by itself", body(503, "application/json", `{"status":"error","errorType":"timeout","error":"query timed out in expression evaluation"}`), "could not answer (503): query timed out in expression evaluation"},
		{"another path", http.NotFound, "has no /api/v1/query (404): the address must be what comes before /api/v1"},
		{"a web page", body(200, "text/html; charset=utf-8", "<html>Sign in</html>"), "answered with a web page"},
		{"JSON of something else", body(200, "application/json", `{"hello":"world"}`), "did not answer as Prometheus does"},
		{"an empty answer", body(204, "application/json", ""), "did not answer as Prometheus does"},
		{"a huge answer", func(w http.ResponseWriter, _ *http.Request) {
			for range 9 {
				_, _ = w.Write([]byte(strings.Repeat(" ", 1<<20)))
			}
		}, "answered with more than 8 MiB"},
		{"too many series", data(`{"resultType":"vector","result":[` + many + `]}`), "answered with 1001 series, more than 1000"},
		{"an answer that is partial by a warning", body(200, "application/json", `{"status":"success","warnings":["store x: unavailable"],"data":{"resultType":"vector","result":[]}}`), "warns that its answer is not whole: store x: unavailable"},
		{"an answer that says it is partial", body(200, "application/json", `{"status":"success","isPartial":true,"data":{"resultType":"vector","result":[]}}`), "answered in part only"},
		{"a redirect on the same host", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/prom"+r.URL.Path, http.StatusFound)
		}, "/prom, and redirects are not followed"},
		{"no credentials where some are wanted", body(401, "text/plain", "Unauthorized"), "refused us without credentials: set bearerToken, basicAuth or tls.certificate (401)"},
		{"an end in the middle", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte("{"))
		}, "cannot be reached: unexpected EOF"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			srv := serve(t, tc.answer)
			got, err := sourceFor(t, srv.URL).Ask(t.Context(), source.Question{Query: "up", Window: time.Minute})
			if err == nil || got != nil {
				t.Fatalf("got %v", got)
			}
			if m := err.Error(); !strings.HasPrefix(m, "prometheus at "+srv.URL+" ") || !strings.Contains(m, tc.want) || strings.Contains(m, "\n") {
				t.Errorf("got  %s\nwant %s", m, tc.want)
			}
		})
	}
}

func TestAnInfoIsNoReasonToDistrust(t *testing.T) {
	srv := serve(t, body(200, "application/json", `{"status":"success","warnings":["PromQL info: metric might not be a counter"],"infos":["x"],"data":{"resultType":"scalar","result":[1,"1"]}}`))
	if got, err := sourceFor(t, srv.URL).Ask(t.Context(), source.Question{Query: "up", Window: time.Minute}); err != nil || len(got) != 1 {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestNobodyThere(t *testing.T) {
	srv := serve(t, http.NotFound)
	address := srv.URL
	srv.Close()
	_, err := sourceFor(t, address).Ask(t.Context(), source.Question{Query: "up", Window: time.Minute})
	if err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("got %v", err)
	}
	_, err = sourceFor(t, "http://no-such-host.invalid").Ask(t.Context(), source.Question{Query: "up", Window: time.Minute})
	if err == nil || !strings.Contains(err.Error(), "no-such-host.invalid") {
		t.Errorf("got %v", err)
	}
}

func TestASlowServerIsWaitedForNoLongerThanTheTimeout(t *testing.T) {
	over := make(chan struct{})
	srv := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-over:
		case <-r.Context().Done():
		}
	})
	t.Cleanup(func() { close(over) })
	s := sourceFor(t, srv.URL, func(o *Options) { o.Timeout = 200 * time.Millisecond })
	_, err := s.Ask(t.Context(), source.Question{Query: "up", Window: time.Minute})
	if err == nil || !strings.HasSuffix(err.Error(), "did not answer within 200ms") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Ask(ctx, source.Question{Query: "up", Window: time.Minute}); err == nil || !strings.HasSuffix(err.Error(), "was not waited for") {
		t.Errorf("got %v", err)
	}
}

func TestAServerThatTakesNoPOSTIsAskedByGET(t *testing.T) {
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		data(`{"resultType":"scalar","result":[1,"1"]}`)(w, r)
	})
	if got, err := sourceFor(t, srv.URL).Ask(t.Context(), source.Question{Query: "up", Window: time.Minute}); err != nil || len(got) != 1 {
		t.Errorf("got %v, %v", got, err)
	}
}

// ranges answers time() by a clock of its own, and ranges with one value, n, for each step.
func ranges(t *testing.T, now time.Time, values string) *asked {
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Form.Get("query") == "time()" {
			at := float64(now.UnixMilli()) / 1000
			data(fmt.Sprintf(`{"resultType":"scalar","result":[%.3f,"%.3f"]}`, at, at))(w, r)
			return
		}
		data(`{"resultType":"matrix","result":`+values+`}`)(w, r)
	})
}

func TestARangeIsBoundedByTheServersClock(t *testing.T) {
	for _, tc := range []struct {
		name         string
		window, step time.Duration
		start        time.Duration
	}{
		{"steps that fill the window", time.Minute, 15 * time.Second, 45 * time.Second},
		{"steps that do not: the first value too looks back no farther than the window", time.Minute, 25 * time.Second, 25 * time.Second},
		{"one step", time.Minute, time.Minute, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			server := noon.Add(-7 * time.Minute)
			srv := ranges(t, server, `[]`)
			c := clocktesting.NewFakePassiveClock(noon)
			s := sourceFor(t, srv.URL, func(o *Options) { o.Clock = c })
			q := source.Question{Query: "rate(up[15s])", Window: tc.window, Range: &v1alpha1.MetricRange{Step: metav1.Duration{Duration: tc.step}, Reduce: v1alpha1.ReduceMax}}
			ask := func() {
				t.Helper()
				if _, err := s.Ask(t.Context(), q); err != nil {
					t.Fatal(err)
				}
			}
			ask()
			c.SetTime(noon.Add(10 * time.Second))
			ask()
			c.SetTime(noon.Add(10 * time.Minute))
			ask()
			if len(srv.forms) != 5 {
				t.Fatalf("%d questions, want 3 and two for the time", len(srv.forms))
			}
			for _, i := range []int{1, 2} {
				f, end := srv.forms[i], server.Add(time.Duration(i-1)*10*time.Second)
				if f.Get("end") != fmt.Sprint(end.Unix()) || f.Get("start") != fmt.Sprint(end.Add(-tc.start).Unix()) || f.Get("step") != fmt.Sprint(tc.step.Seconds()) {
					t.Errorf("asked %v", f)
				}
			}
		})
	}
}

func TestARangeBecomesOneNumber(t *testing.T) {
	for _, tc := range []struct {
		name   string
		reduce v1alpha1.Reduction
		values string
		want   float64
		none   bool
	}{
		{name: "the greatest", reduce: v1alpha1.ReduceMax, values: `[1,"-3"],[2,"NaN"],[3,"-1"]`, want: -1},
		{name: "the least", reduce: v1alpha1.ReduceMin, values: `[1,"NaN"],[2,"3"],[3,"1"]`, want: 1},
		{name: "the mean of those that are numbers", reduce: v1alpha1.ReduceAvg, values: `[1,"NaN"],[2,"3"],[3,"1"]`, want: 2},
		{name: "the sum", reduce: v1alpha1.ReduceSum, values: `[1,"4"],[2,"NaN"],[3,"1"]`, want: 5},
		{name: "the last that is a number", reduce: v1alpha1.ReduceLast, values: `[1,"4"],[2,"3"],[3,"NaN"]`, want: 3},
		{name: "nothing but NaN is no data", reduce: v1alpha1.ReduceMax, values: `[1,"NaN"],[2,"NaN"]`, none: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			srv := ranges(t, noon, `[{"metric":{},"values":[`+tc.values+`]}]`)
			got, err := sourceFor(t, srv.URL).Ask(t.Context(), source.Question{
				Query: "up", Window: time.Minute, Range: &v1alpha1.MetricRange{Step: metav1.Duration{Duration: 10 * time.Second}, Reduce: tc.reduce},
			})
			want := []guard.Series{{Value: tc.want}}
			if tc.none {
				want = nil
			}
			if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" || err != nil {
				t.Error(diff, err)
			}
		})
	}
}

func TestARangeThatCannotBeIsRefused(t *testing.T) {
	s := sourceFor(t, "http://127.0.0.1:1")
	for _, tc := range []struct{ window, step time.Duration }{{time.Minute, 0}, {time.Minute, 2 * time.Minute}, {24 * time.Hour, time.Second}} {
		_, err := s.Ask(t.Context(), source.Question{Query: "up", Window: tc.window, Range: &v1alpha1.MetricRange{Step: metav1.Duration{Duration: tc.step}, Reduce: v1alpha1.ReduceMax}})
		if err == nil || !strings.HasPrefix(err.Error(), "range.step ") {
			t.Errorf("%v: %v", tc, err)
		}
	}
}

func TestMatchersBoundWhatIsAsked(t *testing.T) {
	srv := serve(t, data(`{"resultType":"vector","result":[]}`))
	s := sourceFor(t, srv.URL, func(o *Options) {
		o.Matchers = map[string]string{"cluster": "$(member.labels.name)", "namespace": "$(namespace)"}
	})
	q := source.Question{Namespace: "shop", Member: "fra", MemberLabels: map[string]string{"name": `f"r`}, Query: `sum(up{namespace="other"})`, Window: time.Minute}
	if _, err := s.Ask(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	if got := srv.forms[0].Get("query"); got != `sum(up{cluster="f\"r",namespace="other",namespace="shop"})` {
		t.Errorf("asked %s", got)
	}
	q.MemberLabels = nil
	if _, err := s.Ask(t.Context(), q); err == nil || !strings.Contains(err.Error(), "member fra has no label name") || len(srv.forms) != 1 {
		t.Errorf("a matcher without a value: %v, asked %d times", err, len(srv.forms))
	}
}

func TestAddressesThatAreRefused(t *testing.T) {
	for _, a := range []string{"", "prom:9090", "ftp://prom", "http://", "http://u:s3cret@prom", "http://prom?x=s3cret", "http://prom#s3cret", "http://u:s3cret@%zz"} {
		if _, err := New(Options{Address: a}); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%q: %v", a, err)
		}
	}
}

func TestProbing(t *testing.T) {
	for answer, want := range map[string]string{
		`{"resultType":"vector","result":[{"metric":{},"value":[1,"1"]}]}`: "",
		`{"resultType":"vector","result":[]}`:                              "vector(1) is not 1",
	} {
		srv := serve(t, data(answer))
		s := sourceFor(t, srv.URL, func(o *Options) { o.Matchers = map[string]string{"a": "$(member.name)"} })
		if err := s.Probe(t.Context()); (err == nil) != (want == "") || (err != nil && !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v", answer, err)
		}
	}
}

// echo sends the headers of a request back in every way there is.
func echo(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(code)
		text := fmt.Sprint(r.Header.Get("Authorization"), " ", r.Header)
		if user, password, ok := r.BasicAuth(); ok {
			text = "no user " + user + " with " + password
		} else if _, token, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok {
			text = "bad token " + token
		}
		_ = json.NewEncoder(w).Encode(map[string]string{"status": "error", "errorType": "execution", "error": text})
	}
}

func TestAnEchoingServerDoesNotMakeUsPrintASecret(t *testing.T) {
	const secret = `hunter"2&ü`
	for _, c := range []Credentials{
		{BearerToken: &Secret{Value: []byte("hunter2-token\n"), From: "Secret prom, key token"}},
		{Username: "periplus", Password: &Secret{Value: []byte(secret), From: "Secret prom, key password"}},
	} {
		for _, code := range []int{200, 400, 401, 403, 404, 422, 500, 503} {
			srv := serve(t, echo(code))
			_, err := sourceFor(t, srv.URL, func(o *Options) { o.Credentials = c }).Ask(t.Context(), source.Question{Query: "up", Window: time.Minute})
			if err == nil || strings.Contains(err.Error(), "hunter") {
				t.Errorf("%d: %v", code, err)
			}
			refused := code == 401 || code == 403
			if errors.Is(err, ErrCredentials) != refused || refused && !strings.Contains(err.Error(), "of Secret prom, key ") {
				t.Errorf("%d: %v", code, err)
			}
		}
	}
}

func TestARedirectElsewhereTakesNoCredentialsAlong(t *testing.T) {
	elsewhere := serve(t, data(`{"resultType":"scalar","result":[1,"1"]}`))
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, strings.Replace(elsewhere.URL, "http://", "http://u:p@", 1)+"/x/api/v1/query?token=t", http.StatusTemporaryRedirect)
	})
	s := sourceFor(t, srv.URL, func(o *Options) {
		o.Credentials = Credentials{BearerToken: &Secret{Value: []byte("t0ken"), From: "Secret prom, key token"}}
	})
	_, err := s.Ask(t.Context(), source.Question{Query: "up", Window: time.Minute})
	if err == nil || !strings.Contains(err.Error(), "redirects to "+elsewhere.URL+"/x, ") || len(elsewhere.forms) != 0 {
		t.Errorf("got %v; asked elsewhere %d times", err, len(elsewhere.forms))
	}
}
