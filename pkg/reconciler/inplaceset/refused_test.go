package inplaceset

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

func TestInPlaceOnlyRefusesForWhatPodsRunAndNothingElse(t *testing.T) {
	with := func(image, env string) corev1.PodTemplateSpec {
		template := shopTemplate(image)
		template.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "MODE", Value: env}}
		return template
	}
	// The image of r3 fits r2 in place. Neither fits r1.
	three := []corev1.PodTemplateSpec{with("web:v1", "old"), with("web:v2", "new"), with("web:v3", "new")}
	ended := func(pod *corev1.Pod) { pod.Status.Phase = corev1.PodFailed }
	for _, r := range []struct {
		name      string
		replicas  int32
		partition string
		pods      []*corev1.Pod
		refused   bool
		made      []string
	}{
		{name: "a pod on what does not fit refuses it", replicas: 1, pods: []*corev1.Pod{shopPod("web-a", "r1", "web:v1")}, refused: true},
		{name: "a pod on what fits does not", replicas: 1, pods: []*corev1.Pod{shopPod("web-a", "r2", "web:v2")}},
		{name: "a set without pods has nothing to refuse for"},
		{name: "pods that are made are made of the template", replicas: 2, made: []string{"r3", "r3"}},
		{name: "a pod that ended does not count", replicas: 1, pods: []*corev1.Pod{shopPod("web-a", "r1", "web:v1", ended)}, made: []string{"r3"}},
		{name: "pods that the partition makes of what does not fit refuse it", replicas: 2, partition: "1", pods: []*corev1.Pod{shopPod("web-a", "r2", "web:v2")}, refused: true, made: []string{"r1"}},
	} {
		t.Run(r.name, func(t *testing.T) {
			s := newShop(t, r.replicas, func(set *v1alpha1.InPlaceSet) {
				set.Spec.UpdateStrategy.Type, set.Status.UpdateRevision = v1alpha1.InPlaceOnly, "r2"
				if r.partition != "" {
					set.Spec.UpdateStrategy.Partition = percent(r.partition)
				}
			}, three, r.pods...)
			s.run()
			c := s.condition(v1alpha1.ConditionProgressing)
			if refused := c.Reason == ReasonNotInPlace; refused != r.refused || !slices.Equal(s.made(), r.made) {
				t.Errorf("%s: %s, and makes pods of %v; want refused %t, and pods of %v", c.Reason, c.Message, s.made(), r.refused, r.made)
			}
		})
	}
}
