package localfleet

import (
	"strings"
	"testing"
	"time"
)

func TestProgressIsNeverSilentForLong(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	var out strings.Builder
	p := &Progress{out: &out, now: func() time.Time { return now }, began: now, spoke: now, running: map[string]time.Time{}}
	done := p.Begin("build kwok v0.8.0")
	now = now.Add(5 * time.Second)
	p.beat()
	if out.Len() != 0 {
		t.Errorf("it spoke after five seconds: %s", &out)
	}
	now = now.Add(heartbeat)
	p.beat()
	if !strings.Contains(out.String(), "still at build kwok v0.8.0 (15s)") {
		t.Errorf("it said %q", &out)
	}
	done("built, 2 to go")
	if !strings.HasSuffix(out.String(), "build kwok v0.8.0 built, 2 to go (15s)\n") {
		t.Errorf("it said %q", &out)
	}
	out.Reset()
	now = now.Add(time.Hour)
	p.beat()
	if out.Len() != 0 {
		t.Errorf("with nothing under way it said %q", &out)
	}
}
