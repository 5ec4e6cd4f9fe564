package workload

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	kubefake "k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"

	appsv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	periplusfake "github.com/periplus-dev/periplus/pkg/client/clientset/versioned/fake"
	"github.com/periplus-dev/periplus/pkg/fleet"
	"github.com/periplus-dev/periplus/pkg/plan"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// post is a member whose caches hold what a test puts into them, and whose API servers are fakes.
type post struct {
	t         *testing.T
	clients   fleet.Clients
	informers map[string]cache.SharedIndexInformer
	errs      map[string]error
}

func newPost(t *testing.T, objects ...runtime.Object) *post {
	t.Helper()
	p := &post{t: t, informers: map[string]cache.SharedIndexInformer{}, errs: map[string]error{}}
	var ours, theirs []runtime.Object
	for _, o := range objects {
		switch o.(type) {
		case *appsv1alpha1.CafeDeployment, *appsv1alpha1.InPlaceSet, *appsv1alpha1.SidecarSet:
			ours = append(ours, o)
		default:
			theirs = append(theirs, o)
		}
	}
	p.clients = fleet.Clients{Periplus: periplusfake.NewSimpleClientset(ours...), Kube: kubefake.NewClientset(theirs...)}
	// Each adapter asks for its informers once, so that they can be filled.
	for _, kind := range NewKinds(clocktesting.NewFakePassiveClock(noon)) {
		if _, _, err := kind.Observe(p, "m1", "shop", v1alpha1.WorkloadRef{}); err != nil && !errors.Is(err, ErrNotFound) {
			t.Fatal(err)
		}
	}
	for _, o := range objects {
		var key string
		switch o := o.(type) {
		case *appsv1alpha1.CafeDeployment:
			key = "cafedeployments/shop"
		case *appsv1alpha1.SidecarSet:
			key = "sidecarsets"
		case *appsv1alpha1.InPlaceSet:
			key = "inplacesets/shop"
		case *corev1.Pod:
			if key = "inplaceset-pods/shop"; o.Labels[appsv1alpha1.LabelCafeDeployment] != "" {
				key = "cafedeployment-pods/shop"
			}
		default:
			continue
		}
		if err := p.informers[key].GetStore().Add(o); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func (p *post) Reachability() fleet.Reachability { return fleet.Reachability{State: fleet.Reachable} }

func (p *post) Informer(key string, make func(fleet.Clients) cache.SharedIndexInformer) (cache.SharedIndexInformer, bool) {
	if p.informers[key] == nil {
		p.informers[key] = make(p.clients)
	}
	return p.informers[key], p.errs[key] == nil
}

func (p *post) InformerError(key string) error { return p.errs[key] }

func (p *post) Do(ctx context.Context, _ string, fn func(context.Context, fleet.Clients) error) error {
	return fn(ctx, p.clients)
}

func (p *post) observe(kind, name string) ([]Unit, error) {
	p.t.Helper()
	units, synced, err := NewKinds(clocktesting.NewFakePassiveClock(noon))[kind].Observe(p, "m1", "shop", v1alpha1.WorkloadRef{Kind: kind, Name: name})
	if !synced {
		p.t.Fatalf("not synced: %v", err)
	}
	return units, err
}

// cafe is CafeDeployment web of two units, seen by its controller, at rest.
func cafe(change ...func(*appsv1alpha1.CafeDeployment)) *appsv1alpha1.CafeDeployment {
	d := &appsv1alpha1.CafeDeployment{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "shop", UID: "web-uid", Generation: 3, ResourceVersion: "7", Labels: map[string]string{"app": "web"}},
		Spec: appsv1alpha1.CafeDeploymentSpec{
			Replicas: ptr.To[int32](7), PodSetType: appsv1alpha1.PodSetInPlaceSet, MinReadySeconds: 10,
			Strategy: appsv1alpha1.CafeDeploymentStrategy{Partitions: map[string]intstr.IntOrString{"dca": plan.Held(), "dcb": plan.Held()}},
			Topology: appsv1alpha1.CafeDeploymentTopology{UnitType: appsv1alpha1.UnitDataCenter, NodeLabelKey: "zone", Values: []string{"dcb", "dca"}},
			Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "shop/web:v1"}}}},
		},
		Status: appsv1alpha1.CafeDeploymentStatus{
			ObservedGeneration: 3, CurrentRevision: "r1", UpdateRevision: "r2",
			Units: []appsv1alpha1.CafeDeploymentUnit{
				{Name: "dcb", Wanted: 3, Replicas: 3, Partition: 3}, {Name: "dca", Wanted: 4, Replicas: 2, Partition: 4}, {Name: "old", Draining: true, Pods: 1},
			},
		},
	}
	for _, c := range change {
		c(d)
	}
	return d
}

func TestTheUnitsOfACafeDeployment(t *testing.T) {
	say := func(units []Unit) string {
		var out []string
		for i := range units {
			u := &units[i]
			s := fmt.Sprintf("%s %d held %s", u.Name, u.Replicas, u.Partition.String())
			for _, x := range []struct {
				is   bool
				word string
			}{{u.Own, "own"}, {!u.Observed, "unseen"}, {u.Paused, "paused"}, {u.Stalled != "", "stalled: " + u.Stalled}, {u.Trouble != "", "trouble: " + u.Trouble}} {
				if x.is {
					s += ", " + x.word
				}
			}
			out = append(out, s)
		}
		return strings.Join(out, "; ")
	}
	progressing := func(reason string) func(*appsv1alpha1.CafeDeployment) {
		return func(d *appsv1alpha1.CafeDeployment) {
			d.Status.Conditions = []metav1.Condition{{Type: appsv1alpha1.ConditionProgressing, Status: metav1.ConditionFalse, Reason: reason, Message: "because"}}
		}
	}
	for _, tc := range []struct {
		name   string
		change func(*appsv1alpha1.CafeDeployment)
		want   string
	}{
		{"are those of its topology, with what its controller wants there; what is drained is none", func(*appsv1alpha1.CafeDeployment) {}, "dca 4 held 100%; dcb 3 held 100%"},
		{"have their own partitions, and one that is not named is held", func(d *appsv1alpha1.CafeDeployment) {
			d.Spec.Strategy.Partitions = map[string]intstr.IntOrString{"dcb": intstr.FromInt32(1)}
		}, "dca 4 held 100%; dcb 3 held 1"},
		{"go by groups of their own while there are no partitions", func(d *appsv1alpha1.CafeDeployment) {
			d.Spec.Strategy.Partitions = nil
			d.Status.Units[1].Partition = 2
		}, "dca 4 held 2, own; dcb 3 held 3, own"},
		{"are not seen before the controller has seen the spec", func(d *appsv1alpha1.CafeDeployment) { d.Generation = 4 }, "dca 4 held 100%, unseen; dcb 3 held 100%, unseen"},
		{"are not seen while the status lacks one", func(d *appsv1alpha1.CafeDeployment) { d.Spec.Topology.Values = []string{"dca", "dcc"} }, "dca 4 held 100%, unseen; dcc 0 held 100%, unseen"},
		{"are one by the deployment's name, without a topology", func(d *appsv1alpha1.CafeDeployment) {
			d.Spec.Topology = appsv1alpha1.CafeDeploymentTopology{UnitType: appsv1alpha1.UnitNone}
			d.Spec.Strategy.Partitions = map[string]intstr.IntOrString{"web": intstr.FromInt32(2)}
			d.Status.Units = []appsv1alpha1.CafeDeploymentUnit{{Name: "web", Wanted: 7}}
		}, "web 7 held 2"},
		{"say what one of them is in trouble for", func(d *appsv1alpha1.CafeDeployment) {
			d.Status.Units[0].Stalled, d.Status.Units[1].Pending, d.Status.Units[1].PendingFor = "does not fit in place", 2, "0/3 nodes"
		}, "dca 4 held 100%, trouble: 2 pods find no room: 0/3 nodes; dcb 3 held 100%, stalled: does not fit in place"},
		{"stall together", progressing(appsv1alpha1.ReasonInvalidSpec), "dca 4 held 100%, stalled: because; dcb 3 held 100%, stalled: because"},
		{"have trouble together", progressing(appsv1alpha1.ReasonProgressDeadlineExceeded), "dca 4 held 100%, trouble: because; dcb 3 held 100%, trouble: because"},
		{"are paused together", func(d *appsv1alpha1.CafeDeployment) { d.Spec.Strategy.Pause = true }, "dca 4 held 100%, paused; dcb 3 held 100%, paused"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			units, err := newPost(t, cafe(tc.change)).observe("CafeDeployment", "web")
			if err != nil {
				t.Fatal(err)
			}
			if got := say(units); got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
			if n := len(Objects(units)); n != 1 {
				t.Errorf("they are of %d workloads", n)
			}
		})
	}
}

// cafePod is a pod of web in a unit, on a revision, owned by a pod set of a kind.
func cafePod(name, unit, revision, owner string, change ...func(*corev1.Pod)) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "shop", Labels: map[string]string{
			appsv1alpha1.LabelCafeDeployment: "web", appsv1alpha1.LabelUnit: unit, appsv1alpha1.LabelCafeRevision: revision, appsv1alpha1.LabelRevision: unit + "-" + revision,
		}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(noon.Add(-time.Minute))}}},
	}
	if owner != "" {
		pod.OwnerReferences = []metav1.OwnerReference{{Kind: owner, Name: "web-" + unit, UID: "set", Controller: ptr.To(true)}}
	}
	for _, c := range change {
		c(pod)
	}
	return pod
}

func TestThePodsOfACafeDeployment(t *testing.T) {
	young := func(p *corev1.Pod) {
		p.Status.Conditions[0].LastTransitionTime = metav1.NewTime(noon.Add(-4 * time.Second))
	}
	changing := func(p *corev1.Pod) {
		p.Spec.Containers = []corev1.Container{{Name: "app", Image: "shop/web:v2"}}
		p.Annotations = map[string]string{appsv1alpha1.AnnotationUpdate: `{"time":"2026-03-01T11:59:00Z","containers":[{"name":"app","image":"shop/web:v1","containerID":"c1"}]}`}
	}
	other := func(p *corev1.Pod) { p.Labels[appsv1alpha1.LabelCafeDeployment] = "web-2" }
	for _, tc := range []struct {
		name string
		kind appsv1alpha1.PodSetType
		pods []runtime.Object
		want Counts
	}{
		{"are those that a pod set of its kind keeps in the unit", appsv1alpha1.PodSetInPlaceSet, []runtime.Object{
			cafePod("a", "dca", "r1", "InPlaceSet"), cafePod("b", "dca", "r2", "InPlaceSet"), cafePod("c", "dcb", "r2", "InPlaceSet"), cafePod("d", "dca", "r2", ""),
			cafePod("e", "dca", "r2", "ReplicaSet"), cafePod("f", "dca", "r2", "InPlaceSet", other), cafePod("g", "dcx", "r2", "InPlaceSet"),
		}, Counts{Pods: 2, Ready: 2, Available: 2, Started: 1, Updated: 1, UpdatedReady: 1, UpdatedAvailable: 1}},
		{"are on their way while they are changed in place", appsv1alpha1.PodSetInPlaceSet, []runtime.Object{cafePod("a", "dca", "r2", "InPlaceSet", changing)},
			Counts{Pods: 1, Ready: 1, Started: 1}},
		{"count once they are ready for minReadySeconds", appsv1alpha1.PodSetInPlaceSet, []runtime.Object{cafePod("a", "dca", "r2", "InPlaceSet", young), cafePod("b", "dca", "r1", "InPlaceSet", young)},
			Counts{Pods: 2, Ready: 2, Started: 1, Updated: 1, UpdatedReady: 1, OldSettling: 1}},
		{"of ReplicaSets run the revision that they carry", appsv1alpha1.PodSetReplicaSet, []runtime.Object{cafePod("a", "dca", "r2", "ReplicaSet"), cafePod("b", "dca", "r1", "ReplicaSet")},
			Counts{Pods: 2, Ready: 2, Available: 2, Started: 1, Updated: 1, UpdatedReady: 1, UpdatedAvailable: 1}},
		{"of a StatefulSet too", appsv1alpha1.PodSetStatefulSet, []runtime.Object{cafePod("a", "dca", "r2", "StatefulSet"), cafePod("b", "dca", "r2", "StatefulSet", young)},
			Counts{Pods: 2, Ready: 2, Available: 1, Started: 2, Updated: 2, UpdatedReady: 2, UpdatedAvailable: 1}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := cafe(func(d *appsv1alpha1.CafeDeployment) { d.Spec.PodSetType = tc.kind })
			units, err := newPost(t, append(tc.pods, d)...).observe("CafeDeployment", "web")
			if err != nil {
				t.Fatal(err)
			}
			if got := units[0].Count(); got != tc.want {
				t.Errorf("got  %+v\nwant %+v", got, tc.want)
			}
		})
	}
}

func TestAWriteToACafeDeploymentIsOnePatchThatKeepsTheOtherUnits(t *testing.T) {
	lock := &v1alpha1.Lock{Hub: "h", Release: "r"}
	own := func(d *appsv1alpha1.CafeDeployment) { d.Spec.Strategy.Partitions = nil }
	locked := func(d *appsv1alpha1.CafeDeployment) { d.Annotations = map[string]string{v1alpha1.AnnotationLock: `{}`} }
	const version = `{"op":"replace","path":"/metadata/resourceVersion","value":"7"}`
	for _, tc := range []struct {
		name   string
		change func(*appsv1alpha1.CafeDeployment)
		write  Write
		want   string
	}{
		{"one unit moves, and the other stays", func(*appsv1alpha1.CafeDeployment) {}, Write{Partitions: map[string]intstr.IntOrString{"dca": intstr.FromString("50%")}},
			version + `,{"op":"add","path":"/spec/strategy/partitions","value":{"dca":"50%","dcb":"100%"}}`},
		{"a deployment that went by itself holds what is not named", own, Write{Partitions: map[string]intstr.IntOrString{"dca": intstr.FromInt32(2)}},
			version + `,{"op":"add","path":"/spec/strategy/partitions","value":{"dca":2,"dcb":"100%"}}`},
		{"the lock alone leaves partitions as they are", own, Write{Lock: lock},
			version + `,{"op":"add","path":"/metadata/annotations","value":{}},{"op":"add","path":"/metadata/annotations/stages.periplus.dev~1lock","value":"…"}`},
		{"letting go and holding back is one write", locked, Write{Unlock: true, Partitions: map[string]intstr.IntOrString{"dca": plan.Held(), "dcb": plan.Held()}},
			version + `,{"op":"add","path":"/spec/strategy/partitions","value":{"dca":"100%","dcb":"100%"}},{"op":"remove","path":"/metadata/annotations/stages.periplus.dev~1lock"}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newPost(t, cafe(tc.change))
			var sent []byte
			p.clients.Periplus.(*periplusfake.Clientset).PrependReactor("patch", "cafedeployments", func(action clienttesting.Action) (bool, runtime.Object, error) {
				sent = action.(clienttesting.PatchAction).GetPatch()
				return true, cafe(), nil
			})
			kind := NewKinds(clocktesting.NewFakePassiveClock(noon))["CafeDeployment"]
			o, err := kind.Get(context.Background(), p, "m1", "shop", "web")
			if err != nil {
				t.Fatal(err)
			}
			if err := kind.Write(context.Background(), p, o, tc.write); err != nil {
				t.Fatal(err)
			}
			var ops []map[string]any
			if err := json.Unmarshal(sent, &ops); err != nil {
				t.Fatal(err)
			}
			for _, op := range ops {
				if s, ok := op["value"].(string); ok && strings.HasPrefix(s, "{") {
					op["value"] = "…"
				}
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

func TestThePodSetsOfACafeDeploymentAreNobodyElsesToMove(t *testing.T) {
	set := func(name string, owner string) *appsv1alpha1.InPlaceSet {
		s := &appsv1alpha1.InPlaceSet{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "shop", UID: types.UID(name), Labels: map[string]string{"app": "web"}}}
		if owner != "" {
			s.OwnerReferences = []metav1.OwnerReference{{Kind: "CafeDeployment", Name: owner, UID: "web-uid", Controller: ptr.To(true)}}
		}
		return s
	}
	p := newPost(t, set("web-dca", "web"), set("own", ""))
	if _, err := p.observe("InPlaceSet", "web-dca"); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "CafeDeployment web") {
		t.Errorf("a pod set by its name: %v", err)
	}
	units, _, err := NewKinds(clocktesting.NewFakePassiveClock(noon))["InPlaceSet"].Observe(p, "m1", "shop", v1alpha1.WorkloadRef{Kind: "InPlaceSet", Selector: map[string]string{"app": "web"}})
	if err != nil || len(units) != 1 || units[0].Workload != "own" {
		t.Errorf("by labels: %v, %v", units, err)
	}
}

func TestDeploymentsWhoseUnitsHaveOneNameAreToldApart(t *testing.T) {
	second := cafe(func(d *appsv1alpha1.CafeDeployment) { d.Name, d.UID = "api", "api-uid" })
	p := newPost(t, cafe(), second)
	kind := NewKinds(clocktesting.NewFakePassiveClock(noon))["CafeDeployment"]
	if _, _, err := kind.Observe(p, "m1", "shop", v1alpha1.WorkloadRef{Kind: "CafeDeployment", Selector: map[string]string{"app": "web"}}); err == nil || !strings.Contains(err.Error(), "api and web both have a unit dca") {
		t.Errorf("by labels that both have: %v", err)
	}
	units, _, err := kind.Observe(p, "m1", "shop", v1alpha1.WorkloadRef{Kind: "CafeDeployment"})
	if err != nil || len(Objects(units)) != 2 {
		t.Errorf("all there are: %v, %v", units, err)
	}
}

func TestAMemberWithoutCafeDeploymentsHasNone(t *testing.T) {
	p := newPost(t)
	gone := apierrors.NewNotFound(schema.GroupResource{Group: "apps.periplus.dev", Resource: "cafedeployments"}, "")
	p.errs["cafedeployments/shop"] = fmt.Errorf("listing: %w", gone)
	kind := NewKinds(clocktesting.NewFakePassiveClock(noon))["CafeDeployment"]
	if _, synced, err := kind.Observe(p, "m1", "shop", v1alpha1.WorkloadRef{Kind: "CafeDeployment"}); !synced || !errors.Is(err, ErrNotFound) {
		t.Errorf("all of a kind that is not served: synced %t, %v", synced, err)
	}
	if _, synced, err := kind.Observe(p, "m1", "shop", v1alpha1.WorkloadRef{Kind: "CafeDeployment", Name: "web"}); synced || err == nil {
		t.Errorf("one by its name is waited for: synced %t, %v", synced, err)
	}
}

func TestTheTemplateOfAnEarlierRevisionOfACafeDeployment(t *testing.T) {
	history := func(name, owner string) *appsv1.ControllerRevision {
		return &appsv1.ControllerRevision{
			ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "shop", OwnerReferences: []metav1.OwnerReference{{Kind: "CafeDeployment", Name: "web", UID: types.UID(owner), Controller: ptr.To(true)}}},
			Data:       runtime.RawExtension{Raw: []byte(`{"spec":{"template":{"spec":{"containers":[{"name":"app","image":"shop/web:v0"}]}}}}`)},
		}
	}
	p := newPost(t, cafe(), history("web-r0", "web-uid"), history("web-r9", "another"))
	kind := NewKinds(clocktesting.NewFakePassiveClock(noon))["CafeDeployment"]
	units, err := p.observe("CafeDeployment", "web")
	if err != nil {
		t.Fatal(err)
	}
	template, err := kind.Template(context.Background(), p, &units[0], "r0")
	if err != nil || template.Spec.Containers[0].Image != "shop/web:v0" {
		t.Errorf("%+v, %v", template, err)
	}
	for _, revision := range []string{"r9", "r5"} {
		if _, err := kind.Template(context.Background(), p, &units[0], revision); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "historyLimit") {
			t.Errorf("revision %s: %v", revision, err)
		}
	}
}

func TestWhatIsKeptOfAWorkloadAndWhatWasBefore(t *testing.T) {
	pods := func(started, old int) []Pod {
		var out []Pod
		for range started {
			out = append(out, Pod{Started: true, Updated: true, Ready: true, Available: true})
		}
		for range old {
			out = append(out, Pod{Ready: true, Available: true})
		}
		return out
	}
	unit := func(name string, partition intstr.IntOrString, own bool, p []Pod) Unit {
		return Unit{Member: "m1", Name: name, Kind: "CafeDeployment", Namespace: "shop", Workload: "web", Shared: true, Observed: true, Own: own,
			Replicas: int32(len(p)), Partition: &partition, Revision: "r1", UpdateRevision: "r2", Pods: p} // #nosec G115 -- a few pods.
	}
	for _, tc := range []struct {
		name     string
		units    []Unit
		kept     string
		previous string
	}{
		{"at rest nothing is to be kept", []Unit{unit("dca", plan.Held(), false, pods(0, 4)), unit("dcb", plan.Held(), false, pods(0, 2))},
			"", `{"revision":"r1","updateRevision":"r2","partitions":{"dca":"100%","dcb":"100%"}}`},
		{"a unit that goes on is kept where its pods are", []Unit{unit("dca", intstr.FromInt32(0), false, pods(1, 3)), unit("dcb", intstr.FromInt32(1), false, pods(1, 1))},
			"dca 75%", `{"revision":"r1","updateRevision":"r2","partitions":{"dca":0,"dcb":1}}`},
		{"a workload that goes by itself is kept in all units", []Unit{unit("dca", intstr.FromInt32(3), true, pods(1, 3)), unit("dcb", intstr.FromInt32(2), true, pods(0, 2))},
			"dca 75%, dcb 100%", `{"revision":"r1","updateRevision":"r2"}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := Objects(tc.units)[0]
			var kept []string
			for _, u := range o.Units {
				if p, ok := o.Kept()[u.Name]; ok {
					kept = append(kept, u.Name+" "+p.String())
				}
			}
			if got := strings.Join(kept, ", "); got != tc.kept {
				t.Errorf("kept %s, want %s", got, tc.kept)
			}
			raw, err := json.Marshal(o.Previous())
			if err != nil || string(raw) != tc.previous {
				t.Errorf("the record says %s, want %s (%v)", raw, tc.previous, err)
			}
		})
	}
}
