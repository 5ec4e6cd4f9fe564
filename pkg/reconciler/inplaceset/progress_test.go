package inplaceset

import (
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/inplace"
)

// podWith is one of the pods of a pass, on revision r1 or r2.
func podWith(name, revision string, change ...func(*corev1.Pod)) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{v1alpha1.LabelRevision: revision}},
		Status:     corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}},
	}
	for _, c := range change {
		c(pod)
	}
	return pod
}

func starting(pod *corev1.Pod) { pod.Status.Conditions = nil }

func waitingFor(reason, message string) func(*corev1.Pod) {
	return func(pod *corev1.Pod) {
		starting(pod)
		pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
			Name: "app", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}},
		}}
	}
}

// restartedAfter a container ended: its last one is ended, and one that a change in place restarted, if any, changed.
func restartedAfter(ended, changed string) func(*corev1.Pod) {
	return func(pod *corev1.Pod) {
		starting(pod)
		s := corev1.ContainerStatus{Name: "app", Image: "web:v2", ImageID: "web@sha256:2", ContainerID: "sim://3", RestartCount: 1, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}
		s.LastTerminationState.Terminated = &corev1.ContainerStateTerminated{ContainerID: ended, ExitCode: 137, Reason: "OOMKilled"}
		pod.Spec.Containers, pod.Status.ContainerStatuses = []corev1.Container{{Name: "app", Image: "web:v2"}}, []corev1.ContainerStatus{s}
		if changed != "" {
			pod.Annotations = map[string]string{v1alpha1.AnnotationUpdate: `{"holder":"InPlaceSet/web","revision":"r2","time":null,"containers":[{"name":"app","image":"web:v1","imageID":"web@sha256:1","containerID":"` + changed + `"}]}`}
		}
	}
}

func unschedulable(pod *corev1.Pod) {
	pod.Status.Conditions = []corev1.PodCondition{{
		Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, Message: "0/3 nodes are available",
	}}
}

func TestProgressing(t *testing.T) {
	noPull := waitingFor("ErrImagePull", "not found")
	for _, r := range []struct {
		name   string
		pods   []*corev1.Pod
		set    func(*v1alpha1.InPlaceSet)
		pass   func(*pass)
		status metav1.ConditionStatus
		reason string
		says   []string
	}{
		{name: "all pods on the template are complete", pods: []*corev1.Pod{podWith("a", "r2"), podWith("b", "r2")}, status: "True", reason: ReasonComplete, says: []string{"All 2 pods run revision r2"}},
		{
			name: "pods that the partition holds are held back", pods: []*corev1.Pod{podWith("a", "r2"), podWith("b", "r1")},
			set: func(s *v1alpha1.InPlaceSet) { s.Spec.UpdateStrategy.Partition = percent("50%") }, status: "True", reason: ReasonHeldBack, says: []string{"holds 1 back"},
		},
		{name: "a missing pod is on its way", pods: []*corev1.Pod{podWith("a", "r2")}, status: "True", reason: ReasonMoving},
		{name: "a starting pod is on its way", pods: []*corev1.Pod{podWith("a", "r2"), podWith("b", "r2", starting)}, status: "True", reason: ReasonMoving},
		{
			name: "pods to change are on their way, and it says what they wait for", pods: []*corev1.Pod{podWith("a", "r1"), podWith("b", "r1")},
			pass: func(p *pass) { p.waits.pods = map[inplace.Wait]int{inplace.WaitGracePeriod: 1} }, status: "True", reason: ReasonMoving,
			says: []string{"0 of 2 pods run revision r2", "1 are in their grace period", "1 wait because 1 of at most 1 are unavailable"},
		},
		{
			name: "an order that names what is not there is told and holds nothing up", pods: []*corev1.Pod{podWith("a", "r1"), podWith("b", "r2")},
			set: func(s *v1alpha1.InPlaceSet) {
				always := corev1.ContainerRestartPolicyAlways
				s.Spec.Template.Spec.Containers = []corev1.Container{{Name: "app"}}
				s.Spec.Template.Spec.InitContainers = []corev1.Container{{Name: "init"}, {Name: "mesh", RestartPolicy: &always}}
				s.Spec.UpdateStrategy.ContainerOrder = []string{"mesh", "proxy", "app", "init"}
			}, status: "True", reason: ReasonMoving, says: []string{"containerOrder names proxy, init, which"},
		},
		{
			name: "pods that fail stop it with their own reasons", pods: []*corev1.Pod{podWith("a", "r2", noPull), podWith("b", "r1")},
			status: "False", reason: ReasonPodsFailing, says: []string{"1 pods fail", "ErrImagePull", "a: container app: not found"},
		},
		{name: "pods that fit on no node stop it", pods: []*corev1.Pod{podWith("a", "r2", unschedulable), podWith("b", "r2")}, status: "False", reason: ReasonPodsFailing, says: []string{"Unschedulable", "0/3 nodes"}},
		{
			name: "pods that crashed and run again fail until they are ready", pods: []*corev1.Pod{podWith("a", "r2", restartedAfter("sim://2", "")), podWith("b", "r2")},
			status: "False", reason: ReasonPodsFailing, says: []string{"OOMKilled", "a: container app: ended with exit code 137"},
		},
		{
			name: "pods that crashed since their change fail", pods: []*corev1.Pod{podWith("a", "r2", restartedAfter("sim://2", "sim://1")), podWith("b", "r2")},
			status: "False", reason: ReasonPodsFailing, says: []string{"OOMKilled"},
		},
		{
			name: "pods whose container a change restarted are on their way", pods: []*corev1.Pod{podWith("a", "r2", restartedAfter("sim://1", "sim://1")), podWith("b", "r2")},
			status: "True", reason: ReasonMoving,
		},
		{
			name: "pods that fail on the old revision are repaired, which is movement", pods: []*corev1.Pod{podWith("a", "r1", noPull), podWith("b", "r2")},
			status: "True", reason: ReasonMoving, says: []string{"ErrImagePull"},
		},
		{
			name: "a pause with something to do says so", pods: []*corev1.Pod{podWith("a", "r1"), podWith("b", "r1")},
			set: func(s *v1alpha1.InPlaceSet) { s.Spec.UpdateStrategy.Paused = true }, status: "False", reason: ReasonPaused, says: []string{"2 pods"},
		},
		{
			name: "a pause with nothing to do is complete", pods: []*corev1.Pod{podWith("a", "r2"), podWith("b", "r2")},
			set: func(s *v1alpha1.InPlaceSet) { s.Spec.UpdateStrategy.Paused = true }, status: "True", reason: ReasonComplete,
		},
		{
			name: "a change that does not fit names the fields", pods: []*corev1.Pod{podWith("a", "r1"), podWith("b", "r1")},
			set: func(s *v1alpha1.InPlaceSet) { s.Spec.UpdateStrategy.Type = v1alpha1.InPlaceOnly }, status: "False", reason: ReasonNotInPlace,
			says: []string{"Nothing moves", "not in the history"},
		},
		{
			name: "a bad spec says all that is wrong", pods: []*corev1.Pod{podWith("a", "r2"), podWith("b", "r2")}, pass: func(p *pass) { p.problems = []string{"spec.x: one", "spec.y: two"} },
			status: "False", reason: ReasonInvalidSpec, says: []string{"Nothing moves", "spec.x: one; spec.y: two"},
		},
		{
			name: "a refused create is named", pods: []*corev1.Pod{podWith("a", "r2")}, pass: func(p *pass) { p.createErr = errors.New("exceeded quota") },
			status: "False", reason: ReasonCreateFailed, says: []string{"exceeded quota"},
		},
		{
			name: "a lost revision says what to do", pods: []*corev1.Pod{podWith("a", "r2")}, pass: func(p *pass) { p.missing = "r1" },
			status: "False", reason: ReasonRevisionMissing, says: []string{"web-r1", "partition to 0"},
		},
	} {
		t.Run(r.name, func(t *testing.T) {
			two := int32(2)
			set := &v1alpha1.InPlaceSet{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "shop", Generation: 3}}
			set.Spec.Replicas, set.Spec.Selector = &two, &metav1.LabelSelector{}
			set.Spec.UpdateStrategy.MaxUnavailable = percent("1%")
			if r.set != nil {
				r.set(set)
			}
			p := &pass{set: set, now: noon, pods: r.pods, current: "r1", update: "r2"}
			if r.name == "a change that does not fit names the fields" {
				p.history = historyOf(t, "r2")
			}
			if err := p.decide(); err != nil {
				t.Fatal(err)
			}
			if r.pass != nil {
				r.pass(p)
			}
			got := p.progressing(p.status())
			if got.Status != r.status || got.Reason != r.reason {
				t.Errorf("%s %s (%s); want %s %s", got.Status, got.Reason, got.Message, r.status, r.reason)
			}
			for _, words := range r.says {
				if !strings.Contains(got.Message, words) {
					t.Errorf("says %q; want %q in it", got.Message, words)
				}
			}
		})
	}
}

func TestUrgent(t *testing.T) {
	with := func(change func(*v1alpha1.InPlaceSetStatus)) *v1alpha1.InPlaceSetStatus {
		s := &v1alpha1.InPlaceSetStatus{
			ObservedGeneration: 1, UpdateRevision: "r2", CurrentRevision: "r1", ExpectedUpdatedReplicas: 2, UpdatedAvailableReplicas: 1,
			Conditions: []metav1.Condition{{Type: v1alpha1.ConditionProgressing, Status: metav1.ConditionTrue, Reason: ReasonMoving}},
		}
		change(s)
		return s
	}
	before := with(func(*v1alpha1.InPlaceSetStatus) {})
	for _, r := range []struct {
		name   string
		change func(*v1alpha1.InPlaceSetStatus)
		want   bool
	}{
		{name: "counts alone can wait", change: func(s *v1alpha1.InPlaceSetStatus) { s.ReadyReplicas = 7 }},
		{name: "a message alone can wait", change: func(s *v1alpha1.InPlaceSetStatus) { s.Conditions[0].Message = "x" }},
		{name: "a generation is taken up at once", change: func(s *v1alpha1.InPlaceSetStatus) { s.ObservedGeneration = 2 }, want: true},
		{name: "a revision is told at once", change: func(s *v1alpha1.InPlaceSetStatus) { s.UpdateRevision = "r3" }, want: true},
		{name: "the end of an update is told at once", change: func(s *v1alpha1.InPlaceSetStatus) { s.UpdatedAvailableReplicas = 2 }, want: true},
		{name: "that it cannot go on is told at once", change: func(s *v1alpha1.InPlaceSetStatus) { s.Conditions[0].Status = metav1.ConditionFalse }, want: true},
		{name: "that pods fail can wait", change: func(s *v1alpha1.InPlaceSetStatus) {
			s.Conditions[0].Status, s.Conditions[0].Reason = metav1.ConditionFalse, ReasonPodsFailing
		}},
		{name: "that pods cannot be made is told at once", change: func(s *v1alpha1.InPlaceSetStatus) {
			s.Conditions[0].Status, s.Conditions[0].Reason = metav1.ConditionFalse, ReasonCreateFailed
		}, want: true},
	} {
		t.Run(r.name, func(t *testing.T) {
			if got := urgent(before, with(r.change)); got != r.want {
				t.Errorf("urgent = %t; want %t", got, r.want)
			}
		})
	}
}
