package inplace

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

var noon = time.Date(2025, 3, 1, 12, 0, 0, 0, time.UTC)

// podOption says how a pod differs from one that serves v1 on container A.
type podOption func(*corev1.Pod)

func newPod(options ...podOption) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: "web-1", Namespace: "shop", UID: "u1", ResourceVersion: "7", Generation: 1,
			Labels: map[string]string{"app": "web", v1alpha1.LabelRevision: "r1"},
		},
		Spec: corev1.PodSpec{
			ReadinessGates: []corev1.PodReadinessGate{{ConditionType: v1alpha1.ReadinessGateInService}},
			Containers:     []corev1.Container{{Name: "app", Image: "web:v1"}},
		},
		Status: corev1.PodStatus{
			ObservedGeneration: 1,
			ContainerStatuses: []corev1.ContainerStatus{{
				Name: "app", Image: "web:v1", ImageID: "web@sha256:1", ContainerID: "A", State: running(),
			}},
			Conditions: []corev1.PodCondition{
				{Type: v1alpha1.ReadinessGateInService, Status: corev1.ConditionTrue},
				{Type: corev1.ContainersReady, Status: corev1.ConditionTrue},
				{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(noon.Add(-time.Minute))},
			},
		},
	}
	for _, o := range options {
		o(pod)
	}
	return pod
}

func running() corev1.ContainerState {
	return corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
}

func cond(t corev1.PodConditionType, status corev1.ConditionStatus, reason string) podOption {
	return func(pod *corev1.Pod) {
		for i := range pod.Status.Conditions {
			if pod.Status.Conditions[i].Type == t {
				pod.Status.Conditions[i].Status, pod.Status.Conditions[i].Reason = status, reason
				return
			}
		}
		pod.Status.Conditions = append(pod.Status.Conditions, corev1.PodCondition{Type: t, Status: status, Reason: reason})
	}
}

func closed(reason string) podOption {
	return cond(v1alpha1.ReadinessGateInService, corev1.ConditionFalse, reason)
}

func unready(pod *corev1.Pod) { cond(corev1.PodReady, corev1.ConditionFalse, "")(pod) }

func containersUnready(pod *corev1.Pod) {
	cond(corev1.ContainersReady, corev1.ConditionFalse, "")(pod)
	unready(pod)
}

func neverOpened(pod *corev1.Pod) {
	pod.Status.Conditions = pod.Status.Conditions[1:]
	unready(pod)
}

// patched to an image by an earlier change that found container A on v1.
func patched(image, revision string) podOption {
	return func(pod *corev1.Pod) {
		pod.Generation++
		pod.Spec.Containers[0].Image = image
		pod.Labels[v1alpha1.LabelRevision] = revision
		record(Record{Holder: "InPlaceSet/web", Revision: revision, Containers: []ContainerBefore{
			{Name: "app", Image: "web:v1", ImageID: "web@sha256:1", ContainerID: "A"},
		}})(pod)
	}
}

func record(r Record) podOption {
	return func(pod *corev1.Pod) {
		text, _ := json.Marshal(r)
		pod.Annotations = map[string]string{v1alpha1.AnnotationUpdate: string(text)}
	}
}

func observed(pod *corev1.Pod) { pod.Status.ObservedGeneration = pod.Generation }

func runs(image, id string, state corev1.ContainerState) podOption {
	return func(pod *corev1.Pod) {
		s := &pod.Status.ContainerStatuses[0]
		s.Image, s.ContainerID, s.State = image, id, state
	}
}

func starts(n int32) podOption {
	return func(pod *corev1.Pod) { pod.Status.ContainerStatuses[0].RestartCount = n }
}

func digest(id string) podOption {
	return func(pod *corev1.Pod) { pod.Status.ContainerStatuses[0].ImageID = id }
}

// neverRan: there was no container when the change was made.
func neverRan(pod *corev1.Pod) {
	before(func(b *ContainerBefore) { b.Image, b.ImageID, b.ContainerID, b.Stopped = "web:bad", "", "", true })(pod)
}

// finished: the gate was opened after the change.
func finished(pod *corev1.Pod) {
	r, _ := recordOf(pod)
	r.Done = true
	record(r)(pod)
}

func isReady(pod *corev1.Pod) { pod.Status.ContainerStatuses[0].Ready = true }

// stopped: the container did not run when the change was made.
func stopped(pod *corev1.Pod) {
	before(func(b *ContainerBefore) { b.Stopped = true })(pod)
}

func passed(images ...string) podOption {
	return before(func(b *ContainerBefore) { b.Passed = images })
}

// before changes what the pod's record says of its first container.
func before(change func(*ContainerBefore)) podOption {
	return func(pod *corev1.Pod) {
		r, _ := recordOf(pod)
		change(&r.Containers[0])
		record(r)(pod)
	}
}

func waiting(reason string) corev1.ContainerState {
	return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason}}
}

func TestUpdateInProgress(t *testing.T) {
	for _, r := range []struct {
		name string
		pod  *corev1.Pod
		want bool
	}{
		{name: "a pod that was never changed is not in progress", pod: newPod()},
		{name: "a patch that the kubelet has not seen is in progress", pod: newPod(patched("web:v2", "r2")), want: true},
		{name: "the new generation with the old container, as the kubelet publishes it first, is in progress", pod: newPod(patched("web:v2", "r2"), observed), want: true},
		{name: "a new container before the generation is observed proves nothing", pod: newPod(patched("web:v2", "r2"), runs("web:v2", "B", running())), want: true},
		{name: "an old image that crash-loops gets new IDs and is in progress", pod: newPod(patched("web:v2", "r2"), observed, runs("web:v1", "B", running())), want: true},
		{name: "the new image's name on the old container is in progress", pod: newPod(patched("web:v2", "r2"), observed, runs("web:v2", "A", running())), want: true},
		{name: "the new image in a new container is done", pod: newPod(patched("web:v2", "r2"), observed, runs("web:v2", "B", running()))},
		{name: "the new image under its full name is done", pod: newPod(patched("web:v2", "r2"), observed, runs("docker.io/library/web:v2", "B", running()))},
		{name: "a new image that crashes is done", pod: newPod(patched("web:v2", "r2"), observed, runs("web:v2", "B", waiting("CrashLoopBackOff")))},
		{name: "the same digest, started once, under the tag that the runtime had for it, is done", pod: newPod(patched("web:v1-again", "r2"), observed, runs("web:v1", "B", running()), starts(1))},
		{name: "another digest under another of its tags is done", pod: newPod(patched("web:v2", "r2"), observed, runs("web:stable", "B", running()), digest("web@sha256:2"), starts(1))},
		{name: "another digest that an earlier change wanted is in progress", pod: newPod(patched("web:v3", "r3"), observed, passed("web:v2"), runs("web:v2", "B", running()), digest("web@sha256:2"), starts(1)), want: true},
		{name: "an old image that waited to be started again, and was, is in progress", pod: newPod(patched("web:v2", "r2"), observed, stopped, runs("web:v1", "B", running()), starts(1)), want: true},
		{name: "the same digest under another tag, which crash-loops as it did before, is done with its second start", pod: newPod(patched("web:v1-again", "r2"), observed, stopped, runs("web:v1", "C", running()), starts(2))},
		{name: "the first container that ever ran, under another tag, is done once it is ready", pod: newPod(patched("web:v2", "r2"), observed, neverRan, runs("web:stable", "B", running()), isReady)},
		{name: "and not before, for it may be that of the change that was given up", pod: newPod(patched("web:v2", "r2"), observed, neverRan, runs("web:stable", "B", running())), want: true},
		{name: "what happens after the gate was opened is not the change's", pod: newPod(patched("web:v2", "r2"), observed, finished, runs("web:stable", "A", running()))},
		{name: "an image that cannot be pulled is in progress", pod: newPod(patched("web:bad", "r2"), observed, runs("web:v1", "A", waiting("ErrImagePull"))), want: true},
		{name: "a bad image taken back before the kubelet acted is done, for the old container still runs", pod: newPod(patched("web:v1", "r1"), observed)},
		{name: "a bad image taken back before the kubelet saw it is in progress", pod: newPod(patched("web:v1", "r1")), want: true},
		{name: "a bad image taken back after the old container was killed is in progress", pod: newPod(patched("web:v1", "r1"), observed, runs("web:v1", "A", waiting("ImagePullBackOff"))), want: true},
		{name: "a bad image taken back is done when the old image runs in a new container", pod: newPod(patched("web:v1", "r1"), observed, runs("web:v1", "C", running()))},
		{name: "a change of labels alone is done at once", pod: newPod(record(Record{Holder: "InPlaceSet/web", Revision: "r2"}))},
		{name: "a change of another holder counts as well", pod: newPod(patched("web:v2", "s2"), observed), want: true},
		{name: "a damaged record is in progress until every container runs what the spec says", pod: newPod(patched("web:v2", "r2"), observed, damaged), want: true},
		{name: "a damaged record is done when every container runs what the spec says", pod: newPod(patched("web:v2", "r2"), observed, damaged, runs("web:v2", "B", running()))},
		{name: "a pod that has not started a container is in progress", pod: newPod(patched("web:v2", "r2"), observed, runs("web:v2", "", waiting("ContainerCreating"))), want: true},
	} {
		t.Run(r.name, func(t *testing.T) {
			if got := UpdateInProgress(r.pod); got != r.want {
				t.Errorf("UpdateInProgress = %t; want %t", got, r.want)
			}
			if got := RunsRevision(r.pod, r.pod.Labels[v1alpha1.LabelRevision]); got == r.want {
				t.Errorf("RunsRevision = %t; want %t", got, !r.want)
			}
			if RunsRevision(r.pod, "another") {
				t.Error("RunsRevision of another revision than the label's")
			}
		})
	}
}

func damaged(pod *corev1.Pod) { pod.Annotations[v1alpha1.AnnotationUpdate] = "{" }

func TestSameImage(t *testing.T) {
	for _, r := range []struct {
		name, want, image, id string
		same                  bool
	}{
		{name: "the same name", want: "web:v1", image: "web:v1", same: true},
		{name: "another tag", want: "web:v2", image: "web:v1"},
		{name: "no tag is latest", want: "web", image: "docker.io/library/web:latest", same: true},
		{name: "a user's image on the default registry", want: "shop/web:v1", image: "docker.io/shop/web:v1", same: true},
		{name: "the default registry without library", want: "docker.io/web:v1", image: "docker.io/library/web:v1", same: true},
		{name: "a registry with a port is not a tag", want: "registry:5000/web", image: "registry:5000/web:latest", same: true},
		{name: "localhost is a registry", want: "localhost/web:v1", image: "docker.io/localhost/web:v1"},
		{name: "a digest is looked for in the image", want: "web@sha256:12", image: "docker.io/library/web@sha256:12", same: true},
		{name: "a digest is looked for in the image's ID", want: "web:v1@sha256:12", image: "web:v1", id: "web@sha256:12", same: true},
		{name: "another digest", want: "web:v1@sha256:12", image: "web:v1", id: "web@sha256:34"},
	} {
		t.Run(r.name, func(t *testing.T) {
			if got := sameImage(r.want, corev1.ContainerStatus{Image: r.image, ImageID: r.id}); got != r.same {
				t.Errorf("sameImage(%q, %q %q) = %t; want %t", r.want, r.image, r.id, got, r.same)
			}
		})
	}
}

func TestAvailable(t *testing.T) {
	now := metav1.NewTime(noon)
	for _, r := range []struct {
		name     string
		pod      *corev1.Pod
		minReady int32
		want     bool
	}{
		{name: "a pod that serves", pod: newPod(), want: true},
		{name: "a pod that is not ready", pod: newPod(unready)},
		{name: "a pod whose gate was just closed, though its Ready lags", pod: newPod(closed(GateChanging))},
		{name: "a pod that is ready for exactly minReadySeconds", pod: newPod(), minReady: 60, want: true},
		{name: "a pod that is ready for less than minReadySeconds", pod: newPod(), minReady: 61},
		{name: "a pod in the middle of a change that nobody took out of service", pod: newPod(patched("web:v2", "r2"))},
		{name: "a pod that is being deleted", pod: newPod(func(p *corev1.Pod) { p.DeletionTimestamp = &now })},
		{name: "a pod without our gate", pod: newPod(func(p *corev1.Pod) { p.Spec.ReadinessGates, p.Status.Conditions = nil, p.Status.Conditions[1:] }), want: true},
	} {
		t.Run(r.name, func(t *testing.T) {
			if got := Available(r.pod, r.minReady, noon); got != r.want {
				t.Errorf("Available = %t; want %t", got, r.want)
			}
		})
	}
	look := LookAt(newPod())
	if left, ok := look.AvailableIn(90, noon); !ok || left != 30*time.Second {
		t.Errorf("AvailableIn of a pod ready for 60 s of 90 = %s, %t; want 30s", left, ok)
	}
}

func TestNext(t *testing.T) {
	toV2 := Change{Images: map[string]string{"app": "web:v2"}}
	long, just := noon.Add(-time.Hour), noon.Add(-2*time.Second)
	for _, r := range []struct {
		name  string
		pod   *corev1.Pod
		wish  Wish
		quiet time.Time
		grace time.Duration
		act   Act
		wait  Wait
		after time.Duration
	}{
		// A pod that serves or comes up.
		{name: "a pod that serves has nothing to do", pod: newPod(), wish: Serve},
		{name: "a new pod waits for its containers", pod: newPod(neverOpened, containersUnready), wish: Serve, wait: WaitContainers},
		{name: "a new pod whose containers are ready is put in service", pod: newPod(neverOpened), wish: Serve, act: WriteGate},
		{name: "a pod that was taken out and is not to change any more returns, paused or rolled back", pod: newPod(closed(GateChanging), unready), wish: Serve, act: WriteGate},
		{name: "a pod that was to be deleted and is not any more returns", pod: newPod(closed(GateLeaving), unready), wish: Serve, act: WriteGate},
		{name: "a pod in the middle of its change is not put in service", pod: newPod(closed(GateChanging), unready, patched("web:v2", "r2")), wish: Serve, wait: WaitKubelet},
		{name: "a changed pod waits for its containers", pod: newPod(closed(GateChanging), containersUnready, patched("web:v2", "r2"), observed, runs("web:v2", "B", running())), wish: Serve, wait: WaitContainers},
		{name: "a changed pod whose containers are ready is put in service", pod: newPod(closed(GateChanging), unready, patched("web:v2", "r2"), observed, runs("web:v2", "B", running())), wish: Serve, act: WriteGate},

		// A pod that is to change.
		{name: "first the gate is closed", pod: newPod(), wish: Update, quiet: long, act: WriteGate},
		{name: "then the kubelet is waited for", pod: newPod(closed(GateChanging)), wish: Update, wait: WaitUnready},
		{name: "then the EndpointSlices", pod: newPod(closed(GateChanging), unready), wish: Update, wait: WaitEndpointSlices},
		{name: "then the grace period, to the end", pod: newPod(closed(GateChanging), unready), wish: Update, quiet: just, grace: 3 * time.Second, wait: WaitGracePeriod, after: time.Second},
		{name: "then it is changed", pod: newPod(closed(GateChanging), unready), wish: Update, quiet: just, grace: 2 * time.Second, act: WriteChange},
		{name: "without a grace period it is changed as soon as it is quiet", pod: newPod(closed(GateChanging), unready), wish: Update, quiet: noon, act: WriteChange},
		{name: "a pod that never served needs no gate to be closed, but the wait", pod: newPod(neverOpened, containersUnready), wish: Update, quiet: just, grace: 3 * time.Second, wait: WaitGracePeriod, after: time.Second},
		{name: "a pod that never served is changed", pod: newPod(neverOpened, containersUnready), wish: Update, quiet: long, grace: 3 * time.Second, act: WriteChange},
		{name: "a bad change in the middle is changed again", pod: newPod(closed(GateChanging), containersUnready, patched("web:bad", "rb"), observed), wish: Update, quiet: long, act: WriteChange},
		{name: "a pod that another holder is changing waits", pod: newPod(patched("web:v2", "s2"), record(Record{Holder: "SidecarSet/proxy", Containers: []ContainerBefore{{Name: "app", ContainerID: "A", Image: "web:v1"}}})), wish: Update, quiet: long, wait: WaitHolder},

		// A pod that is to go.
		{name: "a pod that is to go is taken out of service first", pod: newPod(), wish: Leave, quiet: long, act: WriteGate},
		{name: "a pod that is to go waits like any other", pod: newPod(closed(GateLeaving), unready), wish: Leave, quiet: just, grace: 3 * time.Second, wait: WaitGracePeriod, after: time.Second},
		{name: "a pod that is quiet is deleted", pod: newPod(closed(GateLeaving), unready), wish: Leave, quiet: long, act: Delete},
		{name: "a pod in the middle of a change may go", pod: newPod(closed(GateChanging), unready, patched("web:v2", "r2")), wish: Leave, quiet: long, act: Delete},
	} {
		t.Run(r.name, func(t *testing.T) {
			step, err := Next(Input{
				Pod: r.pod, Wish: r.wish, Holder: "InPlaceSet/web", Revision: "r2", Change: toV2, QuietSince: r.quiet, GracePeriod: r.grace, Now: noon,
			})
			if err != nil {
				t.Fatal(err)
			}
			if step.Act != r.act || step.Wait != r.wait || step.After != r.after {
				t.Errorf("act %d, wait %q, after %s; want act %d, wait %q, after %s", step.Act, step.Wait, step.After, r.act, r.wait, r.after)
			}
			if step.Act == WriteGate || step.Act == WriteChange {
				if text := string(step.Patch); !strings.Contains(text, `"resourceVersion":"7"`) || !strings.Contains(text, `"uid":"u1"`) {
					t.Errorf("patch %s lacks the preconditions", text)
				}
			}
		})
	}
}

func TestQuiet(t *testing.T) {
	for _, r := range []struct {
		name   string
		pod    *corev1.Pod
		listed bool
		want   bool
	}{
		{name: "a pod that serves is not quiet", pod: newPod()},
		{name: "a pod whose gate is closed is not quiet until the kubelet took notice", pod: newPod(closed(GateChanging))},
		{name: "a pod that a slice lists is not quiet", pod: newPod(closed(GateChanging), unready), listed: true},
		{name: "a pod that nothing lists is quiet", pod: newPod(closed(GateChanging), unready), want: true},
		{name: "a broken pod whose gate is open is not quiet: it may be ready again at any moment", pod: newPod(unready)},
	} {
		t.Run(r.name, func(t *testing.T) {
			if got := Quiet(r.pod, r.listed); got != r.want {
				t.Errorf("Quiet = %t; want %t", got, r.want)
			}
		})
	}
}

// applied returns the pod as the API server makes it of a patch.
func applied(t *testing.T, pod *corev1.Pod, patch []byte) *corev1.Pod {
	t.Helper()
	original, err := json.Marshal(pod)
	if err != nil {
		t.Fatal(err)
	}
	merged, err := strategicpatch.StrategicMergePatch(original, patch, &corev1.Pod{})
	if err != nil {
		t.Fatalf("patch %s: %v", patch, err)
	}
	out := &corev1.Pod{}
	if err := json.Unmarshal(merged, out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestThePatchIsTheWholeChangeAndItsRecord(t *testing.T) {
	pod := newPod(closed(GateChanging), unready)
	pod.Labels["theirs"], pod.Annotations = "kept", map[string]string{"old": "x", "theirs": "kept"}
	pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Name: "proxy", Image: "proxy:v1"})
	tier := "gold"
	change := Change{
		Images: map[string]string{"app": "web:v2"}, Labels: map[string]*string{"tier": &tier},
		Annotations: map[string]*string{"old": nil},
	}
	step, err := Next(Input{Pod: pod, Wish: Update, Holder: "InPlaceSet/web", Revision: "r2", Change: change, QuietSince: noon, Now: noon})
	if err != nil || step.Act != WriteChange {
		t.Fatalf("Next = %+v, %v; want the change", step, err)
	}
	got := applied(t, pod, step.Patch)
	if diff := cmp.Diff(map[string]string{"app": "web", "theirs": "kept", "tier": "gold", v1alpha1.LabelRevision: "r2"}, got.Labels); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	if got.Annotations["theirs"] != "kept" || got.Annotations["old"] != "" {
		t.Errorf("annotations %v; want old gone and theirs kept", got.Annotations)
	}
	if got.Spec.Containers[0].Image != "web:v2" || got.Spec.Containers[1].Image != "proxy:v1" {
		t.Errorf("images %q, %q; want the app's alone to change", got.Spec.Containers[0].Image, got.Spec.Containers[1].Image)
	}
	r, err := recordOf(got)
	if err != nil {
		t.Fatal(err)
	}
	want := Record{Holder: "InPlaceSet/web", Revision: "r2", Time: metav1.NewTime(noon), Containers: []ContainerBefore{
		{Name: "app", Image: "web:v1", ImageID: "web@sha256:1", ContainerID: "A"},
	}}
	if !r.Time.Equal(&want.Time) {
		t.Errorf("time %s; want %s", r.Time, want.Time)
	}
	r.Time = want.Time
	if diff := cmp.Diff(want, r); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
}

func TestAChangeDoesNotTouchLabelsOfOurs(t *testing.T) {
	evil := "evil"
	change := Change{Labels: map[string]*string{v1alpha1.LabelRevision: &evil, v1alpha1.LabelInPlaceSet: nil, v1alpha1.LabelUnit: &evil}}
	pod := newPod(closed(GateChanging), unready)
	pod.Labels[v1alpha1.LabelInPlaceSet] = "web"
	step, err := Next(Input{Pod: pod, Wish: Update, Holder: "InPlaceSet/web", Revision: "r2", Change: change, QuietSince: noon, Now: noon})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"app": "web", v1alpha1.LabelRevision: "r2", v1alpha1.LabelInPlaceSet: "web"}
	if diff := cmp.Diff(want, applied(t, pod, step.Patch).Labels); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
}

func TestTheGateKeepsOtherConditions(t *testing.T) {
	pod := newPod()
	step, err := Next(Input{Pod: pod, Wish: Update, Holder: "InPlaceSet/web", Revision: "r2", Now: noon})
	if err != nil {
		t.Fatal(err)
	}
	got := applied(t, pod, step.Patch)
	if ClosedFor(got) != GateChanging || !Ready(got) || len(got.Status.Conditions) != 3 {
		t.Errorf("conditions %+v; want the gate closed and the others as they were", got.Status.Conditions)
	}
}

// A second change finds the first one undone: what ran before both is what the record keeps, or it would wait for ever.
func TestTheRecordOfAChangeOnTopOfAnother(t *testing.T) {
	for _, r := range []struct {
		name string
		pod  *corev1.Pod
		to   string
		want ContainerBefore
	}{
		{
			name: "keeps what ran before both while the old container is there",
			pod:  newPod(patched("web:bad", "rb"), observed, runs("web:v1", "A", waiting("ErrImagePull"))), to: "web:v1",
			want: ContainerBefore{Name: "app", Image: "web:v1", ImageID: "web@sha256:1", ContainerID: "A", Passed: []string{"web:bad"}},
		},
		{
			name: "is of the first change once that is done",
			pod:  newPod(patched("web:v2", "r2"), observed, runs("web:v2", "B", running())), to: "web:v3",
			want: ContainerBefore{Name: "app", Image: "web:v2", ImageID: "web@sha256:1", ContainerID: "B"},
		},
		{
			name: "is what the status says where an old image crashed on under a new ID",
			pod:  newPod(patched("web:v2", "r2"), runs("web:v1", "B", running())), to: "web:v3",
			want: ContainerBefore{Name: "app", Image: "web:v1", ImageID: "web@sha256:1", ContainerID: "B", Passed: []string{"web:v2"}},
		},
	} {
		t.Run(r.name, func(t *testing.T) {
			look := LookAt(r.pod)
			got := look.earlier().beforeAll(r.pod, []string{"app"})
			if diff := cmp.Diff([]ContainerBefore{r.want}, got); diff != "" {
				t.Errorf("containers (-want +got):\n%s", diff)
			}
		})
	}
}

// The whole way of a pod, with the kubelet's moves between ours: three writes.
func TestOnePodFromV1ToV2(t *testing.T) {
	pod := newPod()
	change := Compare(template("web:v1"), template("web:v2"))
	writes := 0
	step := func(wish Wish, quiet time.Time) Step {
		t.Helper()
		s, err := Next(Input{Pod: pod, Wish: wish, Holder: "InPlaceSet/web", Revision: "r2", Change: change, QuietSince: quiet, Now: noon})
		if err != nil {
			t.Fatal(err)
		}
		if s.Act == WriteChange {
			pod.Generation++
		}
		if s.Act != Nothing {
			writes++
			pod = applied(t, pod, s.Patch)
		}
		return s
	}
	step(Update, time.Time{})
	unready(pod)
	if s := step(Update, time.Time{}); s.Wait != WaitEndpointSlices {
		t.Fatalf("waits for %q; want the slices", s.Wait)
	}
	step(Update, noon)
	for _, kubelet := range []podOption{observed, containersUnready, runs("web:v2", "B", running())} {
		if s := step(Serve, time.Time{}); s.Act != Nothing {
			t.Fatalf("a write before the kubelet is done: %s", s.Patch)
		}
		kubelet(pod)
	}
	cond(corev1.ContainersReady, corev1.ConditionTrue, "")(pod)
	step(Serve, time.Time{})
	cond(corev1.PodReady, corev1.ConditionTrue, "")(pod)
	if !RunsRevision(pod, "r2") || !Available(pod, 0, noon) || writes != 3 {
		t.Errorf("runs r2: %t, available: %t, writes: %d; want all done in 3 writes", RunsRevision(pod, "r2"), Available(pod, 0, noon), writes)
	}
}
