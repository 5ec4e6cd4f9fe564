package workload

import (
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/plan"
)

// Object is one workload as observed, with its units: one of an InPlaceSet, one or more of a CafeDeployment. It is what is locked, recorded and written as a
// whole; pods are counted, and partitions moved, by unit.
type Object struct {
	// Units, at least one.
	Units []*Unit
}

// Objects are the workloads that hold units, in the order of their first units.
func Objects(units []Unit) []Object {
	type key struct{ member, kind, namespace, workload string }
	var out []Object
	at := map[key]int{}
	for i := range units {
		u := &units[i]
		k := key{u.Member, u.Kind, u.Namespace, u.Workload}
		if _, ok := at[k]; !ok {
			at[k] = len(out)
			out = append(out, Object{})
		}
		out[at[k]].Units = append(out[at[k]].Units, u)
	}
	return out
}

// First is the first unit: what is the workload's own and not a unit's, all units say alike.
func (o Object) First() *Unit { return o.Units[0] }

// Ref is how the workload is named in messages: by its unit where it can have but one.
func (o Object) Ref() string {
	u := o.First()
	if u.Shared {
		return u.Member + "/" + u.Workload
	}
	return u.Ref()
}

// Held are partitions that hold back every pod of every unit.
func (o Object) Held() map[string]intstr.IntOrString {
	out := map[string]intstr.IntOrString{}
	for _, u := range o.Units {
		out[u.Name] = plan.Held()
	}
	return out
}

// Kept are partitions that keep the workload's units where they are: of those in which another pod may begin, or of all where the workload goes by groups of
// its own, which would begin more later. None where nothing is to be done for it. Good only while the workload is Observed.
func (o Object) Kept() map[string]intstr.IntOrString {
	out := map[string]intstr.IntOrString{}
	for _, u := range o.Units {
		if keep, move := plan.Halt(u.PlanState()); move || u.Own {
			out[u.Name] = plan.PartitionFor(keep, u.Replicas)
		}
	}
	return out
}

// whole are the partitions of all units where some of them change. Those of a unit that went by groups of its own are held.
func (o Object) whole(some map[string]intstr.IntOrString) map[string]intstr.IntOrString {
	out := map[string]intstr.IntOrString{}
	for _, u := range o.Units {
		p, ok := some[u.Name]
		switch {
		case ok:
			out[u.Name] = p
		case u.Own:
			out[u.Name] = plan.Held()
		default:
			out[u.Name] = *u.Partition
		}
	}
	return out
}

// Previous is the workload's state as a record keeps it.
func (o Object) Previous() v1alpha1.Previous {
	u := o.First()
	p := v1alpha1.Previous{Revision: u.Revision}
	if u.UpdateRevision != u.Revision {
		p.UpdateRevision = u.UpdateRevision
	}
	switch {
	case !u.Shared && u.Partition != nil:
		v := *u.Partition
		p.Partition = &v
	case u.Shared && !u.Own:
		p.Partitions = map[string]intstr.IntOrString{}
		for _, x := range o.Units {
			p.Partitions[x.Name] = *x.Partition
		}
	}
	return p
}
