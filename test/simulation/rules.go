package simulation

import (
	"fmt"
	"time"

	pipelinev1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	"github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apitypes "k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"

	appsv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	stagesv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/test/simulation/store"
)

// rules are those of the design that never break. They are checked after each write of ours, against what the API servers have; what a cache
// has matters only where a controller could not know better: of what broke by itself.
type rules struct {
	w *World
	// peaks are the most pods of a unit that were ready on an image at one time, by member/unit/image.
	peaks map[string]int
	// listed is when an EndpointSlice last listed a pod as ready.
	listed map[apitypes.UID]time.Time
	// deleted are the pods that we deleted.
	deleted map[apitypes.UID]bool
	// moved are the workloads, as member/name, that a release wrote a template or a lower partition to.
	moved map[apitypes.UID]map[string]bool
	// answered counts the times that a run ended by an answer.
	answered map[apitypes.UID]bool
	// begun counts the runs that a ClusterHop made for each member.
	begun map[string]int
	// largest object of each kind that we wrote, in bytes.
	largest map[string]int
	// writes of ours that landed.
	writes int
	first  *brokenRule
	// sets is of worlds of sets, cafes of those with CafeDeployments. passedOn counts the groups that a stage began once people said yes.
	sets     setRules
	cafes    map[apitypes.UID]*cafeRules
	passedOn map[apitypes.UID]int
	// sidecars is of worlds with SidecarSets.
	sidecars sidecarSpecs
	// byHub: the write that is checked is the hub's. also are further caches that the controller which made it goes by.
	byHub bool
	also  []cache.Indexer
	// resting is true once nothing is left to be written.
	resting bool
}

func newRules(w *World) *rules {
	return &rules{w: w, peaks: map[string]int{}, listed: map[apitypes.UID]time.Time{}, deleted: map[apitypes.UID]bool{}, moved: map[apitypes.UID]map[string]bool{}, answered: map[apitypes.UID]bool{}, begun: map[string]int{}, largest: map[string]int{}, sets: newSetRules(), cafes: map[apitypes.UID]*cafeRules{}, sidecars: sidecarSpecs{}, passedOn: map[apitypes.UID]int{}}
}

// broken notes the first rule that was broken; the run ends with the step. A check may run in a goroutine of a controller's.
func (r *rules) broken(rule int, format string, args ...any) {
	if r.first == nil {
		r.first = &brokenRule{rule, fmt.Sprintf(format, args...)}
	}
}

// end ends the run if a rule was broken.
func (r *rules) end() {
	if r.first != nil {
		panic(*r.first)
	}
}

// follow keeps up with what happened in a cluster, whoever did it.
func (r *rules) follow(c *cluster) { r.followTo(c, c.api.Version()) }

func (r *rules) followTo(c *cluster, version uint64) {
	if c.checked >= version {
		return
	}
	events, ok := c.api.Since(c.checked)
	if !ok {
		panic(fmt.Errorf("the store of %s forgot version %d", c.name, c.checked))
	}
	pods := false
	for _, e := range events {
		if e.Object.Version > version {
			break
		}
		if gone(e) {
			r.w.dirty = true
		}
		if r.w.alone != nil {
			r.followSets(c, e)
		} else if set, ok := r.cafeEvent(c, e).(*appsv1alpha1.InPlaceSet); ok {
			r.specChanged(e, set)
		}
		if set, ok := r.sidecarEvent(c, e).(*appsv1alpha1.SidecarSet); ok {
			r.sidecarChanged(c, e, set)
		}
		if d, ok := r.cafeEvent(c, e).(*appsv1alpha1.CafeDeployment); ok {
			r.cafeChanged(d)
		}
		switch e.Object.Kind.Resource {
		case "pods":
			pods = true
		case "endpointslices":
			r.sliced(c, e.Before != nil, e)
		}
	}
	c.checked = version
	if pods && r.w.alone == nil {
		r.peak(c)
		if !r.w.story.hasCafes() { // whose sets may be told to have fewer.
			r.numbers(c)
		}
	}
}

// cafeEvent is what an event in a world of CafeDeployments is about, where it is a workload.
func (r *rules) cafeEvent(c *cluster, e store.Event) any {
	if of := e.Object.Kind.Resource; !r.w.story.hasCafes() || of != "inplacesets" && of != "cafedeployments" {
		return nil
	}
	return c.truth(e.Object)
}

// sidecarEvent is what an event is about, where it is a SidecarSet.
func (r *rules) sidecarEvent(c *cluster, e store.Event) any {
	if e.Object.Kind.Resource != "sidecarsets" {
		return nil
	}
	return c.truth(e.Object)
}

// peak notes how many pods of each unit are ready on each image.
func (r *rules) peak(c *cluster) {
	now := map[string]int{}
	for _, pod := range c.pods() {
		if len(pod.Status.ContainerStatuses) > 0 && isTrue(pod, corev1.PodReady) && pod.DeletionTimestamp == nil {
			key := c.name + "/" + pod.Labels[appsv1alpha1.LabelUnit] + "/" + pod.Status.ContainerStatuses[0].Image
			now[key]++
			r.peaks[key] = max(r.peaks[key], now[key])
		}
	}
}

// numbers is rule 7 for pods: a creation that is made twice makes one pod.
func (r *rules) numbers(c *cluster) {
	have := map[apitypes.UID]int32{}
	for _, pod := range c.pods() {
		if len(pod.OwnerReferences) > 0 && pod.DeletionTimestamp == nil {
			have[pod.OwnerReferences[0].UID]++
		}
	}
	for _, set := range c.sets() {
		if have[set.UID] > ptr.Deref(set.Spec.Replicas, 1) {
			r.broken(7, "%s has %d pods of %d in member %s", set.Name, have[set.UID], *set.Spec.Replicas, c.name)
		}
	}
}

func (r *rules) sliced(c *cluster, before bool, e store.Event) {
	if before {
		if s, ok := c.truth(e.Before).(*discoveryv1.EndpointSlice); ok {
			for i := range s.Endpoints {
				if p := &s.Endpoints[i]; ptr.Deref(p.Conditions.Ready, true) && p.TargetRef != nil {
					r.listed[p.TargetRef.UID] = r.w.clock.Now()
				}
			}
		}
	}
}

// check judges one write of ours.
func (r *rules) check(d deed) {
	r.writes++
	r.byHub, r.also = d.p.home == r.w.hub, nil
	if d.pass.queue == "SidecarSet" {
		r.also = []cache.Indexer{carrierCache(d.p)}
	}
	if r.w.alone != nil || r.w.story.hasCafes() || r.w.story.sidecars != nil {
		r.followTo(d.c, d.event.Object.Version-1) // what came of the writes before it.
	}
	if kind := d.event.Object.Kind.Resource; len(d.event.Object.JSON) > r.largest[kind] {
		r.largest[kind] = len(d.event.Object.JSON)
	}
	if r.resting {
		r.broken(7, "a process that started anew when all was done wrote %s to %s %s: it was\n%s\nand is\n%s", d.site, d.c.name, d.event.Object.Name, jsonOf(d.event.Before), jsonOf(d.event.Object))
	}
	before, now := d.c.truth(d.event.Before), d.c.truth(d.event.Object)
	switch now := now.(type) {
	case *corev1.Pod:
		was, _ := before.(*corev1.Pod)
		r.podWritten(d, was, now)
		if r.w.alone != nil || r.w.story.sidecars != nil {
			r.sets.answers[now.UID] = now
		}
	case *appsv1alpha1.InPlaceSet:
		if r.w.alone != nil && d.pass.queue == "InPlaceSet" {
			r.statusWritten(d, now)
		}
		was, ok := before.(*appsv1alpha1.InPlaceSet)
		if ok && d.p.home == r.w.hub {
			r.setWritten(d, was, now)
		}
		if d.pass.queue == "CafeDeployment" && !gone(d.event) {
			r.setTold(d, was, now)
		}
	case *appsv1alpha1.CafeDeployment:
		if was, ok := before.(*appsv1alpha1.CafeDeployment); ok && d.p.home == r.w.hub {
			r.cafeWritten(d, was, now)
		}
	case *v1beta1.CustomRun:
		if was, ok := before.(*v1beta1.CustomRun); ok && !gone(d.event) {
			r.runWritten(d, was, now)
		}
	case *stagesv1alpha1.Release:
		if !gone(d.event) {
			r.releaseWritten(now)
		}
	case *pipelinev1.PipelineRun:
		if before == nil {
			r.childMade(d, now)
		}
	}
}

// releaseWritten is rule 7 for the record: a step that is made again is recorded once.
func (r *rules) releaseWritten(rel *stagesv1alpha1.Release) {
	seen := map[string]bool{}
	for _, m := range rel.Status.Moves {
		key := m.Member + "/" + m.Workload + "/" + m.Run + "/" + m.What
		if seen[key] {
			r.broken(7, "release %s records %q of %s twice", rel.Name, m.What, m.Workload)
		}
		seen[key] = true
	}
}

// unitOf is the pods of one set that are not on their way out, by name.
func unitOf(c *cluster, set *appsv1alpha1.InPlaceSet) []*corev1.Pod {
	var out []*corev1.Pod
	for _, pod := range c.pods() {
		if len(pod.OwnerReferences) > 0 && pod.OwnerReferences[0].UID == set.UID {
			out = append(out, pod)
		}
	}
	return out
}

func jsonOf(o *store.Object) []byte {
	if o == nil {
		return nil
	}
	return o.JSON
}
