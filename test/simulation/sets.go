package simulation

import (
	"fmt"
	"math/rand/v2"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	appsv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

// setStory is a world of sets alone: one member without a hub, whose users change, scale and pause InPlaceSets that load balancers serve.
type setStory struct {
	sets []*appsv1alpha1.InPlaceSet
	// balancers are the names of those that serve all pods; slow is how long their requests may take.
	balancers []string
	slow      time.Duration
	// sleeps: balancers are away for a while.
	sleeps bool
	// hook serves the sets' lifecycle.
	hook *appsv1alpha1.LifecycleHook
	// budget, if not nil, is a PodDisruptionBudget over all sets.
	budget *policyv1.PodDisruptionBudgetSpec
	// refusals: the API server does not take every resize.
	refusals bool
	// strangers delete pods and open gates.
	strangers bool
	acts      []setAct
	// cafe, if not nil, is a CafeDeployment in place of the sets.
	cafe *cafeAlone
}

// setAct is something that a user does to a set, at a step.
type setAct struct {
	at   int
	what string
	set  int
	do   func(*appsv1alpha1.InPlaceSet)
}

// Images of the containers in worlds of sets, besides v1, v2 and v3.
const (
	tagBroken  = "broken"
	tagSick    = "sick"
	tagLooping = "looping"
)

const hookKey = "shop.example/registered"

func imageOf(container, tag string) string { return "shop/" + container + ":" + tag }

// tellSets makes up a world of sets.
func tellSets(r *rand.Rand) *story {
	x := &setStory{slow: time.Duration(1+r.IntN(6)) * time.Second, sleeps: r.IntN(2) == 0, strangers: r.IntN(2) == 0, refusals: r.IntN(4) == 0}
	s := &story{members: []string{"m1"}, faulty: 2600, most: mostSteps, flaps: r.IntN(3) == 0, jumps: r.IntN(8) == 0, alone: x, name: "sets alone"}
	for n := range []int{0, 1, 1, 2}[r.IntN(4)] {
		x.balancers = append(x.balancers, fmt.Sprintf("edge-%d", n+1))
	}
	if len(x.balancers) > 0 {
		s.name += ", with balancers"
	}
	if r.IntN(3) == 0 {
		x.hook = &appsv1alpha1.LifecycleHook{Labels: map[string]string{hookKey: "yes"}}
		if r.IntN(2) == 0 {
			x.hook = &appsv1alpha1.LifecycleHook{Finalizers: []string{hookKey}}
		}
		s.name += ", with a hook"
	}
	n := 1 + r.IntN(2)
	for i := range n {
		x.sets = append(x.sets, aSet(r, fmt.Sprintf("web-%d", i+1), x.hook))
	}
	if r.IntN(3) == 0 {
		x.budget = &policyv1.PodDisruptionBudgetSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}}
		if r.IntN(2) == 0 {
			x.budget.MaxUnavailable = ptr.To(intstr.FromInt32(1))
		} else {
			x.budget.MinAvailable = ptr.To(intstr.FromInt32(1 + r.Int32N(int32(n)*2-1))) // #nosec G115 -- n is 1 or 2.
		}
		s.name += ", with a budget"
	}
	at := 0
	for range 2 + r.IntN(5) {
		at += 60 + r.IntN(350)
		x.acts = append(x.acts, anAct(r, at, r.IntN(n)))
	}
	at += 200 + r.IntN(200)
	for i := range n { // in the end each is wanted on something that runs.
		x.acts = append(x.acts, setAct{at, "wants something that runs", i, atLast(r)})
	}
	s.faulty = max(1200, at+400)
	return s
}

// aSet of two or three containers, with all that a set can want.
func aSet(r *rand.Rand, name string, hook *appsv1alpha1.LifecycleHook) *appsv1alpha1.InPlaceSet {
	labels := map[string]string{"app": "web", "set": name}
	set := &appsv1alpha1.InPlaceSet{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels},
		Spec: appsv1alpha1.InPlaceSetSpec{
			Replicas: ptr.To(2 + r.Int32N(3)), MinReadySeconds: r.Int32N(3), Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}},
		},
	}
	spec, strategy := &set.Spec.Template.Spec, &set.Spec.UpdateStrategy
	*strategy = appsv1alpha1.InPlaceSetUpdateStrategy{
		MaxUnavailable: ptr.To(intstr.FromInt32(1 + r.Int32N(2))), GracePeriodSeconds: ptr.To(2 + r.Int32N(2)), DrainTimeoutSeconds: ptr.To(5 + r.Int32N(40)),
		OnDrainTimeout: []appsv1alpha1.OnDrainTimeout{appsv1alpha1.DrainHold, appsv1alpha1.DrainGoOn}[r.IntN(2)],
	}
	for _, c := range []string{"app", "mesh"}[:1+r.IntN(2)] {
		spec.Containers = append(spec.Containers, corev1.Container{Name: c, Image: imageOf(c, "v1")})
	}
	if r.IntN(2) == 0 {
		spec.InitContainers = []corev1.Container{{Name: "proxy", Image: imageOf("proxy", "v1"), RestartPolicy: ptr.To(corev1.ContainerRestartPolicyAlways)}}
	}
	spec.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")}
	if r.IntN(3) == 0 {
		spec.Containers[0].ResizePolicy = []corev1.ContainerResizePolicy{{ResourceName: corev1.ResourceCPU, RestartPolicy: corev1.RestartContainer}}
	}
	if names := living(&corev1.Pod{Spec: *spec}); r.IntN(2) == 0 {
		for _, n := range r.Perm(len(names))[:1+r.IntN(len(names))] {
			strategy.ContainerOrder = append(strategy.ContainerOrder, names[n].Name)
		}
	}
	switch r.IntN(6) {
	case 0:
		strategy.Type = appsv1alpha1.InPlaceOnly
	case 1:
		strategy.MaxSurge = ptr.To(intstr.FromInt32(1 + r.Int32N(2)))
		strategy.MaxUnavailable = ptr.To(intstr.FromInt32(r.Int32N(2)))
	case 2:
		strategy.Partition = ptr.To(intstr.FromString("100%"))
	case 3:
		strategy.Type = appsv1alpha1.ReCreate
	}
	if hook != nil {
		set.Spec.Lifecycle.InPlaceUpdate = hook
		if r.IntN(2) == 0 {
			set.Spec.Lifecycle.PreDelete = hook
		}
	}
	return set
}

// anAct of a user, who may want what does not work.
func anAct(r *rand.Rand, at, set int) setAct {
	act := func(what string, do func(*appsv1alpha1.InPlaceSet)) setAct { return setAct{at, what, set, do} }
	switch n := r.IntN(20); {
	case n < 9:
		tag := []string{"v2", "v2", "v3", "v1", tagBroken, tagSick, tagLooping}[r.IntN(7)]
		only, all := r.IntN(3), r.IntN(3) > 0
		return act("wants images "+tag, func(s *appsv1alpha1.InPlaceSet) { retag(s, tag, only, all) })
	case n < 11:
		cpu := []string{"1", "2", "3", "64"}[r.IntN(4)]
		return act("wants cpu "+cpu, func(s *appsv1alpha1.InPlaceSet) { giveCPU(s, cpu) })
	case n < 12:
		note := fmt.Sprint(r.IntN(100))
		return act("wants a note", func(s *appsv1alpha1.InPlaceSet) {
			s.Spec.Template.Annotations = map[string]string{"shop.example/note": note}
		})
	case n < 13:
		value := fmt.Sprint(r.IntN(100))
		return act("wants an environment", func(s *appsv1alpha1.InPlaceSet) {
			s.Spec.Template.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "N", Value: value}}
		})
	case n < 15:
		replicas := 2 + r.Int32N(4)
		return act(fmt.Sprintf("wants %d pods", replicas), func(s *appsv1alpha1.InPlaceSet) { s.Spec.Replicas = &replicas })
	case n < 17:
		return act("pauses, or goes on", func(s *appsv1alpha1.InPlaceSet) { s.Spec.UpdateStrategy.Paused = !s.Spec.UpdateStrategy.Paused })
	case n < 18:
		pick := r.IntN(10)
		return act("wants a pod gone", func(s *appsv1alpha1.InPlaceSet) { s.Spec.ScaleStrategy.PodsToDelete = []string{fmt.Sprint("#", pick)} })
	default:
		partition := []intstr.IntOrString{intstr.FromString("100%"), intstr.FromString("50%"), intstr.FromInt32(1), intstr.FromInt32(0)}[r.IntN(4)]
		return act("sets the partition to "+partition.String(), func(s *appsv1alpha1.InPlaceSet) { s.Spec.UpdateStrategy.Partition = &partition })
	}
}

// retag gives one container, or all, images of a tag.
func retag(s *appsv1alpha1.InPlaceSet, tag string, only int, all bool) {
	containers := livingOf(&s.Spec.Template.Spec)
	for i, c := range containers {
		if all || i == only%len(containers) {
			c.Image = imageOf(c.Name, tag)
		}
	}
}

func livingOf(spec *corev1.PodSpec) []*corev1.Container {
	var out []*corev1.Container
	for i := range spec.InitContainers {
		out = append(out, &spec.InitContainers[i])
	}
	for i := range spec.Containers {
		out = append(out, &spec.Containers[i])
	}
	return out
}

func giveCPU(s *appsv1alpha1.InPlaceSet, cpu string) {
	s.Spec.Template.Spec.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu)}
}

// atLast is a wish that comes true.
func atLast(r *rand.Rand) func(*appsv1alpha1.InPlaceSet) {
	tag, partition, env := []string{"v1", "v2", "v4"}[r.IntN(3)], intstr.FromInt32(0), r.IntN(4) > 0
	if r.IntN(4) == 0 {
		partition = intstr.FromInt32(1)
	}
	return func(s *appsv1alpha1.InPlaceSet) {
		retag(s, tag, 0, true)
		giveCPU(s, "1")
		if env || s.Spec.UpdateStrategy.Type == appsv1alpha1.InPlaceOnly {
			s.Spec.Template.Spec.Containers[0].Env = nil
		}
		s.Spec.UpdateStrategy.Paused = false
		s.Spec.UpdateStrategy.Partition = &partition
	}
}
