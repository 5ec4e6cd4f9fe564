package plan

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/intstr"
)

// CafeUnit is what is seen of one unit of a CafeDeployment.
type CafeUnit struct {
	Name string
	// Draining: it is not among the deployment's units any more.
	Draining bool
	// HasSets: there is at least one pod set. Kept is how many pods the unit's sets were told to keep.
	HasSets bool
	Kept    int32
	// Goes has one entry for each pod that is not being deleted, in the order in which the pod sets would take them away: whether it is available.
	Goes []bool
	// Leaving pods are being deleted.
	Leaving int32
	// Updated pods carry the update revision; UpdatedAvailable of them run it and are available.
	Updated, UpdatedAvailable int32
	// Pending pods find no room. Movable of them may be made elsewhere instead: they waited long enough and no volume binds them.
	Pending, Movable int32
	// Moved is how many pods of its share were recorded to be moved to it, or, below 0, from it; Full that a pod of it found no room since the spec last
	// changed, so that nothing is moved to it.
	Moved int32
	Full  bool
}

func (u *CafeUnit) available() (n int32) {
	for _, available := range u.Goes {
		if available {
			n++
		}
	}
	return n
}

// loses is how many available pods go if the unit keeps n pods.
func (u *CafeUnit) loses(n int32) (lost int32) {
	for i := range int32(len(u.Goes)) - n { // #nosec G115 -- a deployment has at most 10000 pods.
		if int(i) < len(u.Goes) && u.Goes[i] {
			lost++
		}
	}
	return lost
}

// CafeScaling is where pods that are being added began, and where they go, by unit.
type CafeScaling struct {
	From, To map[string]int32
	// Change names the scaling, for confirmations.
	Change string
}

// CafeState is one observation of a CafeDeployment.
type CafeState struct {
	Replicas int32
	// Units in the order of the spec, and after them those that are draining.
	Units  []CafeUnit
	Wishes map[string]intstr.IntOrString
	// MaxUnavailable of each unit.
	MaxUnavailable *intstr.IntOrString

	Beta      bool
	BatchSize *intstr.IntOrString
	// Confirm: somebody has to confirm after each group but the last. Pause: nothing new begins.
	Confirm, Pause bool
	// Driven: Partitions are followed exactly, and own groups rest.
	Driven     bool
	Partitions map[string]intstr.IntOrString
	// Reschedule gives the place of pods that find no room to other units. Restore takes moves back, because the spec changed.
	Reschedule, Restore bool

	// Current is the revision that held back pods are on, Update that of the template. Change names this change of the template, for confirmations; Next would
	// name a scaling that begins now.
	Current, Update string
	Change, Next    string
	// Scaling as recorded; nil where none is.
	Scaling *CafeScaling
	// Asked is the last confirmation that was asked for, Confirmed what the annotation says.
	Asked, Confirmed string
}

// CafeUnitPlan is what is to become of one unit.
type CafeUnitPlan struct {
	Name string
	// Wanted is how many pods it is to have in the end, Share what the spec alone gives it; Moved is the difference.
	Wanted, Share, Moved int32
	Full                 bool
	// Keep is how many pods it is to keep now, and Stay how many of them stay on another revision than the template's.
	Keep, Stay int32
	// Allowed is how many pods may be on the template's revision now.
	Allowed int32
	// Delete its pod sets: it was drained.
	Delete bool
}

// CafeWait is what a group waits for.
type CafeWait string

const (
	// WaitPods: its pods are not available yet.
	WaitPods CafeWait = "Pods"
	// WaitConfirmation: somebody has to confirm the group before it.
	WaitConfirmation CafeWait = "Confirmation"
	// WaitPause: the deployment is paused.
	WaitPause CafeWait = "Pause"
)

// Kinds of groups.
const (
	GroupsOfUpdate = "Update"
	GroupsOfScale  = "Scale"
)

// CafeGroup is the group that is worked on or waited for.
type CafeGroup struct {
	// For is GroupsOfUpdate or GroupsOfScale.
	For string
	// Index from 1, of Total.
	Index, Total int32
	What         string
	Waits        CafeWait
	// Missing is how many of the pods that it wants, those of groups before it included, are not there and available.
	Missing int32
}

// CafePlan is all that is to be done after one observation. What is to be recorded must be in the API before the next observation acts on it: a plan
// moves nothing by a record that it makes itself.
type CafePlan struct {
	// Units in the order of the state.
	Units []CafeUnitPlan
	// Scaling is to be recorded, or none.
	Scaling *CafeScaling
	// Reset: the annotation is to say that nothing is confirmed. Asked is to be recorded.
	Reset bool
	Asked string
	// Group is worked on; nil while nothing changes.
	Group *CafeGroup
	// Misfits says which wishes do not have what they ask for.
	Misfits []string
	// Held is how many pods wait to be taken away until others are available.
	Held int32
}

// CafeDeployment decides from one observation how many pods each unit keeps and how many of them stay on the old revision.
//
// Updates: groups are cut from none to all pods of the units. The first group whose pods do not all run the update revision and are available is worked on; a unit
// lets go as many as that group wants in it, and no fewer than went already. Back at the current revision there are no groups: all go.
//
// Pods that are added: where each unit began is recorded, and groups are cut from there; the first that is not available is worked on. Where no more pods are
// wanted than there were, they only move between units and come at once.
//
// Pods that are taken away go at once where none are added anywhere, but for those of a unit that is drained. Else they go as far as replicas - maxUnavailable pods stay available in all units together.
//
// Errors: a wish, limit or partition that cannot be read, or names a unit that is not there.
func CafeDeployment(s CafeState) (CafePlan, error) {
	c := cafe{s: s, plan: CafePlan{Asked: s.Asked, Units: make([]CafeUnitPlan, len(s.Units))}}
	for i := range s.Units {
		c.plan.Units[i].Name = s.Units[i].Name
	}
	var err error
	if c.limit, err = MaxUnavailable(s.MaxUnavailable, s.Replicas); err != nil {
		return CafePlan{}, err
	}
	if c.grouping, err = groupingOf(s); err != nil {
		return CafePlan{}, err
	}
	if err := c.allocate(); err != nil {
		return CafePlan{}, err
	}
	c.scale()
	if err := c.update(); err != nil {
		return CafePlan{}, err
	}
	c.reschedule()
	for i := range s.Units {
		u := &s.Units[i]
		c.plan.Units[i].Delete = u.Draining && u.HasSets && u.Kept == 0 && len(u.Goes) == 0 && u.Leaving == 0
	}
	return c.plan, nil
}

// CafeCurrentRevision is the revision that held back pods are on from now: the update revision once every replica runs it and is available. No pods prove
// nothing: a deployment that is scaled to none and back keeps what was held back held back.
func CafeCurrentRevision(s CafeState, p CafePlan) string {
	var all int32
	for i := range s.Units {
		u := &s.Units[i]
		n := int32(len(u.Goes)) // #nosec G115 -- a deployment has at most 10000 pods.
		if n != p.Units[i].Wanted || u.UpdatedAvailable != n {
			return s.Current
		}
		all += n
	}
	if all == 0 || all != s.Replicas {
		return s.Current
	}
	return s.Update
}

// cafe is a plan in the making.
type cafe struct {
	s        CafeState
	limit    int32
	grouping Grouping
	plan     CafePlan
}

func groupingOf(s CafeState) (Grouping, error) {
	g := Grouping{Beta: s.Beta}
	if s.BatchSize == nil {
		return g, nil
	}
	n, err := Count(*s.BatchSize, s.Replicas)
	if err != nil {
		return g, fmt.Errorf("batchSize: %w", err)
	}
	g.Size = max(n, 1)
	return g, nil
}

// allocate gives each unit its share, and applies the moves that are recorded.
func (c *cafe) allocate() error {
	var names []string
	for i := range c.s.Units {
		if !c.s.Units[i].Draining {
			names = append(names, c.s.Units[i].Name)
		}
	}
	a, err := Allocate(c.s.Replicas, names, c.s.Wishes)
	if err != nil {
		return err
	}
	c.plan.Misfits = a.Misfits
	for i := range c.s.Units {
		u, to := &c.s.Units[i], &c.plan.Units[i]
		to.Full = u.Full && !u.Draining
		if !u.Draining {
			to.Share = a.Of(u.Name)
		}
		to.Wanted = to.Share
	}
	c.move()
	return nil
}
