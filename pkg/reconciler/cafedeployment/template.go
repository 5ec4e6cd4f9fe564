package cafedeployment

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

// template of a revision for the pods of a unit: labelled with deployment, unit and revision, and bound to the unit's nodes.
func (p *pass) template(revision, unit string) (*corev1.PodTemplateSpec, error) {
	of := p.history.Template(revision)
	if of == nil {
		return nil, &missingRevision{deployment: p.d.Name, revision: revision}
	}
	t := of.DeepCopy()
	if t.Labels == nil {
		t.Labels = map[string]string{}
	}
	t.Labels[v1alpha1.LabelCafeDeployment] = p.d.Name
	t.Labels[v1alpha1.LabelUnit] = unit
	t.Labels[v1alpha1.LabelCafeRevision] = revision
	if p.d.Spec.Topology.UnitType != v1alpha1.UnitNone {
		bind(&t.Spec, p.d.Spec.Topology.NodeLabelKey, unit)
	}
	return t, nil
}

type missingRevision struct{ deployment, revision string }

func (m *missingRevision) Error() string {
	return fmt.Sprintf("ControllerRevision %s-%s was deleted: restore it, or let all pods go to the template's revision", m.deployment, m.revision)
}

// bind pods to the nodes of a unit, besides what they ask for themselves: every term of a required node affinity asks for the unit too. A term that
// asks for nothing matches no node, and is left as it is.
func bind(spec *corev1.PodSpec, key, unit string) {
	if spec.Affinity == nil {
		spec.Affinity = &corev1.Affinity{}
	}
	if spec.Affinity.NodeAffinity == nil {
		spec.Affinity.NodeAffinity = &corev1.NodeAffinity{}
	}
	of := spec.Affinity.NodeAffinity
	in := corev1.NodeSelectorRequirement{Key: key, Operator: corev1.NodeSelectorOpIn, Values: []string{unit}}
	required := of.RequiredDuringSchedulingIgnoredDuringExecution
	if required == nil || len(required.NodeSelectorTerms) == 0 {
		of.RequiredDuringSchedulingIgnoredDuringExecution = &corev1.NodeSelector{
			NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{in}}},
		}
		return
	}
	for i := range required.NodeSelectorTerms {
		term := &required.NodeSelectorTerms[i]
		if len(term.MatchExpressions)+len(term.MatchFields) > 0 {
			term.MatchExpressions = append(term.MatchExpressions, in)
		}
	}
}

// selector of a unit's pods: the deployment's, and the labels that tell the unit. A revision is named where each has a set of its own.
func selector(d *v1alpha1.CafeDeployment, unit, revision string) *metav1.LabelSelector {
	s := d.Spec.Selector.DeepCopy()
	if s.MatchLabels == nil {
		s.MatchLabels = map[string]string{}
	}
	s.MatchLabels[v1alpha1.LabelCafeDeployment] = d.Name
	s.MatchLabels[v1alpha1.LabelUnit] = unit
	if revision != "" {
		s.MatchLabels[v1alpha1.LabelCafeRevision] = revision
	}
	return s
}
