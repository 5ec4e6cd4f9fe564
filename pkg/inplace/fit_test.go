package inplace

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func template(image string, change ...func(*corev1.PodTemplateSpec)) *corev1.PodTemplateSpec {
	t := &corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "web"}, Annotations: map[string]string{"colour": "blue"}},
		Spec: corev1.PodSpec{
			InitContainers: []corev1.Container{{Name: "init", Image: "init:v1"}},
			Containers: []corev1.Container{
				{Name: "app", Image: image, Env: []corev1.EnvVar{{Name: "LEVEL", Value: "1"}}},
				{Name: "proxy", Image: "proxy:v1"},
			},
		},
	}
	for _, c := range change {
		c(t)
	}
	return t
}

// readsMemory has the app know how much memory it may use.
func readsMemory(limit string) func(*corev1.PodTemplateSpec) {
	return func(t *corev1.PodTemplateSpec) {
		app := &t.Spec.Containers[0]
		app.Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(limit)}
		app.Env[0] = corev1.EnvVar{Name: "LEVEL", ValueFrom: &corev1.EnvVarSource{ResourceFieldRef: &corev1.ResourceFieldSelector{Resource: "limits.memory"}}}
	}
}

func TestCompare(t *testing.T) {
	fromAnnotation := func(key string) func(*corev1.PodTemplateSpec) {
		return func(t *corev1.PodTemplateSpec) {
			t.Spec.Containers[0].Env[0] = corev1.EnvVar{Name: "COLOUR", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.annotations['" + key + "']"}}}
		}
	}
	red := func(t *corev1.PodTemplateSpec) { t.Annotations = map[string]string{"colour": "red"} }
	for _, r := range []struct {
		name     string
		from, to *corev1.PodTemplateSpec
		images   map[string]string
		misfits  []string
	}{
		{name: "the same template is no change", from: template("web:v1"), to: template("web:v1")},
		{name: "an image fits", from: template("web:v1"), to: template("web:v2"), images: map[string]string{"app": "web:v2"}},
		{name: "labels and annotations fit", from: template("web:v1"), to: template("web:v1", red, func(t *corev1.PodTemplateSpec) { t.Labels["tier"] = "gold" })},
		{
			name: "env is named", from: template("web:v1"), to: template("web:v2", func(t *corev1.PodTemplateSpec) { t.Spec.Containers[0].Env[0].Value = "2" }),
			images: map[string]string{"app": "web:v2"}, misfits: []string{"spec.template.spec.containers[app].env[LEVEL].value"},
		},
		{
			name: "a new container is named", from: template("web:v1"), to: template("web:v1", func(t *corev1.PodTemplateSpec) {
				t.Spec.Containers = append(t.Spec.Containers, corev1.Container{Name: "extra", Image: "extra:v1"})
			}), misfits: []string{"spec.template.spec.containers[extra]"},
		},
		{
			name: "containers in another order are named", from: template("web:v1"), to: template("web:v1", func(t *corev1.PodTemplateSpec) {
				c := t.Spec.Containers
				c[0], c[1] = c[1], c[0]
			}), misfits: []string{"spec.template.spec.containers"},
		},
		{
			name: "the image of an init container is named, for nothing runs it again", from: template("web:v1"),
			to:      template("web:v1", func(t *corev1.PodTemplateSpec) { t.Spec.InitContainers[0].Image = "init:v2" }),
			misfits: []string{"spec.template.spec.initContainers[init].image"},
		},
		{
			name: "fields beside the containers are named", from: template("web:v1"), to: template("web:v1", func(t *corev1.PodTemplateSpec) {
				t.Spec.NodeSelector = map[string]string{"disk": "ssd"}
				t.Spec.HostNetwork = true
			}), misfits: []string{"spec.template.spec.hostNetwork", "spec.template.spec.nodeSelector"},
		},
		{
			name: "an annotation that a container reads fits with that container's image", from: template("web:v1", fromAnnotation("colour")),
			to: template("web:v2", fromAnnotation("colour"), red), images: map[string]string{"app": "web:v2"},
		},
		{
			name: "an annotation that a container reads does not fit alone", from: template("web:v1", fromAnnotation("colour")),
			to: template("web:v1", fromAnnotation("colour"), red), misfits: []string{"spec.template.spec.containers[app].env[COLOUR]"},
		},
		{
			name: "memory that a container reads does not fit alone", from: template("web:v1", readsMemory("1Gi")), to: template("web:v1", readsMemory("2Gi")),
			misfits: []string{"spec.template.spec.containers[app].env[LEVEL]"},
		},
		{
			name: "memory that a container reads fits with that container's image", from: template("web:v1", readsMemory("1Gi")), to: template("web:v2", readsMemory("2Gi")),
			images: map[string]string{"app": "web:v2"},
		},
		{name: "an annotation that no container reads fits alone", from: template("web:v1", fromAnnotation("other")), to: template("web:v1", fromAnnotation("other"), red)},
	} {
		t.Run(r.name, func(t *testing.T) {
			c := Compare(r.from, r.to)
			if r.images == nil {
				r.images = map[string]string{}
			}
			if diff := cmp.Diff(r.images, c.Images); diff != "" {
				t.Errorf("images (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(r.misfits, c.Misfits); diff != "" {
				t.Errorf("misfits (-want +got):\n%s", diff)
			}
		})
	}
	c := Compare(template("web:v1", func(t *corev1.PodTemplateSpec) { t.Labels["gone"] = "x" }), template("web:v1", red))
	if v, ok := c.Labels["gone"]; !ok || v != nil || *c.Annotations["colour"] != "red" || !c.Fits() || c.Empty() {
		t.Errorf("labels %v, annotations %v; want gone to go and colour to be red", c.Labels, c.Annotations)
	}
	if !Compare(template("web:v1"), template("web:v1")).Empty() {
		t.Error("the same template is not an empty change")
	}
}
