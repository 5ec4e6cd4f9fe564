package simulation

import (
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apitypes "k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"

	appsv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	stagesv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

// left says whether we have left a pod in service: nothing of ours keeps it from serving.
func left(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp == nil && isTrue(pod, appsv1alpha1.ReadinessGateInService) && !changingInService(pod)
}

// serves says whether a pod serves as far as a process can know: what we did counts at once, what others did to it, and what broke or healed by
// itself, once its cache has it. Where nothing is known, the truth counts.
func (r *rules) serves(pod *corev1.Pod, known cache.Indexer) bool {
	if known == nil {
		return left(pod) && isTrue(pod, corev1.PodReady) && r.back(pod)
	}
	if r.deleted[pod.UID] || !isTrue(pod, appsv1alpha1.ReadinessGateInService) && !r.unheard(pod) {
		return false
	}
	cached := r.knownOf(pod, known)
	return cached != nil && cached.DeletionTimestamp == nil && isTrue(cached, corev1.PodReady) && !changingInService(cached) && (r.back(pod) || r.back(cached))
}

// unheard says whether a pod is out of service for a SidecarSet of its member, of which the hub hears from its cache alone.
func (r *rules) unheard(pod *corev1.Pod) bool {
	return r.byHub && bySidecarSet(pod.Annotations[appsv1alpha1.AnnotationHolder])
}

// knownOf is a pod as a process knows it: by its cache, or by the answer to its own last write; nil where it knows none.
func (r *rules) knownOf(pod *corev1.Pod, known cache.Indexer) *corev1.Pod {
	var cached *corev1.Pod
	for _, known := range append([]cache.Indexer{known}, r.also...) {
		o, _, err := known.GetByKey(pod.Namespace + "/" + pod.Name)
		if of, isPod := o.(*corev1.Pod); err == nil && isPod && of.UID == pod.UID && (cached == nil || versionOf(of) > versionOf(cached)) {
			cached = of
		}
	}
	if r.byHub {
		return cached
	}
	if answer := r.sets.answers[pod.UID]; answer != nil && (cached == nil || versionOf(answer) > versionOf(cached)) {
		return answer
	}
	return cached
}

func versionOf(pod *corev1.Pod) uint64 {
	v, err := strconv.ParseUint(pod.ResourceVersion, 10, 64)
	if err != nil {
		panic(err) // the store made it.
	}
	return v
}

// hidden is how many pods of a set are gone by others' doing while a process still takes them to serve.
func (r *rules) hidden(c *cluster, set *appsv1alpha1.InPlaceSet, known cache.Indexer) int {
	if known == nil {
		return 0
	}
	there := map[apitypes.UID]bool{}
	for _, pod := range unitOf(c, set) {
		there[pod.UID] = true
	}
	n := 0
	for _, o := range known.List() {
		pod, ok := o.(*corev1.Pod)
		if ok && !there[pod.UID] && len(pod.OwnerReferences) > 0 && pod.OwnerReferences[0].UID == set.UID && !r.deleted[pod.UID] && left(pod) && isTrue(pod, corev1.PodReady) {
			n++
		}
	}
	return n
}

// podsOf is what a process knows of the pods of a cluster; nil where it looks at none.
func podsOf(p *process, c *cluster) cache.Indexer {
	if p.fleet != nil {
		for key, i := range p.fleet.members[c.name].caches {
			if i.selection.Kind.Resource == "pods" && key != "" {
				return i.indexer
			}
		}
		return nil
	}
	for _, i := range p.informers {
		if i.selection.Kind.Resource == "pods" {
			return i.indexer
		}
	}
	return nil
}

// podWritten is rules 1 and 4 for what a member's controller does to a pod.
func (r *rules) podWritten(d deed, before, now *corev1.Pod) {
	set := r.setOf(d.c, now)
	if set == nil {
		return
	}
	switch {
	case d.pass.queue == "SidecarSet":
		r.sidecarWritten(d, set, before, now)
		return
	case before == nil && (r.w.alone != nil || r.w.story.hasCafes()):
		r.podMade(d, set, now)
		return
	case before == nil:
		return
	case before.DeletionTimestamp != nil:
		if r.w.alone != nil {
			r.takenOff(d, set, before, now)
		}
		return
	}
	leaves := gone(d.event) || (now.DeletionTimestamp != nil && before.DeletionTimestamp == nil)
	if !leaves {
		r.apart(d, before, now, "")
	}
	if leaves || restarts(before, now) {
		r.letGo(d, time.Duration(ptr.Deref(set.Spec.UpdateStrategy.GracePeriodSeconds, 3))*time.Second, before)
		if r.w.alone != nil {
			r.balanced(d, drainsOfSet(set), before, hookOf(set, leaves))
		}
	}
	if r.w.alone != nil && !leaves {
		r.forgotten(d, set, before, now)
		r.heldBack(d, set, now, 0, before)
	}
	known := podsOf(d.p, d.c)
	served := r.serves(before, known)
	if leaves {
		r.deleted[now.UID] = true
	}
	if !served || (!leaves && left(now)) {
		return
	}
	if r.w.alone != nil || r.w.story.hasCafes() {
		if !byHand(before) {
			r.takenOut(d, set, now, known)
		}
		return
	}
	unavailable := int(ptr.Deref(set.Spec.Replicas, 1)) - r.hidden(d.c, set, known)
	for _, pod := range unitOf(d.c, set) {
		if r.serves(pod, known) {
			unavailable--
		}
	}
	if limit := limitOf(set.Spec.UpdateStrategy.MaxUnavailable, ptr.Deref(set.Spec.Replicas, 1)); unavailable > limit {
		r.broken(1, "taking pod %s out of service leaves %d of %d pods of %s in member %s unavailable; maxUnavailable is %d",
			now.Name, unavailable, *set.Spec.Replicas, set.Name, d.c.name, limit)
	}
}

// restarts says whether a write has the kubelet restart a container: another image, or a resize that it asks to be restarted for.
func restarts(before, now *corev1.Pod) bool {
	was := living(before)
	for i, c := range living(now) {
		if c.Image != was[i].Image || restartsByResize(c) && !equality.Semantic.DeepEqual(c.Resources, was[i].Resources) {
			return true
		}
	}
	return false
}

// letGo is rule 4: nothing happens to a pod that a balancer has not let go of, for as long as the grace period.
func (r *rules) letGo(d deed, grace time.Duration, pod *corev1.Pod) {
	if d.c.listed(pod.UID) {
		r.broken(4, "pod %s in member %s is touched while an EndpointSlice lists it as ready", pod.Name, d.c.name)
	}
	if isTrue(pod, corev1.PodReady) {
		r.broken(4, "pod %s in member %s is touched while its kubelet reports it as ready", pod.Name, d.c.name)
	}
	at, was := r.listed[pod.UID]
	if quiet := r.w.clock.Since(at); was && quiet < grace {
		r.broken(4, "pod %s in member %s is touched %s after an EndpointSlice listed it; the grace period is %s", pod.Name, d.c.name, quiet, grace)
	}
}

func (r *rules) setOf(c *cluster, pod *corev1.Pod) *appsv1alpha1.InPlaceSet {
	for _, set := range c.sets() {
		if len(pod.OwnerReferences) > 0 && pod.OwnerReferences[0].UID == set.UID {
			return set
		}
	}
	return nil
}

// limitOf is maxUnavailable as the design rounds it: down, but at least 1.
func limitOf(v *intstr.IntOrString, replicas int32) int {
	n, err := intstr.GetScaledValueFromIntOrPercent(ptr.To(ptr.Deref(v, intstr.FromString("25%"))), int(replicas), false)
	if err != nil {
		return 0
	}
	return max(n, 1)
}

// held is how many pods a partition keeps back: rounded up, and below 100 % with more than one pod at least one less than all.
func held(v *intstr.IntOrString, replicas int32) int {
	n, err := intstr.GetScaledValueFromIntOrPercent(ptr.To(ptr.Deref(v, intstr.FromInt32(0))), int(replicas), true)
	if err != nil {
		return int(replicas)
	}
	if v != nil && v.Type == intstr.String && v.StrVal != "100%" && replicas > 1 && n >= int(replicas) {
		return int(replicas) - 1
	}
	return min(n, int(replicas))
}

// setWritten is rules 1, 3 and 6 for what the hub writes to a workload.
func (r *rules) setWritten(d deed, before, now *appsv1alpha1.InPlaceSet) {
	template := before.Spec.Template.Spec.Containers[0].Image != now.Spec.Template.Spec.Containers[0].Image
	replicas := ptr.Deref(now.Spec.Replicas, 1)
	allowedBefore := int(replicas) - held(before.Spec.UpdateStrategy.Partition, replicas)
	allowed := int(replicas) - held(now.Spec.UpdateStrategy.Partition, replicas)
	if !r.loadWritten(d, lockOf(before), lockOf(now), now.Name, template, allowed > allowedBefore) {
		return
	}
	// Of a release whose record was lost nobody knows the target's limit: the workload's own is kept by its controller.
	if allowed > allowedBefore && r.w.lost == nil {
		r.advanced(d, now, now.Spec.Template.Spec.Containers[0].Image, int(*now.Spec.Replicas), allowed)
	}
}

// loadWritten is rules 3, 5 and 6 for what the hub writes to a workload, whatever its kind; false where a rule was broken that makes the others moot.
func (r *rules) loadWritten(d deed, was, is *stagesv1alpha1.Lock, name string, template, more bool) bool {
	mine := r.releaseOf(d.pass)
	if was != nil && is != nil && was.UID != is.UID {
		if other := r.release(was.UID); other != nil && !isOver(other) {
			r.broken(3, "%s in member %s is taken from release %s, which is not over, by %s", name, d.c.name, was.Release, is.Release)
		}
	}
	if !r.w.story.law.gives(d.c.name) {
		r.broken(5, "%s writes to %s in member %s, which no policy gives to its namespace", d.pass, name, d.c.name)
	}
	if template || more {
		r.moves(d, mine)
		switch {
		case is == nil || mine == nil || is.UID != mine.UID:
			r.broken(3, "%s moves %s in member %s without holding its lock", d.pass, name, d.c.name)
			return false
		case !touched(mine, d.c.name, name):
			r.broken(6, "%s moves %s in member %s, which is not in the record of release %s", d.pass, name, d.c.name, mine.Name)
		}
		if r.moved[mine.UID] == nil {
			r.moved[mine.UID] = map[string]bool{}
		}
		r.moved[mine.UID][d.c.name+"/"+name] = true
	}
	if was != nil && is == nil && mine != nil && was.UID != mine.UID {
		r.broken(3, "%s takes the lock of release %s off %s in member %s", d.pass, was.Release, name, d.c.name)
	}
	return true
}

// advanced is rule 1 for a partition that was lowered: the pods that may start now are too many if, with what is unavailable already, the target's limit
// does not hold. Old pods that are unavailable anyway are taken first and cost nothing.
func (r *rules) advanced(d deed, set *appsv1alpha1.InPlaceSet, image string, replicas, allowed int) {
	known := podsOf(d.p, d.c)
	started, out, outOld := 0, replicas-r.hidden(d.c, set, known), 0
	for _, pod := range unitOf(d.c, set) {
		on := pod.Spec.Containers[0].Image == image
		if on {
			started++
		}
		if r.serves(pod, known) {
			out--
		} else if !on {
			outOld++
		}
	}
	starts, limit := allowed-started, int(r.w.story.limit)
	if more := starts - outOld; more > 0 && out+more > limit {
		r.broken(1, "%s lets %d more pods of %s in member %s start while %d are unavailable; the target's maxUnavailable is %d", d.pass, starts, set.Name, d.c.name, out, limit)
	}
}

func touched(rel *stagesv1alpha1.Release, member, workload string) bool {
	for _, t := range rel.Status.Touched {
		if t.Member == member && t.Workload == workload {
			return true
		}
	}
	return false
}
