package storetest

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	appsv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

func withStatus(set *appsv1alpha1.InPlaceSet) { set.Status.Replicas = 7 }

func (s *server) patchSet(name string, kind types.PatchType, patch string, sub ...string) (*appsv1alpha1.InPlaceSet, error) {
	return s.periplus.AppsV1alpha1().InPlaceSets(s.namespace).Patch(s.ctx, name, kind, []byte(patch), metav1.PatchOptions{}, sub...)
}

func (s *server) patchPod(name, patch string, sub ...string) (*corev1.Pod, error) {
	return s.kube.CoreV1().Pods(s.namespace).Patch(s.ctx, name, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{}, sub...)
}

var patches = map[string]func(*server){
	"a JSON patch that sets the version lands on that version only": func(s *server) {
		set := s.set("web")
		patch := fmt.Sprintf(`[{"op":"replace","path":"/metadata/resourceVersion","value":%q},{"op":"add","path":"/spec/updateStrategy/partition","value":"50%%"}]`, set.ResourceVersion)
		next, err := s.patchSet("web", types.JSONPatchType, patch)
		s.must(err)
		if next.Spec.UpdateStrategy.Partition.String() != "50%" || next.Generation != 2 {
			s.Fatalf("patched to partition %s, generation %d", next.Spec.UpdateStrategy.Partition, next.Generation)
		}
		_, err = s.patchSet("web", types.JSONPatchType, patch)
		s.refused(err, apierrors.IsConflict)
	},
	"a JSON patch of what is not there is refused whole": func(s *server) {
		s.set("web")
		_, err := s.patchSet("web", types.JSONPatchType, `[{"op":"replace","path":"/spec/minReadySeconds","value":3},{"op":"remove","path":"/metadata/annotations/a"}]`)
		s.refused(err, func(err error) bool { return apierrors.ReasonForError(err) != metav1.StatusReasonConflict })
		set, err := s.periplus.AppsV1alpha1().InPlaceSets(s.namespace).Get(s.ctx, "web", metav1.GetOptions{})
		s.must(err)
		if set.Spec.MinReadySeconds != 0 {
			s.Fatal("half of the patch landed")
		}
	},
	"a JSON patch whose test fails is refused": func(s *server) {
		s.set("web")
		_, err := s.patchSet("web", types.JSONPatchType, `[{"op":"test","path":"/spec/minReadySeconds","value":9}]`)
		s.refused(err, func(err error) bool { return apierrors.ReasonForError(err) != metav1.StatusReasonConflict })
	},
	"a merge patch sets and, by null, removes": func(s *server) {
		set := s.set("web", func(set *appsv1alpha1.InPlaceSet) { set.Annotations = map[string]string{"a": "1", "b": "2"} })
		set, err := s.patchSet(set.Name, types.MergePatchType, `{"metadata":{"annotations":{"a":null,"c":"3"}},"spec":{"minReadySeconds":4}}`)
		s.must(err)
		if set.Annotations["a"] != "" || set.Annotations["b"] != "2" || set.Annotations["c"] != "3" || set.Spec.MinReadySeconds != 4 {
			s.Fatalf("patched to %v, %d", set.Annotations, set.Spec.MinReadySeconds)
		}
	},
	"a merge patch of an old version conflicts": func(s *server) {
		set := s.set("web")
		patch := fmt.Sprintf(`{"metadata":{"resourceVersion":%q,"finalizers":["test.periplus.dev/hold"]}}`, set.ResourceVersion)
		_, err := s.patchSet("web", types.MergePatchType, patch)
		s.must(err)
		_, err = s.patchSet("web", types.MergePatchType, patch)
		s.refused(err, apierrors.IsConflict)
		_, err = s.patchSet("web", types.MergePatchType, `{"metadata":{"finalizers":null}}`)
		s.must(err)
	},
	"a patch of the status subresource leaves the spec": func(s *server) {
		s.set("web")
		set, err := s.patchSet("web", types.MergePatchType,
			`{"spec":{"minReadySeconds":4},"status":{"replicas":2,"readyReplicas":0,"availableReplicas":0,"updatedReplicas":0,"updatedReadyReplicas":0,"updatedAvailableReplicas":0,"expectedUpdatedReplicas":0}}`, "status")
		s.must(err)
		if set.Spec.MinReadySeconds != 0 || set.Status.Replicas != 2 {
			s.Fatalf("patched to %d, %d", set.Spec.MinReadySeconds, set.Status.Replicas)
		}
	},
	"a strategic merge patch changes one container by its name": func(s *server) {
		s.pod("p", func(p *corev1.Pod) {
			p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "side", Image: "shop/side:v1"})
		})
		pod, err := s.patchPod("p", `{"metadata":{"labels":{"rev":"2"}},"spec":{"containers":[{"name":"side","image":"shop/side:v2"}]}}`)
		s.must(err)
		if len(pod.Spec.Containers) != 2 || pod.Spec.Containers[0].Image != "shop/web:v1" || pod.Spec.Containers[1].Image != "shop/side:v2" || pod.Labels["app"] != "web" {
			s.Fatalf("patched to %+v, %v", pod.Spec.Containers, pod.Labels)
		}
	},
	"a strategic merge patch of a condition keeps the others": func(s *server) {
		s.pod("p")
		_, err := s.patchPod("p", `{"status":{"conditions":[{"type":"A","status":"True"}]}}`, "status")
		s.must(err)
		pod, err := s.patchPod("p", `{"status":{"conditions":[{"type":"B","status":"False"}]}}`, "status")
		s.must(err)
		found := map[corev1.PodConditionType]corev1.ConditionStatus{}
		for _, c := range pod.Status.Conditions {
			found[c.Type] = c.Status
		}
		if found["A"] != corev1.ConditionTrue || found["B"] != corev1.ConditionFalse {
			s.Fatalf("conditions %v", pod.Status.Conditions)
		}
	},
	"a strategic merge patch of an old version conflicts": func(s *server) {
		pod := s.pod("p")
		patch := fmt.Sprintf(`{"metadata":{"uid":%q,"resourceVersion":%q,"labels":{"a":"b"}}}`, pod.UID, pod.ResourceVersion)
		_, err := s.patchPod("p", patch)
		s.must(err)
		_, err = s.patchPod("p", patch)
		s.refused(err, apierrors.IsConflict)
	},
	"a patch that names another UID is refused": func(s *server) {
		s.pod("p")
		_, err := s.patchPod("p", `{"metadata":{"uid":"another","labels":{"a":"b"}}}`)
		s.refused(err, apierrors.IsInvalid, "metadata.uid")
	},
	"a strategic merge patch of a custom object is refused": func(s *server) {
		s.set("web")
		_, err := s.patchSet("web", types.StrategicMergePatchType, `{"spec":{"minReadySeconds":4}}`)
		s.refused(err, apierrors.IsUnsupportedMediaType)
	},
}
