package load

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	clocktesting "k8s.io/utils/clock/testing"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func TestTally(t *testing.T) {
	tally := NewTally()
	for i := range 200 {
		tally.Add(Result{Kind: New, Due: noon, Took: time.Duration(i+1) * time.Millisecond, Answer: "v1"})
	}
	for i := range 15 {
		tally.Add(Result{Kind: Long, Due: noon.Add(time.Duration(i) * time.Second), Took: time.Second, Address: "10.0.0.1:8080", Failure: "timeout", Err: fmt.Errorf("number %d", i)})
	}
	r := tally.Report()
	if r.Sent != 215 || r.Failed != 15 || r.Failures["timeout"] != 15 || r.Answers["v1"] != 200 || tally.Sent() != 215 {
		t.Errorf("report is %+v", r)
	}
	if got, want := r.ByKind[New], (KindReport{Sent: 200, Median: 100 * time.Millisecond, P99: 198 * time.Millisecond, Max: 200 * time.Millisecond}); got != want {
		t.Errorf("new requests are %+v, want %+v", got, want)
	}
	if len(r.First) != keep || r.First[0].Err.Error() != "number 0" {
		t.Errorf("failures in full are %v: want the first %d", r.First, keep)
	}
	for _, want := range []string{"215 requests, 15 failed", "timeout: 15", "12:00:01.000 long to 10.0.0.1:8080, after 1s: timeout: number 1", `"v1" answered 200`} {
		if text := r.String(); !strings.Contains(text, want) {
			t.Errorf("the report does not say %q:\n%s", want, text)
		}
	}
	if empty := NewTally().Report(); empty.Sent != 0 || empty.String() != "0 requests, 0 failed\n" {
		t.Errorf("a report of nothing is %q", empty)
	}
}

func TestAMixHasItsSharesInEveryHundredAndSomeOfEachInEveryTwenty(t *testing.T) {
	m := Mix{Kept: 40, Long: 10}
	for from := 0; from < 1000; from += 20 {
		counts := map[Kind]int{}
		for n := from; n < from+100; n++ {
			counts[m.Kind(n)]++
			if n == from+19 && (counts[New] == 0 || counts[Kept] == 0 || counts[Long] == 0) {
				t.Errorf("from %d on, twenty are %v", from, counts)
			}
		}
		if counts[Kept] != 40 || counts[Long] != 10 || counts[New] != 50 {
			t.Errorf("from %d on, a hundred are %v", from, counts)
		}
	}
}

func TestFollowedAddressesAreKnownLate(t *testing.T) {
	c := clocktesting.NewFakePassiveClock(noon)
	f := NewFollowed(time.Second, c)
	picks := func(n int) (out []string) {
		for range n {
			a, err := f.Pick()
			if err != nil {
				a = err.Error()
			}
			out = append(out, a)
		}
		slices.Sort(out)
		return slices.Compact(out)
	}
	step := func(after time.Duration, what string, want ...string) {
		t.Helper()
		c.SetTime(noon.Add(after))
		if got := picks(10); !slices.Equal(got, want) {
			t.Errorf("%s: connections go to %v, want %v", what, got, want)
		}
	}
	step(0, "nothing was listed", ErrNobody.Error())
	f.Set([]string{"a", "b"})
	step(999*time.Millisecond, "it was listed less than the lag ago", ErrNobody.Error())
	step(time.Second, "the lag is over", "a", "b")
	f.Set([]string{"b"})
	c.SetTime(noon.Add(1500 * time.Millisecond))
	f.Set([]string{"b", "c"})
	step(1999*time.Millisecond, "a was taken out less than the lag ago", "a", "b")
	step(2*time.Second, "a was taken out, c is not known yet", "b")
	step(5*time.Second, "all is known", "b", "c")
}

func TestReadyAddresses(t *testing.T) {
	yes, no := true, false
	endpoint := func(address string, ready, serving, terminating *bool) discoveryv1.Endpoint {
		return discoveryv1.Endpoint{Addresses: []string{address}, Conditions: discoveryv1.EndpointConditions{Ready: ready, Serving: serving, Terminating: terminating}}
	}
	for name, c := range map[string]struct {
		slices [][]discoveryv1.Endpoint
		want   []string
	}{
		"no slice":                            {},
		"ready ones of all slices":            {[][]discoveryv1.Endpoint{{endpoint("a", &yes, &yes, &no)}, {endpoint("b", nil, nil, nil), endpoint("c", &no, &no, &no)}}, []string{"a", "b"}},
		"one that is out of service":          {[][]discoveryv1.Endpoint{{endpoint("a", &no, &no, &no)}}, nil},
		"one that ends beside a ready one":    {[][]discoveryv1.Endpoint{{endpoint("a", &no, &yes, &yes), endpoint("b", &yes, &yes, &no)}}, []string{"b"}},
		"one that ends where no other serves": {[][]discoveryv1.Endpoint{{endpoint("a", &no, &yes, &yes), endpoint("b", &no, &no, &yes)}}, []string{"a"}},
	} {
		t.Run(name, func(t *testing.T) {
			var in []*discoveryv1.EndpointSlice
			for _, e := range c.slices {
				in = append(in, &discoveryv1.EndpointSlice{Endpoints: e})
			}
			if got := ready(in); !slices.Equal(got, c.want) {
				t.Errorf("addresses are %v, want %v", got, c.want)
			}
		})
	}
}

func TestARunSendsAllItShouldAndCountsWhatFails(t *testing.T) {
	var connections, broken atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/slow":
			if r.URL.Query().Get("for") != "50ms" {
				http.Error(w, "no", http.StatusBadRequest)
				return
			}
			time.Sleep(50 * time.Millisecond)
		case r.Header.Get("Connection") == "close" && broken.Add(1) == 7:
			panic(http.ErrAbortHandler)
		}
		fmt.Fprintln(w, "v1")
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	tally := NewTally()
	o := Options{Target: Fixed(server.Listener.Addr().String()), Rate: 500, Requests: 300, Mix: Mix{Kept: 50, Long: 10}, Long: 50 * time.Millisecond}
	began := time.Now()
	Run(t.Context(), o, tally)
	if took := time.Since(began); took < 598*time.Millisecond {
		t.Errorf("300 requests at 500 a second took %s", took)
	}
	r := tally.Report()
	if r.Sent != 300 || r.Failed != 1 || r.ByKind[Kept].Sent != 150 || r.ByKind[Long].Sent != 30 || r.ByKind[New].Failed != 1 || r.Answers["v1"] != 299 {
		t.Errorf("report:\n%s", r)
	}
	if r.Failures["closed without an answer"] != 1 || len(r.First) != 1 || r.First[0].Address != server.Listener.Addr().String() {
		t.Errorf("failures:\n%s", r)
	}
	if r.ByKind[Long].Median < 50*time.Millisecond {
		t.Errorf("long requests took %s", r.ByKind[Long].Median)
	}
	if n := connections.Load(); n < 150 || n > 250 {
		t.Errorf("%d connections for 150 requests that have one each and 150 that share", n)
	}
}

func TestWhereThereIsNobodyEveryRequestFails(t *testing.T) {
	tally := NewTally()
	Run(t.Context(), Options{Target: NewFollowed(0, clocktesting.NewFakePassiveClock(noon)), Rate: 1000, Requests: 20}, tally)
	if r := tally.Report(); r.Failures["nobody to send to"] != 20 || !errors.Is(r.First[0].Err, ErrNobody) {
		t.Errorf("report:\n%s", r)
	}
}
