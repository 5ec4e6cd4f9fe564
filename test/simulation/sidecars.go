package simulation

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	apitypes "k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	appsv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/reconciler/cafedeployment"
	"github.com/periplus-dev/periplus/pkg/reconciler/sidecarset"
	"github.com/periplus-dev/periplus/pkg/taken"
	"github.com/periplus-dev/periplus/pkg/webhook"
	"github.com/periplus-dev/periplus/test/simulation/store"
)

// system is Periplus's own namespace.
const system = "periplus-system"

// sidecarStory has SidecarSets over the pods of the application, in each member the same.
type sidecarStory struct {
	sets []*appsv1alpha1.SidecarSet
	acts []sidecarAct
	// misses is the chance that the webhook is not reached at a creation, though it is up.
	misses float64
	// grows: users want other environments, which do not fit in place, and no images that cannot run: pods with these would have to be rebuilt by hand.
	grows bool
	// late: the application is older than the sets.
	late bool
}

// sidecarAct is something that a user does to a SidecarSet of a member, at a step.
type sidecarAct struct {
	at, member, set int
	what            string
	// do it, or have the set deleted where it is nil.
	do func(*appsv1alpha1.SidecarSet)
	// breaks: what is wanted cannot run.
	breaks bool
}

// Containers of SidecarSets. None of them is an application's.
var sidecarNames = []string{"log", "net"}

// tellSidecars puts SidecarSets into a story. Where there are releases, their images are good: a broken sidecar would end the release by right.
func tellSidecars(r *rand.Rand, s *story) {
	x := &sidecarStory{misses: []float64{0, 0, .2}[r.IntN(3)], late: r.IntN(6) == 0, grows: r.IntN(2) == 0}
	s.name += ", with sidecars"
	n := 1 + r.IntN(2)
	for i := range n {
		x.sets = append(x.sets, aSidecarSet(r, sidecarNames[i], s))
	}
	last := s.faulty - 700
	if s.alone == nil {
		last = 1600
	}
	for member := range s.members {
		at := r.IntN(150)
		for range 1 + r.IntN(5) {
			at += 40 + r.IntN(300)
			if at < last {
				x.acts = append(x.acts, x.act(r, at, member, r.IntN(n), s))
			}
		}
		for i := range n { // in the end each is wanted with something that runs, or not at all.
			tag := []string{"v1", "v2", "v4"}[r.IntN(3)]
			end := sidecarAct{at: last + r.IntN(200), member: member, set: i, what: "wants sidecars that run", do: func(set *appsv1alpha1.SidecarSet) {
				c := sidecarOf(set)
				c.Image, c.Env = imageOf(set.Name, tag), nil
				set.Spec.UpdateStrategy.Paused, set.Spec.UpdateStrategy.Partition, set.Spec.InjectionStrategy.Paused = false, nil, false
			}}
			if r.IntN(8) == 0 && !slices.ContainsFunc(x.acts, func(act sidecarAct) bool { return act.member == member && act.set == i && act.breaks }) {
				end.what, end.do = "is deleted", nil // its pods keep what they have, so that has to run.
			}
			x.acts = append(x.acts, end)
		}
	}
	slices.SortStableFunc(x.acts, func(a, b sidecarAct) int { return a.at - b.at })
	s.sidecars = x
}

func aSidecarSet(r *rand.Rand, name string, s *story) *appsv1alpha1.SidecarSet {
	set := &appsv1alpha1.SidecarSet{ObjectMeta: metav1.ObjectMeta{Name: name}}
	set.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}
	c := appsv1alpha1.SidecarContainer{Container: corev1.Container{Name: name, Image: imageOf(name, "v1")}}
	if r.IntN(2) == 0 {
		c.RestartPolicy = ptr.To(corev1.ContainerRestartPolicyAlways)
		set.Spec.InitContainers = []appsv1alpha1.SidecarContainer{c}
	} else {
		set.Spec.Containers = []appsv1alpha1.SidecarContainer{c}
	}
	strategy := &set.Spec.UpdateStrategy
	most := []intstr.IntOrString{intstr.FromInt32(1), intstr.FromInt32(2), intstr.FromString("34%"), intstr.FromString("100%")}[r.IntN(4)]
	strategy.MaxUnavailable = &most
	if strategy.Drain = r.IntN(2) == 0; strategy.Drain {
		s.name += ", drained"
		strategy.GracePeriodSeconds, strategy.DrainTimeoutSeconds = ptr.To(2+r.Int32N(2)), ptr.To(5+r.Int32N(40))
		strategy.OnDrainTimeout = []appsv1alpha1.OnDrainTimeout{appsv1alpha1.DrainHold, appsv1alpha1.DrainGoOn}[r.IntN(2)]
	}
	if r.IntN(4) == 0 {
		strategy.Partition = ptr.To(intstr.FromString("100%"))
	}
	return set
}

// sidecarOf a set: each has one.
func sidecarOf(set *appsv1alpha1.SidecarSet) *corev1.Container {
	if len(set.Spec.InitContainers) > 0 {
		return &set.Spec.InitContainers[0].Container
	}
	return &set.Spec.Containers[0].Container
}

func (x *sidecarStory) act(r *rand.Rand, at, member, of int, s *story) sidecarAct {
	act := func(what string, do func(*appsv1alpha1.SidecarSet)) sidecarAct {
		return sidecarAct{at: at, member: member, set: of, what: what, do: do}
	}
	switch n := r.IntN(20); {
	case n < 11:
		tags := []string{"v2", "v2", "v3", "v1"}
		if s.alone != nil && !x.grows {
			tags = append(tags, tagBroken, tagSick, tagLooping)
		}
		tag := tags[r.IntN(len(tags))]
		wants := act("wants sidecars "+tag, func(set *appsv1alpha1.SidecarSet) { sidecarOf(set).Image = imageOf(set.Name, tag) })
		wants.breaks = tag == tagBroken || tag == tagLooping
		return wants
	case n < 13 && x.grows:
		return act("wants an environment", func(set *appsv1alpha1.SidecarSet) {
			sidecarOf(set).Env = []corev1.EnvVar{{Name: "N", Value: fmt.Sprint(at)}}
		})
	case n < 15:
		return act("pauses, or goes on", func(set *appsv1alpha1.SidecarSet) { set.Spec.UpdateStrategy.Paused = !set.Spec.UpdateStrategy.Paused })
	case n < 16:
		return act("puts nothing into new pods, or goes on", func(set *appsv1alpha1.SidecarSet) {
			set.Spec.InjectionStrategy.Paused = !set.Spec.InjectionStrategy.Paused
		})
	default:
		partition := []intstr.IntOrString{intstr.FromString("100%"), intstr.FromString("50%"), intstr.FromInt32(1), intstr.FromInt32(0)}[r.IntN(4)]
		return act("sets the partition to "+partition.String(), func(set *appsv1alpha1.SidecarSet) { set.Spec.UpdateStrategy.Partition = &partition })
	}
}

// makesApps makes the application's workloads: at once, or once the SidecarSets can put something into their pods.
func (w *World) makesApps(do func()) {
	if w.story.sidecars == nil || w.story.sidecars.late {
		do()
		return
	}
	w.apps = do
}

// furnishSidecars makes the sets of each member, and its webhook.
func (w *World) furnishSidecars() {
	ctx := context.Background()
	for _, c := range w.members {
		_, err := c.admin.kube.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: system}}, metav1.CreateOptions{})
		w.must("making a namespace", err)
		for _, set := range w.story.sidecars.sets {
			_, err := c.admin.periplus.AppsV1alpha1().SidecarSets().Create(ctx, set, metav1.CreateOptions{})
			w.must("making a SidecarSet", err)
			c.nodes.broken[imageOf(set.Name, tagBroken)], c.nodes.sick[imageOf(set.Name, tagSick)], c.nodes.looping[imageOf(set.Name, tagLooping)] = true, true, true
		}
		c.hook = &process{w: w, name: c.name + "-webhook", home: c, start: func(p *process) {
			revisions := p.inform("apps", "controllerrevisions", appsv1alpha1.LabelSidecarSet)
			inject, err := webhook.NewInjector(p.inform(appsv1alpha1.SchemeGroupVersion.Group, "sidecarsets", "").GetIndexer(), revisions, system)
			w.must("making a webhook", err)
			c.inject = inject
		}}
		w.procs = append(w.procs, c.hook)
	}
}

// startSidecars makes the controllers of SidecarSets. They look at the workloads through the informers of the workloads' controllers.
func startSidecars(p *process, c clients, x *sidecarset.Workloads, register *taken.Register, pods *informer) {
	const group = "apps.periplus.dev"
	lies := func(i *informer, of string) *informer { // what is planted is planted in this controller.
		i.lie = p.w.plant.Lies["sidecars/"+of]
		return i
	}
	others := p.inform("", "pods", "!"+appsv1alpha1.LabelSidecars)
	others.as, others.lie = asMetadata, nil
	sets := lies(p.inform(group, "sidecarsets", ""), "sidecarsets")
	if p.w.plant.Alien {
		x = nil
	}
	q := p.newQueue("SidecarSet")
	q.sorted = true
	q.reconcile = sidecarset.Wire(sidecarset.Parts{
		Kube: c.kube, Periplus: c.periplus, System: system, Pods: pods, Others: others, Begin: func() {}, Sets: sets,
		Revisions: p.inform("apps", "controllerrevisions", appsv1alpha1.LabelSidecarSet), Slices: lies(p.inform("discovery.k8s.io", "endpointslices", ""), "endpointslices"),
		Budgets: p.inform("policy", "poddisruptionbudgets", ""), Ns: p.inform("", "namespaces", ""), Workloads: x, Taken: register,
		Clock: p.w.clock, Recorder: quiet{}, WritesAtOnce: 1, Enqueue: func(set string) { q.add(apitypes.NamespacedName{Name: set}) },
		EnqueueAfter: func(set string, after time.Duration) { q.addAfter(apitypes.NamespacedName{Name: set}, after) },
	})
	g := p.newQueue("SidecarGate")
	g.sorted = true
	g.reconcile, _ = sidecarset.WireGates(c.kube, pods, sets, p.w.clock, g.add)
}

// workloadsOf a member, for the controller of SidecarSets. cafes are the informers of the controller of CafeDeployments, where there is one.
func workloadsOf(p *process, sets, pods *informer, cafes *cafedeployment.Parts) *sidecarset.Workloads {
	x := &sidecarset.Workloads{InPlaceSets: sets, InPlaceSetPods: pods}
	if cafes != nil {
		x.CafeDeployments, x.ReplicaSets, x.StatefulSets, x.Pods = cafes.Deployments, cafes.ReplicaSets, cafes.StatefulSets, cafes.Pods[1]
		return x
	}
	x.CafeDeployments = p.inform(appsv1alpha1.SchemeGroupVersion.Group, "cafedeployments", "")
	x.ReplicaSets, x.StatefulSets = p.inform("apps", "replicasets", cafedeployment.Selector), p.inform("apps", "statefulsets", cafedeployment.Selector)
	x.Pods = p.inform("", "pods", cafedeployment.Selector)
	return x
}

// asMetadata is a pod as a watch of metadata alone has it.
func asMetadata(o runtime.Object) runtime.Object {
	if pod, ok := o.(*corev1.Pod); ok {
		return &metav1.PartialObjectMetadata{ObjectMeta: pod.ObjectMeta}
	}
	return o
}

// admit has the member's webhook put sidecars into a pod that is being created, if it is up and reached.
func (w *World) admit(c *cluster, r *store.Request, req *http.Request) {
	if c.hook == nil || r.Kind.Resource != "pods" || r.Verb != "create" || r.Subresource != "" {
		return
	}
	if !c.hook.alive || w.faults && w.chance(w.story.sidecars.misses) {
		w.logf("  the webhook is away")
		return
	}
	body, err := io.ReadAll(req.Body)
	w.must("reading a request", err)
	pod := &corev1.Pod{}
	w.must("reading a pod", json.Unmarshal(body, pod))
	pod.Namespace = r.Namespace
	patch, skips, err := c.inject(pod, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: r.Namespace}})
	w.must("injecting", err)
	if len(skips) > 0 {
		w.logf("  the webhook leaves out %v", skips)
	}
	if patch != nil {
		decoded, err := jsonpatch.DecodePatch(patch)
		w.must("reading a patch", err)
		body, err = decoded.Apply(body)
		w.must("patching a pod", err)
	}
	req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
}

// sidecarUsers do what the story has them do.
type sidecarUsers struct {
	w    *World
	next int
}

func (u *sidecarUsers) done() bool {
	return u.w.story.sidecars == nil || u.next == len(u.w.story.sidecars.acts)
}

func (u *sidecarUsers) move() (string, func(context.Context) error) {
	if u.done() || u.w.began == 0 || u.w.step-u.w.began < u.w.story.sidecars.acts[u.next].at {
		return "", nil
	}
	act := u.w.story.sidecars.acts[u.next]
	c, name := u.w.members[act.member], u.w.story.sidecars.sets[act.set].Name
	return c.name + ": SidecarSet " + name + " " + act.what, func(ctx context.Context) error {
		api := c.admin.periplus.AppsV1alpha1().SidecarSets()
		u.next++
		if act.do == nil {
			return ignoreGone(api.Delete(ctx, name, metav1.DeleteOptions{}))
		}
		set, err := api.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return ignoreGone(err)
		}
		act.do(set)
		_, err = api.Update(ctx, set, metav1.UpdateOptions{})
		return err
	}
}
