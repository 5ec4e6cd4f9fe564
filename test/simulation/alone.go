package simulation

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apitypes "k8s.io/apimachinery/pkg/types"

	appsv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/inplace"
)

// alone is what a world of sets has besides its API server, kubelets and controller.
type alone struct {
	balancers []*balancer
	users     interface{ done() bool }
	client    *client
	actors    []actor
	names     []string
}

// furnishAlone makes what is in a world of sets before anything changes.
func (w *World) furnishAlone() {
	ctx, c, x := context.Background(), w.members[0], w.story.alone
	a := &alone{client: &client{clock: w.clock.Now}}
	w.alone = a
	add := func(name string, who actor) { a.names, a.actors = append(a.names, name), append(a.actors, who) }
	if x.cafe != nil {
		who := &cafeUsers{w: w, c: c}
		a.users = who
		add("a user", who)
		w.makesApps(func() {
			_, err := c.admin.periplus.AppsV1alpha1().CafeDeployments(namespace).Create(ctx, x.cafe.deployment, metav1.CreateOptions{})
			w.must("making a deployment", err)
		})
	} else {
		who := &users{w: w, c: c}
		a.users = who
		add("a user", who)
	}
	for _, name := range x.balancers {
		b := newBalancer(w, c, name)
		a.balancers = append(a.balancers, b)
		w.procs = append(w.procs, b.p)
		add(name, b)
	}
	if x.hook != nil {
		add("the hook", &hooker{w: w, c: c, hook: x.hook, begun: map[apitypes.UID]time.Time{}, work: time.Duration(w.rand.IntN(4000)) * time.Millisecond})
	}
	if x.budget != nil {
		add("the disruption controller", &disruptions{c: c, now: w.clock.Now})
		_, err := c.admin.kube.PolicyV1().PodDisruptionBudgets(namespace).Create(ctx, &policyv1.PodDisruptionBudget{
			ObjectMeta: metav1.ObjectMeta{Name: "web"}, Spec: *x.budget,
		}, metav1.CreateOptions{})
		w.must("making a budget", err)
	}
	for _, name := range []string{"app", "mesh", "proxy"} {
		c.nodes.broken[imageOf(name, tagBroken)], c.nodes.sick[imageOf(name, tagSick)], c.nodes.looping[imageOf(name, tagLooping)] = true, true, true
	}
	if x.cafe == nil {
		w.makesApps(func() {
			for _, set := range x.sets {
				_, err := c.admin.periplus.AppsV1alpha1().InPlaceSets(namespace).Create(ctx, set, metav1.CreateOptions{})
				w.must("making a set", err)
			}
		})
	}
}

// live lets a world of sets go on until its users have had their say and all is at rest.
func (w *World) live() {
	w.began, w.faults = w.step, true
	for w.step-w.began <= w.story.faulty || !w.alone.users.done() || !w.meshers.done() {
		if !w.stepOnce() {
			w.step += 10
		}
	}
	w.calmDown()
	for _, b := range w.alone.balancers {
		b.asleep = time.Time{}
	}
	w.settle("after the last change")
}

// users do what the story has them do.
type users struct {
	w    *World
	c    *cluster
	next int
}

func (u *users) done() bool { return u.next == len(u.w.story.alone.acts) }

func (u *users) due() time.Time { return time.Time{} }

func (u *users) move() (string, func(context.Context) error) {
	acts := u.w.story.alone.acts
	if u.w.began == 0 || u.done() || u.w.step-u.w.began < acts[u.next].at {
		return "", nil
	}
	act := acts[u.next]
	name := u.w.story.alone.sets[act.set].Name
	return name + " " + act.what, func(ctx context.Context) error {
		api := u.c.admin.periplus.AppsV1alpha1().InPlaceSets(namespace)
		set, err := api.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		act.do(set)
		u.named(set)
		u.next++
		_, err = api.Update(ctx, set, metav1.UpdateOptions{})
		return err
	}
}

// named puts the name of a pod where the story has its number.
func (u *users) named(set *appsv1alpha1.InPlaceSet) {
	for i, name := range set.Spec.ScaleStrategy.PodsToDelete {
		var n int
		if _, err := fmt.Sscanf(name, "#%d", &n); err != nil {
			continue
		}
		if pods := unitOf(u.c, set); len(pods) > 0 {
			set.Spec.ScaleStrategy.PodsToDelete[i] = pods[n%len(pods)].Name
		}
	}
}

// refuses has the API server refuse resizes to three cpus, as a policy of its operators would.
func (w *World) refuses(req *http.Request) *http.Response {
	if w.story.alone == nil || !w.story.alone.refusals || !strings.HasSuffix(req.URL.Path, "/resize") {
		return nil
	}
	body, err := io.ReadAll(req.Body)
	w.must("reading a request", err)
	req.Body = io.NopCloser(bytes.NewReader(body))
	if !bytes.Contains(body, []byte(`"cpu":"3"`)) {
		return nil
	}
	text := `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403,"message":"three cpus are too many"}`
	return &http.Response{StatusCode: http.StatusForbidden, Header: http.Header{"Content-Type": []string{"application/json"}}, Body: io.NopCloser(strings.NewReader(text)), Request: req}
}

// troubles are what befalls a world of sets, besides what befalls any.
func (w *World) troubles() []choice {
	var out []choice
	c := w.members[0]
	if w.story.alone.sleeps && len(w.alone.balancers) > 0 {
		out = append(out, choice{12, len(w.alone.balancers), func(n int) {
			b := w.alone.balancers[n]
			b.asleep = w.clock.Now().Add(time.Duration(w.rand.IntN(90)) * time.Second)
			w.logf("%s sleeps until %s", b.p.name, b.asleep.UTC().Format(time.TimeOnly))
		}})
	}
	var closed, claimed, waiting []*corev1.Pod
	for _, pod := range c.pods() {
		if inplace.ClosedFor(pod) != "" && pod.DeletionTimestamp == nil {
			closed = append(closed, pod)
		}
		if pod.Annotations[appsv1alpha1.AnnotationClaims] != "" {
			claimed = append(claimed, pod)
		}
		if loops(c, pod) != "" {
			waiting = append(waiting, pod)
		}
	}
	if len(waiting) > 0 {
		out = append(out, choice{20, len(waiting), func(n int) {
			pod := waiting[n]
			w.logf("%s: %s is started again", c.name, pod.Name)
			w.must("starting a container again", ignoreGone(c.nodes.status(func(pod *corev1.Pod) { c.nodes.again(pod, loops(c, pod)) })(ctx, pod)))
		}})
	}
	if !w.story.alone.strangers {
		return out
	}
	if len(closed) > 0 {
		out = append(out, choice{30, len(closed), func(n int) {
			w.logf("%s: somebody opens the gate of %s", c.name, closed[n].Name)
			w.must("opening a gate", ignoreGone(c.nodes.status(func(pod *corev1.Pod) {
				set(pod, appsv1alpha1.ReadinessGateInService, true, c.nodes.now())
				for i := range pod.Status.Conditions {
					if pod.Status.Conditions[i].Type == appsv1alpha1.ReadinessGateInService {
						pod.Status.Conditions[i].Reason = byStranger
					}
				}
			})(ctx, closed[n])))
		}}, choice{30, len(closed), func(n int) {
			w.logf("%s: somebody deletes %s in the middle of its change", c.name, closed[n].Name)
			w.must("deleting a pod", ignoreGone(c.admin.kube.CoreV1().Pods(namespace).Delete(ctx, closed[n].Name, metav1.DeleteOptions{})))
		}})
	}
	if len(claimed) > 0 {
		out = append(out, choice{3, len(claimed), func(n int) {
			w.logf("%s: somebody forgets the claims on %s", c.name, claimed[n].Name)
			w.must("forgetting claims", patchPod(ctx, c, claimed[n], map[string]any{"annotations": map[string]any{appsv1alpha1.AnnotationClaims: nil}}))
		}})
	}
	return out
}

// byStranger is the reason of a gate that somebody opened who should not.
const byStranger = "ByHand"

// loops is a container that waits to be started again; empty if none does.
func loops(c *cluster, pod *corev1.Pod) string {
	for _, of := range living(pod) {
		if s := statusOf(pod, of.Name); c.nodes.looping[s.Image] && s.State.Running == nil && s.ContainerID != "" && pod.DeletionTimestamp == nil {
			return of.Name
		}
	}
	return ""
}

// checkSets is what users have in the end: each set is where its spec says, its pods serve, and whoever balances has them all and no other.
func (w *World) checkSets() {
	c := w.members[0]
	end := func(format string, args ...any) { w.rules.broken(0, format, args...) }
	for _, set := range c.sets() {
		pods, s := unitOf(c, set), &set.Status
		w.logf("%s: strategy %s, revisions %s to %s", set.Name, jsonText(set.Spec.UpdateStrategy), s.CurrentRevision, s.UpdateRevision)
		for _, pod := range pods {
			w.logf("  %s: revision %s, record %s", pod.Name, pod.Labels[appsv1alpha1.LabelRevision], pod.Annotations[appsv1alpha1.AnnotationUpdate])
		}
		replicas := int(*set.Spec.Replicas)
		stuck := 0
		for _, pod := range pods {
			// The partition holds a pod where it is, though its revision is neither of the two and was never good for anything.
			if r := pod.Labels[appsv1alpha1.LabelRevision]; r != s.CurrentRevision && r != s.UpdateRevision && !w.rules.serves(pod, nil) && s.UpdatedReplicas >= s.ExpectedUpdatedReplicas {
				stuck++
			}
		}
		if len(pods) != replicas || int(s.AvailableReplicas)+stuck != replicas || s.ObservedGeneration != set.Generation {
			end("%s has %d pods of %d, and says that %d are available: %s", set.Name, len(pods), replicas, s.AvailableReplicas, messageOf(set))
		}
		if want := int32(replicas - held(set.Spec.UpdateStrategy.Partition, int32(replicas))); s.UpdatedReplicas < want || s.UpdatedAvailableReplicas < want { // #nosec G115 -- a few pods.
			end("%s has %d updated pods, %d of them available, and should have %d: %s", set.Name, s.UpdatedReplicas, s.UpdatedAvailableReplicas, want, messageOf(set))
		}
		if len(s.WaitingFor) > 0 {
			end("%s waits for %v, and nobody is asleep", set.Name, s.WaitingFor)
		}
		if stuck > 0 {
			continue
		}
		for _, pod := range pods {
			w.checkServes(c, set, pod)
		}
	}
	for _, b := range w.alone.balancers {
		for _, pod := range c.pods() {
			if at := b.table[pod.UID]; w.rules.serves(pod, nil) && (at == nil || at.draining) {
				end("%s does not route to %s, which serves", b.p.name, pod.Name)
			}
		}
		if len(b.table) > len(c.pods()) {
			end("%s routes to %d pods; there are %d", b.p.name, len(b.table), len(c.pods()))
		}
	}
}

func messageOf(set *appsv1alpha1.InPlaceSet) string {
	for _, c := range set.Status.Conditions {
		if c.Type == appsv1alpha1.ConditionProgressing {
			return c.Reason + ": " + c.Message
		}
	}
	return ""
}

// checkServes looks at one pod in the end: it serves, and runs what its spec says, which for an updated one is what the template says.
func (w *World) checkServes(c *cluster, set *appsv1alpha1.InPlaceSet, pod *corev1.Pod) {
	end := func(format string, args ...any) { w.rules.broken(0, format, args...) }
	if !w.rules.serves(pod, nil) || !c.listed(pod.UID) {
		end("pod %s does not serve, and nothing is the matter with it", pod.Name)
	}
	wanted := map[string]string{}
	for _, of := range livingOf(&set.Spec.Template.Spec) {
		wanted[of.Name] = of.Image
	}
	updated := pod.Labels[appsv1alpha1.LabelRevision] == set.Status.UpdateRevision
	for _, of := range living(pod) {
		if updated && of.Image != wanted[of.Name] && !ofSidecars(pod, of.Name, "") {
			end("pod %s is updated, and its container %s is to run %s instead of %s", pod.Name, of.Name, of.Image, wanted[of.Name])
		}
		if got := statusOf(pod, of.Name).Image; got != of.Image {
			end("container %s of pod %s runs %s instead of %s", of.Name, pod.Name, got, of.Image)
		}
	}
}

func jsonText(v any) string {
	out, err := json.Marshal(v)
	if err != nil {
		panic(err) // a type of the API.
	}
	return string(out)
}
