package simulation

import (
	"fmt"

	"github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"

	appsv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	stagesv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

// cafeRules is what the rules remember of one CafeDeployment.
type cafeRules struct {
	// update and scale are the two kinds of groups that it may be in the middle of.
	update, scale groupRules
	last          *appsv1alpha1.CafeDeployment
}

// groupRules is what is remembered of one change that goes in groups. A spec that changes in the middle of it changes the groups, which is not judged.
type groupRules struct {
	name  string
	clean bool
	// begun is the last group that began; confirms counts what people confirmed when they were asked, used how many groups began by that.
	begun, confirms, used int
}

func (g *groupRules) is(name string) {
	if g.name != name {
		*g = groupRules{name: name, clean: true}
	}
}

// cafeChanged keeps up with a CafeDeployment, whoever changed it.
func (r *rules) cafeChanged(now *appsv1alpha1.CafeDeployment) {
	of := r.cafes[now.UID]
	if of == nil {
		of = &cafeRules{}
		r.cafes[now.UID] = of
	}
	if was := of.last; was != nil {
		a, b := was.Spec.DeepCopy(), now.Spec.DeepCopy()
		a.Strategy.Pause, b.Strategy.Pause = false, false
		if !equality.Semantic.DeepEqual(a, b) {
			of.update.clean, of.scale.clean = false, false
		}
		if waitsForPeople(was) && now.Annotations[appsv1alpha1.AnnotationConfirmed] == "true" {
			of.update.confirms++
			of.scale.confirms++
		}
	}
	of.last = now
	of.update.is(now.Status.UpdateRevision)
	scale := ""
	if s := now.Status.Scaling; s != nil {
		scale = fmt.Sprint(s.Generation, s.From, s.To)
	}
	of.scale.is(scale)
}

// bounds are how many pods have gone when each group is done, of as many as there are in parts: one of each part in Beta, then batches.
func bounds(parts []int32, beta bool, size int32) []int32 {
	var out []int32
	var all, gone int32
	for _, n := range parts {
		all += n
		if beta && n > 0 {
			gone++
		}
	}
	if beta {
		out = append(out, gone)
	}
	if size <= 0 {
		size = all
	}
	for gone < all {
		gone = min(gone+size, all)
		out = append(out, gone)
	}
	return out
}

// groupOf is the first group, from 1, that is done with n pods.
func groupOf(bounds []int32, n int32) int {
	for i, b := range bounds {
		if n <= b {
			return i + 1
		}
	}
	return len(bounds) + 1
}

// knownReady is how many pods a process knows to be ready, by unit: of a revision where one is given.
func knownReady(pods cache.Indexer, revision string) map[string]int32 {
	out := map[string]int32{}
	if pods == nil {
		return out
	}
	for _, o := range pods.List() {
		pod, ok := o.(*corev1.Pod)
		if !ok || pod.DeletionTimestamp != nil || !isTrue(pod, corev1.PodReady) || revision != "" && pod.Labels[appsv1alpha1.LabelCafeRevision] != revision {
			continue
		}
		out[pod.Labels[appsv1alpha1.LabelUnit]]++
	}
	return out
}

// setTold is rule 10 for what the controller of CafeDeployments tells an InPlaceSet: no pod of a group before the group before it is available, and none before
// somebody confirmed that. Own groups only: see cafeWritten for those of stages.
func (r *rules) setTold(d deed, was, now *appsv1alpha1.InPlaceSet) {
	var dep *appsv1alpha1.CafeDeployment
	for _, of := range d.c.cafes() {
		if len(now.OwnerReferences) > 0 && now.OwnerReferences[0].UID == of.UID {
			dep = of
		}
	}
	if dep == nil || dep.Spec.Strategy.Partitions != nil || r.cafes[dep.UID] == nil {
		return
	}
	for _, seen := range visible[*appsv1alpha1.CafeDeployment](d.p, "cafedeployments") {
		if seen.Generation != dep.Generation {
			return // it goes by what it knows.
		}
	}
	r.pausedStays(d, dep, was, now)
	r.grows(d, dep, was, now)
	r.lets(d, dep, was, now)
}

// letGoOf is how many pods of a set may be on a revision of the deployment.
func letGoOf(set *appsv1alpha1.InPlaceSet, revision string) int32 {
	if set == nil || set.Spec.Template.Labels[appsv1alpha1.LabelCafeRevision] != revision {
		return 0
	}
	replicas := *set.Spec.Replicas
	return replicas - int32(held(set.Spec.UpdateStrategy.Partition, replicas)) // #nosec G115 -- a few pods.
}

func keptBy(set *appsv1alpha1.InPlaceSet) int32 {
	if set == nil {
		return 0
	}
	return *set.Spec.Replicas
}

// pausedStays is rule 9 for strategy.pause: no set is told to let pods go that has not let them go.
func (r *rules) pausedStays(d deed, dep *appsv1alpha1.CafeDeployment, was, now *appsv1alpha1.InPlaceSet) {
	if dep.Spec.Strategy.Pause && !now.Spec.UpdateStrategy.Paused {
		r.broken(9, "%s tells %s in member %s to go on, and the deployment is paused", d.pass, now.Name, d.c.name)
	}
}

// lets judges an update.
func (r *rules) lets(d deed, dep *appsv1alpha1.CafeDeployment, was, now *appsv1alpha1.InPlaceSet) {
	g, rev := &r.cafes[dep.UID].update, now.Spec.Template.Labels[appsv1alpha1.LabelCafeRevision]
	if !g.clean || g.name != rev || dep.Status.CurrentRevision == "" || dep.Status.CurrentRevision == rev || dep.Status.Scaling != nil {
		return
	}
	updated := int32(0)
	for _, pod := range unitOf(d.c, now) {
		if pod.Labels[appsv1alpha1.LabelCafeRevision] == rev {
			updated++
		}
	}
	if let := letGoOf(now, rev); let <= letGoOf(was, rev) || let <= updated {
		return // none starts by that.
	}
	var parts []int32
	var let, kept, ready int32
	for _, set := range d.c.sets() {
		parts = append(parts, *set.Spec.Replicas)
		let, kept = let+letGoOf(set, rev), kept+*set.Spec.Replicas
	}
	if kept != *dep.Spec.Replicas || len(parts) != len(dep.Spec.Topology.Values) {
		return // pods are being added or moved as well.
	}
	for _, n := range knownReady(podsOf(d.p, d.c), rev) {
		ready += n
	}
	r.begins(d, dep, g, bounds(parts, dep.Spec.Strategy.UpgradeType != appsv1alpha1.UpgradeBatch, sizeOf(dep)), let, ready)
}

func sizeOf(dep *appsv1alpha1.CafeDeployment) int32 {
	return ptr.Deref(dep.Spec.Strategy.BatchSize, intstr.FromInt32(0)).IntVal
}

// grows judges pods that are added.
func (r *rules) grows(d deed, dep *appsv1alpha1.CafeDeployment, was, now *appsv1alpha1.InPlaceSet) {
	if keptBy(now) <= keptBy(was) {
		return
	}
	g, record := &r.cafes[dep.UID].scale, dep.Status.Scaling
	if record == nil {
		r.broken(10, "%s adds pods to %s in member %s, and has not recorded from where", d.pass, now.Name, d.c.name)
		return
	}
	var from, to, added, ready int32
	var parts []int32
	have := knownReady(podsOf(d.p, d.c), "")
	for _, set := range d.c.sets() {
		unit := set.Labels[appsv1alpha1.LabelUnit]
		if record.To[unit] > record.From[unit] {
			added += max(*set.Spec.Replicas-record.From[unit], 0)
			ready += max(min(have[unit], record.To[unit])-record.From[unit], 0)
		}
	}
	for unit, n := range record.To {
		from, to = from+record.From[unit], to+n
		parts = append(parts, max(n-record.From[unit], 0))
	}
	if !g.clean || to <= from {
		return
	}
	confirms := dep.Status.CurrentRevision == dep.Status.UpdateRevision
	r.beginsIf(d, dep, g, bounds(parts, dep.Spec.Strategy.UpgradeType != appsv1alpha1.UpgradeBatch, sizeOf(dep)), added, ready, confirms)
}

func (r *rules) begins(d deed, dep *appsv1alpha1.CafeDeployment, g *groupRules, bounds []int32, gone, ready int32) {
	r.beginsIf(d, dep, g, bounds, gone, ready, true)
}

// beginsIf judges that so many pods have gone, where so many are ready.
func (r *rules) beginsIf(d deed, dep *appsv1alpha1.CafeDeployment, g *groupRules, bounds []int32, gone, ready int32, confirms bool) {
	group := groupOf(bounds, gone)
	if group > 1 && ready < bounds[group-2] {
		r.broken(10, "%s begins group %d of %s in member %s with %d pods, and of the %d before it %d are available", d.pass, group, dep.Name, d.c.name, gone, bounds[group-2], ready)
	}
	if group > g.begun && group > 1 && confirms && dep.Spec.Strategy.NeedWaitingForConfirm {
		if g.used++; g.used > g.confirms {
			r.broken(10, "%s begins group %d of %s in member %s, and people confirmed %d times of %d", d.pass, group, dep.Name, d.c.name, g.confirms, g.used)
		}
	}
	g.begun = max(g.begun, group)
}

// cafeWritten is rules 1, 3, 6 and 10 for what the hub writes to a CafeDeployment.
func (r *rules) cafeWritten(d deed, before, now *appsv1alpha1.CafeDeployment) {
	template := before.Spec.Template.Spec.Containers[0].Image != now.Spec.Template.Spec.Containers[0].Image
	more := map[string]int{}
	for _, u := range now.Status.Units {
		was := intstr.FromInt32(u.Partition)
		if p, ok := before.Spec.Strategy.Partitions[u.Name]; ok {
			was = p
		} else if before.Spec.Strategy.Partitions != nil {
			was = intstr.FromString("100%")
		}
		is := was
		if p, ok := now.Spec.Strategy.Partitions[u.Name]; ok {
			is = p
		}
		if allowed := int(u.Wanted) - held(&is, u.Wanted); allowed > int(u.Wanted)-held(&was, u.Wanted) {
			more[u.Name] = allowed
		}
	}
	if !r.loadWritten(d, lockOf(before), lockOf(now), now.Name, template, len(more) > 0) {
		return
	}
	if len(more) == 0 || r.w.lost != nil {
		return
	}
	for _, set := range d.c.sets() {
		unit := set.Labels[appsv1alpha1.LabelUnit]
		for _, u := range now.Status.Units {
			if allowed, ok := more[unit]; ok && u.Name == unit {
				r.advanced(d, set, now.Spec.Template.Spec.Containers[0].Image, int(u.Wanted), allowed)
			}
		}
	}
	if d.pass.queue == "BetaBatch" {
		r.batchBegins(d, now)
	}
}

// batchBegins is rule 10 for stage BetaBatch: its groups go over all units of all its members together.
func (r *rules) batchBegins(d deed, now *appsv1alpha1.CafeDeployment) {
	s := r.w.story
	if r.w.grown || s.rival || s.act == actEditTemplate {
		return // what groups there are is another question then.
	}
	var parts []int32
	var let, ready int32
	for _, c := range r.w.members[1:] {
		for _, dep := range c.cafes() {
			if dep.Spec.Template.Spec.Containers[0].Image != s.image {
				for _, u := range dep.Status.Units {
					parts = append(parts, u.Wanted)
				}
				continue
			}
			for _, u := range dep.Status.Units {
				p := ptr.To(dep.Spec.Strategy.Partitions[u.Name])
				parts = append(parts, u.Wanted)
				let += u.Wanted - int32(held(p, u.Wanted)) // #nosec G115 -- a few pods.
			}
		}
		for unit := range s.replicas {
			ready += int32(r.peaks[c.name+"/"+unit+"/"+s.image]) // #nosec G115 -- a few pods. One that was there may be down for a moment by now.
		}
	}
	bounds := bounds(parts, s.cafe.beta, int32(s.cafe.size)) // #nosec G115 -- a few pods.
	if group := groupOf(bounds, let); group > 1 && ready < bounds[group-2] {
		r.broken(10, "%s begins group %d with %d pods, and of the %d before it %d are available", d.pass, group, let, bounds[group-2], ready)
	}
}

// asksBetween is rule 10 for stages that ask between their groups: each that begins has a yes of its own.
func (r *rules) asksBetween(cr *v1beta1.CustomRun) {
	yes := map[string]bool{}
	for _, a := range r.w.hub.approvals() {
		s := &a.Spec
		if s.RunRef.UID == cr.UID && s.User == approver && s.Decision == stagesv1alpha1.Approve && s.Question != "another" {
			yes[s.Question] = true
		}
	}
	if r.passedOn[cr.UID]++; r.passedOn[cr.UID] > len(yes) {
		r.broken(10, "%s begins its next group, the %d. that needs a yes, and %d were given", cr.Name, r.passedOn[cr.UID], len(yes))
	}
}
