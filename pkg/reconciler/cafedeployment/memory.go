package cafedeployment

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/periplus-dev/periplus/pkg/deadline"
)

// memory is what may be lost at any time and only makes the controller gentler.
type memory struct {
	mu          sync.Mutex
	deployments map[types.NamespacedName]*remembered
}

type remembered struct {
	uid types.UID
	// reported is when the status was last written.
	reported time.Time
	// told is when each turn was last told in an Event, by its reason.
	told map[string]time.Time
	// looks are of the last pass, and best is how far the deployment got. Only a pass of the deployment uses them, and there is one at a time.
	looks looks
	best  *deadline.Best
}

func newMemory() *memory { return &memory{deployments: map[types.NamespacedName]*remembered{}} }

// know a deployment; returns the UID of another that had its name before.
func (m *memory) know(key types.NamespacedName, uid types.UID) (before types.UID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	known := m.deployments[key]
	if known != nil && known.uid == uid {
		return ""
	}
	m.deployments[key] = &remembered{uid: uid, told: map[string]time.Time{}, looks: looks{}, best: &deadline.Best{}}
	if known == nil {
		return ""
	}
	return known.uid
}

func (m *memory) forget(key types.NamespacedName) (uid types.UID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if known := m.deployments[key]; known != nil {
		delete(m.deployments, key)
		return known.uid
	}
	return ""
}

func (m *memory) of(key types.NamespacedName, do func(*remembered)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if known := m.deployments[key]; known != nil {
		do(known)
	}
}
