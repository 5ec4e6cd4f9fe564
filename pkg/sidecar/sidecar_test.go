package sidecar

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

// podOf reads a pod's spec; it is in namespace shop, with the label app=web.
func podOf(t *testing.T, spec string, change ...func(*corev1.Pod)) *corev1.Pod {
	t.Helper()
	pod := &corev1.Pod{}
	pod.Namespace, pod.Labels = "shop", map[string]string{"app": "web"}
	if err := yaml.UnmarshalStrict([]byte(spec), &pod.Spec); err != nil {
		t.Fatal(err)
	}
	for _, c := range change {
		c(pod)
	}
	return pod
}

// want reads the content of a set's revision r1.
func want(t *testing.T, set, content string) Want {
	t.Helper()
	c := &Content{}
	if err := yaml.UnmarshalStrict([]byte(content), c); err != nil {
		t.Fatal(err)
	}
	return Want{Set: set, Revision: "r1", Content: c}
}

// inject as the API server would, and read the pod again.
func inject(t *testing.T, pod *corev1.Pod, wants ...Want) (*corev1.Pod, Addition) {
	t.Helper()
	a := Inject(pod, wants)
	patch, err := a.Patch(pod)
	if err != nil {
		t.Fatal(err)
	}
	if patch == nil {
		return pod, a
	}
	before, err := json.Marshal(pod)
	if err != nil {
		t.Fatal(err)
	}
	decoded, err := jsonpatch.DecodePatch(patch)
	if err != nil {
		t.Fatal(err)
	}
	after, err := decoded.Apply(before)
	if err != nil {
		t.Fatalf("%v\n%s", err, patch)
	}
	out := &corev1.Pod{}
	if err := json.Unmarshal(after, out); err != nil {
		t.Fatal(err)
	}
	return out, a
}

// shape of a pod, as far as injection makes it.
func shape(pod *corev1.Pod) string {
	names := func(list []corev1.Container) string {
		var out []string
		for i := range list {
			out = append(out, list[i].Name)
		}
		return strings.Join(out, " ")
	}
	var volumes []string
	for _, v := range pod.Spec.Volumes {
		volumes = append(volumes, v.Name)
	}
	return fmt.Sprintf("%s | %s | %s", names(pod.Spec.InitContainers), names(pod.Spec.Containers), strings.Join(volumes, " "))
}

const app = `{containers: [{name: app, image: "web:v1"}]}`

func TestWhatIsPutIntoAPod(t *testing.T) {
	mesh := `{initContainers: [{name: mesh, image: "mesh:v1", restartPolicy: Always}], volumes: [{name: certs, emptyDir: {}}]}`
	logs := `{containers: [{name: logs, image: "logs:v1"}], volumes: [{name: spool, emptyDir: {}}]}`
	for _, c := range []struct {
		name, pod, shape string
		wants            []Want
		skips            string
	}{
		{"nothing where no set means it", app, " | app | ", nil, ""},
		{"a container comes after the application's", app, " | app logs | spool", []Want{want(t, "logs", logs)}, ""},
		{"an init container comes before the application's, which it may serve", `{initContainers: [{name: setup, image: x}], containers: [{name: app, image: x}]}`,
			"mesh setup | app | certs", []Want{want(t, "mesh", mesh)}, ""},
		{"sets go by their names, however they are listed", app, "mesh a | app logs | spool certs",
			[]Want{want(t, "zz", `{initContainers: [{name: a, image: x}]}`), want(t, "mesh", mesh), want(t, "logs", logs)}, ""},
		{"a container that has the application's name keeps the whole set out, and no other", `{containers: [{name: logs, image: x}]}`, "mesh | logs | certs",
			[]Want{want(t, "logs", logs), want(t, "mesh", mesh)}, "SidecarSet logs puts nothing into this pod: container logs is the application's"},
		{"of two sets with one container name the first has it", app, " | app logs | spool", []Want{want(t, "b", logs), want(t, "a", logs)}, "SidecarSet b puts nothing into this pod: container logs is SidecarSet a's"},
		{"the name of an init container counts, too", `{initContainers: [{name: logs, image: x}], containers: [{name: app, image: x}]}`, "logs | app | ",
			[]Want{want(t, "logs", logs)}, "container logs is the application's"},
		{"a volume that is the same is shared", `{containers: [{name: app, image: x}], volumes: [{name: spool, emptyDir: {}}]}`, " | app logs | spool", []Want{want(t, "logs", logs)}, ""},
		{"a volume by that name which is another keeps the set out", `{containers: [{name: app, image: x}], volumes: [{name: spool, configMap: {name: spool}}]}`, " | app | spool",
			[]Want{want(t, "logs", `{containers: [{name: logs, image: x}], volumes: [{name: spool, configMap: {name: other}}]}`)}, "volume spool is another's and differs"},
		{"a volume with the server's defaults is the same", `{containers: [{name: app, image: x}], volumes: [{name: spool, configMap: {name: spool, defaultMode: 420}}]}`, " | app logs | spool",
			[]Want{want(t, "logs", `{containers: [{name: logs, image: x}], volumes: [{name: spool, configMap: {name: spool}}]}`)}, ""},
		{"a port of the host that is taken keeps the set out", `{containers: [{name: app, image: x, ports: [{containerPort: 80, hostPort: 80}]}]}`, " | app | ",
			[]Want{want(t, "p", `{containers: [{name: p, image: x, ports: [{containerPort: 81, hostPort: 80}]}]}`)}, "port 80 of the host is container app's"},
		{"on the host's network every port is one of the host", `{hostNetwork: true, containers: [{name: app, image: x, ports: [{containerPort: 80}]}]}`, " | app | ",
			[]Want{want(t, "p", `{containers: [{name: p, image: x, ports: [{containerPort: 80}]}]}`)}, "port 80 of the host is container app's"},
		{"else two containers may listen on one number", `{containers: [{name: app, image: x, ports: [{containerPort: 80}]}]}`, " | app p | ",
			[]Want{want(t, "p", `{containers: [{name: p, image: x, ports: [{containerPort: 80}]}]}`)}, ""},
		{"a pod that ends gets no container that would keep it running", `{restartPolicy: Never, containers: [{name: job, image: x}]}`, " | job | ",
			[]Want{want(t, "logs", logs)}, "the pod ends by itself (restartPolicy Never)"},
		{"a pod that ends gets native sidecars", `{restartPolicy: OnFailure, containers: [{name: job, image: x}]}`, "mesh | job | certs", []Want{want(t, "mesh", mesh)}, ""},
		{"a pod for Windows gets nothing", `{os: {name: windows}, containers: [{name: app, image: x}]}`, " | app | ", []Want{want(t, "logs", logs)}, "the pod is for Windows"},
		{"a revision that is not known puts nothing in", app, " | app | ", []Want{{Set: "logs", Revision: "gone"}}, "its revision gone is not known"},
		{"a set whose first revision was not accepted yet puts nothing in", app, " | app | ", []Want{{Set: "logs"}}, "it has no revision yet that could be put in"},
		{"resources of a pod as a whole are not overdrawn", `{resources: {limits: {cpu: "1"}}, containers: [{name: app, image: x}]}`, " | app | ",
			[]Want{want(t, "p", `{containers: [{name: p, image: x, resources: {limits: {cpu: "1"}}}]}`)}, "the pod names resources for all of its containers together"},
	} {
		pod, a := inject(t, podOf(t, c.pod), c.wants...)
		if got := shape(pod); got != c.shape {
			t.Errorf("%s: got %q, want %q", c.name, got, c.shape)
		}
		if got := strings.Join(a.Skips, "; "); !strings.Contains(got, c.skips) || c.skips == "" && got != "" {
			t.Errorf("%s: left out %q, want %q", c.name, got, c.skips)
		}
	}
}

func TestWhatASidecarGetsOfTheApplication(t *testing.T) {
	pod, _ := inject(t, podOf(t, `
containers:
- name: app
  image: "web:v1"
  env: [{name: ZONE, value: dca}, {name: LIMIT, valueFrom: {resourceFieldRef: {resource: limits.cpu}}}, {name: MODE, value: app}]
  volumeMounts: [{name: data, mountPath: /data}, {name: token, mountPath: /var/run/secrets/kubernetes.io/serviceaccount}, {name: data, mountPath: /own}, {name: data, mountPath: /x, subPathExpr: $(ZONE)}]
- name: second
  image: "web:v1"
  env: [{name: ZONE, value: dcb}]
  volumeMounts: [{name: other, mountPath: /data}, {name: other, mountPath: /other}]
volumes: [{name: data, emptyDir: {}}, {name: other, emptyDir: {}}, {name: token, emptyDir: {}}]
`), want(t, "logs", `
containers:
- name: logs
  image: "logs:v1"
  env: [{name: MODE, value: mine}]
  volumeMounts: [{name: mine, mountPath: /own}]
  shareVolumes: true
  transferEnv: [{names: [ZONE, MODE, LIMIT, NONE]}, {container: second, names: [ZONE]}, {container: third, names: [OTHER]}]
volumes: [{name: mine, emptyDir: {}}]
`))
	got := pod.Spec.Containers[2]
	wantMounts := []corev1.VolumeMount{{Name: "mine", MountPath: "/own"}, {Name: "data", MountPath: "/data"}, {Name: "other", MountPath: "/other"}}
	if diff := cmp.Diff(wantMounts, got.VolumeMounts); diff != "" {
		t.Errorf("mounts (-want +got):\n%s", diff)
	}
	wantEnv := []corev1.EnvVar{
		{Name: "MODE", Value: "mine"}, {Name: "ZONE", Value: "dca"},
		{Name: "LIMIT", ValueFrom: &corev1.EnvVarSource{ResourceFieldRef: &corev1.ResourceFieldSelector{ContainerName: "app", Resource: "limits.cpu"}}},
	}
	if diff := cmp.Diff(wantEnv, got.Env); diff != "" {
		t.Errorf("env (-want +got):\n%s", diff)
	}
}

func TestWhatIsNotedOfIt(t *testing.T) {
	drains := want(t, "mesh", `{initContainers: [{name: mesh, image: x, restartPolicy: Always}], imagePullSecrets: [{name: ours}, {name: theirs}]}`)
	drains.Gate = true
	pod, _ := inject(t, podOf(t, `{containers: [{name: logs, image: x}], imagePullSecrets: [{name: theirs}]}`), drains, want(t, "logs", `{containers: [{name: logs, image: x}]}`))
	wantText := `{"sets":[{"set":"logs","revision":"r1","skipped":"container logs is the application's"},{"set":"mesh","revision":"r1","initContainers":["mesh"]}],"gate":true}`
	if got := pod.Annotations[v1alpha1.AnnotationSidecars]; got != wantText {
		t.Errorf("the record is %s\nwant %s", got, wantText)
	}
	wantLabels := map[string]string{"app": "web", v1alpha1.LabelSidecars: "injected", "sidecarset.apps.periplus.dev/mesh": "r1"}
	if diff := cmp.Diff(wantLabels, pod.Labels); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	if !HasGate(pod) || !HasReadinessGate(pod) {
		t.Error("a set that drains gives no gate")
	}
	if got := fmt.Sprint(pod.Spec.ImagePullSecrets); got != "[{theirs} {ours}]" {
		t.Errorf("pull secrets are %s", got)
	}
	skipped, _ := inject(t, podOf(t, app), Want{Set: "logs", Revision: "gone"})
	if got := skipped.Labels[v1alpha1.LabelSidecars]; got != "skipped" {
		t.Errorf("a pod that got nothing has the label %q; want skipped", got)
	}
}

func TestAPodThatIsTheInPlaceSetsKeepsItsOwnGate(t *testing.T) {
	drains := want(t, "mesh", `{initContainers: [{name: mesh, image: x, restartPolicy: Always}]}`)
	drains.Gate = true
	pod, _ := inject(t, podOf(t, `{readinessGates: [{conditionType: apps.periplus.dev/in-service}], containers: [{name: app, image: x}]}`), drains)
	if len(pod.Spec.ReadinessGates) != 1 || HasGate(pod) {
		t.Errorf("gates are %v, said to be ours: %t; want the one that was there", pod.Spec.ReadinessGates, HasGate(pod))
	}
}

func TestWhatWasCopiedFromAnotherPodIsNotBelieved(t *testing.T) {
	logs := want(t, "logs", `{containers: [{name: logs, image: "logs:v1"}]}`)
	first, _ := inject(t, podOf(t, app), logs, Want{Set: "old", Revision: "gone"})
	copied := podOf(t, app, func(pod *corev1.Pod) {
		pod.Labels, pod.Annotations = first.Labels, map[string]string{v1alpha1.AnnotationSidecars: first.Annotations[v1alpha1.AnnotationSidecars], v1alpha1.AnnotationUpdate: "{}"}
	})
	if _, ok := PartOf(copied, "logs"); ok {
		t.Error("a pod without the container counts as injected")
	}
	again, _ := inject(t, copied, logs)
	if got := shape(again); got != " | app logs | " {
		t.Errorf("got %s; want the sidecar put in", got)
	}
	if _, there := again.Annotations[v1alpha1.AnnotationUpdate]; there {
		t.Error("what became of the other pod is still said of this one")
	}
	nothing, _ := inject(t, copied)
	if len(nothing.Labels) != 1 || len(nothing.Annotations) != 0 {
		t.Errorf("without a set that means it the pod still says %v %v", nothing.Labels, nothing.Annotations)
	}
}

func TestARecordThatNamesASetTwiceMeansTheSameToEverybody(t *testing.T) {
	pod := podOf(t, `{containers: [{name: app}, {name: mesh}]}`)
	pod.Annotations = map[string]string{v1alpha1.AnnotationSidecars: `{"sets":[{"set":"mesh","revision":"r2","containers":["mesh"]},{"set":"mesh","revision":"r1","containers":["mesh"]}]}`}
	one, ok := PartOf(pod, "mesh")
	if all := PartsOf(pod); !ok || all["mesh"].Revision != one.Revision {
		t.Errorf("a release sees revision %q, the set's controller %q", one.Revision, all["mesh"].Revision)
	}
}
