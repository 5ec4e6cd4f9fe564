package simulation

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// enough is how many seeds it takes to say that a write site was not killed: each is in the share of one seed in eight, and some are rare.
const enough = 300

// checkCoverage says which write sites were not killed at both of their boundaries, and which of those that are known were never reached.
func checkCoverage(t *testing.T, over *sites, seeds int) {
	t.Helper()
	sites := known()
	if os.Getenv("PERIPLUS_UPDATE_SITES") != "" {
		var lines []string
		clear(sites)
		for _, name := range over.names() {
			sites[name] = over.all[name].runs*8 < seeds
			if sites[name] {
				name = rareMark + name
			}
			lines = append(lines, name)
		}
		if err := os.WriteFile(filepath.Join("testdata", "sites.txt"), []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	killed := 0
	for _, name := range over.names() {
		s := over.all[name]
		_, ours := sites[name]
		switch {
		case s.before > 0 && s.after > 0:
			killed++
		case seeds >= enough && ours:
			t.Errorf("never killed at both of its boundaries (before %d times, after %d; %d runs reached it): %s", s.before, s.after, s.runs, name)
		}
		if !ours && seeds >= enough {
			t.Logf("a new write site, in %d runs; keep it with PERIPLUS_UPDATE_SITES=1: %s", s.runs, name)
		}
	}
	t.Logf("%d write sites, %d of them killed before and after the write", len(over.all), killed)
	for name := range sites {
		if seeds >= enough && over.all[name] == nil {
			t.Errorf("never reached; if it is gone, run with PERIPLUS_UPDATE_SITES=1: %s", name)
		}
	}
}

func TestTheSameSeedMakesTheSameRun(t *testing.T) {
	for _, seed := range []uint64{1, 2, 3, 10, 14, 20, 99} { // releases, sets alone, and a CafeDeployment in either; some with sidecars.
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
