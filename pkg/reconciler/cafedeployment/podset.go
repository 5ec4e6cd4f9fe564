package cafedeployment

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

// podSets are the pod sets of one type.
type podSets interface {
	// see the pod sets of a deployment.
	see(ctx context.Context, d *v1alpha1.CafeDeployment) ([]podSet, error)
	// goes puts a unit's pods in the order in which its sets would take them away.
	goes(pods []*seenPod)
	// bring a unit's sets to where the plan wants them: replicas, template and partition of a set in one write. What has no set yet gets one.
	bring(ctx context.Context, p *pass, u *unit) error
	// drop the sets of a unit that has no pods any more.
	drop(ctx context.Context, p *pass, u *unit) error
	// forget a deployment that is gone.
	forget(uid types.UID)
}

// podSet is what is seen of one.
type podSet struct {
	object metav1.Object
	unit   string
	// revision of the deployment that its template is of.
	revision string
	// keeps is how many pods the set was told to keep, unitKeeps how many the unit was.
	keeps, unitKeeps int32
	// settled: its own controller saw what was last written to it.
	settled bool
	// stalled is the reason with which it stands still until somebody changes something, and why in words.
	stalled, why string
}

func unitOf(o metav1.Object) string { return o.GetLabels()[v1alpha1.LabelUnit] }

// revisionOf a pod set, by its template.
func revisionOf(template *corev1.PodTemplateSpec) string {
	return template.Labels[v1alpha1.LabelCafeRevision]
}

// setMeta is what every pod set carries.
func setMeta(d *v1alpha1.CafeDeployment, unit, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Name: name, Namespace: d.Namespace,
		Labels:          map[string]string{v1alpha1.LabelCafeDeployment: d.Name, v1alpha1.LabelUnit: unit},
		OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(d, kind)},
	}
}

// setName of a unit: the deployment's where it has no units.
func setName(d *v1alpha1.CafeDeployment, unit string) string {
	if d.Spec.Topology.UnitType == v1alpha1.UnitNone {
		return d.Name
	}
	return d.Name + "-" + unit
}

// templateRevision is the revision that a unit's set is to have its template of; set is nil where there is none yet. It is the update revision, with two exceptions. A
// set without pods, of which all that come are to stay, has the current one: a set knows no revision before its first, and a StatefulSet without pods has none to
// hold back. And a template waits until the set's controller has seen the last one, or that would be no revision of its own.
func (p *pass) templateRevision(u *unit, set *podSet) string {
	if set != nil && !set.settled {
		return set.revision
	}
	if len(u.pods) == 0 && (u.plan.Stay > 0 || u.plan.Keep == 0) && p.history.Template(p.current) != nil {
		return p.current
	}
	return p.update
}

// awaits says whether a set's template has to wait (see templateRevision) and is of another revision than the plan's partition was made for. Until it is written the
// set holds back every pod: a partition that is lowered for the template to come would let the one go that is still there, such as a sick one on the way back.
func (p *pass) awaits(set *podSet) bool { return !set.settled && set.revision != p.update }
