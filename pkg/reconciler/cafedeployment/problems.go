package cafedeployment

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

// ofUnits are labels that each unit's pods get their own value of: in a selector of all units they would tell only some.
var ofUnits = []string{v1alpha1.LabelUnit, v1alpha1.LabelCafeRevision, v1alpha1.LabelRevision, v1alpha1.LabelInPlaceSet, v1alpha1.LabelCafeDeployment}

// problemsOf a spec that the schema cannot see. Admission refuses them too, where its policy is installed.
func problemsOf(d *v1alpha1.CafeDeployment) []string {
	var out []string
	template := &d.Spec.Template
	selector, err := metav1.LabelSelectorAsSelector(d.Spec.Selector)
	switch {
	case err != nil:
		out = append(out, fmt.Sprintf("spec.selector: %v", err))
	case selector.Empty():
		out = append(out, "spec.selector: is empty and would match every pod; name a label of the template")
	case !selector.Matches(labels.Set(template.Labels)):
		out = append(out, "spec.template.metadata.labels: do not match spec.selector")
	default:
		for _, key := range ofUnits {
			if names(d.Spec.Selector, key) {
				out = append(out, fmt.Sprintf("spec.selector: names %s, which Periplus writes on pods; take it out", key))
			}
		}
	}
	if policy := template.Spec.RestartPolicy; policy != "" && policy != corev1.RestartPolicyAlways {
		out = append(out, fmt.Sprintf("spec.template.spec.restartPolicy: is %s; pods of a CafeDeployment run for ever, so it must be Always", policy))
	}
	if template.Spec.ActiveDeadlineSeconds != nil {
		out = append(out, "spec.template.spec.activeDeadlineSeconds: pods of a CafeDeployment run for ever; take it out")
	}
	if len(template.Spec.Containers) == 0 {
		out = append(out, "spec.template.spec.containers: there is none")
	}
	return out
}

func names(selector *metav1.LabelSelector, key string) bool {
	if _, ok := selector.MatchLabels[key]; ok {
		return true
	}
	for _, r := range selector.MatchExpressions {
		if r.Key == key {
			return true
		}
	}
	return false
}
