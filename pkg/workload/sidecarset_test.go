package workload

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	clienttesting "k8s.io/client-go/testing"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"

	appsv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	periplusfake "github.com/periplus-dev/periplus/pkg/client/clientset/versioned/fake"
	"github.com/periplus-dev/periplus/pkg/plan"
	"github.com/periplus-dev/periplus/pkg/sidecar"
)

// mesh is SidecarSet mesh for pods with mesh=on in namespaces with team=shop, seen by its controller, at rest.
func mesh(change ...func(*appsv1alpha1.SidecarSet)) *appsv1alpha1.SidecarSet {
	set := &appsv1alpha1.SidecarSet{
		ObjectMeta: metav1.ObjectMeta{Name: "mesh", UID: "mesh-uid", Generation: 3, ResourceVersion: "7"},
		Spec: appsv1alpha1.SidecarSetSpec{
			Selector:          &metav1.LabelSelector{MatchLabels: map[string]string{"mesh": "on"}},
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": "shop"}},
			Containers: []appsv1alpha1.SidecarContainer{{Container: corev1.Container{Name: "proxy", Image: "proxy:v1"}, ShareVolumes: true,
				TransferEnv: []appsv1alpha1.TransferEnv{{Names: []string{"ZONE"}}}}},
			Volumes:        []corev1.Volume{{Name: "keys"}},
			UpdateStrategy: appsv1alpha1.SidecarSetUpdateStrategy{Partition: ptr.To(plan.Held())},
		},
		Status: appsv1alpha1.SidecarSetStatus{ObservedGeneration: 3, CurrentRevision: "r1", UpdateRevision: "r2",
			Units: []appsv1alpha1.SidecarSetUnit{{Name: "dca", Pods: 4, Updated: 1}, {Name: "dcb", Pods: 3}}},
	}
	for _, c := range change {
		c(set)
	}
	return set
}

// meshPod is a pod with the sidecar of a revision in a unit; ready, in a namespace that the set means.
func meshPod(name, unit, revision string, change ...func(*corev1.Pod)) *corev1.Pod {
	record, err := json.Marshal(sidecar.Record{Sets: []sidecar.Part{{Set: "mesh", Revision: revision, Containers: []string{"proxy"}}}})
	if err != nil {
		panic(err)
	}
	long := metav1.NewTime(noon.Add(-time.Hour))
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "shop", CreationTimestamp: long, Labels: map[string]string{"mesh": "on", sidecar.LabelOf("mesh"): revision},
			Annotations: map[string]string{appsv1alpha1.AnnotationSidecars: string(record)}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "app:v1"}, {Name: "proxy", Image: "proxy:v1"}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{
			{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: long}, {Type: corev1.ContainersReady, Status: corev1.ConditionTrue, LastTransitionTime: long},
		}, ContainerStatuses: []corev1.ContainerStatus{{Name: "app", Ready: true}, {Name: "proxy", Ready: true}}},
	}
	if unit != "" {
		pod.Labels[appsv1alpha1.LabelUnit] = unit
	}
	for _, c := range change {
		c(pod)
	}
	return pod
}

func shopNamespace() *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", Labels: map[string]string{"team": "shop"}}}
}

// meshPost is a member with the mesh, its pods, and the namespaces shop, which the set means, and other, which it does not.
func meshPost(t *testing.T, set *appsv1alpha1.SidecarSet, pods ...*corev1.Pod) *post {
	t.Helper()
	p := newPost(t, set)
	if _, _, err := (&sidecarSets{clock: clocktesting.NewFakePassiveClock(noon)}).Observe(p, "m1", "", v1alpha1.WorkloadRef{Kind: KindSidecarSet, Name: "mesh"}); err != nil {
		t.Fatal(err) // it has asked for its informers by now.
	}
	add := func(key string, o runtime.Object) {
		if err := p.informers[key].GetStore().Add(o); err != nil {
			t.Fatal(err)
		}
	}
	add("namespaces", shopNamespace())
	add("namespaces", &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "other"}})
	for _, pod := range pods {
		add("sidecarset-pods/mesh", pod)
	}
	return p
}

func TestTheUnitsOfASidecarSet(t *testing.T) {
	pods := []*corev1.Pod{
		meshPod("a", "dca", "r1"), meshPod("b", "dca", "r2"), meshPod("c", "dcb", "r1"), meshPod("d", "", "r1"),
		meshPod("elsewhere", "dca", "r1", func(p *corev1.Pod) { p.Namespace = "other" }),
		meshPod("unmarked", "dca", "r1", func(p *corev1.Pod) { delete(p.Labels, "mesh") }),
		meshPod("ended", "dca", "r1", func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }),
		meshPod("copied", "dca", "r1", func(p *corev1.Pod) { p.Spec.Containers = p.Spec.Containers[:1] }),
	}
	for _, tc := range []struct {
		name   string
		change func(*appsv1alpha1.SidecarSet)
		want   string
	}{
		{"are those of its pods' labels, and one by its own name of those without; strays are none of it", func(*appsv1alpha1.SidecarSet) {}, "dca 2 held 100%; dcb 1 held 100%; mesh 1 held 100%"},
		{"have partitions of their own, and the others that of all", func(s *appsv1alpha1.SidecarSet) {
			s.Spec.UpdateStrategy.Partitions = map[string]intstr.IntOrString{"dcb": intstr.FromInt32(1), "dcx": intstr.FromInt32(0)}
		}, "dca 2 held 100%; dcb 1 held 1; dcx 0 held 0; mesh 1 held 100%"},
		{"are where they are while one partition holds for all together", func(s *appsv1alpha1.SidecarSet) {
			s.Spec.UpdateStrategy.Partition = ptr.To(intstr.FromInt32(5))
		}, "dca 2 held 3 own; dcb 1 held 3 own; mesh 1 held 100% own"},
		{"hold nothing where that does not", func(s *appsv1alpha1.SidecarSet) { s.Spec.UpdateStrategy.Partition = nil }, "dca 2 held 0; dcb 1 held 0; mesh 1 held 0"},
		{"leave out pods that its strategy does not select", func(s *appsv1alpha1.SidecarSet) {
			s.Spec.UpdateStrategy.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{appsv1alpha1.LabelUnit: "dcb"}}
		}, "dca 0 held 100%; dcb 1 held 100%"},
		{"count pods apart that wait for their creation, because a revision does not fit", func(s *appsv1alpha1.SidecarSet) { s.Status.WaitingRevisions = []string{"r1"} },
			"dca 1 held 100% waiting 1; dcb 0 held 100% waiting 1; mesh 0 held 100% waiting 1"},
		{"because they have no gate", func(s *appsv1alpha1.SidecarSet) { s.Spec.UpdateStrategy.Drain = true },
			"dca 1 held 100% waiting 1; dcb 0 held 100% waiting 1; mesh 0 held 100% waiting 1"},
		{"because the set changes no pod that runs", func(s *appsv1alpha1.SidecarSet) { s.Spec.UpdateStrategy.Type = appsv1alpha1.SidecarOnNextCreate },
			"dca 1 held 100% waiting 1; dcb 0 held 100% waiting 1; mesh 0 held 100% waiting 1"},
		{"are not seen before the controller has seen the spec", func(s *appsv1alpha1.SidecarSet) { s.Generation = 4 }, "dca 2 held 100% unseen; dcb 1 held 100% unseen; mesh 1 held 100% unseen"},
		{"stall with it", func(s *appsv1alpha1.SidecarSet) {
			s.Status.Conditions = []metav1.Condition{{Type: appsv1alpha1.ConditionProgressing, Status: metav1.ConditionFalse, Reason: appsv1alpha1.ReasonInvalidSpec, Message: "no"}}
		}, "dca 2 held 100% stalled: no; dcb 1 held 100% stalled: no; mesh 1 held 100% stalled: no"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			units, err := meshPost(t, mesh(tc.change), pods...).observe(KindSidecarSet, "mesh")
			if err != nil {
				t.Fatal(err)
			}
			var out []string
			for i := range units {
				u := &units[i]
				if u.Proves == (mesh(tc.change).Spec.UpdateStrategy.Selector != nil) {
					t.Errorf("%s: proves is %v; pods that are not selected never get there", u.Name, u.Proves)
				}
				s := fmt.Sprintf("%s %d held %s", u.Name, u.Replicas, u.Partition.String())
				if u.Own {
					s += " own"
				}
				if u.Waiting > 0 {
					s += fmt.Sprintf(" waiting %d", u.Waiting)
				}
				if !u.Observed {
					s += " unseen"
				}
				if u.Stalled != "" {
					s += " stalled: " + u.Stalled
				}
				out = append(out, s)
			}
			if got := strings.Join(out, "; "); got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
			if n := len(Objects(units)); n != 1 {
				t.Errorf("they are of %d workloads", n)
			}
		})
	}
}

func TestAContentThatTheAPIServerWouldRefuseHasTheNameOfARevisionAllTheSame(t *testing.T) {
	refused := mesh(func(s *appsv1alpha1.SidecarSet) {
		s.Spec.Containers[0].Image = " "
		s.Status.Conditions = []metav1.Condition{{Type: appsv1alpha1.ConditionProgressing, Status: metav1.ConditionFalse, Reason: appsv1alpha1.ReasonInvalidSpec, Message: "no"}}
	})
	units, err := meshPost(t, refused, meshPod("a", "dca", "r2")).observe(KindSidecarSet, "mesh")
	if err != nil {
		t.Fatal(err)
	}
	if u := units[0]; u.UpdateRevision == "r2" || u.UpdateRevision == "" || u.Stalled == "" || u.Pods[0].Updated {
		t.Errorf("%+v", u)
	}
}

func TestMoreUnitsThanAReleaseCanGoBy(t *testing.T) {
	var pods []*corev1.Pod
	for i := range appsv1alpha1.MaxSidecarSetUnits + 1 {
		pods = append(pods, meshPod(fmt.Sprint("p", i), fmt.Sprint("u", i), "r1"))
	}
	units, err := meshPost(t, mesh(func(s *appsv1alpha1.SidecarSet) { s.Status.Units = nil }), pods...).observe(KindSidecarSet, "mesh")
	if err != nil || !strings.Contains(units[0].Stalled, "at most 64 units") {
		t.Errorf("%v, %q", err, units[0].Stalled)
	}
}

func TestAPodIsAvailableToASidecarReleaseByTheSidecarsDoing(t *testing.T) {
	changed := func(at time.Time) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Annotations[appsv1alpha1.AnnotationUpdate] = fmt.Sprintf(`{"time":%q,"done":true,"holder":"SidecarSet/mesh"}`, at.Format(time.RFC3339))
		}
	}
	appDown := func(since time.Time) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			for i := range p.Status.Conditions {
				p.Status.Conditions[i].Status, p.Status.Conditions[i].LastTransitionTime = corev1.ConditionFalse, metav1.NewTime(since)
			}
			p.Status.ContainerStatuses[0] = corev1.ContainerStatus{Name: "app", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}}
		}
	}
	proxyDown := func(p *corev1.Pod) {
		p.Status.ContainerStatuses[1] = corev1.ContainerStatus{Name: "proxy", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}}
	}
	before, after := noon.Add(-10*time.Minute), noon.Add(-5*time.Minute)
	for _, tc := range []struct {
		name    string
		pod     *corev1.Pod
		want    bool
		failing bool
	}{
		{"one that is ready is", meshPod("a", "dca", "r2"), true, false},
		{"an application that was down before the change, and still is, is not waited for", meshPod("a", "dca", "r2", appDown(before), changed(after)), true, false},
		{"one that went down with the change is", meshPod("a", "dca", "r2", appDown(after), changed(before)), false, false},
		{"so is one that went down in the very second of it", meshPod("a", "dca", "r2", appDown(after), changed(after)), false, false},
		{"a sidecar that is down is waited for, whatever the application was", meshPod("a", "dca", "r2", appDown(before), changed(after), proxyDown), false, true},
		{"one on the old revision counts as it is", meshPod("a", "dca", "r1", appDown(before), changed(after)), false, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			units, err := meshPost(t, mesh(), tc.pod).observe(KindSidecarSet, "mesh")
			if err != nil {
				t.Fatal(err)
			}
			if p := units[0].Pods[0]; p.Available != tc.want || p.Failing != tc.failing || p.Namespace != "shop" {
				t.Errorf("%+v", p)
			}
		})
	}
}

// The kubelet never says why a native sidecar that ended well is not started again.
func TestASidecarThatIsNotStartedAgainFailsAfterAMinute(t *testing.T) {
	ended := func(ago time.Duration) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Annotations[appsv1alpha1.AnnotationUpdate] = `{"time":"2026-03-01T11:50:00Z","holder":"SidecarSet/mesh","containers":[{"name":"proxy","image":"proxy:v1","containerID":"c1"}]}`
			p.Status.ContainerStatuses[1] = corev1.ContainerStatus{Name: "proxy", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ContainerID: "c1", Reason: "Completed", FinishedAt: metav1.NewTime(noon.Add(-ago))}}}
			p.Status.Conditions[0].Status, p.Status.Conditions[1].Status = corev1.ConditionFalse, corev1.ConditionFalse
		}
	}
	for _, tc := range []struct {
		ago     time.Duration
		failing bool
		again   time.Time
	}{{50 * time.Second, false, noon.Add(10 * time.Second)}, {70 * time.Second, true, time.Time{}}} {
		units, err := meshPost(t, mesh(), meshPod("a", "dca", "r2", ended(tc.ago))).observe(KindSidecarSet, "mesh")
		if err != nil {
			t.Fatal(err)
		}
		if p := units[0].Pods[0]; p.Failing != tc.failing || !p.LookAgainAt.Equal(tc.again) || tc.failing && p.Reason != "NotStarted" {
			t.Errorf("%s ago: %+v", tc.ago, p)
		}
	}
}

func TestAWriteToASidecarSetIsOnePatch(t *testing.T) {
	const version = `{"op":"replace","path":"/metadata/resourceVersion","value":"7"}`
	const held = `,{"op":"add","path":"/spec/updateStrategy/partition","value":"100%"}`
	partitions := func(s *appsv1alpha1.SidecarSet) {
		s.Spec.UpdateStrategy.Partitions = map[string]intstr.IntOrString{"dca": intstr.FromInt32(0), "dcb": plan.Held()}
	}
	many := func(dcb intstr.IntOrString) func(*appsv1alpha1.SidecarSet) {
		return func(s *appsv1alpha1.SidecarSet) {
			s.Spec.UpdateStrategy.Partitions = map[string]intstr.IntOrString{"dca": intstr.FromInt32(0), "dcb": dcb}
			for i := range appsv1alpha1.MaxSidecarSetUnits {
				s.Status.Units = append(s.Status.Units, appsv1alpha1.SidecarSetUnit{Name: fmt.Sprint("by-a-label-", i), Pods: 1})
			}
		}
	}
	v2 := func(t *corev1.PodTemplateSpec) *corev1.PodTemplateSpec {
		t.Spec.Containers[0].Image, t.Spec.Volumes = "proxy:v2", nil
		return t
	}
	for _, tc := range []struct {
		name   string
		change func(*appsv1alpha1.SidecarSet)
		write  func(Object) Write
		want   string
	}{
		{"one unit moves, and all others are held, those that come too", func(*appsv1alpha1.SidecarSet) {}, func(Object) Write {
			return Write{Partitions: map[string]intstr.IntOrString{"dca": intstr.FromString("50%")}}
		}, version + held + `,{"op":"add","path":"/spec/updateStrategy/partitions","value":{"dca":"50%","dcb":"100%"}}`},
		{"of more units than it can name those that are held are not named", many(intstr.FromInt32(2)), func(Object) Write {
			return Write{Partitions: map[string]intstr.IntOrString{"dca": intstr.FromInt32(1)}}
		}, version + held + `,{"op":"add","path":"/spec/updateStrategy/partitions","value":{"dca":1,"dcb":2}}`},
		{"nor any where nothing is held in them, as on the way back", many(intstr.FromInt32(0)), func(o Object) Write {
			all := o.Held()
			for unit := range all {
				all[unit] = intstr.FromInt32(0)
			}
			return Write{Partitions: all}
		}, version + `,{"op":"add","path":"/spec/updateStrategy/partition","value":0},{"op":"remove","path":"/spec/updateStrategy/partitions"}`},
		{"where all are held nothing is left of units", partitions, func(o Object) Write { return Write{Partitions: o.Held(), Unlock: true} },
			version + held + `,{"op":"remove","path":"/spec/updateStrategy/partitions"},{"op":"remove","path":"/metadata/annotations/stages.periplus.dev~1lock"}`},
		{"and nothing is taken away that is not there", func(*appsv1alpha1.SidecarSet) {}, func(o Object) Write { return Write{Partitions: o.Held()} }, version + held},
		{"a template is written field by field; what the containers get of the application stays", func(*appsv1alpha1.SidecarSet) {}, func(o Object) Write {
			return Write{Template: v2(o.First().Template.DeepCopy())}
		}, version + `,{"op":"add","path":"/spec/containers","value":[{"image":"proxy:v2","name":"proxy","resources":{},"shareVolumes":true,"transferEnv":[{"names":["ZONE"]}]}]},{"op":"remove","path":"/spec/volumes"}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newPost(t, mesh(tc.change))
			var sent []byte
			p.clients.Periplus.(*periplusfake.Clientset).PrependReactor("patch", "sidecarsets", func(action clienttesting.Action) (bool, runtime.Object, error) {
				sent = action.(clienttesting.PatchAction).GetPatch()
				return true, mesh(), nil
			})
			kind := NewKinds(clocktesting.NewFakePassiveClock(noon))[KindSidecarSet]
			o, err := kind.Get(context.Background(), p, "m1", "shop", "mesh")
			if err != nil {
				t.Fatal(err)
			}
			if err := kind.Write(context.Background(), p, o, tc.write(o)); err != nil {
				t.Fatal(err)
			}
			var ops []map[string]any
			if err := json.Unmarshal(sent, &ops); err != nil {
				t.Fatal(err)
			}
			got, err := json.Marshal(ops)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != "["+tc.want+"]" {
				t.Errorf("got  %s\nwant [%s]", got, tc.want)
			}
		})
	}
}

func TestTheTemplateOfAnEarlierRevisionOfASidecarSet(t *testing.T) {
	set := mesh()
	content := sidecar.ContentOf(set)
	raw, hash, err := content.Encode()
	if err != nil {
		t.Fatal(err)
	}
	revision := &appsv1.ControllerRevision{
		ObjectMeta: metav1.ObjectMeta{Name: "mesh-" + hash, Namespace: "periplus-system", OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(set, appsv1alpha1.SchemeGroupVersion.WithKind("SidecarSet"))}},
		Data:       runtime.RawExtension{Raw: raw},
	}
	p := newPost(t, set, revision)
	kind := NewKinds(clocktesting.NewFakePassiveClock(noon))[KindSidecarSet]
	o, err := kind.Get(context.Background(), p, "m1", "shop", "mesh")
	if err != nil {
		t.Fatal(err)
	}
	template, err := kind.Template(context.Background(), p, o.First(), hash)
	if err != nil {
		t.Fatal(err)
	}
	back, err := sidecar.FromTemplate(template)
	if err != nil {
		t.Fatal(err)
	}
	if !back.Equal(content) {
		t.Errorf("got  %+v\nwant %+v", back, content)
	}
	if _, err := kind.Template(context.Background(), p, o.First(), "gone"); err == nil || !strings.Contains(err.Error(), "revisionHistoryLimit") {
		t.Errorf("%v", err)
	}
}

func TestATemplateThatNoSidecarSetCanHold(t *testing.T) {
	content := sidecar.ContentOf(mesh())
	template, err := content.Template()
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*corev1.PodTemplateSpec){
		"hostNetwork": func(t *corev1.PodTemplateSpec) { t.Spec.HostNetwork = true },
		"labels":      func(t *corev1.PodTemplateSpec) { t.Labels = map[string]string{"a": "b"} },
		"annotations": func(t *corev1.PodTemplateSpec) { t.Annotations["a"] = "b" },
	} {
		of := template.DeepCopy()
		change(of)
		if _, err := Compare(KindSidecarSet, template, of); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
