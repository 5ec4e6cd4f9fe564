package inplace

import (
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

const edge, mesh = v1alpha1.BalancerPrefix + "edge", v1alpha1.BalancerPrefix + "mesh"

func finalizers(names ...string) podOption {
	return func(pod *corev1.Pod) { pod.Finalizers = names }
}

// since says when the gate, and Ready, turned to what they are.
func since(at time.Time) podOption {
	return func(pod *corev1.Pod) {
		for i := range pod.Status.Conditions {
			pod.Status.Conditions[i].LastTransitionTime = metav1.NewTime(at)
		}
	}
}

func claimed(claims string) podOption {
	return func(pod *corev1.Pod) { pod.Annotations = map[string]string{v1alpha1.AnnotationClaims: claims} }
}

func TestWhoClaimsAPodMustLetGoOfItFirst(t *testing.T) {
	hooks := v1alpha1.InPlaceSetLifecycle{
		InPlaceUpdate: &v1alpha1.LifecycleHook{Finalizers: []string{"example.com/backup"}, Labels: map[string]string{"dns": "registered"}},
		PreDelete:     &v1alpha1.LifecycleHook{Finalizers: []string{"example.com/archive"}},
	}
	out := []podOption{closed(GateChanging), unready, since(noon.Add(-time.Minute))}
	for _, r := range []struct {
		name    string
		pod     []podOption
		wish    Wish
		timeout time.Duration
		goOn    bool
		wait    Wait
		claims  string
		after   time.Duration
		late    bool
		act     Act
	}{
		{name: "a load balancer that holds a finalizer is waited for", pod: []podOption{finalizers(edge)}, wish: Update, wait: WaitBalancer, claims: edge, after: 4 * time.Minute},
		{name: "all of them are", pod: []podOption{finalizers(mesh, edge)}, wish: Update, wait: WaitBalancer, claims: edge + "," + mesh, after: 4 * time.Minute},
		{name: "finalizers of others are none of our business", pod: []podOption{finalizers("example.com/quota")}, wish: Update, act: WriteChange},
		{name: "a hook holds by a finalizer", pod: []podOption{finalizers("example.com/backup")}, wish: Update, wait: WaitHook, claims: "example.com/backup", after: 4 * time.Minute},
		{
			name: "a hook holds by a label", pod: []podOption{func(p *corev1.Pod) { p.Labels["dns"] = "registered" }}, wish: Update,
			wait: WaitHook, claims: "dns=registered", after: 4 * time.Minute,
		},
		{name: "a label with another value holds nothing", pod: []podOption{func(p *corev1.Pod) { p.Labels["dns"] = "gone" }}, wish: Update, act: WriteChange},
		{name: "the hook of deletes does not hold a change", pod: []podOption{finalizers("example.com/archive")}, wish: Update, act: WriteChange},
		{name: "it holds a delete", pod: []podOption{finalizers("example.com/archive")}, wish: Leave, wait: WaitHook, claims: "example.com/archive", after: 4 * time.Minute},
		{name: "a load balancer holds a delete, too", pod: []podOption{finalizers(edge)}, wish: Leave, wait: WaitBalancer, claims: edge, after: 4 * time.Minute},
		{name: "when its time is up, the set holds and says so", pod: []podOption{finalizers(edge)}, wish: Update, timeout: time.Minute, wait: WaitBalancer, claims: edge, late: true},
		{name: "or goes on, as told", pod: []podOption{finalizers(edge)}, wish: Update, timeout: time.Minute, goOn: true, act: WriteChange},
		{name: "but no moment before", pod: []podOption{finalizers(edge)}, wish: Update, timeout: 61 * time.Second, goOn: true, wait: WaitBalancer, claims: edge, after: time.Second},
		{name: "a rollback in the middle of a drain puts the pod back at once", pod: []podOption{finalizers(edge)}, wish: Serve, act: WriteGate},
		{name: "so does one in the middle of a hook", pod: []podOption{finalizers("example.com/backup")}, wish: Serve, act: WriteGate},
	} {
		t.Run(r.name, func(t *testing.T) {
			in := Input{
				Pod: newPod(append(slices.Clone(out), r.pod...)...), Wish: r.wish, Holder: "InPlaceSet/web", Revision: "r2", Change: Change{Images: map[string]string{"app": "web:v2"}},
				Lifecycle: hooks, DrainTimeout: 5 * time.Minute, Now: noon,
			}
			if r.timeout > 0 {
				in.DrainTimeout = r.timeout
			}
			if r.goOn {
				in.OnDrainTimeout = v1alpha1.DrainGoOn
			}
			if !in.Held() {
				in.QuietSince = noon.Add(-30 * time.Second)
			}
			step, err := Next(in)
			if err != nil {
				t.Fatal(err)
			}
			if step.Act != r.act || step.Wait != r.wait || strings.Join(step.Claims, ",") != r.claims || step.After != r.after || step.TimedOut != r.late {
				t.Errorf("act %d, wait %q for %v, after %s, late %t; want act %d, wait %q for %s, after %s, late %t",
					step.Act, step.Wait, step.Claims, step.After, step.TimedOut, r.act, r.wait, r.claims, r.after, r.late)
			}
			if len(step.Claims) > 0 && !step.Since.Equal(noon.Add(-time.Minute)) {
				t.Errorf("since %s; want the moment when the gate was closed", step.Since)
			}
		})
	}
}

func TestWhoLetGoOfAPodMustTakeItBackBeforeItIsAvailable(t *testing.T) {
	ready := since(noon.Add(-time.Minute))
	for _, r := range []struct {
		name    string
		pod     *corev1.Pod
		goOn    bool
		timeout time.Duration
		missing string
		wait    Wait
		late    bool
		act     Act
	}{
		{name: "nobody claimed it", pod: newPod(ready)},
		{name: "the load balancer is back", pod: newPod(ready, claimed(edge), finalizers(edge))},
		{name: "the load balancer is not back", pod: newPod(ready, claimed(edge)), missing: edge, wait: WaitReturn},
		{name: "one of two is", pod: newPod(ready, claimed(edge+","+mesh), finalizers(mesh)), missing: edge, wait: WaitReturn},
		{name: "a hook's label is not back", pod: newPod(ready, claimed("dns=registered")), missing: "dns=registered", wait: WaitReturn},
		{name: "a hook that the set names no more is forgotten", pod: newPod(ready, claimed("hold=yes")), missing: "hold=yes", act: WriteChange},
		{name: "a load balancer is waited for, and not the hook beside it that is named no more", pod: newPod(ready, claimed("hold=yes,"+edge)), missing: "hold=yes," + edge, wait: WaitReturn},
		{name: "a pod that is not ready waits for itself first", pod: newPod(ready, claimed(edge), containersUnready), missing: edge},
		{name: "when its time is up, the set holds", pod: newPod(ready, claimed(edge)), timeout: time.Minute, missing: edge, wait: WaitReturn, late: true},
		{name: "or forgets it, as told", pod: newPod(ready, claimed(edge)), timeout: time.Minute, goOn: true, missing: edge, act: WriteChange},
	} {
		t.Run(r.name, func(t *testing.T) {
			in := Input{Pod: r.pod, Wish: Serve, Holder: "InPlaceSet/web", DrainTimeout: max(r.timeout, 0), Now: noon}
			in.Lifecycle.InPlaceUpdate = &v1alpha1.LifecycleHook{Labels: map[string]string{"dns": "registered"}}
			if in.DrainTimeout == 0 {
				in.DrainTimeout = 5 * time.Minute
			}
			if r.goOn {
				in.OnDrainTimeout = v1alpha1.DrainGoOn
			}
			step, err := Next(in)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(Missing(r.pod), ","); got != r.missing {
				t.Errorf("missing %q; want %q", got, r.missing)
			}
			if step.Wait != r.wait || step.Act != r.act || step.TimedOut != r.late {
				t.Errorf("act %d, wait %q, late %t; want act %d, wait %q, late %t", step.Act, step.Wait, step.TimedOut, r.act, r.wait, r.late)
			}
			if got, want := Available(r.pod, 0, noon), r.missing == ""; got != want {
				t.Errorf("available: %t; want %t", got, want)
			}
			if step.Act == WriteChange && !Available(applied(t, r.pod, step.Patch), 0, noon) {
				t.Error("the pod is not available once those who are late are forgotten")
			}
		})
	}
}

// The write that closes the gate says who claimed the pod: a controller that is killed right after it finds them there, when they have long let go.
func TestTheGateRemembersWhoClaimedThePod(t *testing.T) {
	for _, r := range []struct {
		name string
		pod  *corev1.Pod
		want string
	}{
		{name: "nobody", pod: newPod()},
		{name: "those whose finalizers are on it, and no others", pod: newPod(finalizers(mesh, "example.com/quota", edge)), want: edge + "," + mesh},
		{name: "those of the last time are forgotten once they came back and left for good", pod: newPod(claimed(mesh), finalizers(mesh, edge)), want: edge + "," + mesh},
		{name: "those who are not back from the last time stay", pod: newPod(claimed(edge), finalizers(mesh)), want: edge + "," + mesh},
		{name: "nobody any more", pod: newPod(claimed("")), want: ""},
	} {
		t.Run(r.name, func(t *testing.T) {
			step, err := Next(Input{Pod: r.pod, Wish: Update, Holder: "InPlaceSet/web", Revision: "r2", DrainTimeout: time.Minute, Now: noon})
			if err != nil || step.Act != WriteGate {
				t.Fatalf("%+v, %v; want the gate to be closed", step, err)
			}
			shut := applied(t, r.pod, step.Patch)
			if got := shut.Annotations[v1alpha1.AnnotationClaims]; got != r.want {
				t.Errorf("claims %q; want %q", got, r.want)
			}
			// Opened again, they are still there.
			shut.Finalizers = nil
			unready(shut)
			step, err = Next(Input{Pod: shut, Wish: Serve, Holder: "InPlaceSet/web", DrainTimeout: time.Minute, Now: noon})
			if err != nil || step.Act != WriteGate {
				t.Fatalf("%+v, %v; want the gate to be opened", step, err)
			}
			if got := strings.Join(Missing(applied(t, shut, step.Patch)), ","); got != r.want {
				t.Errorf("waits for %q; want %q", got, r.want)
			}
		})
	}
}
