package plan

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/intstr"
)

// Percentages round the same way everywhere: partition up, maxUnavailable down but at least 1 where nothing may surge, maxSurge up.

// Partition is how many of replicas pods stay on the old revision: a percentage rounds up, nil is 0, a number above replicas is
// replicas. Below 100 % with more than one replica at least one pod updates.
func Partition(p *intstr.IntOrString, replicas int32) (int32, error) {
	if p == nil {
		return 0, nil
	}
	n, err := scaled(p, replicas, true)
	if err != nil {
		return 0, fmt.Errorf("partition %q: %w", p.String(), err)
	}
	if p.Type == intstr.String && p.StrVal != "100%" && replicas > 1 && n >= replicas {
		return replicas - 1, nil
	}
	return min(max(n, 0), replicas), nil
}

// MaxUnavailable is how many of replicas pods may be unavailable where nothing may surge: a percentage rounds down, but never below 1.
func MaxUnavailable(m *intstr.IntOrString, replicas int32) (int32, error) {
	return MaxUnavailableWithSurge(m, replicas, 0)
}

// MaxUnavailableWithSurge is how many of replicas pods may be unavailable where surge pods may be made above them: a percentage rounds down, but never
// below 1 where none may, for then no pod could move. nil is 1.
func MaxUnavailableWithSurge(m *intstr.IntOrString, replicas, surge int32) (int32, error) {
	if m == nil {
		return 1, nil
	}
	n, err := scaled(m, replicas, false)
	if err != nil {
		return 0, fmt.Errorf("maxUnavailable %q: %w", m.String(), err)
	}
	if surge > 0 {
		return max(n, 0), nil
	}
	return max(n, 1), nil
}

// MaxSurge is how many pods above replicas may be made: a percentage rounds up, nil is 0.
func MaxSurge(m *intstr.IntOrString, replicas int32) (int32, error) {
	if m == nil {
		return 0, nil
	}
	n, err := scaled(m, replicas, true)
	if err != nil {
		return 0, fmt.Errorf("maxSurge %q: %w", m.String(), err)
	}
	return max(n, 0), nil
}

// Count is how many of replicas pods a wish for updated pods means: a percentage rounds up, so that a wish above 0 % is at least one pod.
// A number may be larger than replicas: the caller says what that means.
func Count(c intstr.IntOrString, replicas int32) (int32, error) {
	n, err := scaled(&c, replicas, true)
	if err != nil {
		return 0, fmt.Errorf("%q: %w", c.String(), err)
	}
	return max(n, 0), nil
}

// PartitionFor is the partition that lets updated of replicas pods be on the new revision. It is a percentage where one says exactly that,
// so that pods which a scale-out adds in the middle of a release keep the proportion; else a number.
func PartitionFor(updated, replicas int32) intstr.IntOrString {
	switch {
	case updated <= 0:
		return Held()
	case updated >= replicas:
		return intstr.FromInt32(0)
	}
	stay := int64(replicas - updated)
	p := intstr.FromString(fmt.Sprintf("%d%%", 100*stay/int64(replicas)))
	if n, err := Partition(&p, replicas); err == nil && int64(n) == stay {
		return p
	}
	return intstr.FromInt32(int32(stay)) // #nosec G115 -- stay is at most replicas.
}

// Held is the partition at rest: a change of the template is held back on every pod.
func Held() intstr.IntOrString { return intstr.FromString("100%") }

func scaled(v *intstr.IntOrString, replicas int32, up bool) (int32, error) {
	n, err := intstr.GetScaledValueFromIntOrPercent(v, int(replicas), up)
	if err != nil {
		return 0, fmt.Errorf("must be a number or a percentage: %w", err)
	}
	return int32(n), nil // #nosec G115 -- replicas and numbers are int32 in the API.
}
