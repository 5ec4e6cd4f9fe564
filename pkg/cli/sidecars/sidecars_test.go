package sidecars

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	clienttesting "k8s.io/client-go/testing"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"

	apps "github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/cli/clitest"
	"github.com/periplus-dev/periplus/pkg/cli/hub"
	"github.com/periplus-dev/periplus/pkg/cli/screen"
	"github.com/periplus-dev/periplus/pkg/sidecar"
)

// quay is a member with the sets mesh and logs, and pods with and without what they put in.
type quay struct {
	*clitest.Hub
	mesh, logs *apps.SidecarSet
}

// newSet means the pods with a label of its name, since one hour after the beginning.
func newSet(name string, missed int32) *apps.SidecarSet {
	set := &apps.SidecarSet{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: *clitest.At(0), Generation: 1}}
	set.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{name: "on"}}
	set.Status = apps.SidecarSetStatus{
		ObservedGeneration: 1, Matched: 4 + missed, Injected: 4, Updated: 3, UpdatedReady: 2, ExpectedUpdated: 4, Missed: missed,
		UpdateRevision: "r2", CurrentRevision: "r1", InjectionRevision: "r1", Matching: sidecar.MatchingOf(set), MatchingSince: clitest.At(time.Hour),
		Conditions: []metav1.Condition{
			{Type: apps.ConditionProgressing, Status: metav1.ConditionTrue, Reason: "Moving", Message: "3 of 4 pods run revision r2"},
			{Type: apps.ConditionInjecting, Status: metav1.ConditionTrue, Reason: "Injecting", Message: "New pods get revision r1"},
		},
	}
	return set
}

func (q *quay) add(t *testing.T, objs ...runtime.Object) {
	t.Helper()
	for _, o := range objs {
		tracker := q.Kube.Tracker()
		if _, ours := o.(*apps.SidecarSet); ours {
			tracker = q.Periplus.Tracker()
		}
		if err := tracker.Add(o); err != nil {
			t.Fatal(err)
		}
	}
}

// pod of a namespace, created two hours after the beginning: an hour after the sets began to mean it.
func pod(namespace, name, owner string, change ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace, UID: types.UID(name), CreationTimestamp: *clitest.At(2 * time.Hour), Labels: map[string]string{"mesh": "on"}}}
	p.Spec.Containers = []corev1.Container{{Name: "app"}}
	if kind, of, ok := strings.Cut(owner, "/"); ok {
		p.OwnerReferences = []metav1.OwnerReference{{Kind: kind, Name: of, Controller: ptr.To(true)}}
	}
	for _, c := range change {
		c(p)
	}
	return p
}

func labelled(key, value string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Labels[key] = value }
}

func recorded(text string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Annotations = map[string]string{apps.AnnotationSidecars: text}
		p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "proxy"})
	}
}

const injected = `{"sets":[{"set":"mesh","revision":"r1","containers":["proxy"]}]}`

func newQuay(t *testing.T, change func(*quay)) *quay {
	t.Helper()
	q := &quay{Hub: clitest.NewHub(), mesh: newSet("mesh", 5), logs: newSet("logs", 1)}
	q.Flags = "--context m1"
	if change != nil {
		change(q)
	}
	q.add(t, q.mesh, q.logs, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "till"}},
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "out", Labels: map[string]string{apps.LabelInject: "false"}}},
		pod("shop", "web-5f-a", "ReplicaSet/web-5f", labelled("pod-template-hash", "5f")),
		pod("shop", "web-5f-b", "ReplicaSet/web-5f", labelled("pod-template-hash", "5f"), labelled("logs", "on")),
		pod("shop", "clash", "StatefulSet/db", recorded(`{"sets":[{"set":"mesh","revision":"r1","skipped":"container proxy is the application's"}]}`)),
		pod("till", "till-1", "InPlaceSet/till"), pod("till", "till-0", "InPlaceSet/till"), pod("till", "by-hand", ""),
		// None of these was missed.
		pod("shop", "with", "ReplicaSet/web-5f", recorded(injected)),
		pod("shop", "not-meant", "", func(p *corev1.Pod) { p.Labels = nil }),
		pod("shop", "opted-out", "", labelled(apps.LabelInject, "false")),
		pod("shop", "older", "", func(p *corev1.Pod) { p.CreationTimestamp = *clitest.At(30 * time.Minute) }),
		pod("shop", "that-second", "", func(p *corev1.Pod) { p.CreationTimestamp = *clitest.At(time.Hour) }),
		pod("shop", "over", "", func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }),
		pod("shop", "going", "", func(p *corev1.Pod) { p.DeletionTimestamp, p.Finalizers = clitest.At(3*time.Hour), []string{"x/y"} }),
		pod("out", "namespace-opted-out", ""), pod("kube-system", "dns", ""), pod("periplus-system", "ours", ""),
	)
	return q
}

// typed runs `periplus sidecars` without a terminal, and gives its exit code.
func typed(t *testing.T, q *quay, args ...string) (string, int) {
	t.Helper()
	t.Setenv("LC_ALL", "C.UTF-8")
	t.Setenv("COLUMNS", "130")
	cmd := newCommand(func(f *hub.Flags) (*hub.Hub, error) {
		m := *q.Hub.Hub
		if f.Namespace != "" {
			m.Namespace = f.Namespace
		}
		return &m, nil
	}, clocktesting.NewFakePassiveClock(clitest.Began.Add(5*time.Hour)))
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(context.Background())
	var coded interface{ ExitCode() int }
	switch {
	case err == nil:
		return out.String(), 0
	case errors.As(err, &coded):
		return out.String() + err.Error(), coded.ExitCode()
	}
	t.Fatalf("the error has no exit code: %v", err)
	return "", 0
}

func TestMissedPodsWithWhatToDo(t *testing.T) {
	got, code := typed(t, newQuay(t, nil), "missed", "-A")
	want := `SET   NAMESPACE  POD       AGE    OWNER              WHY
logs  shop       web-5f-b  3h00m  ReplicaSet/web-5f  not known
mesh  shop       clash     3h00m  StatefulSet/db     container proxy is the application's
mesh  shop       web-5f-a  3h00m  ReplicaSet/web-5f  not known
mesh  shop       web-5f-b  3h00m  ReplicaSet/web-5f  not known
mesh  till       by-hand   3h00m  nobody             not known
mesh  till       till-0    3h00m  InPlaceSet/till    not known
mesh  till       till-1    3h00m  InPlaceSet/till    not known

They get the sidecars when they are created anew:
  kubectl --context m1 -n shop rollout restart deployment/web # 2 pods
  kubectl --context m1 -n till delete pod till-0 # 2 pods of InPlaceSet/till, one at a time
Where it is not known why, the webhook did not answer when the pod was created, or the pod or its namespace got its labels later.
Where there is a reason, mend that first: the next pod would be left out again.
1 pod without an owner: whoever made it has to make it anew.
`
	if diff := cmp.Diff(want, got); code != 1 || diff != "" {
		t.Errorf("exit code %d\n%s", code, diff)
	}
}

func TestWhichPodsAreListed(t *testing.T) {
	for _, tc := range []struct {
		name   string
		args   []string
		change func(*quay)
		code   int
		// pods, as -o name gives them.
		pods string
	}{
		{"those of the context's namespace", nil, nil, 1, "shop/clash shop/web-5f-a shop/web-5f-b"},
		{"those of another", []string{"-n", "till"}, nil, 1, "till/by-hand till/till-0 till/till-1"},
		{"each once, in all namespaces", []string{"-A"}, nil, 1, "shop/clash shop/web-5f-a shop/web-5f-b till/by-hand till/till-0 till/till-1"},
		{"those of one set", []string{"--set", "logs"}, nil, 1, "shop/web-5f-b"},
		{"none where there are none", []string{"-n", "till", "--set", "logs"}, nil, 0, ""},
		{"none while nothing is to be put in", []string{"-A"}, func(q *quay) { q.mesh.Spec.InjectionStrategy.Paused, q.logs.Spec.InjectionStrategy.Paused = true, true }, 0, ""},
		{"none of a selector that the controller has not seen", []string{"-A", "--set", "logs"}, func(q *quay) { q.logs.Spec.Selector.MatchLabels = map[string]string{"mesh": "on"} }, 0, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, code := typed(t, newQuay(t, tc.change), append([]string{"missed", "-o", "name"}, tc.args...)...)
			if pods := strings.Join(strings.Fields(got), " "); pods != tc.pods || code != tc.code {
				t.Errorf("got %q with exit code %d; want %q with %d", pods, code, tc.pods, tc.code)
			}
		})
	}
}

func TestWhatIsSaidBesideThePods(t *testing.T) {
	forbid := func(verb, resource string) func(*quay) {
		return func(q *quay) {
			deny := func(clienttesting.Action) (bool, runtime.Object, error) {
				return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: resource}, "", nil)
			}
			q.Kube.PrependReactor(verb, resource, deny)
			q.Periplus.PrependReactor(verb, resource, deny)
		}
	}
	for _, tc := range []struct {
		name   string
		args   []string
		change func(*quay)
		code   int
		want   string
	}{
		{"that there are more elsewhere", []string{"-n", "till", "--set", "logs"}, nil, 0, "No pod in namespace till was missed.\nnote  1 more pod in other namespaces: see them with -A\n"},
		{"that the controller has not seen the selector", []string{"-A", "--set", "mesh"}, func(q *quay) { q.mesh.Status.Matching = "another" }, 0,
			"No pod in this member was missed.\nnote  the controller has not seen yet what SidecarSet mesh matches now"},
		{"which set was likely meant", []string{"--set", "mash"}, nil, 2, "there is no SidecarSet mash; did you mean mesh?"},
		{"what a namespace that is not there is", []string{"-n", "shed"}, nil, 2, "there is no namespaces shed"},
		{"that the sets may not be seen", nil, forbid("list", "sidecarsets"), 2, "you may not list sidecarsets.apps.periplus.dev in all of the cluster"},
		{"that pods may not be seen", nil, forbid("list", "pods"), 2, "you may not list pods in namespace shop of the cluster"},
		{"that pods may not be seen everywhere", []string{"-A"}, forbid("list", "pods"), 2, "you may not list pods in all of the cluster"},
		{"that -A and -n do not go together", []string{"-A", "-n", "shop"}, nil, 2, "leave one of them out"},
		{"which outputs there are", []string{"-o", "wide"}, nil, 2, `--output is "wide", and must be json, yaml or name`},
		{"that it takes no name", []string{"mesh"}, nil, 2, `unknown command "mesh"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, code := typed(t, newQuay(t, tc.change), append([]string{"missed"}, tc.args...)...)
			if !strings.Contains(got, tc.want) || code != tc.code {
				t.Errorf("exit code %d, want %d; %q does not say %q", code, tc.code, got, tc.want)
			}
		})
	}
}

func TestTheDocumentHasEverything(t *testing.T) {
	text, code := typed(t, newQuay(t, nil), "missed", "-A", "-o", "json")
	var got screen.Missed
	if err := json.Unmarshal([]byte(text), &got); err != nil || code != 1 {
		t.Fatalf("%v, exit code %d: %s", err, code, text)
	}
	i := slices.IndexFunc(got.Pods, func(p screen.MissedPod) bool { return p.Name == "clash" })
	want := screen.MissedPod{Set: "mesh", Namespace: "shop", Name: "clash", Created: *clitest.At(2 * time.Hour), Owner: "StatefulSet/db", Why: "container proxy is the application's"}
	if got.Format != screen.MissedFormat || i < 0 || cmp.Diff(want, got.Pods[i]) != "" {
		t.Errorf("format %q, pods %+v", got.Format, got.Pods)
	}
	if len(got.Next) != 2 || !got.Next[0].Restarts || got.Next[0].Pods != 2 || got.Next[1].Command != "kubectl --context m1 -n till delete pod till-0" {
		t.Errorf("next is %+v", got.Next)
	}
}

func TestPodsOfACafeDeploymentAreNotRestartedByKubectl(t *testing.T) {
	of := podOf{screen.MissedPod{Namespace: "shop", Name: "a-0", Owner: "StatefulSet/cafe-dca"}, map[string]string{apps.LabelCafeDeployment: "cafe"}}
	steps := next([]podOf{of}, "")
	if len(steps) != 1 || steps[0].Restarts || steps[0].Command != "kubectl -n shop delete pod a-0" {
		t.Errorf("steps are %+v: a restart would be taken back by the CafeDeployment", steps)
	}
}

func TestTheSetsOfAMember(t *testing.T) {
	rested := func(q *quay) {
		q.logs.Status.Missed, q.logs.Status.Conditions[0].Reason = 0, "Complete"
		c := &q.mesh.Status.Conditions[1]
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, "PodsMissed", "5 pods were created without the sidecars"
	}
	got, code := typed(t, newQuay(t, rested))
	want := `SET   REVISION  NEW PODS GET  PODS  INJECTED  UPDATED  READY  WAITING  MISSED  AGE    STATE
logs  r2        r1               5         4        3      2        0       0  5h00m  Complete
mesh  r2        r1               9         4        3      2        0       5  5h00m  Moving, PodsMissed
  PodsMissed: 5 pods were created without the sidecars
`
	if diff := cmp.Diff(want, got); code != 0 || diff != "" {
		t.Errorf("exit code %d\n%s", code, diff)
	}
	if names, _ := typed(t, newQuay(t, nil), "-o", "name"); names != "logs\nmesh\n" {
		t.Errorf("names are %q", names)
	}
	unseen, _ := typed(t, newQuay(t, func(q *quay) { q.mesh.Generation, q.mesh.Status.InjectionRevision = 2, "" }))
	if !strings.Contains(unseen, "nothing") || !strings.Contains(unseen, "not seen by the controller yet, Moving") {
		t.Errorf("a spec that the controller has not seen reads\n%s", unseen)
	}
	none, code := typed(t, &quay{Hub: clitest.NewHub()})
	if none != "There are no SidecarSets here.\n" || code != 0 {
		t.Errorf("%q, exit code %d", none, code)
	}
}
