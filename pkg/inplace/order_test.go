package inplace

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

// trio is a pod of a native sidecar, mesh, and two containers, app and log, out of service. Each runs v1 with 100m cpu.
func trio(options ...podOption) *corev1.Pod {
	pod := newPod(closed(GateChanging), unready)
	pod.Spec.InitContainers = []corev1.Container{{Name: "mesh", Image: "mesh:v1", RestartPolicy: ptr.To(corev1.ContainerRestartPolicyAlways), Resources: cpu("100m")}}
	pod.Spec.Containers = []corev1.Container{{Name: "app", Image: "app:v1", Resources: cpu("100m")}, {Name: "log", Image: "log:v1", Resources: cpu("100m")}}
	pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses = nil, nil
	for _, name := range []string{"mesh", "app", "log"} {
		s := corev1.ContainerStatus{Name: name, Image: name + ":v1", ContainerID: name + "-1", Ready: true, State: running(), Resources: ptr.To(cpu("100m"))}
		if name == "mesh" {
			pod.Status.InitContainerStatuses = append(pod.Status.InitContainerStatuses, s)
		} else {
			pod.Status.ContainerStatuses = append(pod.Status.ContainerStatuses, s)
		}
	}
	for _, o := range options {
		o(pod)
	}
	return pod
}

func cpu(amount string) corev1.ResourceRequirements {
	return corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(amount)}}
}

// kubelet brings a trio to what its spec says, but for the containers that it names, which stay down on their new image.
func kubelet(pod *corev1.Pod, down ...string) {
	observed(pod)
	for _, list := range [][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
		for i := range list {
			c := specContainer(pod, list[i].Name)
			if list[i].Image != c.Image {
				list[i].Image, list[i].ContainerID = c.Image, list[i].ContainerID+"+"
				list[i].RestartCount++
			}
			list[i].Resources = ptr.To(c.Resources)
			list[i].Ready = !slices.Contains(down, list[i].Name)
		}
	}
}

// images of a pod in its order, as "mesh:v1 app:v1 log:v1".
func imagesOf(pod *corev1.Pod) string {
	var out []string
	for _, name := range restartable(pod) {
		out = append(out, specImage(pod, name))
	}
	return strings.Join(out, " ")
}

// carry brings a pod out of service to a revision, and tells each write and each wait between that the kubelet ends.
func carry(t *testing.T, pod *corev1.Pod, in Input, kubelet func(*corev1.Pod)) (*corev1.Pod, []string) {
	t.Helper()
	var told []string
	in.Holder, in.QuietSince, in.Now = "InPlaceSet/web", noon, noon
	for range 20 {
		in.Pod = pod
		step, err := Next(in)
		if err != nil {
			t.Fatal(err)
		}
		switch step.Act {
		case WriteChange, WriteResize:
			pod = applied(t, pod, step.Patch)
			pod.Generation++
			in.Wish = Serve
			told = append(told, imagesOf(pod)+map[bool]string{true: " resized"}[step.Act == WriteResize])
			if len(told) > 1 && step.Act == WriteResize && pod.Annotations[v1alpha1.AnnotationUpdate] != in.Pod.Annotations[v1alpha1.AnnotationUpdate] {
				t.Error("a resize wrote something else")
			}
		case Nothing:
			if step.Wait == NoWait || told[len(told)-1] == "waits: "+string(step.Wait) {
				return pod, told
			}
			told = append(told, "waits: "+string(step.Wait))
			kubelet(pod)
		default:
			return pod, told
		}
	}
	t.Fatalf("no end: %q", told)
	return nil, nil
}

func TestContainersInAnOrder(t *testing.T) {
	all := map[string]string{"mesh": "mesh:v2", "app": "app:v2", "log": "log:v2"}
	for _, r := range []struct {
		name   string
		change Change
		order  []string
		down   string
		want   string
	}{
		{name: "without an order all go at once, native sidecars too", change: Change{Images: all}, want: "mesh:v2 app:v2 log:v2, waits: Kubelet"},
		{
			name: "in an order each waits until the one before is ready", change: Change{Images: all}, order: []string{"log", "mesh", "app"},
			want: "mesh:v1 app:v1 log:v2, waits: Kubelet, mesh:v2 app:v1 log:v2, waits: Kubelet, mesh:v2 app:v2 log:v2, waits: Kubelet",
		},
		{
			name: "those not named follow together", change: Change{Images: all}, order: []string{"mesh"},
			want: "mesh:v2 app:v1 log:v1, waits: Kubelet, mesh:v2 app:v2 log:v2, waits: Kubelet",
		},
		{
			name: "a first that fails leaves the others untouched", change: Change{Images: all}, order: []string{"mesh"}, down: "mesh",
			want: "mesh:v2 app:v1 log:v1, waits: Kubelet, waits: Containers",
		},
		{name: "names in the order that do not change are passed over", change: Change{Images: map[string]string{"app": "app:v2"}}, order: []string{"mesh", "app"}, want: "mesh:v1 app:v2 log:v1, waits: Kubelet"},
		{
			name: "a resize is a write of its own, and comes before any image", change: Change{Images: all, Resources: map[string]corev1.ResourceRequirements{"app": cpu("200m")}}, order: []string{"mesh"},
			want: "mesh:v1 app:v1 log:v1, mesh:v1 app:v1 log:v1 resized, waits: Resize, mesh:v2 app:v1 log:v1, waits: Kubelet, mesh:v2 app:v2 log:v2, waits: Kubelet",
		},
		{
			name: "a resize alone restarts nothing", change: Change{Resources: map[string]corev1.ResourceRequirements{"app": cpu("200m"), "mesh": cpu("50m")}},
			want: "mesh:v1 app:v1 log:v1, mesh:v1 app:v1 log:v1 resized, waits: Resize",
		},
	} {
		t.Run(r.name, func(t *testing.T) {
			pod, told := carry(t, trio(), Input{Wish: Update, Revision: "r2", Change: r.change, Order: r.order}, func(p *corev1.Pod) { kubelet(p, r.down) })
			if got := strings.Join(told, ", "); got != r.want {
				t.Errorf("got  %s\nwant %s", got, r.want)
			}
			if done := RunsRevision(pod, "r2"); done != (r.down == "") {
				t.Errorf("runs r2: %t", done)
			}
			if n := RestartsSince(pod); n != 0 {
				t.Errorf("%d restarts are counted that we made", n)
			}
		})
	}
}

// A change of mind in the middle of an order: what was not touched is not touched, and what was is taken back; and what both revisions want is not forgotten.
func TestAnotherChangeInTheMiddleOfAnOrder(t *testing.T) {
	toV2 := Input{Wish: Update, Revision: "r2", Change: Change{Images: map[string]string{"mesh": "mesh:v2", "app": "app:v2"}, Resources: map[string]corev1.ResourceRequirements{"log": cpu("200m")}}, Order: []string{"mesh", "app"}}
	for at := 1; at <= 4; at++ {
		for _, r := range []struct {
			name   string
			change Change
			want   string
			logCPU string
		}{
			{
				name:   "back to r1",
				change: Change{Images: map[string]string{"mesh": "mesh:v1", "app": "app:v1"}, Resources: map[string]corev1.ResourceRequirements{"log": cpu("100m")}},
				want:   "mesh:v1 app:v1 log:v1", logCPU: "100m",
			},
			{name: "on to r3, which has the app and the size of r2", change: Change{Images: map[string]string{"mesh": "mesh:v3"}}, want: "mesh:v3 app:v2 log:v1", logCPU: "200m"},
		} {
			t.Run(fmt.Sprintf("%s after %d writes", r.name, at), func(t *testing.T) {
				pod := trio()
				in := toV2
				in.Holder, in.QuietSince, in.Now = "InPlaceSet/web", noon, noon
				for writes := 0; writes < at; {
					in.Pod = pod
					step, err := Next(in)
					if err != nil {
						t.Fatal(err)
					}
					if step.Act == Nothing {
						kubelet(pod)
						continue
					}
					pod = applied(t, pod, step.Patch)
					pod.Generation++
					writes++
					in.Wish = Serve
				}
				pod, told := carry(t, pod, Input{Wish: Update, Revision: "r9", Change: r.change, Order: toV2.Order}, func(p *corev1.Pod) { kubelet(p) })
				if got := imagesOf(pod); got != r.want {
					t.Errorf("images %s; want %s (%q)", got, r.want, told)
				}
				if got := specContainer(pod, "log").Resources.Requests.Cpu().String(); got != r.logCPU {
					t.Errorf("cpu %s; want %s (%q)", got, r.logCPU, told)
				}
				if !RunsRevision(pod, "r9") {
					t.Errorf("not done: %s (%q)", pod.Annotations[v1alpha1.AnnotationUpdate], told)
				}
			})
		}
	}
}

func TestACureThatComesWithAResizeReplacesAnImageThatNeverRuns(t *testing.T) {
	for _, order := range [][]string{nil, {"mesh", "app"}} {
		pulls := func(pod *corev1.Pod) {
			kubelet(pod)
			if s := &pod.Status.InitContainerStatuses[0]; s.Image == "mesh:broken" {
				s.ContainerID, s.RestartCount, s.Ready, s.State = "mesh-1", 0, false, waiting("ImagePullBackOff")
			}
		}
		pod, _ := carry(t, trio(), Input{Wish: Update, Revision: "r2", Change: Change{Images: map[string]string{"mesh": "mesh:broken"}}, Order: order}, pulls)
		pod, told := carry(t, pod, Input{
			Wish: Update, Revision: "r3", Order: order,
			Change: Change{Images: map[string]string{"mesh": "mesh:v3"}, Resources: map[string]corev1.ResourceRequirements{"app": cpu("200m")}},
		}, pulls)
		if got := imagesOf(pod); got != "mesh:v3 app:v1 log:v1" || !RunsRevision(pod, "r3") {
			t.Errorf("order %v: images %s, record %s (%q)", order, got, pod.Annotations[v1alpha1.AnnotationUpdate], told)
		}
		if r, err := recordOf(pod); err != nil || !slices.Contains(r.Containers[0].Passed, "mesh:broken") {
			t.Errorf("order %v: the image that was given up is not in the record: %+v, %v", order, r.Containers, err)
		}
	}
}

func TestSomebodyOpensTheGateBetweenTwoContainers(t *testing.T) {
	pod := trio()
	in := Input{Pod: pod, Wish: Update, Holder: "InPlaceSet/web", Revision: "r2", Change: Change{Images: map[string]string{"mesh": "mesh:v2", "app": "app:v2"}}, Order: []string{"mesh"}, QuietSince: noon, Now: noon}
	step, err := Next(in)
	if err != nil {
		t.Fatal(err)
	}
	pod = applied(t, pod, step.Patch)
	pod.Generation++
	kubelet(pod)
	cond(v1alpha1.ReadinessGateInService, corev1.ConditionTrue, GateInService)(pod)
	in.Pod, in.Wish = pod, Serve
	if step, err = Next(in); err != nil || step.Act != WriteGate || ClosedFor(applied(t, pod, step.Patch)) != GateChanging {
		t.Errorf("%+v, %v; want the gate to be closed before the next container is touched", step, err)
	}
}

func TestWhenAResizeIsDone(t *testing.T) {
	want := map[string]corev1.ResourceRequirements{"app": cpu("200m")}
	sized := func(spec, status string) podOption {
		return func(pod *corev1.Pod) {
			record(Record{Holder: "InPlaceSet/web", Revision: "r2", Resize: want})(pod)
			pod.Labels[v1alpha1.LabelRevision] = "r2"
			pod.Spec.Containers[0].Resources = cpu(spec)
			pod.Status.ContainerStatuses[0].Resources = ptr.To(cpu(status))
		}
	}
	infeasible := func(pod *corev1.Pod) {
		cond(corev1.PodResizePending, corev1.ConditionTrue, corev1.PodReasonInfeasible)(pod)
		pod.Status.Conditions[len(pod.Status.Conditions)-1].Message = "no room"
	}
	for _, r := range []struct {
		name             string
		pod              *corev1.Pod
		done, infeasible bool
	}{
		{name: "not before it was written", pod: trio(sized("100m", "100m"))},
		{name: "not before the kubelet saw it", pod: trio(sized("200m", "200m"), func(p *corev1.Pod) { p.Generation++ })},
		{name: "not while the kubelet puts it off", pod: trio(sized("200m", "200m"), cond(corev1.PodResizePending, corev1.ConditionTrue, corev1.PodReasonDeferred))},
		{name: "not while it is in progress", pod: trio(sized("200m", "200m"), cond(corev1.PodResizeInProgress, corev1.ConditionTrue, ""))},
		{name: "not while the container has what it had", pod: trio(sized("200m", "100m"))},
		{name: "done when the container has it", pod: trio(sized("200m", "200m")), done: true},
		{name: "never where the node has no room for it", pod: trio(sized("200m", "100m"), infeasible), infeasible: true},
		{name: "a pod that nobody resized is not infeasible", pod: trio(infeasible), done: true},
	} {
		t.Run(r.name, func(t *testing.T) {
			if got := !UpdateInProgress(r.pod); got != r.done {
				t.Errorf("done: %t; want %t", got, r.done)
			}
			if got := LookAt(r.pod).Infeasible != ""; got != r.infeasible {
				t.Errorf("infeasible: %t; want %t", got, r.infeasible)
			}
		})
	}
}

func TestWhatOfTheResourcesChangesInPlace(t *testing.T) {
	limits := func(request, limit string) corev1.ResourceRequirements {
		out := corev1.ResourceRequirements{}
		if request != "" {
			out.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(request)}
		}
		if limit != "" {
			out.Limits = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(limit)}
		}
		return out
	}
	gpu := func(n string) corev1.ResourceRequirements {
		return corev1.ResourceRequirements{Limits: corev1.ResourceList{"example.com/gpu": resource.MustParse(n)}, Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")}}
	}
	const here = "spec.template.spec.containers[app].resources"
	for _, r := range []struct {
		name     string
		from, to corev1.ResourceRequirements
		misfit   string
	}{
		{name: "a request grows", from: limits("100m", ""), to: limits("200m", "")},
		{name: "a limit is added", from: limits("100m", ""), to: limits("100m", "200m")},
		{name: "a limit cannot be taken away", from: limits("100m", "200m"), to: limits("100m", ""), misfit: here + ".limits"},
		{name: "a pod without any gets none, for its class of service would change", from: limits("", ""), to: limits("100m", ""), misfit: here + ".requests"},
		{name: "devices do not change", from: gpu("1"), to: gpu("2"), misfit: here + ".limits.example.com/gpu"},
	} {
		t.Run(r.name, func(t *testing.T) {
			set := func(x corev1.ResourceRequirements) func(*corev1.PodTemplateSpec) {
				return func(t *corev1.PodTemplateSpec) { t.Spec.Containers[0].Resources = x }
			}
			c := Compare(template("web:v1", set(r.from)), template("web:v1", set(r.to)))
			if got := strings.Join(c.Misfits, ","); got != r.misfit {
				t.Errorf("misfits %q; want %q", got, r.misfit)
			}
			if got := slices.Collect(maps.Keys(c.Resources)); (len(got) == 1) != (r.misfit == "") || c.Empty() {
				t.Errorf("resizes %v", got)
			}
		})
	}
	guaranteed := func(n string) func(*corev1.PodTemplateSpec) {
		return func(t *corev1.PodTemplateSpec) {
			for _, list := range [][]corev1.Container{t.Spec.Containers, t.Spec.InitContainers} {
				for i := range list {
					l := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(n), corev1.ResourceMemory: resource.MustParse("1Gi")}
					list[i].Resources = corev1.ResourceRequirements{Limits: l, Requests: l}
				}
			}
		}
	}
	if c := Compare(template("web:v1", guaranteed("1")), template("web:v1", guaranteed("2"))); len(c.Misfits) != 2 || !strings.Contains(c.Misfits[0], "initContainers[init]") || len(c.Resources) != 2 {
		t.Errorf("misfits %v, resizes %v; want the containers to be resized and the init container, which ran, to be a misfit", c.Misfits, c.Resources)
	}
}

// Requests that a template does not name are its limits in a new pod. In a pod that is there they would stay what they were.
func TestALimitThatGrowsTakesItsRequestAlong(t *testing.T) {
	limit := func(n string) corev1.ResourceRequirements {
		return corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(n)}}
	}
	pod := trio(func(p *corev1.Pod) { p.Spec.Containers[0].Resources = asCreated(ptr.To(limit("100m"))) })
	pod, told := carry(t, pod, Input{Wish: Update, Revision: "r2", Change: Change{Resources: map[string]corev1.ResourceRequirements{"app": limit("200m")}}}, func(p *corev1.Pod) { kubelet(p) })
	if got := specContainer(pod, "app").Resources; got.Requests.Cpu().String() != "200m" || got.Limits.Cpu().String() != "200m" || !RunsRevision(pod, "r2") {
		t.Errorf("resources %+v, told %q", got, told)
	}
}

// badKubelet does what kubelet does, and never gets an image that ends in :bad.
func badKubelet(pod *corev1.Pod) {
	observed(pod)
	for _, list := range [][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
		for i := range list {
			c := specContainer(pod, list[i].Name)
			list[i].Resources = ptr.To(c.Resources)
			if strings.HasSuffix(c.Image, ":bad") {
				list[i].Ready, list[i].State = false, waiting("ImagePullBackOff")
				continue
			}
			if list[i].Image != c.Image || list[i].State.Running == nil {
				list[i].Image, list[i].ContainerID = c.Image, list[i].ContainerID+"+"
				list[i].RestartCount++
			}
			list[i].Ready, list[i].State = true, running()
		}
	}
}

func TestABadImageIsLeftWhateverComesNext(t *testing.T) {
	resize := func(name, amount string) map[string]corev1.ResourceRequirements {
		return map[string]corev1.ResourceRequirements{name: cpu(amount)}
	}
	for _, r := range []struct {
		name      string
		order     []string
		bad, next Change
		want      string
	}{
		{
			name: "back, with an earlier container in the order", order: []string{"mesh", "app"}, want: "mesh:v1 app:v1 log:v1",
			bad: Change{Images: map[string]string{"mesh": "mesh:v2", "app": "app:bad"}}, next: Change{Images: map[string]string{"mesh": "mesh:v1", "app": "app:v1"}},
		},
		{
			name: "back, together with the container's size", want: "mesh:v1 app:v1 log:v1",
			bad: Change{Images: map[string]string{"app": "app:bad"}, Resources: resize("app", "200m")}, next: Change{Images: map[string]string{"app": "app:v1"}, Resources: resize("app", "100m")},
		},
		{
			name: "on to another, which has more for another container", want: "mesh:v1 app:v3 log:v1",
			bad: Change{Images: map[string]string{"app": "app:bad"}}, next: Change{Images: map[string]string{"app": "app:v3"}, Resources: resize("log", "200m")},
		},
	} {
		t.Run(r.name, func(t *testing.T) {
			pod, _ := carry(t, trio(), Input{Wish: Update, Revision: "r2", Order: r.order, Change: r.bad}, badKubelet)
			pod, told := carry(t, pod, Input{Wish: Update, Revision: "r3", Order: r.order, Change: r.next}, badKubelet)
			if got := imagesOf(pod); got != r.want || !RunsRevision(pod, "r3") {
				t.Errorf("images %s, done %t; want %s (%q)", got, RunsRevision(pod, "r3"), r.want, told)
			}
		})
	}
}

// A LimitRange gave the container a limit that no template names.
func TestALimitOfTheNamespaceKeepsNoPodOutOfService(t *testing.T) {
	pod := trio(func(p *corev1.Pod) {
		p.Spec.Containers[0].Resources.Limits = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("500m")}
	})
	pod, told := carry(t, pod, Input{Wish: Update, Revision: "r2", Change: Change{Resources: map[string]corev1.ResourceRequirements{"app": cpu("200m")}}}, func(p *corev1.Pod) { kubelet(p) })
	if !RunsRevision(pod, "r2") || len(told) != 3 {
		t.Errorf("told %q; want one resize, and the end", told)
	}
}

// The gate that is opened ends the change. Who resizes the pod after that, an autoscaler or a person, takes nothing out of service.
func TestAfterItsEndAChangeAsksNothingOfAPod(t *testing.T) {
	pod, _ := carry(t, trio(), Input{Wish: Update, Revision: "r2", Change: Change{Resources: map[string]corev1.ResourceRequirements{"app": cpu("200m")}}}, func(p *corev1.Pod) { kubelet(p) })
	step, err := Next(Input{Pod: pod, Wish: Serve, Holder: "InPlaceSet/web", Now: noon})
	if err != nil || step.Act != WriteGate {
		t.Fatalf("%+v, %v; want the gate to be opened", step, err)
	}
	pod = applied(t, pod, step.Patch)
	cond(corev1.PodReady, corev1.ConditionTrue, "")(pod)
	pod.Spec.Containers[0].Resources, pod.Generation = cpu("300m"), pod.Generation+1
	if l := LookAt(pod); !l.Idle || !RunsRevision(pod, "r2") {
		t.Errorf("a foreign resize: %+v", l)
	}
	if step, err = Next(Input{Pod: pod, Wish: Serve, Holder: "InPlaceSet/web", Now: noon}); err != nil || step.Act != Nothing || step.Wait != NoWait {
		t.Errorf("%+v, %v; want nothing to be done", step, err)
	}
}
