package simulation

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// enough is how many seeds it takes to say that a write site was not killed: each is in the share of one seed in eight, and some are rare.
const enough = 150

// checkCoverage says which write sites were not killed at both of their boundaries, and which of those that are known were never reached.
func checkCoverage(t *testing.T, over *sites, seeds int) {
	t.Helper()
	file := filepath.Join("testdata", "sites.txt")
	if os.Getenv("PERIPLUS_UPDATE_SITES") != "" {
		if err := os.WriteFile(file, []byte(strings.Join(over.names(), "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	known := strings.Split(strings.TrimSpace(string(raw)), "\n")
	killed := 0
	for _, name := range over.names() {
		s := over.all[name]
		if s.before > 0 && s.after > 0 {
			killed++
		} else if seeds >= enough && slices.Contains(known, name) {
			t.Errorf("never killed at both of its boundaries (before %d times, after %d): %s", s.before, s.after, name)
		}
	}
	t.Logf("%d write sites, %d of them killed before and after the write", len(over.all), killed)
	if seeds < enough {
		return
	}
	for _, name := range known {
		if over.all[name] == nil {
			t.Errorf("never reached; if it is gone, run with PERIPLUS_UPDATE_SITES=1: %s", name)
		}
	}
	for _, name := range over.names() {
		if !slices.Contains(known, name) {
			t.Logf("a new write site; keep it with PERIPLUS_UPDATE_SITES=1: %s", name)
		}
	}
}

func TestTheSameSeedMakesTheSameRun(t *testing.T) {
	for seed := uint64(1); seed <= 3; seed++ {
		a, b := Simulate(seed, Plant{}, newSites(), true), Simulate(seed, Plant{}, newSites(), true)
		for i := range min(len(a.Lines), len(b.Lines)) {
			if a.Lines[i] != b.Lines[i] {
				t.Fatalf("seed %d: line %d is\n%s\nand then\n%s", seed, i, a.Lines[i], b.Lines[i])
			}
		}
		if len(a.Lines) != len(b.Lines) {
			t.Fatalf("seed %d: %d lines, and then %d", seed, len(a.Lines), len(b.Lines))
		}
	}
}
