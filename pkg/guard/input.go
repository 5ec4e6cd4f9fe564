package guard

import "time"

// Answers are what sources said for one guard in one member.
type Answers struct {
	// Sample is the last that was taken; nil where none is known.
	Sample *Sample
	// Baselines by metric, sampled before the first move.
	Baselines map[string]float64
	// Lags of sources, by name: how late what happens can be asked for.
	Lags map[string]time.Duration
}

// Moment is when guards are judged, and what the stage has done by then.
type Moment struct {
	// Now is the time of the judgement.
	Now time.Time
	// Step of the stage, from 1. After guards are judged anew for each.
	Step int
	// FirstMove is when the stage made its first move; zero before it. During guards count from here.
	FirstMove time.Time
	// Move is when the step's move was made; zero before it. After guards count from here.
	Move time.Time
}

// Input is what is known about one member. Judging reads it only, and keeps nothing of it.
type Input struct {
	Member       string
	MemberLabels map[string]string
	// Missing says why nothing can be known about the member now, such as "fra has not answered since 12:00:03 UTC". Guards are then
	// Inconclusive, whatever else is filled in.
	Missing string

	Workload Workload
	// Units of the target in the member. Without any the workload is not seen, and nothing about it can be judged.
	Units []Unit
	// Pods of the target in the member, but for those being deleted.
	Pods []Pod
	// Want is how many updated pods the step wants in the member. With 0, a guard that refers to `updated` is NotApplicable while there
	// is no updated pod.
	Want   int64
	Params map[string]string
	// Changed is true once the release has brought its revision to the member.
	Changed bool
}

// Workload is the target in one member; its counts are sums over the units.
type Workload struct {
	Kind, Name                              string
	Replicas                                int64
	Updated, UpdatedReady, UpdatedAvailable int64
	Ready, Available                        int64
	Want                                    int64
}

// Unit of a target in one member.
type Unit struct {
	Name, Member                            string
	Replicas                                int64
	Updated, UpdatedReady, UpdatedAvailable int64
	Ready, Available                        int64
	// Want is how many updated pods the step wants in the unit.
	Want int64
}

// Pod of a target.
type Pod struct {
	Name, Namespace, Member, Unit, Node, Revision string
	// Updated is true once the pod has observed the new revision: it runs it, and its status is about it.
	Updated bool
	// Moving is true for a pod that is on its way to the new revision. It is in `pods` only, neither in `updated` nor in `stable`.
	Moving           bool
	Ready, Available bool
	// Restarts of all its containers.
	Restarts int64
	Created  time.Time
	// Workload is the object that holds the pod.
	Workload string
	// Begun is when the pod began to become what it is: when it was last changed in place, else when it was made.
	Begun time.Time
	// ReadyChanged is when the cluster last changed what it says of Ready; zero where it has not said anything.
	ReadyChanged time.Time
	// TakenOut is true while the pod is kept from being ready on purpose: to be changed in place, or to be deleted.
	TakenOut bool
	// Phase is the pod's; Reason is its own or its first troubled container's, such as CrashLoopBackOff, empty where there is none.
	Phase, Reason string
}
