package workload

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/clock"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

// ErrNotFound means that no workload answers to a target's name or selector.
var ErrNotFound = errors.New("workload not found")

// Kind is one kind of workload.
type Kind interface {
	// Observe returns the units that ref means in a namespace of a member, sorted by unit, out of watch caches. synced is false while the
	// caches fill or cannot be trusted; err then says why, where that is known. ErrNotFound where there is none. A ref with neither name nor selector
	// means all workloads of the kind, and then units of different workloads may share a name.
	Observe(s Session, member, namespace string, ref v1alpha1.WorkloadRef) (units []Unit, synced bool, err error)
	// Write makes one write to a workload. It conflicts when the workload is not as it was observed.
	Write(ctx context.Context, s Session, o Object, w Write) error
	// Template reads the template of a revision that the unit's workload had before, from its history in the member's API server. ErrNotFound where
	// the history does not go back so far.
	Template(ctx context.Context, s Session, u *Unit, revision string) (*corev1.PodTemplateSpec, error)
	// Get reads one workload with its units, and without their pods, from the member's API server itself, for when no watch runs. ErrNotFound where it is gone.
	Get(ctx context.Context, s Session, member, namespace, name string) (Object, error)
}

// Write is what one write changes; fields left nil stay.
type Write struct {
	// What is done, in words, for errors and events.
	What     string
	Template *corev1.PodTemplateSpec
	// Partitions by the unit's name; those of units that are not named stay.
	Partitions map[string]intstr.IntOrString
	// Lock to take, or Unlock to let go of it.
	Lock   *v1alpha1.Lock
	Unlock bool
}

// Kinds are the adapters by kind.
type Kinds map[string]Kind

// For returns the adapter of a reference.
func (k Kinds) For(ref v1alpha1.WorkloadRef) (Kind, error) {
	a, ok := k[ref.Kind]
	if !ok {
		return nil, fmt.Errorf("workload.kind %q: no stage can move it; known are %s", ref.Kind, k.names())
	}
	return a, nil
}

func (k Kinds) names() string {
	return strings.Join(slices.Sorted(maps.Keys(k)), ", ")
}

// NewKinds returns the adapters of all kinds that stages can move.
func NewKinds(c clock.PassiveClock) Kinds {
	return Kinds{"InPlaceSet": &inPlaceSets{clock: c}, "CafeDeployment": &cafeDeployments{clock: c}, KindSidecarSet: &sidecarSets{clock: c}}
}
