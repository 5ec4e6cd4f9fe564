package load

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// Kind of a request.
type Kind string

const (
	// New requests have a connection of their own.
	New Kind = "new"
	// Kept requests share connections that are kept, as clients with a pool do.
	Kept Kind = "kept"
	// Long requests take Options.Long to be answered, on a connection of their own.
	Long Kind = "long"
)

// Result is one request that ended.
type Result struct {
	Kind Kind
	// Due is when it was to be sent, Took how long after that it ended: a client that is late is part of what users would feel.
	Due  time.Time
	Took time.Duration
	// Address it was sent to; empty where there was no connection.
	Address string
	// Answer is the body, without space around it.
	Answer string
	// Failure is what went wrong, in a word that many share; empty where nothing did. Err has the rest.
	Failure string
	Err     error
}

// keep is how many failures are kept in full.
const keep = 10

// Tally counts results. It may be used by many at once.
type Tally struct {
	mu       sync.Mutex
	sent     map[Kind]int
	failed   map[Kind]int
	failures map[string]int
	answers  map[string]int
	first    []Result
	took     map[Kind][]time.Duration
}

// NewTally returns one that has counted nothing.
func NewTally() *Tally {
	return &Tally{sent: map[Kind]int{}, failed: map[Kind]int{}, failures: map[string]int{}, answers: map[string]int{}, took: map[Kind][]time.Duration{}}
}

// Add counts a result.
func (t *Tally) Add(r Result) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sent[r.Kind]++
	t.took[r.Kind] = append(t.took[r.Kind], r.Took)
	if r.Failure == "" {
		t.answers[r.Answer]++
		return
	}
	t.failed[r.Kind]++
	t.failures[r.Failure]++
	if len(t.first) < keep {
		t.first = append(t.first, r)
	}
}

// Sent is how many requests ended so far.
func (t *Tally) Sent() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return total(t.sent)
}

// Report is what a tally came to.
type Report struct {
	Sent, Failed int
	// ByKind of request.
	ByKind map[Kind]KindReport
	// Failures by what went wrong, and the first of them in full.
	Failures map[string]int
	First    []Result
	// Answers by body: which versions answered, and how often.
	Answers map[string]int
}

// KindReport is of one kind of request. Times are those within which half of them, all but one in a hundred, and all ended, failed ones included.
type KindReport struct {
	Sent, Failed     int
	Median, P99, Max time.Duration
}

// Report of what was counted so far.
func (t *Tally) Report() Report {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := Report{
		Sent: total(t.sent), Failed: total(t.failed), ByKind: map[Kind]KindReport{},
		Failures: maps.Clone(t.failures), First: slices.Clone(t.first), Answers: maps.Clone(t.answers),
	}
	for kind, took := range t.took {
		took = slices.Sorted(slices.Values(took))
		r.ByKind[kind] = KindReport{Sent: t.sent[kind], Failed: t.failed[kind], Median: rank(took, 50), P99: rank(took, 99), Max: took[len(took)-1]}
	}
	return r
}

func total(counts map[Kind]int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}

// rank returns the smallest value that at least percent of the sorted values do not exceed.
func rank(sorted []time.Duration, percent int) time.Duration {
	return sorted[max(0, (len(sorted)*percent+99)/100-1)]
}

// String is the report for people.
func (r Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d requests, %d failed\n", r.Sent, r.Failed)
	for _, kind := range slices.Sorted(maps.Keys(r.ByKind)) {
		k := r.ByKind[kind]
		fmt.Fprintf(&b, "  %-5s %7d, %d failed, median %s, 99 of 100 %s, longest %s\n", kind, k.Sent, k.Failed, k.Median, k.P99, k.Max)
	}
	for _, answer := range slices.Sorted(maps.Keys(r.Answers)) {
		fmt.Fprintf(&b, "  %q answered %d\n", answer, r.Answers[answer])
	}
	for _, failure := range slices.Sorted(maps.Keys(r.Failures)) {
		fmt.Fprintf(&b, "  %s: %d\n", failure, r.Failures[failure])
	}
	for _, f := range r.First {
		fmt.Fprintf(&b, "    %s %s to %s, after %s: %s: %v\n", f.Due.UTC().Format("15:04:05.000"), f.Kind, orNobody(f.Address), f.Took, f.Failure, f.Err)
	}
	return b.String()
}

func orNobody(address string) string {
	if address == "" {
		return "nobody"
	}
	return address
}
