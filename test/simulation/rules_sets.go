package simulation

import (
	"math"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apitypes "k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"

	appsv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/inplace"
	"github.com/periplus-dev/periplus/test/simulation/store"
)

// setRules is what the rules of worlds of sets remember.
type setRules struct {
	// owed are the claims on each pod when its gate was last closed, by whom it was to be let go: it is whole once all are back.
	owed map[apitypes.UID][]string
	// whole is the version up to which a pod was ready, in service and all claims were back; math.MaxUint64 while it is.
	whole map[apitypes.UID]uint64
	// reached is when a pod was last in service as its gate has it.
	reached map[apitypes.UID]time.Time
	// specs that each set had, oldest first: a controller goes by the one that its cache has, or a newer one.
	specs map[apitypes.UID][]specAt
	// answers are pods as our last write of each left them, or as we last read them.
	answers map[apitypes.UID]*corev1.Pod
}

type specAt struct {
	version    uint64
	generation int64
	spec       *appsv1alpha1.InPlaceSetSpec
}

func newSetRules() setRules {
	return setRules{owed: map[apitypes.UID][]string{}, whole: map[apitypes.UID]uint64{}, reached: map[apitypes.UID]time.Time{}, specs: map[apitypes.UID][]specAt{}, answers: map[apitypes.UID]*corev1.Pod{}}
}

// followSets keeps up with an event in a world of sets.
func (r *rules) followSets(c *cluster, e store.Event) {
	if types[e.Object.Kind.Resource] == nil {
		return
	}
	switch now := c.truth(e.Object).(type) {
	case *corev1.Pod:
		before, _ := c.truth(e.Before).(*corev1.Pod)
		r.podChanged(e, before, now)
	case *appsv1alpha1.InPlaceSet:
		r.specChanged(e, now)
	case *discoveryv1.EndpointSlice:
		listed := map[apitypes.UID]bool{}
		for i := range now.Endpoints {
			if p := &now.Endpoints[i]; ptr.Deref(p.Conditions.Ready, true) && p.TargetRef != nil {
				listed[p.TargetRef.UID] = true
			}
		}
		r.w.alone.client.learns(listed, time.Duration(r.w.rand.Int64N(int64(mostLag))))
	}
}

// asked notes what a process of ours reads of a pod past its cache.
func (r *rules) asked(c *cluster, req *store.Request) {
	if r.w.alone == nil || req.Verb != "get" || req.Kind.Resource != "pods" {
		return
	}
	for _, pod := range c.pods() {
		if pod.Name == req.Name {
			r.sets.answers[pod.UID] = pod
		}
	}
}

// specChanged notes what a set wants from now.
func (r *rules) specChanged(e store.Event, set *appsv1alpha1.InPlaceSet) {
	known := r.sets.specs[set.UID]
	if len(known) == 0 || known[len(known)-1].generation != set.Generation {
		r.sets.specs[set.UID] = append(known, specAt{e.Object.Version, set.Generation, &set.Spec})
	}
}

// podChanged notes what became of a pod, whoever did it.
func (r *rules) podChanged(e store.Event, before, now *corev1.Pod) {
	uid := now.UID
	if before != nil && isTrue(before, appsv1alpha1.ReadinessGateInService) {
		r.sets.reached[uid] = r.w.clock.Now()
		if !isTrue(now, appsv1alpha1.ReadinessGateInService) {
			r.owe(before, now)
		}
	}
	if before != nil && before.Annotations[appsv1alpha1.AnnotationClaims] != "" && now.Annotations[appsv1alpha1.AnnotationClaims] == "" {
		delete(r.sets.owed, uid) // by us: see forgotten.
	}
	switch is := now.DeletionTimestamp == nil && !gone(e) && left(now) && isTrue(now, corev1.PodReady) && r.back(now); {
	case is:
		r.sets.whole[uid] = math.MaxUint64
	case r.sets.whole[uid] == math.MaxUint64:
		r.sets.whole[uid] = e.Object.Version
	}
}

// owe notes who claims a pod that is taken out of service, beside those who have not taken it back since the last time.
func (r *rules) owe(before, now *corev1.Pod) {
	var hook *appsv1alpha1.LifecycleHook
	if set := r.setOf(r.w.members[0], now); set != nil && !bySidecarSet(now.Annotations[appsv1alpha1.AnnotationHolder]) { // a SidecarSet knows no hooks.
		hook = hookOf(set, inplace.ClosedFor(now) == inplace.GateLeaving)
	}
	owed := slices.DeleteFunc(slices.Clone(r.sets.owed[now.UID]), func(claim string) bool { return claims(before, claim) })
	r.sets.owed[now.UID] = append(owed, claimsOn(before, hook)...)
}

func hookOf(set *appsv1alpha1.InPlaceSet, leaves bool) *appsv1alpha1.LifecycleHook {
	if leaves {
		return set.Spec.Lifecycle.PreDelete
	}
	return set.Spec.Lifecycle.InPlaceUpdate
}

// claimsOn a pod: finalizers of balancers, and the hook's.
func claimsOn(pod *corev1.Pod, hook *appsv1alpha1.LifecycleHook) []string {
	out := slices.DeleteFunc(slices.Clone(pod.Finalizers), func(f string) bool { return f == hookKey })
	if hook != nil && claims(pod, hookKey) {
		out = append(out, hookKey)
	}
	return out
}

func claims(pod *corev1.Pod, claim string) bool {
	return slices.Contains(pod.Finalizers, claim) || claim == hookKey && pod.Labels[hookKey] != ""
}

// back says whether all who let go of a pod have it again.
func (r *rules) back(pod *corev1.Pod) bool {
	return !slices.ContainsFunc(r.sets.owed[pod.UID], func(claim string) bool { return !claims(pod, claim) })
}

// wants are the specs that a process may go by: what its cache has of a set, and all newer ones.
func (r *rules) wants(p *process, set *appsv1alpha1.InPlaceSet) []*appsv1alpha1.InPlaceSetSpec {
	known := uint64(0)
	for _, i := range p.informers {
		if o := i.seen[set.Namespace+"/"+set.Name]; i.selection.Kind.Resource == "inplacesets" && o != nil {
			known = o.Version
		}
	}
	all := r.sets.specs[set.UID]
	for len(all) > 1 && all[1].version <= known {
		all = all[1:]
	}
	out := make([]*appsv1alpha1.InPlaceSetSpec, 0, len(all))
	for _, at := range all {
		out = append(out, at.spec)
	}
	return out
}

// limitOfSpec is maxUnavailable as the design rounds it: at least 1 where nothing may surge.
func limitOfSpec(s *appsv1alpha1.InPlaceSetSpec) int {
	if s.UpdateStrategy.MaxSurge == nil || s.UpdateStrategy.MaxSurge.IntVal == 0 {
		return limitOf(s.UpdateStrategy.MaxUnavailable, ptr.Deref(s.Replicas, 1))
	}
	return s.UpdateStrategy.MaxUnavailable.IntValue()
}

// podMade is rules 1 and 7 for a pod that is made in a world of sets: never more than there may be, and none above that while all are held back.
func (r *rules) podMade(d deed, set *appsv1alpha1.InPlaceSet, pod *corev1.Pod) {
	live, updated := 0, 0
	for _, of := range unitOf(d.c, set) {
		if of.DeletionTimestamp == nil {
			live++
			if of.Labels[appsv1alpha1.LabelRevision] == pod.Labels[appsv1alpha1.LabelRevision] {
				updated++
			}
		}
	}
	specs := r.wants(d.p, set)
	most, mostHeld := 0, 0
	for _, s := range specs {
		replicas, surge := *s.Replicas, ptr.Deref(s.UpdateStrategy.MaxSurge, intstr.FromInt32(0)).IntVal
		most = max(most, int(replicas+surge))
		if s.UpdateStrategy.Paused || held(s.UpdateStrategy.Partition, replicas) >= int(replicas) {
			surge = 0
		}
		mostHeld = max(mostHeld, int(replicas+surge))
	}
	switch wanted := len(set.Spec.ScaleStrategy.PodsToDelete) > 0; {
	case live > most:
		r.broken(7, "%s has %d pods in member %s; there may be %d", set.Name, live, d.c.name, most)
	case live > mostHeld && !wanted:
		r.broken(1, "%s has %d pods in member %s; there may be %d while its pods are held back", set.Name, live, d.c.name, mostHeld)
	}
	r.heldBack(d, set, pod, updated-1, nil)
}

// heldBack is rule 1 for partitions that hold all: no pod gets to another revision than the one that pods are to stay on. before is nil for a new pod.
func (r *rules) heldBack(d deed, set *appsv1alpha1.InPlaceSet, pod *corev1.Pod, others int, before *corev1.Pod) {
	revision := pod.Labels[appsv1alpha1.LabelRevision]
	if before != nil && before.Labels[appsv1alpha1.LabelRevision] == revision || set.Status.CurrentRevision == "" || set.Status.CurrentRevision == revision || others > 0 {
		return
	}
	for _, s := range r.wants(d.p, set) {
		if held(s.UpdateStrategy.Partition, *s.Replicas) < int(*s.Replicas) && !s.UpdateStrategy.Paused {
			return
		}
	}
	if before != nil { // a new pod may be in the place of a lost one that had moved.
		r.broken(1, "pod %s of %s gets to revision %s, and the partition holds all back on %s", pod.Name, set.Name, revision, set.Status.CurrentRevision)
	}
}

// byHand says whether a stranger opened a pod's gate: closing it again takes nothing away that was ours to give.
func byHand(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == appsv1alpha1.ReadinessGateInService && c.Reason == byStranger
	})
}

// takenOut is rule 1 for a pod that served and does not any more: the limit of each spec that the process may go by would have to be overstepped to be sure.
func (r *rules) takenOut(d deed, set *appsv1alpha1.InPlaceSet, pod *corev1.Pod, known cache.Indexer) {
	serving := r.hidden(d.c, set, known)
	for _, of := range unitOf(d.c, set) {
		if r.serves(of, known) {
			serving++
		}
	}
	kept := true
	for _, s := range r.wants(d.p, set) {
		if kept = serving >= int(*s.Replicas)-limitOfSpec(s); kept {
			break
		}
	}
	if !kept {
		for _, of := range unitOf(d.c, set) {
			r.w.logf("  %s serves: %v, known to: %v; claims %q, owed %v, finalizers %v", of.Name, r.serves(of, nil), r.serves(of, known), of.Annotations[appsv1alpha1.AnnotationClaims], r.sets.owed[of.UID], of.Finalizers)
		}
		r.broken(1, "taking pod %s out of service leaves %d of %d pods of %s in member %s in service; maxUnavailable is %d",
			pod.Name, serving, *set.Spec.Replicas, set.Name, d.c.name, limitOfSpec(&set.Spec))
	}
	r.budgeted(d, pod, known)
}

// balanced is rule 4 for whoever sends requests: no balancer, no client that is late by at most two seconds, and no hook has the pod; and since the last one had
// it the grace period has passed. Where their time is up and the set goes on, those who claim the pod may have it still.
func (r *rules) balanced(d deed, set drains, pod *corev1.Pod, hook *appsv1alpha1.LifecycleHook) {
	now, grace := r.w.clock.Now(), set.grace
	broken := func(who string) { r.broken(4, "pod %s in member %s is touched while %s", pod.Name, d.c.name, who) }
	if isTrue(pod, appsv1alpha1.ReadinessGateInService) {
		broken("its gate is open")
	}
	for _, b := range r.w.alone.balancers {
		if b.table[pod.UID] != nil && !r.timeIsUp(set, pod) {
			broken(b.p.name + " routes to it")
		}
		if last, ok := b.left[pod.UID]; ok && now.Sub(last) < grace && !r.timeIsUp(set, pod) {
			broken(b.p.name + " had a request on it " + now.Sub(last).String() + " ago; the grace period is " + grace.String())
		}
	}
	if hook != nil && claims(pod, hookKey) && !r.timeIsUp(set, pod) {
		broken("a hook holds it")
	}
	if last, ok := r.sets.reached[pod.UID]; ok && now.Sub(last) < grace {
		broken("its gate was open " + now.Sub(last).String() + " ago; the grace period is " + grace.String())
	}
	if grace >= mostLag && r.w.alone.client.routes(pod.UID) {
		broken("a client that follows EndpointSlices sends requests to it")
	}
}

// timeIsUp says whether those who claim a pod had the time that they are given, and the set goes on then. Conditions carry whole seconds.
func (r *rules) timeIsUp(set drains, pod *corev1.Pod) bool {
	since := pod.CreationTimestamp.Time
	for _, c := range pod.Status.Conditions {
		if c.Type == appsv1alpha1.ReadinessGateInService {
			since = c.LastTransitionTime.Time
		}
	}
	return set.goOn && r.w.clock.Since(since) >= set.timeout
}

func drainTimeout(set *appsv1alpha1.InPlaceSet) time.Duration {
	return time.Duration(ptr.Deref(set.Spec.UpdateStrategy.DrainTimeoutSeconds, 300)) * time.Second
}

// takenOff is rule 4 for pods that somebody deleted: of their finalizers only balancers' are taken off, and not before their time is up.
func (r *rules) takenOff(d deed, set *appsv1alpha1.InPlaceSet, before, now *corev1.Pod) {
	for _, f := range before.Finalizers {
		if !gone(d.event) && slices.Contains(now.Finalizers, f) {
			continue
		}
		if !inplace.IsBalancer(f) {
			r.broken(4, "finalizer %s is taken off pod %s, and is no balancer's", f, now.Name)
		}
		if since := r.w.clock.Since(before.DeletionTimestamp.Time); since < drainTimeout(set) {
			r.broken(4, "finalizer %s is taken off pod %s %s after it was deleted; balancers have %s", f, now.Name, since, drainTimeout(set))
		}
	}
}

// forgotten is rule 4 for claims that are not waited for any more: whoever has not taken the pod back had the time, and the set goes on.
func (r *rules) forgotten(d deed, set *appsv1alpha1.InPlaceSet, before, now *corev1.Pod) {
	if before.Annotations[appsv1alpha1.AnnotationClaims] == "" || now.Annotations[appsv1alpha1.AnnotationClaims] != "" || !left(now) || r.back(before) {
		return
	}
	var since time.Time
	for _, c := range before.Status.Conditions {
		if c.Type == corev1.PodReady {
			since = c.LastTransitionTime.Time
		}
	}
	if set.Spec.UpdateStrategy.OnDrainTimeout != appsv1alpha1.DrainGoOn || r.w.clock.Since(since) < drainTimeout(set) {
		r.broken(4, "the claims %s on pod %s in member %s are forgotten, and %v are not back", before.Annotations[appsv1alpha1.AnnotationClaims], now.Name, d.c.name, r.sets.owed[now.UID])
	}
}

// statusWritten is rule 4 for what people read: no pod counts as available that its balancers do not have.
func (r *rules) statusWritten(d deed, set *appsv1alpha1.InPlaceSet) {
	pods := podsOf(d.p, d.c)
	cached := map[apitypes.UID]uint64{}
	for _, i := range d.p.informers {
		if i.selection.Kind.Resource == "pods" {
			for _, o := range i.seen {
				cached[o.UID] = o.Version
			}
			break // the others are of other controllers.
		}
	}
	n := int32(r.hidden(d.c, set, pods)) // #nosec G115 -- a few pods.
	for _, pod := range unitOf(d.c, set) {
		if known := cached[pod.UID]; r.sets.whole[pod.UID] > known {
			n++
		}
	}
	if set.Status.AvailableReplicas > n {
		r.broken(4, "the status of %s in member %s counts %d pods as available; %d are in service and taken back", set.Name, d.c.name, set.Status.AvailableReplicas, n)
	}
}
