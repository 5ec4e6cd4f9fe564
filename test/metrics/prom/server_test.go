//go:build e2e

package prom

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/api"
	apiv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
)

// started is a server that scrapes a page of metrics of ours, and ends with the test.
func started(t *testing.T, o Options) *Server {
	t.Helper()
	programs, err := Find(t.Context(), t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	var app *httptest.Server
	app = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/targets" {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `[{"targets":[%q]}]`, strings.TrimPrefix(app.URL, "http://"))
			return
		}
		fmt.Fprintln(w, "answer 42")
	}))
	t.Cleanup(app.Close)
	o.Programs, o.Dir, o.Discover = programs, t.TempDir(), app.URL+"/targets"
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

func ask(t *testing.T, url string, client *http.Client, query string) (string, error) {
	t.Helper()
	c, err := api.NewClient(api.Config{Address: url, Client: client})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	v, _, err := apiv1.NewAPI(c).Query(ctx, query, time.Now())
	if err != nil {
		return "", err
	}
	switch v := v.(type) {
	case *model.Scalar:
		return v.Value.String(), nil
	case model.Vector:
		if len(v) == 1 {
			return v[0].Value.String(), nil
		}
	}
	return v.String(), nil
}

func until(t *testing.T, what string, ok func() (bool, string)) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		good, saw := ok()
		if good {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("it is not so that %s: %s", what, saw)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func TestAServerKeepsItsPortAndItsDataOverARestart(t *testing.T) {
	t.Parallel()
	s := started(t, Options{})
	answers := func(query, want string) func() (bool, string) {
		return func() (bool, string) {
			got, err := ask(t, s.URL(), s.Client(), query)
			return got == want, fmt.Sprintf("%s %v", got, err)
		}
	}
	until(t, "what is discovered is scraped", answers("answer", "42"))
	before, pid := time.Now(), s.PID()
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := ask(t, s.URL(), s.Client(), "answer"); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("a server that was stopped says %v", err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.PID() == pid {
		t.Error("the process is the same")
	}
	until(t, "what was scraped before is there", answers(fmt.Sprintf("answer @ %.3f", float64(before.UnixMilli())/1000), "42"))
}

func TestAServerDemandsItsPasswordOverTLS(t *testing.T) {
	t.Parallel()
	s := started(t, Options{User: "periplus", Password: "secret", TLS: true})
	if got, err := ask(t, s.URL(), s.Client(), "1+1"); got != "2" {
		t.Errorf("1+1 is %s (%v)", got, err)
	}
	with := s.Client().Transport.(*authenticated)
	if _, err := ask(t, s.URL(), &http.Client{Transport: &authenticated{"periplus", "wrong", with.Transport}}, "1+1"); err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("with a wrong password: %v", err)
	}
	if _, err := ask(t, s.URL(), &http.Client{Transport: &authenticated{"periplus", "secret", &http.Transport{}}}, "1+1"); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("without its authority: %v", err)
	}
}

func TestAProxyPassesOnAndHasTheFaultsItIsGiven(t *testing.T) {
	t.Parallel()
	s := started(t, Options{User: "periplus", Password: "secret", TLS: true})
	p, err := NewProxy(s)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Close() }()
	fresh := func(token string) *http.Client {
		return &http.Client{Transport: bearer{token, &http.Transport{DisableKeepAlives: true}}}
	}
	wants := func(what, token, want, fault string) {
		t.Helper()
		got, err := ask(t, p.URL(), fresh(token), "1+1")
		if (fault == "") != (err == nil) || got != want || err != nil && !strings.Contains(err.Error(), fault) {
			t.Errorf("%s: 1+1 is %q (%v)", what, got, err)
		}
	}
	wants("without faults", "", "2", "")
	p.NaN(true)
	wants("with NaN", "", "NaN", "")
	p.NaN(false)
	p.Slow(time.Minute)
	wants("while it is slow", "", "", "deadline")
	p.Slow(0)
	p.Bearer("letmein")
	wants("with a token", "letmein", "2", "")
	wants("with a wrong token", "guess", "", "401")
	p.Bearer("")
	if err := p.Down(); err != nil {
		t.Fatal(err)
	}
	wants("while it is down", "", "", "refused")
	if err := p.Up(); err != nil {
		t.Fatal(err)
	}
	wants("once it is up", "", "2", "")
	if p.Asked() == 0 {
		t.Error("no call was counted")
	}
}

type bearer struct {
	token string
	*http.Transport
}

func (b bearer) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	if b.token != "" {
		req.Header.Set("Authorization", "Bearer "+b.token)
	}
	return b.Transport.RoundTrip(req)
}
