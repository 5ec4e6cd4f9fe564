package simulation

import (
	"hash/fnv"
	"maps"
	"slices"
	"strings"
	"sync"

	_ "embed"
)

// sites are the places in our code that write, and what happened at each, over many runs.
type sites struct {
	mu  sync.Mutex
	all map[string]*site
}

type site struct {
	landed        int
	before, after int
	// runs in which it was reached, and the stories that they told.
	runs    int
	stories map[string]bool
}

// sitesFile are the write sites that are known, one a line; those that few runs reach are marked.
//
//go:embed testdata/sites.txt
var sitesFile string

// rareMark is before a site that few runs reach: each that does kills there.
const rareMark = "rare: "

// known are the sites of the file, and whether each is rare.
var known = sync.OnceValue(func() map[string]bool {
	out := map[string]bool{}
	for _, line := range strings.Split(strings.TrimSpace(sitesFile), "\n") {
		name, rare := strings.CutPrefix(line, rareMark)
		out[name] = rare
	}
	return out
})

// ran counts the sites that a run of a story has reached.
func (s *sites) ran(story string, reached map[string]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range reached {
		x := s.of(name)
		x.runs++
		if x.stories == nil {
			x.stories = map[string]bool{}
		}
		x.stories[story] = true
	}
}

// missing are the stories that reached known sites which were not killed at both of their boundaries.
func (s *sites) missing() map[string]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]bool{}
	for name := range known() {
		if x := s.all[name]; x != nil && (x.before == 0 || x.after == 0) {
			maps.Copy(out, x.stories)
		}
	}
	return out
}

func newSites() *sites { return &sites{all: map[string]*site{}} }

func (s *sites) of(name string) *site {
	if s.all[name] == nil {
		s.all[name] = &site{}
	}
	return s.all[name]
}

func (s *sites) seen(name string, landed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.of(name); landed {
		known.landed++
	}
}

func (s *sites) kill(name string, what fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if what == killedBefore {
		s.of(name).before++
	} else {
		s.of(name).after++
	}
}

// kills is how often a process was killed at a write.
func (s *sites) kills() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, x := range s.all {
		n += x.before + x.after
	}
	return n
}

func (s *sites) names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.all))
}

// shares is how many parts the write sites are cut into: a run kills at all that are in its own, so that as many runs as there are shares have
// killed at each.
const shares = 8

// inShare says whether a site is among those that a seed kills at, whatever else: those of its share, and the rare ones.
func inShare(name string, seed uint64) bool {
	if known()[name] {
		return true
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(name)) // never fails.
	return uint64(h.Sum32())%shares == seed%shares
}
