package sidecar

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/inplace"
)

func contentOf(t *testing.T, text string) *Content {
	t.Helper()
	c := &Content{}
	if err := yaml.UnmarshalStrict([]byte(text), c); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestWhatOfANewRevisionChangesInARunningPod(t *testing.T) {
	for _, c := range []struct{ name, from, to, images, misfits string }{
		{"an image", `{containers: [{name: a, image: "a:v1"}]}`, `{containers: [{name: a, image: "a:v2"}]}`, "map[a:a:v2]", ""},
		{"the image of a native sidecar", `{initContainers: [{name: a, image: "a:v1", restartPolicy: Always}]}`, `{initContainers: [{name: a, image: "a:v2", restartPolicy: Always}]}`, "map[a:a:v2]", ""},
		{"the image of an init container that ends waits", `{initContainers: [{name: a, image: "a:v1"}]}`, `{initContainers: [{name: a, image: "a:v2"}]}`, "map[]", "spec.initContainers[a].image"},
		{"an environment waits", `{containers: [{name: a, image: "a:v1"}]}`, `{containers: [{name: a, image: "a:v1", env: [{name: X, value: z}]}]}`, "map[]", "spec.containers[a].env"},
		{"an image with an environment waits whole", `{containers: [{name: a, image: "a:v1"}]}`, `{containers: [{name: a, image: "a:v2", env: [{name: X, value: z}]}]}`, "map[a:a:v2]", "spec.containers[a].env"},
		{"a container that is added waits", `{containers: [{name: a, image: "a:v1"}]}`, `{containers: [{name: a, image: "a:v1"}, {name: b, image: b}]}`, "map[]", "spec.containers[b]"},
		{"a container that is taken out waits", `{containers: [{name: a, image: "a:v1"}, {name: b, image: b}]}`, `{containers: [{name: a, image: "a:v1"}]}`, "map[]", "spec.containers[b]"},
		{"a volume waits", `{containers: [{name: a, image: "a:v1"}]}`, `{containers: [{name: a, image: "a:v1"}], volumes: [{name: v, emptyDir: {}}]}`, "map[]", "spec.volumes"},
		{"a pull secret waits", `{containers: [{name: a, image: "a:v1"}]}`, `{containers: [{name: a, image: "a:v1"}], imagePullSecrets: [{name: s}]}`, "map[]", "spec.imagePullSecrets"},
		{"volumes to share wait", `{containers: [{name: a, image: "a:v1"}]}`, `{containers: [{name: a, image: "a:v1", shareVolumes: true}]}`, "map[]", "spec.containers[a].shareVolumes"},
		{"an environment to transfer waits", `{containers: [{name: a, image: "a:v1"}]}`, `{containers: [{name: a, image: "a:v1", transferEnv: [{names: [X]}]}]}`, "map[]", "spec.containers[a].transferEnv"},
	} {
		got := Compare(contentOf(t, c.from), contentOf(t, c.to))
		if fmt.Sprint(got.Images) != c.images || strings.Join(got.Misfits, " ") != c.misfits {
			t.Errorf("%s: images %v, misfits %v; want %s, %q", c.name, got.Images, got.Misfits, c.images, c.misfits)
		}
	}
	cpu := Compare(contentOf(t, `{containers: [{name: a, image: x, resources: {requests: {cpu: 10m}}}]}`), contentOf(t, `{containers: [{name: a, image: x, resources: {requests: {cpu: 20m}}}]}`))
	if !cpu.Fits() || len(cpu.Resources) != 1 {
		t.Errorf("cpu does not change in place: %+v", cpu)
	}
}

func TestAChangeWritesTheRevisionIntoThePodsRecordAndLeavesOtherSetsIn(t *testing.T) {
	pod, _ := inject(t, podOf(t, app), want(t, "a", `{containers: [{name: a, image: "a:v1"}]}`), want(t, "b", `{containers: [{name: b, image: "b:v1"}]}`))
	c, err := ChangeOf(pod, "b", "r2", inplace.Change{})
	if err != nil {
		t.Fatal(err)
	}
	wantText := `{"sets":[{"set":"a","revision":"r1","containers":["a"]},{"set":"b","revision":"r2","containers":["b"]}]}`
	if got := *c.Annotations[v1alpha1.AnnotationSidecars]; got != wantText {
		t.Errorf("the record is to be %s\nwant %s", got, wantText)
	}
	if _, err := ChangeOf(pod, "c", "r2", inplace.Change{}); err == nil {
		t.Error("a set that put nothing in can change the pod")
	}
}

func TestARevisionIsOfWhatIsPutInAlone(t *testing.T) {
	set := &v1alpha1.SidecarSet{}
	if err := yaml.UnmarshalStrict([]byte(`{spec: {all: true, containers: [{name: a, image: x}]}}`), set); err != nil {
		t.Fatal(err)
	}
	raw, hash, err := ContentOf(set).Encode()
	if err != nil {
		t.Fatal(err)
	}
	other := set.DeepCopy()
	other.Spec.All, other.Spec.Selector, other.Spec.UpdateStrategy.Paused = false, &metav1.LabelSelector{}, true
	if _, same, _ := ContentOf(other).Encode(); same != hash {
		t.Errorf("another selector and strategy make revision %s of %s", same, hash)
	}
	back, err := Decode(raw)
	if err != nil || !back.Equal(ContentOf(set)) {
		t.Errorf("read back as %+v, %v", back, err)
	}
	other.Spec.Containers[0].Image = "y"
	if _, same, _ := ContentOf(other).Encode(); same == hash {
		t.Error("another image is the same revision")
	}
}

func setOf(t *testing.T, name, spec string) *v1alpha1.SidecarSet {
	t.Helper()
	set := &v1alpha1.SidecarSet{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if err := yaml.UnmarshalStrict([]byte(spec), &set.Spec); err != nil {
		t.Fatal(err)
	}
	return set
}

func TestWhomASetMeans(t *testing.T) {
	for _, c := range []struct {
		name, spec, pod, namespace, labels string
		want                               bool
	}{
		{"pods by their labels", `{selector: {matchLabels: {app: web}}}`, "app=web", "shop", "", true},
		{"no others", `{selector: {matchLabels: {app: web}}}`, "app=api", "shop", "", false},
		{"all where it says so", `{all: true}`, "", "shop", "", true},
		{"none where it says nothing", `{selector: {}}`, "app=web", "shop", "", false},
		{"none where the selector cannot be read", `{selector: {matchExpressions: [{key: a, operator: Like}]}}`, "a=b", "shop", "", false},
		{"pods of the namespaces that it selects", `{all: true, namespaceSelector: {matchLabels: {team: a}}}`, "", "shop", "team=a", true},
		{"none of others", `{all: true, namespaceSelector: {matchLabels: {team: a}}}`, "", "shop", "team=b", false},
		{"none of kube-system", `{all: true}`, "", "kube-system", "", false},
		{"none of ours", `{all: true}`, "", "periplus-system", "", false},
		{"not a pod that opts out", `{all: true}`, "apps.periplus.dev/inject=false", "shop", "", false},
		{"not a namespace that opts out", `{all: true}`, "", "shop", "apps.periplus.dev/inject=false", false},
	} {
		m, _ := MatcherOf(setOf(t, "x", c.spec), "periplus-system")
		pod := podOf(t, app)
		pod.Labels = labelsOf(c.pod)
		if got := m.Namespace(c.namespace, labelsOf(c.labels)) && m.Pod(pod); got != c.want {
			t.Errorf("%s: %t, want %t", c.name, got, c.want)
		}
	}
}

func labelsOf(text string) map[string]string {
	key, value, ok := strings.Cut(text, "=")
	if !ok {
		return nil
	}
	return map[string]string{key: value}
}

func TestWhichSetsClaimOneName(t *testing.T) {
	sets := []*v1alpha1.SidecarSet{
		setOf(t, "c", `{selector: {matchLabels: {app: web}}, containers: [{name: proxy, image: x}]}`),
		setOf(t, "a", `{selector: {matchLabels: {app: web}}, containers: [{name: proxy, image: x}]}`),
		setOf(t, "b", `{selector: {matchLabels: {app: api}}, containers: [{name: proxy, image: x}]}`),
		setOf(t, "d", `{all: true, initContainers: [{name: proxy, image: x}]}`),
		setOf(t, "e", `{all: true, containers: [{name: other, image: x}]}`),
	}
	got := Claims(sets)
	if names := strings.Join(slices.Sorted(maps.Keys(got)), " "); names != "c d" {
		t.Errorf("%s come second; want c and d: a is first, and b means other pods", names)
	}
	if text := strings.Join(got["c"], "; "); text != "container proxy is SidecarSet a's, which comes first" {
		t.Errorf("of c it says %q", text)
	}
}
