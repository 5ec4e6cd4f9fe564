package podtemplate_test

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/periplus-dev/periplus/pkg/inplace"
	"github.com/periplus-dev/periplus/pkg/podtemplate"
)

func template(image string, labels map[string]string) *corev1.PodTemplateSpec {
	return &corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: image}}}}
}

func TestTwoTemplatesAreToldApart(t *testing.T) {
	from, to := template("web:v1", map[string]string{"app": "web"}), template("web:v2", map[string]string{"app": "web", "tier": "front"})
	if got, want := podtemplate.Words(inplace.Compare(from, to)), []string{"image of app: web:v2", "label tier"}; !slices.Equal(got, want) {
		t.Errorf("words %q, want %q", got, want)
	}
	want := "--- a\n+++ b\n@@ -1,8 +1,9 @@\n metadata:\n   labels:\n     app: web\n+    tier: front\n spec:\n   containers:\n-  - image: web:v1\n+  - image: web:v2\n     name: app\n     resources: {}\n"
	got, err := podtemplate.Diff(from, to, "a", "b")
	if err != nil || got != want {
		t.Errorf("%v, the difference is\n%q, want\n%q", err, got, want)
	}
	if same, err := podtemplate.Diff(from, from, "a", "b"); err != nil || same != "" {
		t.Errorf("%v, no difference is %q", err, same)
	}
}
