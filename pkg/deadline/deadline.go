// Package deadline judges whether a workload gets on: progressDeadlineSeconds of InPlaceSet and CafeDeployment mean the same. It is pure, and imports
// apimachinery alone.
package deadline

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// byDefault comes on top of minReadySeconds, in which a pod that is well does not get on either.
const byDefault = 600 * time.Second

// Of a spec: seconds where they are given.
func Of(seconds *int32, minReadySeconds int32) time.Duration {
	if seconds != nil {
		return time.Duration(*seconds) * time.Second
	}
	return byDefault + time.Duration(minReadySeconds)*time.Second
}

// Counts are how far a workload is.
type Counts struct {
	Generation                                     int64
	Replicas, Updated, Available, UpdatedAvailable int32
	// Above is how many pods there are above replicas.
	Above int32
}

// Best is how far a workload got since its generation was taken up, or since it last was at rest. Progress is to get further: a pod of a crash loop that
// comes up for a second at a time gets to where it was, and no more. It may be lost: what status says counts then as the best so far, and at worst the workload is
// late by one deadline more.
type Best struct {
	counts Counts
	// at is when it last got further; status may not have it yet. Zero where nothing is known.
	at time.Time
}

// Recall what status says, where nothing is known.
func (b *Best) Recall(status Counts, progressedAt *metav1.Time) {
	if b.at.IsZero() && progressedAt != nil {
		b.counts, b.at = status, progressedAt.Time
	}
}

// Note where the workload is, and return when it last got on. begins says that rest is over: time begins anew, as it does with each generation.
func (b *Best) Note(now time.Time, is Counts, begins bool) metav1.Time {
	switch {
	case b.at.IsZero() || b.counts.Generation != is.Generation || begins:
		b.counts, b.at = is, now
	case b.gotOn(is):
		b.at = now
	}
	return metav1.Time{Time: b.at.Truncate(time.Second)}
}

// gotOn raises what is the best so far, and says whether anything did.
func (b *Best) gotOn(now Counts) bool {
	before := b.counts
	b.counts.Replicas, b.counts.Updated = max(before.Replicas, now.Replicas), max(before.Updated, now.Updated)
	b.counts.Available, b.counts.UpdatedAvailable = max(before.Available, now.Available), max(before.UpdatedAvailable, now.UpdatedAvailable)
	b.counts.Above = min(before.Above, now.Above)
	return b.counts != before
}
