package plan

import (
	"k8s.io/apimachinery/pkg/util/intstr"
)

// UnitState is what is seen of a unit when its partition is moved.
type UnitState struct {
	Replicas  int32
	Partition *intstr.IntOrString
	// Updated pods carry the new revision or are on their way to it; UpdatedAvailable of them run it and are available.
	Updated          int32
	UpdatedAvailable int32
	// Pods there are, but for those being deleted: what is missing of the replicas is unavailable.
	Pods int32
	// OldUnavailable are pods on another revision that are not available, and not ready either.
	OldUnavailable int32
	// OldSettling are pods on another revision that are ready, but not for minReadySeconds yet: they serve, and are not available.
	OldSettling int32
}

// Allowed is how many pods the partition lets be on the new revision.
func (s UnitState) Allowed() int32 {
	p, err := Partition(s.Partition, s.Replicas)
	if err != nil {
		return 0 // a partition that cannot be read lets nothing move.
	}
	return s.Replicas - p
}

// Advance returns how many pods a unit may have on the new revision now, on the way to want, and whether that is more than its partition
// allows already. limit is how many pods of the unit may be unavailable; negative means no limit of the stage's own. A partition is never
// raised here. Pods that the partition already lets go, and that are not available again, count against the limit; old pods that do not serve
// anyway are taken first and cost nothing; those that serve again, but not for long enough to be available, count against the limit. Pods that
// are on the new revision already are let go at once, for nothing starts by that.
func Advance(s UnitState, want, limit int32) (next int32, move bool) {
	allowed := s.Allowed()
	if allowed >= want {
		return allowed, false
	}
	if limit < 0 {
		return want, true
	}
	started := max(s.Updated, 0)
	allowed = max(allowed, min(started, want))
	toStart := max(allowed-started, 0)
	broken := max(s.OldUnavailable-toStart, 0)
	missing := max(s.Replicas-s.Pods, 0)
	underway := max(started-s.UpdatedAvailable, 0) + max(missing, toStart) + max(s.OldSettling, 0)
	next = min(want, allowed+broken+max(limit-underway-broken, 0))
	return next, next > s.Allowed()
}

// Halt returns how many pods a unit keeps on the new revision when a stage stops: those that are on it or on their way, so that no further
// pod starts; and whether its partition has to be raised for that.
func Halt(s UnitState) (keep int32, move bool) {
	keep = min(max(s.Updated, 0), s.Replicas)
	return keep, s.Allowed() > keep
}
