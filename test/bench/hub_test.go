//go:build bench

package bench

import (
	"flag"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/periplus-dev/periplus/pkg/localfleet"
)

var rest = flag.Duration("rest", time.Minute, "how long the hub is looked at while nothing happens")

// TestHub says what each process of the hub takes while nothing happens: without runs, and with runs that wait for people. etcd is that of all clusters.
func TestHub(t *testing.T) {
	b, r := newBench(t), newReport(t, "process", "memory at rest", "CPU at rest", "memory, runs waiting", "CPU, runs waiting")
	parts := [][2]string{{"hub", localfleet.PartController}, {"hub", localfleet.PartTektonController}, {"hub", localfleet.PartTektonWebhook},
		{"hub", localfleet.PartAPIServer}, {"hub", localfleet.PartControllerManager}, {localfleet.Fleet, localfleet.PartEtcd}}
	idle := b.usage(parts)
	b.waiting(*others)
	busy := b.usage(parts)
	for i, p := range parts {
		r.row(p[1], megabytes(idle[i].memory), idle[i].cpu(), megabytes(busy[i].memory), busy[i].cpu())
	}
	r.note("%d runs wait at a Confirm; CPU in thousandths of a core over %s, begun half as long after the last run came to wait; memory is the process's resident set at the end", *others, *rest)
	r.publish(t)
}

type usage struct {
	memory int64 // bytes
	used   time.Duration
}

func (u usage) cpu() string { return fmt.Sprintf("%.1f m", 1000*u.used.Seconds()/rest.Seconds()) }

func megabytes(bytes int64) string { return fmt.Sprintf("%.0f MB", float64(bytes)/(1<<20)) }

// usage of processes over the time of rest.
func (b *bench) usage(parts [][2]string) []usage {
	b.t.Helper()
	<-time.After(*rest / 2) // what the runs that came before set off comes to its end.
	before := make([]time.Duration, len(parts))
	for i, p := range parts {
		before[i] = b.cpu(p[0], p[1])
	}
	<-time.After(*rest)
	out := make([]usage, len(parts))
	for i, p := range parts {
		kb, _, _ := strings.Cut(field(b.t, fmt.Sprintf("/proc/%d/status", b.pid(p[0], p[1])), "VmRSS"), " ")
		out[i] = usage{memory: must(strconv.ParseInt(kb, 10, 64))(b.t) * 1024, used: b.cpu(p[0], p[1]) - before[i]}
	}
	return out
}
