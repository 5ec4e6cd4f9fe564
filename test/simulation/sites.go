package simulation

import (
	"hash/fnv"
	"maps"
	"slices"
	"sync"
)

// sites are the places in our code that write, and what happened at each, over many runs.
type sites struct {
	mu  sync.Mutex
	all map[string]*site
}

type site struct {
	landed        int
	before, after int
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

// inShare says whether a site is among those that a seed kills at, whatever else.
func inShare(name string, seed uint64) bool {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name)) // never fails.
	return uint64(h.Sum32())%shares == seed%shares
}
