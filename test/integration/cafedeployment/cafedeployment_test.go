//go:build integration

package cafedeployment

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

const good = `
metadata: {name: web}
spec:
  replicas: 4
  selector: {matchLabels: {app: web}}
  topology: {unitType: DataCenter, nodeLabelKey: topology.kubernetes.io/zone, values: [dca, dcb]}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: app, image: "web:v1"}]}
`

var made atomic.Int32

func namespace(t *testing.T) string {
	t.Helper()
	ns := fmt.Sprintf("cafe-%d", made.Add(1))
	if _, err := admin.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	// The controller manager would make it.
	if _, err := admin.CoreV1().ServiceAccounts(ns).Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	return ns
}

// create a deployment: the good one with these replacements.
func create(t *testing.T, ns string, replace ...string) error {
	t.Helper()
	d := &v1alpha1.CafeDeployment{}
	if err := yaml.UnmarshalStrict([]byte(strings.NewReplacer(replace...).Replace(good)), d); err != nil {
		t.Fatal(err)
	}
	_, err := periplus.AppsV1alpha1().CafeDeployments(ns).Create(t.Context(), d, metav1.CreateOptions{})
	return err
}

func patch(t *testing.T, ns, spec string, dry ...string) error {
	t.Helper()
	_, err := periplus.AppsV1alpha1().CafeDeployments(ns).Patch(t.Context(), "web", types.MergePatchType, []byte(`{"spec":`+spec+`}`), metav1.PatchOptions{DryRun: dry})
	return err
}

func until(t *testing.T, what string, ok func() (bool, string)) {
	t.Helper()
	saw := ""
	err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, limit, true, func(context.Context) (good bool, _ error) {
		good, saw = ok()
		return good, nil
	})
	if err != nil {
		t.Fatalf("it is not so that %s: %v; last seen: %s", what, err, saw)
	}
}

func TestWhatTheAPIServerRefuses(t *testing.T) {
	ns := namespace(t)
	if err := create(t, ns); err != nil {
		t.Fatal(err)
	}
	until(t, "the policy is in force", func() (bool, string) { // it takes the API server a moment to compile it.
		err := patch(t, ns, `{"strategy":{"partitions":{"dca":"half"}}}`, metav1.DryRunAll)
		return err != nil, "let through"
	})
	for _, r := range []struct{ name, patch, says string }{
		{"a number for a unit that is not there", `{"topology":{"unitReplicas":{"moon":4}}}`, "spec.topology.unitReplicas: names"},
		{"a partition of a unit that is not there", `{"strategy":{"partitions":{"moon":4}}}`, "spec.strategy.partitions: names"},
		{"no pods in a batch", `{"strategy":{"batchSize":0}}`, "spec.strategy.batchSize: must be a number of pods, 1 or more"},
		{"no percent in a batch", `{"strategy":{"batchSize":"0%"}}`, "spec.strategy.batchSize: must be"},
		{"another type of pod sets", `{"podSetType":"ReplicaSet"}`, "spec.podSetType: cannot be changed"},
		{"another selector", `{"selector":{"matchLabels":{"app":"other"}},"template":{"metadata":{"labels":{"app":"other"}}}}`, "spec.selector: cannot be changed"},
		{"percentages above 100 together", `{"topology":{"unitReplicas":{"dca":"60%","dcb":"50%"}}}`, "spec.topology.unitReplicas: percentages are 110% together"},
		{"a percentage above 100", `{"topology":{"unitReplicas":{"dca":"101%"}}}`, "spec.topology.unitReplicas: must be numbers of pods, 0 or more, or percentages of replicas from 0% to 100%, and there is dca: 101%"},
		{"fewer than no pods in a unit", `{"topology":{"unitReplicas":{"dca":-1}}}`, "there is dca: -1"},
		{"a partition that is no number", `{"strategy":{"partitions":{"dca":"half"}}}`, "spec.strategy.partitions: must be numbers of pods, 0 or more, or percentages of the unit from 0% to 100%, and there is dca: half"},
		{"no units", `{"topology":{"values":[]}}`, "spec.topology: unitType DataCenter, Zone or Cell needs nodeLabelKey and values"},
		{"a unit twice", `{"topology":{"values":["dca","dca"]}}`, "spec.topology.values[1]"},
		{"a unit that is no name", `{"topology":{"values":["DC A"]}}`, "spec.topology.values[0]"},
		{"another kind of unit", `{"topology":{"unitType":"Zone"}}`, "spec.topology.unitType: cannot be changed"},
		{"another label of nodes", `{"topology":{"nodeLabelKey":"zone"}}`, "spec.topology.nodeLabelKey: cannot be changed"},
		{"labels that the selector does not match", `{"template":{"metadata":{"labels":{"app":"other"}}}}`, "app=web is missing"},
		{"pods that end", `{"template":{"spec":{"restartPolicy":"Never"}}}`, "spec.template.spec.restartPolicy: is Never; pods of a CafeDeployment run for ever"},
		{"the claims on one pod", `{"template":{"metadata":{"annotations":{"apps.periplus.dev/claims":"x"}}}}`, "spec.template.metadata.annotations: apps.periplus.dev/claims says what became of one pod"},
		{"a Service for an InPlaceSet", `{"serviceName":"web"}`, "spec.serviceName: is for podSetType StatefulSet only"},
		{"no pod unavailable", `{"maxUnavailable":0}`, "spec.maxUnavailable: must be a number of pods, 1 or more"},
		{"an order that names no container", `{"inPlace":{"containerOrder":["nobody"]}}`, "spec.inPlace.containerOrder: the template has no container or native sidecar named nobody"},
		{"a deadline that no pod can meet", `{"minReadySeconds":60,"progressDeadlineSeconds":60}`, "spec.progressDeadlineSeconds: must be more than spec.minReadySeconds"},
		{"no wait before a pod is given elsewhere", `{"topology":{"autoReschedule":{"initialDelaySeconds":0}}}`, "spec.topology.autoReschedule.initialDelaySeconds"},
	} {
		t.Run(r.name, func(t *testing.T) {
			if err := patch(t, ns, r.patch, metav1.DryRunAll); err == nil || !strings.Contains(err.Error(), r.says) {
				t.Errorf("%v; want it refused with %q", err, r.says)
			}
		})
	}
	for _, p := range []string{
		`{"topology":{"unitReplicas":{"dca":4,"dcb":"60%"}}}`, `{"topology":{"unitReplicas":{"dca":"60%","dcb":"40%"}}}`, `{"topology":{"unitReplicas":{"dca":0}}}`,
		`{"strategy":{"partitions":{"dca":"100%","dcb":0}}}`, `{"topology":{"values":["dcb","dcc"]}}`, `{"strategy":{"batchSize":"30%"}}`,
	} {
		if err := patch(t, ns, p, metav1.DryRunAll); err != nil {
			t.Errorf("%s is refused: %v", p, err)
		}
	}
	// A release left partitions of all units; who takes one out of the values need not know of that.
	if err := patch(t, ns, `{"strategy":{"partitions":{"dca":"100%","dcb":"100%"}}}`); err != nil {
		t.Fatal(err)
	}
	if err := patch(t, ns, `{"topology":{"values":["dcb"]}}`, metav1.DryRunAll); err != nil {
		t.Errorf("a unit with a partition cannot be taken out: %v", err)
	}
	for _, r := range []struct {
		name, says string
		replace    []string
	}{
		{"a StatefulSet without a Service", "spec.serviceName: a StatefulSet needs the name of its governing Service", []string{"replicas: 4", "podSetType: StatefulSet"}},
		{"an empty selector", "spec.selector: is empty and would match every pod", []string{"{matchLabels: {app: web}}", "{}"}},
		{"a selector that names units", "spec.selector: names apps.periplus.dev/unit, which Periplus writes on pods itself", []string{"{app: web}", "{apps.periplus.dev/unit: dca}"}},
		{"a name that is too long with its units", "metadata.name: must have at most 51 characters together with the longest unit's name", []string{"name: web}", "name: " + strings.Repeat("w", 49) + "}"}},
		{"units where there are none", "spec.topology: unitType None is one unit on any node", []string{"DataCenter", "None"}},
		{"a label of nodes that can be none", "spec.topology.nodeLabelKey: a b is no key of a label", []string{"topology.kubernetes.io/zone", "a b"}},
	} {
		t.Run(r.name, func(t *testing.T) {
			if err := create(t, namespace(t), r.replace...); err == nil || !strings.Contains(err.Error(), r.says) {
				t.Errorf("%v; want it refused with %q", err, r.says)
			}
		})
	}
}

func TestEachTypeGetsAPodSetInEachUnitWithThePublishedRoles(t *testing.T) {
	for _, r := range []struct {
		of    v1alpha1.PodSetType
		spec  string
		names func(ctx context.Context, ns string) ([]string, *corev1.PodTemplateSpec, error)
	}{
		{v1alpha1.PodSetInPlaceSet, "replicas: 4", func(ctx context.Context, ns string) (names []string, first *corev1.PodTemplateSpec, err error) {
			l, err := periplus.AppsV1alpha1().InPlaceSets(ns).List(ctx, metav1.ListOptions{})
			for i := range l.Items {
				names, first = append(names, l.Items[i].Name), &l.Items[0].Spec.Template
			}
			return names, first, err
		}},
		{v1alpha1.PodSetReplicaSet, "podSetType: ReplicaSet", func(ctx context.Context, ns string) (names []string, first *corev1.PodTemplateSpec, err error) {
			l, err := admin.AppsV1().ReplicaSets(ns).List(ctx, metav1.ListOptions{})
			for i := range l.Items {
				names, first = append(names, strings.TrimSuffix(l.Items[i].Name, "-"+l.Items[i].Labels[v1alpha1.LabelCafeRevision])), &l.Items[0].Spec.Template
			}
			return names, first, err
		}},
		{v1alpha1.PodSetStatefulSet, "podSetType: StatefulSet\n  replicas: 4\n  serviceName: web", func(ctx context.Context, ns string) (names []string, first *corev1.PodTemplateSpec, err error) {
			l, err := admin.AppsV1().StatefulSets(ns).List(ctx, metav1.ListOptions{})
			for i := range l.Items {
				names, first = append(names, l.Items[i].Name), &l.Items[0].Spec.Template
			}
			return names, first, err
		}},
	} {
		t.Run(string(r.of), func(t *testing.T) {
			ns := namespace(t)
			if err := create(t, ns, "replicas: 4", strings.Replace(r.spec, "ReplicaSet", "ReplicaSet\n  replicas: 4", 1)); err != nil {
				t.Fatal(err)
			}
			var first *corev1.PodTemplateSpec
			until(t, "there is a pod set in each unit", func() (bool, string) {
				names, template, err := r.names(t.Context(), ns)
				first = template
				return err == nil && fmt.Sprint(names) == "[web-dca web-dcb]", fmt.Sprint(names, err)
			})
			var d *v1alpha1.CafeDeployment
			until(t, "the status names the revision, which it does after the sets were made", func() (_ bool, saw string) {
				var err error
				if d, err = periplus.AppsV1alpha1().CafeDeployments(ns).Get(t.Context(), "web", metav1.GetOptions{}); err != nil {
					return false, err.Error()
				}
				return d.Status.UpdateRevision != "", fmt.Sprintf("%+v", d.Status)
			})
			want := map[string]string{"app": "web", v1alpha1.LabelCafeDeployment: "web", v1alpha1.LabelUnit: "dca", v1alpha1.LabelCafeRevision: d.Status.UpdateRevision}
			if fmt.Sprint(first.Labels) != fmt.Sprint(want) {
				t.Errorf("pods get the labels %v; want %v", first.Labels, want)
			}
			term := first.Spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms[0].MatchExpressions[0]
			if term.Key != "topology.kubernetes.io/zone" || fmt.Sprint(term.Values) != "[dca]" {
				t.Errorf("pods are bound by %v", term)
			}
		})
	}
}

func TestAPodSetOfSomebodyElseIsLeftAloneAndSaid(t *testing.T) {
	ns := namespace(t)
	labels := map[string]string{"app": "other"}
	other := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: "web-dcb"}, Spec: appsv1.StatefulSetSpec{
		Replicas: ptr.To[int32](3), Selector: &metav1.LabelSelector{MatchLabels: labels}, ServiceName: "other",
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "other:v1"}}}},
	}}
	if _, err := admin.AppsV1().StatefulSets(ns).Create(t.Context(), other, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := create(t, ns, "replicas: 4", "podSetType: StatefulSet\n  replicas: 4\n  serviceName: web"); err != nil {
		t.Fatal(err)
	}
	until(t, "the condition names it", func() (bool, string) {
		d, err := periplus.AppsV1alpha1().CafeDeployments(ns).Get(t.Context(), "web", metav1.GetOptions{})
		if err != nil {
			return false, err.Error()
		}
		c := meta.FindStatusCondition(d.Status.Conditions, v1alpha1.ConditionProgressing)
		return c != nil && c.Reason == "WriteFailed" && strings.Contains(c.Message, "web-dcb: there is one of that name which is not of CafeDeployment web"), fmt.Sprintf("%+v", c)
	})
	left, err := admin.AppsV1().StatefulSets(ns).Get(t.Context(), "web-dcb", metav1.GetOptions{})
	if err != nil || *left.Spec.Replicas != 3 || len(left.OwnerReferences) > 0 {
		t.Errorf("it was touched: %+v, %v", left.Spec, err)
	}
}
