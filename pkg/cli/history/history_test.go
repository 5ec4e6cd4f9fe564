package history

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	clienttesting "k8s.io/client-go/testing"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"

	appsv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	stages "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/cli/clitest"
	"github.com/periplus-dev/periplus/pkg/sidecar"
)

func template(image string, change ...func(*corev1.PodTemplateSpec)) corev1.PodTemplateSpec {
	t := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "web"}}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: image}}}}
	for _, c := range change {
		c(&t)
	}
	return t
}

func onHost(t *corev1.PodTemplateSpec) { t.Spec.HostNetwork = true }

// harbour is a member with one InPlaceSet web, or CafeDeployment cafe, on its third revision.
type harbour struct {
	*clitest.Hub
	set  *appsv1alpha1.InPlaceSet
	cafe *appsv1alpha1.CafeDeployment
}

// mesh adds SidecarSet mesh, which holds back its third revision, with pods of two namespaces on the others.
func (h *harbour) mesh(t *testing.T) *appsv1alpha1.SidecarSet {
	t.Helper()
	set := &appsv1alpha1.SidecarSet{ObjectMeta: metav1.ObjectMeta{Name: "mesh", UID: "mesh-uid", ResourceVersion: "5", Generation: 3}}
	set.Spec.UpdateStrategy.Partition = ptr.To(intstr.FromString("100%"))
	for i, r := range []struct{ hash, image, level string }{{"a", "proxy:v1", "debug"}, {"b", "proxy:v2", ""}, {"c", "proxy:v3", ""}} {
		proxy := appsv1alpha1.SidecarContainer{Container: corev1.Container{Name: "proxy", Image: r.image}, ShareVolumes: true}
		if r.level != "" {
			proxy.Env = []corev1.EnvVar{{Name: "LEVEL", Value: r.level}}
		}
		set.Spec.Containers = []appsv1alpha1.SidecarContainer{proxy}
		content := sidecar.ContentOf(set)
		raw, _, err := content.Encode()
		if err != nil {
			t.Fatal(err)
		}
		h.add(t, &appsv1.ControllerRevision{
			ObjectMeta: metav1.ObjectMeta{Name: "mesh-" + r.hash, Namespace: systemNamespace, Labels: map[string]string{appsv1alpha1.LabelSidecarSet: "mesh", appsv1alpha1.LabelRevision: r.hash},
				CreationTimestamp: *clitest.At(time.Duration(i+1) * time.Hour), OwnerReferences: []metav1.OwnerReference{{Kind: "SidecarSet", Name: "mesh", UID: "mesh-uid", Controller: ptr.To(true)}}},
			Data: runtime.RawExtension{Raw: raw}, Revision: int64(i + 1),
		}, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: []string{"shop", "cart", "till"}[i], Labels: map[string]string{sidecar.LabelOf("mesh"): []string{"a", "b", "b"}[i]}}})
	}
	set.Status = appsv1alpha1.SidecarSetStatus{ObservedGeneration: 3, CurrentRevision: "b", UpdateRevision: "c"}
	h.add(t, set)
	return set
}

func TestASidecarSetHasAHistoryToo(t *testing.T) {
	h := newHarbour(t, nil)
	h.mesh(t)
	out, err := typed(t, h.Hub, "history", "sidecarset/mesh")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"SidecarSet mesh\n", "3  c", "0  update               image of proxy: proxy:v3\n", "2  current (held back)  image of proxy: proxy:v2; rebuilds for spec.containers[proxy].env\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
}

func TestUndoOfASidecarSetWritesWhatTheRevisionHeld(t *testing.T) {
	h := newHarbour(t, nil)
	h.mesh(t)
	out, err := typed(t, h.Hub, "undo", "scs/mesh", "--to-revision", "a", "--yes")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"held back on all pods (partition 100%) until a release carries it", "2 pods of revision 2 get it when they are created anew, because of spec.containers[proxy].env"} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
	now, err := h.Periplus.AppsV1alpha1().SidecarSets().Get(context.Background(), "mesh", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if c := now.Spec.Containers[0]; c.Image != "proxy:v1" || len(c.Env) != 1 || !c.ShareVolumes {
		t.Errorf("the set has %+v", c)
	}
}

func (h *harbour) add(t *testing.T, objs ...runtime.Object) {
	t.Helper()
	for _, o := range objs {
		tracker := h.Kube.Tracker()
		switch o.(type) {
		case *appsv1alpha1.InPlaceSet, *appsv1alpha1.CafeDeployment, *appsv1alpha1.SidecarSet:
			tracker = h.Periplus.Tracker()
		}
		if err := tracker.Add(o); err != nil {
			t.Fatal(err)
		}
	}
}

// revise adds a ControllerRevision.
func (h *harbour) revise(t *testing.T, owner, kind, label string, uid types.UID, number int64, hash string, tpl corev1.PodTemplateSpec) {
	t.Helper()
	raw, err := json.Marshal(map[string]any{"spec": map[string]any{"template": tpl}})
	if err != nil {
		t.Fatal(err)
	}
	h.add(t, &appsv1.ControllerRevision{
		ObjectMeta: metav1.ObjectMeta{Name: owner + "-" + hash, Namespace: "shop", Labels: map[string]string{label: owner, appsv1alpha1.LabelRevision: hash}, CreationTimestamp: *clitest.At(time.Duration(number) * time.Hour),
			OwnerReferences: []metav1.OwnerReference{{Kind: kind, Name: owner, UID: uid, Controller: ptr.To(true)}}},
		Data: runtime.RawExtension{Raw: raw}, Revision: number,
	})
}

// newHarbour has both, with revisions a, b and c; c is the template, and held back but for one pod. change edits them before they are stored.
func newHarbour(t *testing.T, change func(*harbour)) *harbour {
	t.Helper()
	h := &harbour{Hub: clitest.NewHub()}
	h.set = &appsv1alpha1.InPlaceSet{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "shop", UID: "set-uid", ResourceVersion: "7", Generation: 3}}
	h.set.Spec.Replicas, h.set.Spec.Template = ptr.To[int32](4), template("web:v3")
	h.set.Spec.UpdateStrategy.Partition = ptr.To(intstr.FromString("100%"))
	h.set.Status = appsv1alpha1.InPlaceSetStatus{ObservedGeneration: 3, CurrentRevision: "b", UpdateRevision: "c"}
	h.cafe = &appsv1alpha1.CafeDeployment{ObjectMeta: metav1.ObjectMeta{Name: "cafe", Namespace: "shop", UID: "cafe-uid", ResourceVersion: "9", Generation: 3}}
	h.cafe.Spec.Replicas, h.cafe.Spec.Template = ptr.To[int32](4), template("web:v3")
	h.cafe.Status = appsv1alpha1.CafeDeploymentStatus{ObservedGeneration: 3, CurrentRevision: "b", UpdateRevision: "c"}
	if change != nil {
		change(h)
	}
	h.add(t, h.set, h.cafe)
	for i, r := range []struct {
		hash string
		tpl  corev1.PodTemplateSpec
	}{{"a", template("web:v1", onHost)}, {"b", template("web:v2")}, {"c", template("web:v3")}} {
		h.revise(t, "web", "InPlaceSet", appsv1alpha1.LabelInPlaceSet, "set-uid", int64(i+1), r.hash, r.tpl)
		h.revise(t, "cafe", "CafeDeployment", appsv1alpha1.LabelCafeDeployment, "cafe-uid", int64(i+1), r.hash, r.tpl)
	}
	// The revision of one of the deployment's sets, and one that another set of this name left behind.
	h.revise(t, "cafe", "InPlaceSet", appsv1alpha1.LabelCafeDeployment, "other", 9, "z", template("web:v9"))
	for i, hash := range []string{"b", "b", "b", "c"} {
		h.add(t, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("web-%d", i), Namespace: "shop", Labels: map[string]string{appsv1alpha1.LabelInPlaceSet: "web", appsv1alpha1.LabelRevision: hash}}},
			&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("cafe-%d", i), Namespace: "shop",
				Labels: map[string]string{appsv1alpha1.LabelCafeDeployment: "cafe", appsv1alpha1.LabelCafeRevision: hash, appsv1alpha1.LabelRevision: "x"}}})
	}
	return h
}

// typed runs a command without a terminal.
func typed(t *testing.T, h *clitest.Hub, args ...string) (string, error) {
	t.Helper()
	t.Setenv("LC_ALL", "C.UTF-8")
	t.Setenv("COLUMNS", "160")
	for _, cmd := range newCommands(h.Connect, clocktesting.NewFakePassiveClock(clitest.Began.Add(5*time.Hour))) {
		if cmd.Name() != args[0] {
			continue
		}
		var out bytes.Buffer
		cmd.SetOut(&out)
		cmd.SetErr(&out)
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		cmd.SetArgs(args[1:])
		err := cmd.ExecuteContext(context.Background())
		return out.String(), err
	}
	t.Fatalf("there is no command %s", args[0])
	return "", nil
}

func TestAHistoryIsAListOfRevisions(t *testing.T) {
	want := func(title string) string {
		return title + ` · in shop
REVISION  HASH  AGE    PODS  USE                  CHANGE
       3  c     2h00m     1  update               image of app: web:v3
       2  b     3h00m     3  current (held back)  image of app: web:v2; rebuilds for spec.template.spec.hostNetwork
       1  a     4h00m     0                       image of app: web:v1
`
	}
	for arg, title := range map[string]string{"ips/web": "InPlaceSet web", "inplacesets.apps.periplus.dev/web": "InPlaceSet web", "cafe/cafe": "CafeDeployment cafe", "CafeDeployment/cafe": "CafeDeployment cafe"} {
		got, err := typed(t, newHarbour(t, nil).Hub, "history", arg)
		if diff := cmp.Diff(want(title), got); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", arg, err, diff)
		}
	}
}

func TestAHistoryTellsMoreWhereItIsAsked(t *testing.T) {
	forbidden := func(h *harbour) {
		h.Kube.PrependReactor("list", "pods", func(clienttesting.Action) (bool, runtime.Object, error) {
			return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "", nil)
		})
	}
	for name, tc := range map[string]struct {
		args   []string
		change func(*harbour)
		want   []string
	}{
		"the template of a revision by number":      {args: []string{"ips", "web", "--revision", "1"}, want: []string{"hostNetwork: true\n", "- image: web:v1\n"}},
		"the template of a revision by hash":        {args: []string{"cafe/cafe", "--revision", "b", "-o", "json"}, want: []string{`"image": "web:v2"`}},
		"what a revision would change":              {args: []string{"ips/web", "--revision", "2", "--diff"}, want: []string{"  --- now\n  +++ revision 2 (b)\n", "  -  - image: web:v3\n  +  - image: web:v2\n"}},
		"that a revision would change nothing":      {args: []string{"ips/web", "--revision", "3", "--diff"}, want: []string{"revision 3 (c) is the template as it is now"}},
		"what each revision changed":                {args: []string{"ips/web", "--diff"}, want: []string{"  --- revision 1 (a)\n  +++ revision 2 (b)\n", "  -  hostNetwork: true\n"}},
		"who holds the workload":                    {args: []string{"ips/web"}, change: locked, want: []string{"note  release shop/web-1-abc (run web-1) holds it since 2026-11-21 12:10:00 UTC"}},
		"that pods may not be seen":                 {args: []string{"ips/web"}, change: forbidden, want: []string{"you may not list pods there"}},
		"that the newest template was not seen yet": {args: []string{"ips/web"}, change: func(h *harbour) { h.set.Generation = 4 }, want: []string{"has not seen its template as it is now"}},
		"a document for programs":                   {args: []string{"ips/web", "-o", "json"}, want: []string{`"format": "periplus.dev/history/v1"`, `"rebuilds": [`, `"pods": 3`}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := typed(t, newHarbour(t, tc.change).Hub, append([]string{"history"}, tc.args...)...)
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range tc.want {
				if !strings.Contains(got, w) {
					t.Errorf("does not say %q:\n%s", w, got)
				}
			}
		})
	}
}

func locked(h *harbour) {
	raw, err := json.Marshal(stages.Lock{Hub: "hub", Namespace: "shop", Release: "web-1-abc", Root: "web-1", Since: metav1.NewTime(clitest.Began)})
	if err != nil {
		panic(err)
	}
	h.set.Annotations = map[string]string{stages.AnnotationLock: string(raw)}
	h.cafe.Annotations = h.set.Annotations
}

// patches are the patches of workloads that were sent, those of dry runs marked.
func patches(h *harbour) (out []string) {
	for _, a := range h.Periplus.Actions() {
		if p, ok := a.(clienttesting.PatchActionImpl); ok {
			dry := ""
			if len(p.PatchOptions.DryRun) > 0 {
				dry = "dry "
			}
			out = append(out, dry+p.Name+" "+string(p.Patch))
		}
	}
	return out
}

func TestAnUndoWritesTheTemplateOfARevisionAgainstWhatWasRead(t *testing.T) {
	h := newHarbour(t, nil)
	got, err := typed(t, h.Hub, "undo", "ips/web", "--yes")
	if err != nil {
		t.Fatal(err)
	}
	want := `undo InPlaceSet web to revision 2 (b) · in shop of https://hub.example
  change    image of app: web:v2
  then      held back on all 4 pods (partition 100%) until a release carries it
  in place  1 pods of revision 3
InPlaceSet web has the template of revision 2 (b)
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	all := patches(h)
	if len(all) != 1 || !strings.Contains(all[0], `"path":"/metadata/resourceVersion","value":"7"`) || !strings.Contains(all[0], `"value":"set-uid"`) || !strings.Contains(all[0], `"image":"web:v2"`) {
		t.Errorf("patches %q", all)
	}
	set, err := h.Periplus.AppsV1alpha1().InPlaceSets("shop").Get(context.Background(), "web", metav1.GetOptions{})
	if err != nil || set.Spec.Template.Spec.Containers[0].Image != "web:v2" {
		t.Errorf("%v, the image is %s", err, set.Spec.Template.Spec.Containers[0].Image)
	}
}

func TestAnUndoSaysWhatWillHappen(t *testing.T) {
	for name, tc := range map[string]struct {
		args   []string
		change func(*harbour)
		want   []string
	}{
		"a partition lets some pods go": {args: []string{"ips/web"}, change: func(h *harbour) { h.set.Spec.UpdateStrategy.Partition = ptr.To(intstr.FromInt32(1)) },
			want: []string{"3 of 4 pods go to it, at most 25% unavailable; 1 are held back (partition 1)"}},
		"no partition holds anything back": {args: []string{"ips/web"}, change: func(h *harbour) { h.set.Spec.UpdateStrategy.Partition = nil },
			want: []string{"all 4 pods go to it at once, at most 25% unavailable"}},
		"a pause": {args: []string{"ips/web"}, change: func(h *harbour) { h.set.Spec.UpdateStrategy.Paused = true }, want: []string{"paused", "spec.updateStrategy.paused"}},
		"what does not fit in place": {args: []string{"ips/web", "--to-revision", "a"},
			want: []string{"rebuild  3 pods of revision 2 get other IPs, because of spec.template.spec.hostNetwork", "1 pods of revision 3 get other IPs"}},
		"what does not fit in place and may not be rebuilt": {args: []string{"ips/web", "--to-revision", "1"}, change: func(h *harbour) { h.set.Spec.UpdateStrategy.Type = appsv1alpha1.InPlaceOnly },
			want: []string{"stuck", "nothing would move"}},
		"a deployment at rest": {args: []string{"cafe/cafe"}, change: func(h *harbour) {
			h.cafe.Spec.Strategy.Partitions = map[string]intstr.IntOrString{"dca": intstr.FromString("100%")}
		}, want: []string{"held back in every unit (strategy.partitions at 100%) until a release carries it"}},
		"a deployment that is driven in one unit": {args: []string{"cafe/cafe"}, change: func(h *harbour) {
			h.cafe.Spec.Strategy.Partitions = map[string]intstr.IntOrString{"dca": intstr.FromString("50%"), "dcb": intstr.FromString("100%")}
		}, want: []string{"pods go to it in dca (partition 50%), at most 25% of a unit unavailable; all else is held back"}},
		"a deployment that rolls by itself": {args: []string{"cafe/cafe"}, change: func(h *harbour) {
			h.cafe.Spec.Strategy = appsv1alpha1.CafeDeploymentStrategy{UpgradeType: appsv1alpha1.UpgradeBeta, BatchSize: ptr.To(intstr.FromInt32(4)), NeedWaitingForConfirm: true}
		}, want: []string{"in groups: one pod in each unit first, then batches of 4 over all units; at most 25% of a unit unavailable", "waits after each group but the last", "apps.periplus.dev/upgrade-confirmed"}},
		"a deployment of another type": {args: []string{"cafe/cafe"}, change: func(h *harbour) { h.cafe.Spec.PodSetType = appsv1alpha1.PodSetReplicaSet },
			want: []string{"1 pods of revision 3 get other IPs: spec.podSetType is ReplicaSet"}},
		"the difference": {args: []string{"ips/web", "--diff"}, want: []string{"  -  - image: web:v3\n  +  - image: web:v2\n"}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarbour(t, tc.change)
			got, err := typed(t, h.Hub, append([]string{"undo", "--dry-run"}, tc.args...)...)
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range append(tc.want, "Nothing was done: this was a dry run.") {
				if !strings.Contains(got, w) {
					t.Errorf("does not say %q:\n%s", w, got)
				}
			}
			for _, p := range patches(h) {
				if !strings.HasPrefix(p, "dry ") {
					t.Errorf("a dry run sent %s", p)
				}
			}
		})
	}
}

func TestAnUndoIsRefused(t *testing.T) {
	conflict := func(h *harbour) {
		h.Periplus.PrependReactor("patch", "inplacesets", func(clienttesting.Action) (bool, runtime.Object, error) {
			return true, nil, apierrors.NewConflict(schema.GroupResource{Resource: "inplacesets"}, "web", nil)
		})
	}
	for name, tc := range map[string]struct {
		args   []string
		change func(*harbour)
		want   string
	}{
		"while a release moves the set": {args: []string{"undo", "ips/web", "--yes"}, change: locked,
			want: `release shop/web-1-abc (run web-1) moves InPlaceSet web since 2026-11-21 12:10:00 UTC: take it back on the hub instead: undo rollback web-1 -n shop --message "…"`},
		"while a release moves the deployment": {args: []string{"undo", "cafe/cafe", "--yes"}, change: locked, want: "moves CafeDeployment cafe"},
		"where a lock cannot be read":          {args: []string{"undo", "ips/web", "--yes"}, change: func(h *harbour) { h.set.Annotations = map[string]string{stages.AnnotationLock: "{"} }, want: "cannot be read; remove it if no release moves the workload"},
		"of a set that a deployment keeps": {args: []string{"undo", "ips/web", "--yes"}, change: func(h *harbour) {
			h.set.OwnerReferences = []metav1.OwnerReference{{Kind: "CafeDeployment", Name: "cafe", UID: "cafe-uid", Controller: ptr.To(true)}}
		}, want: "InPlaceSet web is kept by CafeDeployment cafe, which would write its own template over it: undo undo cafedeployment/cafe"},
		"to a revision that there is not":     {args: []string{"undo", "ips/web", "--to-revision", "8", "--yes"}, want: "there is no revision 8; there are 1 (a), 2 (b), 3 (c)"},
		"where somebody changed it meanwhile": {args: []string{"undo", "ips/web", "--yes"}, change: conflict, want: "somebody changed inplacesets.apps.periplus.dev web meanwhile"},
		"where nobody can be asked":           {args: []string{"undo", "ips/web"}, want: "there is no terminal to ask on"},
		"of a workload that there is not":     {args: []string{"undo", "ips/wbe", "--yes"}, want: "there is no inplacesets.apps.periplus.dev wbe in namespace shop"},
		"of a kind without revisions":         {args: []string{"undo", "job/web", "--yes"}, want: `"job/web" names no workload with revisions: write cafedeployment/NAME, inplaceset/NAME or sidecarset/NAME`},
		"of a kind that is written wrongly":   {args: []string{"history", "inplaceste/web"}, want: "did you mean inplaceset/web?"},
		"of a kind without a name":            {args: []string{"history", "ips"}, want: "name the InPlaceSet: inplaceset/NAME"},
		"of two at once":                      {args: []string{"history", "ips/web", "ips/till"}, want: "name one workload"},
		"as a document of differences":        {args: []string{"history", "ips/web", "-o", "yaml", "--diff"}, want: "leave it out with -o yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarbour(t, tc.change)
			_, err := typed(t, h.Hub, tc.args...)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
			set, err := h.Periplus.AppsV1alpha1().InPlaceSets("shop").Get(context.Background(), "web", metav1.GetOptions{})
			if err != nil || set.Spec.Template.Spec.Containers[0].Image != "web:v3" {
				t.Errorf("the template was changed: %v", err)
			}
		})
	}
}

func TestAnUndoToWhatIsThereDoesNothing(t *testing.T) {
	h := newHarbour(t, nil)
	got, err := typed(t, h.Hub, "undo", "ips/web", "--to-revision", "3")
	if err != nil || !strings.Contains(got, "has the template of revision 3 (c) already: nothing was done") || len(patches(h)) > 0 {
		t.Errorf("%v, %s, %q", err, got, patches(h))
	}
}
