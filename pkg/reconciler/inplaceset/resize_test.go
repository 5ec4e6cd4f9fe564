package inplaceset

import (
	"errors"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/utils/ptr"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

// sized is a template whose app asks for so many cpus.
func sized(cpus string) corev1.PodTemplateSpec {
	t := shopTemplate("web:v1")
	t.Spec.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpus)}
	return t
}

// Where the set may not rebuild the pod whose resize is refused, the resize is asked for again after a while, and not at once and for ever.
func TestARefusedResizeIsAskedForAgainAfterAWhile(t *testing.T) {
	for _, r := range []struct {
		name   string
		set    func(*v1alpha1.InPlaceSet)
		refuse string
		want   int
		fails  bool
	}{
		{name: "InPlaceOnly", set: func(s *v1alpha1.InPlaceSet) { s.Spec.UpdateStrategy.Type = v1alpha1.InPlaceOnly }, refuse: "exceeded quota", want: 1},
		{name: "a paused set", set: func(s *v1alpha1.InPlaceSet) { s.Spec.UpdateStrategy.Paused = true }, refuse: "exceeded quota", want: 1},
		{name: "a partition that was raised", set: func(s *v1alpha1.InPlaceSet) { s.Spec.UpdateStrategy.Partition = percent("100%") }, refuse: "exceeded quota", want: 1},
		{
			name: "a permission that lacks is an error, which the queue tries again", set: func(s *v1alpha1.InPlaceSet) { s.Spec.UpdateStrategy.Type = v1alpha1.InPlaceOnly },
			refuse: `User "x" cannot patch resource "pods/resize"`, want: 20, fails: true,
		},
	} {
		t.Run(r.name, func(t *testing.T) {
			pod := shopPod("web-1", "r2", "web:v1", func(p *corev1.Pod) {
				p.Annotations = map[string]string{v1alpha1.AnnotationUpdate: `{"holder":"InPlaceSet/web","revision":"r2","time":"2025-02-28T23:00:00Z","resize":{"app":{"requests":{"cpu":"2"}}}}`}
				p.Spec.Containers[0].Resources = sized("1").Spec.Containers[0].Resources
				p.Status.Conditions[0].Status, p.Status.Conditions[0].Reason, p.Status.Conditions[2].Status = corev1.ConditionFalse, "Changing", corev1.ConditionFalse
			})
			s := newShop(t, 1, func(set *v1alpha1.InPlaceSet) {
				set.Spec.UpdateStrategy.GracePeriodSeconds = ptr.To[int32](0)
				r.set(set)
			}, []corev1.PodTemplateSpec{sized("1"), sized("2")}, pod)
			asked := 0
			s.kube.PrependReactor("patch", "pods", func(a clienttesting.Action) (bool, runtime.Object, error) {
				if a.GetSubresource() != "resize" {
					return false, nil, nil
				}
				asked++
				return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "web-1", errors.New(r.refuse))
			})
			for range 20 {
				if err := s.pass(t.Context(), keyOf(s.set)); (err != nil) != r.fails {
					t.Fatalf("a pass: %v", err)
				}
			}
			if asked != r.want {
				t.Errorf("asked %d times in no time; want %d", asked, r.want)
			}
			s.clock.SetTime(noon.Add(createAgain + time.Second))
			before := asked
			_ = s.pass(t.Context(), keyOf(s.set))
			if asked != before+1 {
				t.Errorf("asked %d times after %s; want once more", asked-before, createAgain)
			}
		})
	}
}
