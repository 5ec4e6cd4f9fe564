package plan

// OrdinalPod is the pod with one ordinal of a set whose pods are numbered, such as a StatefulSet.
type OrdinalPod struct {
	// Exists and is not being deleted.
	Exists bool
	// Updated: it is of the template's revision.
	Updated   bool
	Available bool
}

// OrdinalsState is one observation of such a set.
type OrdinalsState struct {
	// Keep is how many pods it is to keep, Stay how many of them, those with the lowest ordinals, on the old revision, and Limit how many may be unavailable.
	Keep, Stay, Limit int32
	// Paused: no pod is taken away for another revision.
	Paused bool
	// Pods by ordinal. What is missing at the end does not exist.
	Pods []OrdinalPod
}

// Ordinals returns the partition to write, the lowest ordinal that may change: the set itself goes from the highest down. An available pod is let go only
// while, with all that is unavailable for any reason, no more than Limit are; broken ones and missing ones cost nothing. broken are the ordinals of old pods
// above the partition that are not available, so that the set would wait for them, or for those above them.
func Ordinals(s OrdinalsState) (partition int32, broken []int32) {
	budget := s.Limit - s.Keep
	for _, pod := range s.Pods {
		if pod.Exists && pod.Available {
			budget++
		}
	}
	partition = s.Keep
	for o := s.Keep - 1; o >= s.Stay; o-- {
		var pod OrdinalPod
		if int(o) < len(s.Pods) {
			pod = s.Pods[o]
		}
		switch {
		case !pod.Exists || pod.Updated:
		case s.Paused:
			return partition, broken
		case !pod.Available:
			broken = append(broken, o)
		case budget <= 0:
			return partition, broken
		default:
			budget--
		}
		partition = o
	}
	return partition, broken
}
