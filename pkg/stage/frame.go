package stage

import (
	"context"
	"sync"
	"time"

	"github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	tektonclient "github.com/tektoncd/pipeline/pkg/client/clientset/versioned"
	pipelinev1listers "github.com/tektoncd/pipeline/pkg/client/listers/pipeline/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/periplus-dev/periplus/pkg/apis/stages"
	"github.com/periplus-dev/periplus/pkg/client/clientset/versioned"
	stageslisters "github.com/periplus-dev/periplus/pkg/client/listers/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/guard"
	"github.com/periplus-dev/periplus/pkg/release"
	"github.com/periplus-dev/periplus/pkg/workload"
)

// Frame is what all stages of a hub share.
type Frame struct {
	Config

	metrics *metrics
	tasks   map[string]Task
	guards  guardCache
	written writtenVersions
}

// Config is what a frame is made of.
type Config struct {
	Tekton       tektonclient.Interface
	Periplus     versioned.Interface
	PipelineRuns pipelinev1listers.PipelineRunLister
	Approvals    stageslisters.ApprovalLister
	Releases     stageslisters.ReleaseLister
	// Interventions and Freezes stop stages, and end them.
	Interventions stageslisters.InterventionLister
	Freezes       stageslisters.FreezeLister
	Fleet         Fleet
	// Namespaces of the hub, whose labels ReleasePolicies select by.
	Namespaces Namespaces
	// Tasks are all kinds of stages that the hub runs: what policies demand of a run is looked for among the stages of the whole run.
	Tasks   []Task
	Kinds   workload.Kinds
	Records *release.Records
	Locks   *release.Locks
	Clock   clock.PassiveClock
	// Sources answer the guards that ask for metrics; nil where the hub has none.
	Sources Sources
	// Retention is how long records of releases are kept after their end; for ever where it is zero.
	Retention time.Duration
	// LockRecheck is how often a stage that waits for another release looks whether that is over, should no event say so.
	LockRecheck time.Duration
	// StatusEvery is the least time between two writes of a run's status that bring nothing but counts.
	StatusEvery time.Duration
}

// NewFrame makes a frame; the times of its configuration take their defaults, 15 s and 1 s, where they are zero.
func NewFrame(c Config) (*Frame, error) {
	m, err := newMetrics()
	if err != nil {
		return nil, err
	}
	if c.LockRecheck == 0 {
		c.LockRecheck = 15 * time.Second
	}
	if c.StatusEvery == 0 {
		c.StatusEvery = time.Second
	}
	tasks := map[string]Task{}
	for _, t := range c.Tasks {
		tasks[t.Kind()] = t
	}
	return &Frame{
		Config: c, metrics: m, tasks: tasks,
		guards:  guardCache{sets: map[guardKey]*guard.Set{}},
		written: writtenVersions{last: map[types.UID]writtenStatus{}},
	}, nil
}

// Ours says whether a CustomRun is of a kind of this group.
func Ours(cr *v1beta1.CustomRun, kind string) bool {
	apiVersion, k := "", ""
	switch {
	case cr.Spec.CustomRef != nil:
		apiVersion, k = cr.Spec.CustomRef.APIVersion, string(cr.Spec.CustomRef.Kind)
	case cr.Spec.CustomSpec != nil:
		apiVersion, k = cr.Spec.CustomSpec.APIVersion, cr.Spec.CustomSpec.Kind
	}
	return apiVersion == stages.GroupName+"/v1alpha1" && k == kind
}

// guardKey tells the guards of one attempt of one run.
type guardKey struct {
	uid     types.UID
	attempt int
}

// guardCache keeps compiled guards, so that each is compiled once in a process. It holds nothing that is not also in the run's status.
type guardCache struct {
	mu   sync.Mutex
	sets map[guardKey]*guard.Set
}

func (c *guardCache) get(k guardKey) *guard.Set {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sets[k]
}

func (c *guardCache) put(k guardKey, s *guard.Set) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sets[k] = s
}

func (c *guardCache) drop(uid types.UID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k := range c.sets {
		if k.uid == uid {
			delete(c.sets, k)
		}
	}
}

// writtenStatus is the last status that this process wrote of a run.
type writtenStatus struct {
	resourceVersion string
	at              time.Time
}

// writtenVersions tell whether a run read from the cache is older than what this process wrote last: then nothing is decided on it. Losing
// them in a crash is harmless, as the cache then starts from what the API server has.
type writtenVersions struct {
	mu   sync.Mutex
	last map[types.UID]writtenStatus
}

func (w *writtenVersions) get(uid types.UID) (writtenStatus, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	v, ok := w.last[uid]
	return v, ok
}

func (w *writtenVersions) put(uid types.UID, v writtenStatus) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last[uid] = v
}

func (w *writtenVersions) drop(uid types.UID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.last, uid)
}

// forget drops all that is kept in memory of a run.
func (f *Frame) forget(_ context.Context, uid types.UID) {
	f.Fleet.Close(uid)
	f.guards.drop(uid)
	if f.Sources != nil {
		f.Sources.Forget(uid)
	}
}
