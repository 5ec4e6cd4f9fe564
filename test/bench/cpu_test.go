//go:build bench

package bench

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// tick is the unit in which Linux counts processor time.
const tick = 10 * time.Millisecond

func (b *bench) pid(cluster, part string) int {
	b.t.Helper()
	proc, ok, err := b.fleet.Process(cluster, part)
	if err != nil || !ok {
		b.t.Fatalf("%s/%s does not run: %v", cluster, part, err)
	}
	return proc.PID
}

// cpu is the processor time that a part has used: fields 14 and 15 of its stat.
func (b *bench) cpu(cluster, part string) time.Duration {
	b.t.Helper()
	raw := string(must(os.ReadFile(fmt.Sprintf("/proc/%d/stat", b.pid(cluster, part))))(b.t))
	f := strings.Fields(raw[strings.LastIndex(raw, ")")+1:])
	return time.Duration(must(strconv.ParseInt(f[11], 10, 64))(b.t)+must(strconv.ParseInt(f[12], 10, 64))(b.t)) * tick
}

// cpuOf is what the parts of these names have used in some clusters together.
func (b *bench) cpuOf(clusters []string, parts ...string) (sum time.Duration) {
	b.t.Helper()
	for _, c := range clusters {
		for _, p := range parts {
			sum += b.cpu(c, p)
		}
	}
	return sum
}
