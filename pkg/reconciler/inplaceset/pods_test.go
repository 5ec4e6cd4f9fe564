package inplaceset

import (
	"fmt"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	book "github.com/periplus-dev/periplus/pkg/revision"
)

func percent(s string) *intstr.IntOrString {
	v := intstr.Parse(s)
	return &v
}

// historyOf these revisions, each with a template of its own.
func historyOf(t *testing.T, revisions ...string) *book.History {
	t.Helper()
	out := &book.History{}
	for i, revision := range revisions {
		raw, err := book.Write(&corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "web:" + revision}}}})
		if err != nil {
			t.Fatal(err)
		}
		out.Revisions = append(out.Revisions, &appsv1.ControllerRevision{
			ObjectMeta: metav1.ObjectMeta{Name: "web-" + revision, Labels: map[string]string{v1alpha1.LabelRevision: revision}},
			Revision:   int64(i), Data: runtime.RawExtension{Raw: raw},
		})
	}
	return out
}

func setOf(name, uid string) *v1alpha1.InPlaceSet {
	return &v1alpha1.InPlaceSet{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "shop", UID: types.UID(uid)}}
}

func TestPodNames(t *testing.T) {
	set := setOf("web", "u1")
	r := &reconciler{memory: newMemory()}
	r.memory.know(keyOf(set), "u1")
	none := &pass{set: set}

	first := r.freeNames(none, 3)
	if again := r.freeNames(none, 3); fmt.Sprint(again) != fmt.Sprint(first) {
		t.Errorf("a create that is made again has the names %v; want %v as before", again, first)
	}
	if other := r.freeNames(&pass{set: setOf("web", "u2")}, 3); other[0] == first[0] {
		t.Errorf("a set that was deleted and made again has a pod of the same name, %s", other[0])
	}
	held := &pass{set: set, pods: []*corev1.Pod{{ObjectMeta: metav1.ObjectMeta{Name: first[0]}}}, leaving: []*corev1.Pod{{ObjectMeta: metav1.ObjectMeta{Name: first[2]}}}}
	if got := r.freeNames(held, 1); got[0] != first[1] {
		t.Errorf("the lowest number that is free gives %s; want %s", got[0], first[1])
	}
	r.memory.of(keyOf(set), func(known *remembered) { known.taken[first[1]] = true })
	if got := r.freeNames(held, 1); got[0] == first[1] {
		t.Errorf("%s is somebody else's and was taken all the same", got[0])
	}
	unwanted := setOf("web", "u1")
	unwanted.Spec.ScaleStrategy.PodsToDelete = []string{first[0]}
	if got := r.freeNames(&pass{set: unwanted}, 1); got[0] == first[0] {
		t.Errorf("a new pod has the name %s, which is to be deleted", got[0])
	}
	seen := map[string]bool{}
	for _, name := range r.freeNames(none, 10000) {
		if seen[name] || len(validation.IsDNS1123Label(name)) > 0 {
			t.Fatalf("name %q is not a label, or there twice", name)
		}
		seen[name] = true
	}
	long := r.freeNames(&pass{set: setOf(strings.Repeat("x", maxNameLength), "u")}, 1)[0]
	if errs := validation.IsDNS1123Label(long); len(errs) > 0 {
		t.Errorf("the longest name, %q: %v", long, errs)
	}
}

func TestNewPod(t *testing.T) {
	set := setOf("web", "u1")
	set.Labels = map[string]string{v1alpha1.LabelUnit: "dca"}
	template := &corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "web"}, Annotations: map[string]string{"a": "b"}}}
	pod := newPod(set, template, "web-x", "r1")
	for key, want := range map[string]string{"app": "web", v1alpha1.LabelInPlaceSet: "web", v1alpha1.LabelRevision: "r1", v1alpha1.LabelUnit: "dca"} {
		if pod.Labels[key] != want {
			t.Errorf("label %s is %q; want %q", key, pod.Labels[key], want)
		}
	}
	if len(pod.Spec.ReadinessGates) != 1 || ownerUID(pod) != "u1" || pod.Annotations["a"] != "b" {
		t.Errorf("pod is %+v; want our gate, owner and the template's annotations", pod)
	}
	if len(template.Labels) != 1 || len(template.Spec.ReadinessGates) != 0 {
		t.Errorf("the template was changed: %+v", template)
	}
	if twice := newPod(set, &corev1.PodTemplateSpec{Spec: pod.Spec}, "web-y", "r1"); len(twice.Spec.ReadinessGates) != 1 {
		t.Errorf("a template that has the gate gets it again: %v", twice.Spec.ReadinessGates)
	}
}

func TestANewPodIsBornWithoutWhatBecameOfAnother(t *testing.T) {
	for _, key := range []string{v1alpha1.AnnotationUpdate, v1alpha1.AnnotationClaims, v1alpha1.AnnotationSameNode} {
		template := shopTemplate("web:v1")
		template.Annotations = map[string]string{key: "n1 2025-01-01T00:00:00Z", "a": "b"}
		pod := newPod(setOf("web", "u1"), &template, "web-x", "r1")
		if _, born := pod.Annotations[key]; born || pod.Annotations["a"] != "b" {
			t.Errorf("annotations are %v; want those of the template without %s", pod.Annotations, key)
		}
		if template.Annotations[key] == "" {
			t.Errorf("the template was changed: %v", template.Annotations)
		}
	}
}

func TestProblemsOf(t *testing.T) {
	good := func() *v1alpha1.InPlaceSet {
		set := setOf("web", "u1")
		set.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}
		set.Spec.Template.Labels = map[string]string{"app": "web"}
		set.Spec.Template.Spec.Containers = []corev1.Container{{Name: "app"}}
		return set
	}
	if problems := problemsOf(good()); len(problems) > 0 {
		t.Fatalf("a good set has problems: %v", problems)
	}
	back := good()
	back.Spec.UpdateStrategy.ContainerOrder = []string{"mesh", "app"} // of a template that was taken back.
	if problems := problemsOf(back); len(problems) > 0 {
		t.Errorf("an order that names a container which is gone is a problem: %v", problems)
	}
	for _, r := range []struct {
		name   string
		change func(*v1alpha1.InPlaceSet)
		says   string
	}{
		{name: "a selector that cannot be read", change: func(s *v1alpha1.InPlaceSet) {
			s.Spec.Selector.MatchExpressions = []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Like"}}
		}, says: "spec.selector"},
		{name: "an empty selector", change: func(s *v1alpha1.InPlaceSet) { s.Spec.Selector = &metav1.LabelSelector{} }, says: "spec.selector: is empty"},
		{name: "expressions that do not match the template", change: func(s *v1alpha1.InPlaceSet) {
			s.Spec.Selector.MatchExpressions = []metav1.LabelSelectorRequirement{{Key: "app", Operator: metav1.LabelSelectorOpDoesNotExist}}
		}, says: "spec.template.metadata.labels"},
		{name: "pods that end", change: func(s *v1alpha1.InPlaceSet) { s.Spec.Template.Spec.RestartPolicy = corev1.RestartPolicyNever }, says: "restartPolicy"},
		{name: "pods with a deadline", change: func(s *v1alpha1.InPlaceSet) { s.Spec.Template.Spec.ActiveDeadlineSeconds = new(int64) }, says: "activeDeadlineSeconds"},
		{name: "no container", change: func(s *v1alpha1.InPlaceSet) { s.Spec.Template.Spec.Containers = nil }, says: "containers"},
		{name: "scattering by what is no label", change: func(s *v1alpha1.InPlaceSet) { s.Spec.UpdateStrategy.Scatter = "a b" }, says: "scatter"},
		{name: "a priority that cannot be read", change: func(s *v1alpha1.InPlaceSet) {
			s.Spec.UpdateStrategy.Priority = []v1alpha1.UpdatePriority{{Selector: metav1.LabelSelector{MatchLabels: map[string]string{"a": "b c"}}}}
		}, says: "spec.updateStrategy.priority[0].selector"},
		{name: "a name too long for its pods", change: func(s *v1alpha1.InPlaceSet) { s.Name = strings.Repeat("x", maxNameLength+1) }, says: "metadata.name"},
	} {
		t.Run(r.name, func(t *testing.T) {
			set := good()
			r.change(set)
			if problems := problemsOf(set); len(problems) != 1 || !strings.Contains(problems[0], r.says) {
				t.Errorf("problems %q; want one that says %q", problems, r.says)
			}
		})
	}
}
