//go:build bench

package bench

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"
)

// report is what a benchmark found: a table for people, and the same with every sample for machines.
type report struct {
	Benchmark string               `json:"benchmark"`
	Command   string               `json:"command"`
	Date      time.Time            `json:"date"`
	Machine   string               `json:"machine"`
	Load      []string             `json:"load"` // of the machine at the start and at the end, as /proc/loadavg has it
	Columns   []string             `json:"columns"`
	Rows      [][]string           `json:"rows"`
	Notes     []string             `json:"notes,omitempty"`
	Samples   map[string][]float64 `json:"samples,omitempty"` // in milliseconds
}

func newReport(t *testing.T, columns ...string) *report {
	t.Helper()
	name := strings.TrimPrefix(t.Name(), "Test")
	return &report{
		Benchmark: name, Command: "make bench BENCH=" + name, Date: time.Now().UTC(), Load: []string{load(t)}, Columns: columns, Samples: map[string][]float64{},
		Machine: fmt.Sprintf("%d cores, %s, %s/%s, shared", runtime.NumCPU(), field(t, "/proc/meminfo", "MemTotal"), runtime.GOOS, runtime.GOARCH),
	}
}

// timesColumns are those of the rows that `times` adds.
var timesColumns = []string{"", "n", "p50", "p90", "p99", "max"}

// times adds a row of quantiles.
func (r *report) times(name string, samples []time.Duration) {
	ms := make([]float64, 0, len(samples))
	for _, s := range samples {
		ms = append(ms, float64(s.Microseconds())/1000)
	}
	r.Samples[name] = slices.Clone(ms)
	slices.Sort(ms)
	row := []string{name, fmt.Sprint(len(ms))}
	for _, q := range []float64{0.5, 0.9, 0.99, 1} {
		row = append(row, fmt.Sprintf("%.0f ms", quantile(ms, q)))
	}
	r.Rows = append(r.Rows, row)
}

// quantile by the nearest rank: the least sample that at least a share q of all are not above.
func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	return sorted[max(0, int(math.Ceil(q*float64(len(sorted))))-1)]
}

func (r *report) row(cells ...string) { r.Rows = append(r.Rows, cells) }

func (r *report) note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}

// publish prints the table and writes the JSON to the directory PERIPLUS_BENCH_OUT, where there is one.
func (r *report) publish(t *testing.T) {
	t.Helper()
	r.Load = append(r.Load, load(t))
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s · %s · %s · load %s\n", r.Command, r.Date.Format(time.RFC3339), r.Machine, strings.Join(r.Load, " → "))
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{r.Columns}, r.Rows...) {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	for _, n := range r.Notes {
		fmt.Fprintln(&b, n)
	}
	fmt.Println(b.String())
	if out := os.Getenv("PERIPLUS_BENCH_OUT"); out != "" {
		raw := must(json.MarshalIndent(r, "", " "))(t)
		if err := os.MkdirAll(out, 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(out, r.Benchmark+".json"), raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func load(t *testing.T) string {
	return strings.Join(strings.Fields(string(must(os.ReadFile("/proc/loadavg"))(t)))[:1], " ")
}

// field of a file of lines like "name: value".
func field(t *testing.T, file, name string) string {
	t.Helper()
	for _, line := range strings.Split(string(must(os.ReadFile(file))(t)), "\n") {
		if rest, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(rest)
		}
	}
	t.Fatalf("%s has no %s", file, name)
	return ""
}
