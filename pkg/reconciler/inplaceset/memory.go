package inplaceset

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/periplus-dev/periplus/pkg/deadline"
)

// memory is what may be lost at any time and only makes the controller gentler.
type memory struct {
	mu   sync.Mutex
	sets map[types.NamespacedName]*remembered
}

type remembered struct {
	uid string
	// reported is when the status was last written.
	reported time.Time
	// taken are names of pods that are not ours.
	taken map[string]bool
	// established is how many pods there were of those that are wanted, once counted.
	established int32
	counted     bool
	// scaledDown are the pods that were taken for being too many, until they are gone.
	scaledDown map[types.UID]bool
	// told is when each kind of wait was last seen, by the reason of its Event.
	told map[string]time.Time
	// unfit are pods whose resize the API server refused.
	unfit map[types.UID]refusal
	// looks and texts are of the last pass, and best is how far the set got. Only a pass of the set reads and writes them, and there is one at a time.
	looks looks
	texts *texts
	best  *deadline.Best
	// gathering is of the events of its pods.
	gathering gathering
}

// refusal of a write, in the API server's words, and when it is tried again.
type refusal struct {
	why   string
	until time.Time
}

func newMemory() *memory { return &memory{sets: map[types.NamespacedName]*remembered{}} }

// know a set; replaced says that another one had its name, and which.
func (m *memory) know(key types.NamespacedName, uid string) (before string, replaced bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	known := m.sets[key]
	if known != nil && known.uid == uid {
		return "", false
	}
	m.sets[key] = &remembered{
		uid: uid, taken: map[string]bool{}, told: map[string]time.Time{}, unfit: map[types.UID]refusal{}, looks: looks{}, texts: &texts{}, best: &deadline.Best{},
	}
	if known == nil {
		return "", false
	}
	return known.uid, true
}

func (m *memory) forget(key types.NamespacedName) (uid string, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	known := m.sets[key]
	if known == nil {
		return "", false
	}
	delete(m.sets, key)
	return known.uid, true
}

func (m *memory) of(key types.NamespacedName, do func(*remembered)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if known := m.sets[key]; known != nil {
		do(known)
	}
}
