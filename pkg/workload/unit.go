package workload

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/plan"
)

// Unit is one unit of a target in one member, as observed.
type Unit struct {
	Member string
	// Name of the unit, such as a data centre.
	Name string
	// Kind and Workload name the object that holds the unit's pods; Namespace is where it stands. Shared is true where such an object can hold several units:
	// then lock, template and revisions are those of all of them.
	Kind      string
	Namespace string
	Workload  string
	Shared    bool
	UID       types.UID
	// ResourceVersion that a write must meet.
	ResourceVersion string
	// Observed is true once the workload's controller has seen the spec as it is here.
	Observed bool
	// Deleting is true once the object is being deleted.
	Deleting bool

	// Replicas that the unit is to have; of a shared workload its controller says so, and they are good only while Observed.
	Replicas  int32
	Partition *intstr.IntOrString
	// Waiting is how many pods get the update revision only when they are created anew, and WaitingFor why. They are none of Replicas, nor of Pods.
	Waiting    int32
	WaitingFor string
	// WaitingOn is how many of them are on each revision.
	WaitingOn map[string]int32
	// Own is true where the workload goes by groups of its own, and Partition is how far these are: it follows partitions once one is written.
	Own    bool
	Paused bool
	// Revision that held back pods are on, and UpdateRevision of the template. Good only while Observed.
	Revision       string
	UpdateRevision string
	// Proves is true where Revision becomes the update revision once the workload's controller has seen all of its pods run it, while nothing is held back: pods that are
	// created when all is held back again are of it only then.
	Proves bool
	// Stalled is the workload's own message when it cannot go on until somebody changes something.
	Stalled string
	// Trouble is its own message when it does not get on at the moment, and goes on trying.
	Trouble  string
	Template *corev1.PodTemplateSpec
	// Lock on the workload, nil where there is none. LockError says that the annotation cannot be read.
	Lock      *v1alpha1.Lock
	LockError error

	// annotated is true where the object has annotations: a JSON patch cannot add one to none.
	annotated bool
	// partitioned is true where the object has a map of partitions: a JSON patch cannot remove what is not there.
	partitioned bool

	Pods []Pod
}

// Pod of a unit, as observed.
type Pod struct {
	Name string
	// Namespace that the pod stands in.
	Namespace string
	Node      string
	Revision  string
	// Started is true once the pod carries the unit's update revision or is on its way to it; Updated once it runs it.
	Started bool
	Updated bool
	// Ready and Available as the cluster and the workload count them.
	Ready     bool
	Available bool
	// LookAgainAt is when time alone makes something of the pod: a ready one available, or one that is not started again failing. Zero where it does not.
	LookAgainAt time.Time
	Terminating bool
	// ReadyChanged is when the cluster last changed what it says of Ready; zero where it has not said anything.
	ReadyChanged time.Time
	// TakenOut is true while the pod is kept from being ready on purpose: to be changed in place, or to be deleted.
	TakenOut bool
	Restarts int32
	Created  time.Time
	// Begun is when the pod began to become what it is: when it was last changed in place, else when it was made.
	Begun time.Time
	Phase string
	// Reason and Message of the first container that does not run, or of the pod.
	Reason  string
	Message string
	// Failing is true once a container will not get up by waiting: the kubelet has tried what the pod wants now, more than once where that
	// makes sense. What it says of an earlier image does not count.
	Failing bool
}

// wait counts a pod that waits for its creation.
func (u *Unit) wait(revision string) {
	u.Waiting++
	if u.WaitingOn == nil {
		u.WaitingOn = map[string]int32{}
	}
	u.WaitingOn[revision]++
}

// Ref is how the unit is named in messages.
func (u *Unit) Ref() string { return u.Member + "/" + u.Name }

// PlanUnit is the unit as planners need it.
func (u *Unit) PlanUnit() plan.Unit {
	return plan.Unit{Member: u.Member, Name: u.Name, Replicas: u.Replicas}
}

// Counts of a unit's pods. Pods that are being deleted are not counted.
type Counts struct {
	Pods             int32
	Ready            int32
	Available        int32
	Started          int32
	Updated          int32
	UpdatedReady     int32
	UpdatedAvailable int32
	OldUnavailable   int32
	OldSettling      int32
}

// Count counts the unit's pods.
func (u *Unit) Count() Counts {
	var c Counts
	for i := range u.Pods {
		p := &u.Pods[i]
		if p.Terminating {
			continue
		}
		c.Pods++
		if p.Ready {
			c.Ready++
		}
		if p.Available {
			c.Available++
		}
		if p.Started {
			c.Started++
		}
		switch {
		case p.Updated:
			c.Updated++
			if p.Ready {
				c.UpdatedReady++
			}
			if p.Available {
				c.UpdatedAvailable++
			}
		case !p.Started && !p.Available && p.Ready:
			c.OldSettling++
		case !p.Started && !p.Available:
			c.OldUnavailable++
		}
	}
	return c
}

// PlanState is the unit as the planner of its next partition needs it.
func (u *Unit) PlanState() plan.UnitState {
	c := u.Count()
	return plan.UnitState{Replicas: u.Replicas, Partition: u.Partition, Pods: c.Pods, Updated: c.Started, UpdatedAvailable: c.UpdatedAvailable, OldUnavailable: c.OldUnavailable, OldSettling: c.OldSettling}
}

// Failing returns the first pod on its way to the update revision that will not get there by waiting, or nil.
func (u *Unit) Failing() *Pod {
	for i := range u.Pods {
		if p := &u.Pods[i]; p.Started && p.Failing && !p.Terminating && !p.Available {
			return p
		}
	}
	return nil
}
