package storetest

import (
	"github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	stagesv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

var pods = map[string]func(*server){
	"a new pod is pending, of generation 1": func(s *server) {
		pod := s.pod("p")
		if pod.Status.Phase != corev1.PodPending || pod.Generation != 1 || pod.Spec.RestartPolicy != corev1.RestartPolicyAlways || *pod.Spec.TerminationGracePeriodSeconds != 30 {
			s.Fatalf("created as %+v, generation %d", pod.Status, pod.Generation)
		}
	},
	"a pod's image can change, and makes a generation": func(s *server) {
		s.pod("p")
		pod, err := s.patchPod("p", `{"spec":{"containers":[{"name":"app","image":"shop/web:v2"}]}}`)
		s.must(err)
		if pod.Generation != 2 || pod.Spec.Containers[0].Image != "shop/web:v2" {
			s.Fatalf("patched to %+v, generation %d", pod.Spec.Containers, pod.Generation)
		}
		pod, err = s.patchPod("p", `{"metadata":{"labels":{"a":"b"}}}`)
		s.must(err)
		if pod.Generation != 2 {
			s.Fatalf("a label made generation %d", pod.Generation)
		}
	},
	"the rest of a pod's spec cannot change": func(s *server) {
		s.pod("p")
		_, err := s.patchPod("p", `{"spec":{"containers":[{"name":"app","command":["sh"]}]}}`)
		s.refused(err, apierrors.IsInvalid, "spec")
		_, err = s.patchPod("p", `{"spec":{"containers":[{"name":"more","image":"x"}]}}`)
		s.refused(err, apierrors.IsInvalid, "spec")
	},
	"a pod's status is written by its own subresource, and its spec is not": func(s *server) {
		s.pod("p")
		pod, err := s.patchPod("p", `{"spec":{"containers":[{"name":"app","image":"shop/web:v2"}]},"status":{"phase":"Running"}}`, "status")
		s.must(err)
		if pod.Status.Phase != corev1.PodRunning || pod.Spec.Containers[0].Image != "shop/web:v1" || pod.Generation != 1 {
			s.Fatalf("patched to %s, %s, generation %d", pod.Status.Phase, pod.Spec.Containers[0].Image, pod.Generation)
		}
		pod, err = s.patchPod("p", `{"status":{"phase":"Failed"}}`)
		s.must(err)
		if pod.Status.Phase != corev1.PodRunning {
			s.Fatal("the pod's own endpoint changed its status")
		}
	},
	"cpu and memory change through a pod's resize alone, which makes a generation and takes no image": func(s *server) {
		s.pod("p", func(pod *corev1.Pod) {
			pod.Spec.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")}
		})
		more := `{"spec":{"containers":[{"name":"app","image":"shop/web:v2","resources":{"requests":{"cpu":"2"}}}]}}`
		_, err := s.patchPod("p", more)
		s.refused(err, apierrors.IsInvalid, "spec")
		pod, err := s.patchPod("p", more, "resize")
		s.must(err)
		if c := pod.Spec.Containers[0]; c.Resources.Requests.Cpu().Value() != 2 || c.Image != "shop/web:v1" || pod.Generation != 2 {
			s.Fatalf("resized to %+v, generation %d", c, pod.Generation)
		}
	},
	"a new pod requests what it is limited to": func(s *server) {
		pod := s.pod("p", func(pod *corev1.Pod) {
			pod.Spec.Containers[0].Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("1Gi")}
		})
		if got := pod.Spec.Containers[0].Resources.Requests.Memory().String(); got != "1Gi" {
			s.Fatalf("it requests %s", got)
		}
	},
	"a pod is bound to a node once": func(s *server) {
		s.pod("p")
		bind := func(node string) error {
			return s.kube.CoreV1().Pods(s.namespace).Bind(s.ctx, &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Target: corev1.ObjectReference{Kind: "Node", Name: node}}, metav1.CreateOptions{})
		}
		s.must(bind("n1"))
		s.refused(bind("n2"), apierrors.IsConflict)
		pod, err := s.kube.CoreV1().Pods(s.namespace).Get(s.ctx, "p", metav1.GetOptions{})
		s.must(err)
		if pod.Spec.NodeName != "n1" {
			s.Fatalf("on node %q", pod.Spec.NodeName)
		}
	},
	"what a ControllerRevision holds never changes, its number may": func(s *server) {
		api := s.kube.AppsV1().ControllerRevisions(s.namespace)
		rev, err := api.Create(s.ctx, &appsv1.ControllerRevision{
			ObjectMeta: metav1.ObjectMeta{Name: "web-1"}, Data: runtime.RawExtension{Raw: []byte(`{"a":1}`)}, Revision: 1,
		}, metav1.CreateOptions{})
		s.must(err)
		rev.Revision = 2
		rev, err = api.Update(s.ctx, rev, metav1.UpdateOptions{})
		s.must(err)
		rev.Data.Raw = []byte(`{"a":2}`)
		_, err = api.Update(s.ctx, rev, metav1.UpdateOptions{})
		s.refused(err, apierrors.IsInvalid, "data")
	},
}

var customs = map[string]func(*server){
	"a custom object gets its defaults": func(s *server) {
		set := s.set("web")
		if ptr.Deref(set.Spec.Replicas, 0) != 1 || set.Spec.UpdateStrategy.Type != "InPlaceIfPossible" || set.Spec.UpdateStrategy.MaxUnavailable.String() != "25%" {
			s.Fatalf("created as %+v", set.Spec)
		}
	},
	"fields that the schema does not have are dropped": func(s *server) {
		s.set("web")
		set, err := s.patchSet("web", types.MergePatchType, `{"spec":{"whatever":1}}`)
		s.must(err)
		if set.Generation != 1 {
			s.Fatalf("generation %d", set.Generation)
		}
	},
	"a value outside its bounds is refused": func(s *server) {
		s.set("web")
		_, err := s.patchSet("web", types.MergePatchType, `{"spec":{"replicas":-1}}`)
		s.refused(err, apierrors.IsInvalid, "spec.replicas")
	},
	"a rule of the schema refuses": func(s *server) {
		s.set("web")
		_, err := s.patchSet("web", types.MergePatchType, `{"spec":{"updateStrategy":{"partition":"101%"}}}`)
		s.refused(err, apierrors.IsInvalid, "spec.updateStrategy.partition")
	},
	"a rule about a change refuses it": func(s *server) {
		s.set("web")
		_, err := s.patchSet("web", types.MergePatchType, `{"spec":{"selector":{"matchLabels":{"app":"other"}}}}`)
		s.refused(err, apierrors.IsInvalid, "cannot be changed")
	},
	"what a release touched stays on its record": func(s *server) {
		api := s.periplus.StagesV1alpha1().Releases(s.namespace)
		rel := s.release("web")
		rel.Status.Touched = []stagesv1alpha1.Touched{{Member: "m1", Kind: "InPlaceSet", Workload: "web", UID: "u", Time: metav1.Unix(0, 0), Previous: stagesv1alpha1.Previous{Revision: "r1"}}}
		rel, err := api.UpdateStatus(s.ctx, rel, metav1.UpdateOptions{})
		s.must(err)
		changed := rel.DeepCopy()
		changed.Status.Touched[0].Previous.Revision = "r0"
		_, err = api.UpdateStatus(s.ctx, changed, metav1.UpdateOptions{})
		s.refused(err, apierrors.IsInvalid, "previous", "never changes")
		rel.Status.Touched = nil
		_, err = api.UpdateStatus(s.ctx, rel, metav1.UpdateOptions{})
		s.refused(err, apierrors.IsInvalid, "not taken away")
	},
	"a CustomRun of Tekton's keeps what a stage writes into its status": func(s *server) {
		api := s.tekton.TektonV1beta1().CustomRuns(s.namespace)
		cr, err := api.Create(s.ctx, &v1beta1.CustomRun{ObjectMeta: metav1.ObjectMeta{Name: "run"}, Spec: v1beta1.CustomRunSpec{CustomSpec: &v1beta1.EmbeddedCustomRunSpec{
			TypeMeta: runtime.TypeMeta{APIVersion: "stages.periplus.dev/v1alpha1", Kind: "Confirm"}, Spec: runtime.RawExtension{Raw: []byte(`{"required":1}`)},
		}}}, metav1.CreateOptions{})
		s.must(err)
		cr.Status.ExtraFields.Raw = []byte(`{"attempt":1,"state":{"step":2}}`)
		cr, err = api.UpdateStatus(s.ctx, cr, metav1.UpdateOptions{})
		s.must(err)
		if string(cr.Status.ExtraFields.Raw) != `{"attempt":1,"state":{"step":2}}` || cr.Generation != 1 {
			s.Fatalf("kept %s, generation %d", cr.Status.ExtraFields.Raw, cr.Generation)
		}
		cr.Spec.Status = v1beta1.CustomRunSpecStatusCancelled
		cr, err = api.Update(s.ctx, cr, metav1.UpdateOptions{})
		s.must(err)
		if cr.Generation != 2 || string(cr.Spec.CustomSpec.Spec.Raw) != `{"required":1}` {
			s.Fatalf("a cancel made generation %d, spec %s", cr.Generation, cr.Spec.CustomSpec.Spec.Raw)
		}
	},
}
