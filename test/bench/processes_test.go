//go:build bench

package bench

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/periplus-dev/periplus/pkg/localfleet"
)

// runners are the parts of a fleet that work for a member while its pods change.
var runners = []string{
	localfleet.PartAPIServer, localfleet.PartKwok, localfleet.PartControllerManager, localfleet.PartScheduler, localfleet.PartWorkloads,
}

const (
	partEtcd      = "etcd (all clusters)"
	partMeasuring = "what measures"
)

// processes are the processor times that have been used so far: by the runners of a cluster, by the etcd of all clusters, and by this process and what it ran.
func (b *bench) processes(cluster string) map[string]time.Duration {
	b.t.Helper()
	out := map[string]time.Duration{partEtcd: b.cpu(localfleet.Fleet, localfleet.PartEtcd)}
	for _, part := range runners {
		out[part] = b.cpu(cluster, part)
	}
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if err := syscall.Getrusage(who, &u); err != nil {
			b.t.Fatalf("reading what this process used: %v", err)
		}
		out[partMeasuring] += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return out
}

// perPodCPU says the milliseconds that each process used for each of n pods, most first.
func perPodCPU(used map[string]time.Duration, n int) string {
	names := make([]string, 0, len(used))
	for name := range used {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(used[b], used[a]), cmp.Compare(a, b)) })
	var out []string
	for _, name := range names {
		if each := 1000 * used[name].Seconds() / float64(n); each >= 0.05 {
			out = append(out, fmt.Sprintf("%s %.1f", name, each))
		}
	}
	return strings.Join(out, ", ")
}
