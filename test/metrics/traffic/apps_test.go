package traffic

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"

	appsv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

// web is a pod whose spec asks for one image while its container runs another.
func web(asked, runs, container string, isReady corev1.ConditionStatus) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web-0", UID: "u", Labels: map[string]string{"app": "web", appsv1alpha1.LabelUnit: "dca"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "registry.example/web:" + asked}}},
		Status:     corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: isReady}}},
	}
	s := corev1.ContainerStatus{Name: "app", Image: "registry.example/web:" + runs, ContainerID: container}
	if container != "" {
		s.State.Running = &corev1.ContainerStateRunning{}
	}
	p.Status.ContainerStatuses = []corev1.ContainerStatus{s}
	return p
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	res, err := http.Get(url) // #nosec G107 -- our own server's.
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

func TestAPodShowsTheVersionThatItsContainerRunsAndIsAskedOnlyWhileReady(t *testing.T) {
	client := fake.NewClientset(web("v1", "v1", "c1", corev1.ConditionTrue))
	apps, err := Start(map[string]kubernetes.Interface{"m1": client}, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = apps.Close() }()
	n, err := apps.Play("shop", map[string]Behaviour{"v1": {Rate: 2000}})
	if err != nil {
		t.Fatal(err)
	}
	n.Set("v2", Behaviour{Rate: 2000, Errors: 1})
	url := apps.URL("m1", "shop", "web-0")
	until := func(what string, ok func() bool) {
		t.Helper()
		deadline := time.After(10 * time.Second)
		for !ok() {
			select {
			case <-deadline:
				_, body := get(t, url+"metrics")
				t.Fatalf("it is not so that %s:\n%s", what, body)
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
	shows := func(words string) func() bool {
		return func() bool { _, body := get(t, url+"metrics"); return strings.Contains(body, words) }
	}
	seen := func(p *corev1.Pod) {
		t.Helper()
		if _, err := client.CoreV1().Pods("shop").Update(context.Background(), p, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	until("v1 gets requests", func() bool {
		return shows(`http_requests_total{code="200",version="v1"}`)() && !shows(`http_requests_total{code="200",version="v1"} 0`)()
	})
	if _, body := get(t, url+"metrics"); !strings.Contains(body, `http_requests_total{code="500",version="v1"} 0`) {
		t.Errorf("v1 has errors:\n%s", body)
	}
	if code, _ := get(t, url); code != http.StatusOK {
		t.Errorf("v1 answers %d", code)
	}

	// The spec asks for v2, and the kubelet has not done it yet.
	seen(web("v2", "v1", "c1", corev1.ConditionTrue))
	if code, _ := get(t, url); code != http.StatusOK {
		t.Errorf("v1, soon to be v2, answers %d", code)
	}
	seen(web("v2", "v1", "", corev1.ConditionFalse))
	until("a pod without a container shows nothing", func() bool { code, _ := get(t, url+"metrics"); return code == http.StatusServiceUnavailable })
	if code, _ := get(t, url); code != http.StatusServiceUnavailable {
		t.Errorf("a pod without a container answers %d", code)
	}
	_, body := get(t, apps.Discovery())
	var targets []target
	if err := json.Unmarshal([]byte(body), &targets); err != nil || len(targets) != 1 {
		t.Fatalf("while it restarts: %s (%v)", body, err)
	}
	want := map[string]string{"pod": "web-0", "member": "m1", "namespace": "shop", "unit": "dca", "app": "web"}
	for k, v := range want {
		if targets[0].Labels[k] != v {
			t.Errorf("label %s is %q, want %q", k, targets[0].Labels[k], v)
		}
	}
	seen(web("v2", "v2", "c2", corev1.ConditionFalse))
	until("v2 runs and is not asked", shows(`http_requests_total{code="500",version="v2"} 0`))
	seen(web("v2", "v2", "c2", corev1.ConditionTrue))
	until("v2 fails", func() bool { return !shows(`http_requests_total{code="500",version="v2"} 0`)() })
	if code, _ := get(t, url); code != http.StatusInternalServerError {
		t.Errorf("v2 answers %d", code)
	}
	n.Stop()
	if _, body := get(t, apps.Discovery()); strings.TrimSpace(body) != "[]" {
		t.Errorf("after the play there are targets: %s", body)
	}
}

func TestTheVersionIsTheTagOfTheImage(t *testing.T) {
	for image, want := range map[string]string{
		"registry.example:5000/shop/web:v2":             "v2",
		"web:v1@sha256:0123":                            "v1",
		"registry.example:5000/web":                     "latest",
		"registry.example/productpage:slow-v2":          "slow-v2",
		"registry.example:5000/web@sha256:012345678901": "latest",
	} {
		if got := Version(image); got != want {
			t.Errorf("%s is %s, want %s", image, got, want)
		}
	}
}
