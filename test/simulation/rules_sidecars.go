package simulation

import (
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apitypes "k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"

	appsv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/inplace"
	"github.com/periplus-dev/periplus/pkg/sidecar"
	"github.com/periplus-dev/periplus/test/simulation/store"
)

// sidecarSpecs are the specs that each SidecarSet had, oldest first: a controller goes by the one that its cache has, or a newer one.
type sidecarSpecs map[string][]sidecarSpecAt

type sidecarSpecAt struct {
	version    uint64
	uid        apitypes.UID
	generation int64
	spec       *appsv1alpha1.SidecarSetSpec
}

// sidecarChanged notes what a SidecarSet of a cluster wants from now.
func (r *rules) sidecarChanged(c *cluster, e store.Event, set *appsv1alpha1.SidecarSet) {
	key := c.name + "/" + set.Name
	known := r.sidecars[key]
	if len(known) == 0 || known[len(known)-1].generation != set.Generation || known[len(known)-1].uid != set.UID {
		r.sidecars[key] = append(known, sidecarSpecAt{e.Object.Version, set.UID, set.Generation, &set.Spec})
	}
}

// sidecarWants are the specs that a process may go by.
func (r *rules) sidecarWants(d deed, name string) []*appsv1alpha1.SidecarSetSpec {
	known := uint64(0)
	for _, i := range d.p.informers {
		if o := i.seen["/"+name]; i.selection.Kind.Resource == "sidecarsets" && o != nil {
			known = o.Version
		}
	}
	all := r.sidecars[d.c.name+"/"+name]
	for len(all) > 1 && all[1].version <= known {
		all = all[1:]
	}
	out := make([]*appsv1alpha1.SidecarSetSpec, 0, len(all))
	for _, at := range all {
		out = append(out, at.spec)
	}
	return out
}

// bySidecarSet says whether a holder is a SidecarSet.
func bySidecarSet(holder string) bool { return strings.HasPrefix(holder, "SidecarSet/") }

// changingInService says whether a SidecarSet is changing a pod that it did not take out of service: from the write on it does not serve.
func changingInService(pod *corev1.Pod) bool {
	if pod.Labels[appsv1alpha1.LabelSidecars] == "" || pod.Annotations[appsv1alpha1.AnnotationUpdate] == "" {
		return false
	}
	look := inplace.LookAt(pod)
	return look.Changing && bySidecarSet(look.Holder())
}

// carrierCache is what a process knows of pods with sidecars; nil where it does not look at them.
func carrierCache(p *process) cache.Indexer {
	for _, i := range p.informers {
		if i.selection.Kind.Resource == "pods" && i.selection.Labels != nil && i.selection.Labels.String() == appsv1alpha1.LabelSidecars {
			return i.indexer
		}
	}
	return nil
}

// ofSidecars says whether a container of a pod was put in by a SidecarSet; with a name, by that one.
func ofSidecars(pod *corev1.Pod, container, set string) bool {
	for name, part := range sidecar.PartsOf(pod) {
		if (set == "" || name == set) && (slices.Contains(part.Containers, container) || slices.Contains(part.InitContainers, container)) {
			return true
		}
	}
	return false
}

// apart is rule 11 for who changes what: the owner of a pod leaves its sidecars alone, a SidecarSet all but its own; and one at a time.
func (r *rules) apart(d deed, before, now *corev1.Pod, set string) {
	was := living(before)
	for i, c := range living(now) {
		if c.Image == was[i].Image && equality.Semantic.DeepEqual(c.Resources, was[i].Resources) {
			continue
		}
		if mine := ofSidecars(before, c.Name, set); mine != (set != "") {
			r.broken(11, "%s changes container %s of pod %s in member %s, which is not its own", d.pass, c.Name, now.Name, d.c.name)
		}
	}
	look := inplace.LookAt(before)
	holder := look.Holder()
	held := holder != "" && holder != "SidecarSet/"+set
	if set == "" {
		held = holder != "" && holder != "InPlaceSet/"+d.pass.key.Name
	} else if held && !look.Changing && !isTrue(before, corev1.PodReady) {
		// The other waits for the containers alone. One that is of this set and not ready may be mended.
		held = !slices.ContainsFunc(living(before), func(c *corev1.Container) bool {
			return ofSidecars(before, c.Name, set) && !statusOf(before, c.Name).Ready
		})
	}
	begins := restarts(before, now) || !isTrue(before, appsv1alpha1.ReadinessGateInService) && isTrue(now, appsv1alpha1.ReadinessGateInService)
	if begins && held {
		r.broken(11, "%s changes pod %s in member %s while %s has it", d.pass, now.Name, d.c.name, holder)
	}
}

// sidecarWritten is what is promised of a SidecarSet that writes to a pod of an InPlaceSet.
func (r *rules) sidecarWritten(d deed, set *appsv1alpha1.InPlaceSet, before, now *corev1.Pod) {
	name := d.pass.key.Name
	switch {
	case before == nil || gone(d.event) || now.DeletionTimestamp != nil && before.DeletionTimestamp == nil:
		r.broken(11, "%s makes or deletes pod %s in member %s", d.pass, now.Name, d.c.name)
		return
	case before.DeletionTimestamp != nil:
		return
	}
	r.apart(d, before, now, name)
	specs := r.sidecarWants(d, name)
	if restarts(before, now) {
		if s := specs[0]; s.UpdateStrategy.Drain { // it never changes.
			r.letGo(d, time.Duration(*s.UpdateStrategy.GracePeriodSeconds)*time.Second, before)
			if r.w.alone != nil {
				r.balanced(d, drainsOf(s), before, nil)
			}
		}
	}
	if key := appsv1alpha1.SidecarSetPrefix + name; before.Labels[key] != now.Labels[key] {
		r.sidecarMoved(d, name, now, specs)
	}
	known := podsOf(d.p, d.c)
	if !r.serves(before, known) || left(now) || byHand(before) {
		return
	}
	r.takenOut(d, set, now, known)
	r.sidecarLimit(d, name, now, known, specs)
}

// carriers are the pods with a set's sidecars that a process knows of and that are not on their way out, as the newest of its caches has them.
func (r *rules) carriers(d deed, name string) []*corev1.Pod {
	index := carrierCache(d.p)
	var out []*corev1.Pod
	keys := index.ListKeys()
	slices.Sort(keys)
	for _, key := range keys {
		o, _, _ := index.GetByKey(key)
		pod, ok := o.(*corev1.Pod)
		if !ok || pod.Labels[appsv1alpha1.SidecarSetPrefix+name] == "" || r.deleted[pod.UID] {
			continue
		}
		if pod = r.knownOf(pod, podsOf(d.p, d.c)); pod.DeletionTimestamp == nil {
			out = append(out, pod)
		}
	}
	return out
}

// sidecarLimit is rule 1 for a SidecarSet's own limit: of all pods with its sidecars, and of each InPlaceSet's where it is a percentage.
func (r *rules) sidecarLimit(d deed, name string, pod *corev1.Pod, known cache.Indexer, specs []*appsv1alpha1.SidecarSetSpec) {
	truth := map[apitypes.UID]*corev1.Pod{}
	for _, of := range d.c.pods() {
		truth[of.UID] = of
	}
	serving, all := 0, 0
	mine, whole := 0, 0
	for _, of := range r.carriers(d, name) {
		serves := left(of) && isTrue(of, corev1.PodReady)
		if is := truth[of.UID]; is != nil {
			serves = r.serves(is, known)
		}
		same := len(of.OwnerReferences) > 0 && of.OwnerReferences[0].UID == pod.OwnerReferences[0].UID
		all++
		if same {
			whole++
		}
		if serves {
			serving++
			if same {
				mine++
			}
		}
	}
	for _, s := range specs {
		most := s.UpdateStrategy.MaxUnavailable
		if serving >= all-limitOf(most, int32(all)) && (most.Type == intstr.Int || mine >= whole-limitOf(most, int32(whole))) { // #nosec G115 -- a few pods.
			return
		}
	}
	r.broken(1, "taking pod %s out of service for SidecarSet %s in member %s leaves %d of %d pods in service, %d of %d of its own set's; maxUnavailable is %s",
		pod.Name, name, d.c.name, serving, all, mine, whole, specs[len(specs)-1].UpdateStrategy.MaxUnavailable)
}

// sidecarMoved is rule 11 for a pod that gets another revision: as many as the partition lets, none while the set is paused, and one at first.
func (r *rules) sidecarMoved(d deed, name string, pod *corev1.Pod, specs []*appsv1alpha1.SidecarSetSpec) {
	key := appsv1alpha1.SidecarSetPrefix + name
	pods := r.carriers(d, name)
	updated, all := 0, int32(len(pods)) // #nosec G115 -- a few pods.
	var other *corev1.Pod
	for _, of := range pods {
		if of.Labels[key] == pod.Labels[key] {
			updated++
			if of.UID != pod.UID {
				other = of
			}
		}
	}
	if !slices.ContainsFunc(pods, func(of *corev1.Pod) bool { return of.UID == pod.UID && of.Labels[key] == pod.Labels[key] }) {
		updated++
	}
	if !slices.ContainsFunc(specs, func(s *appsv1alpha1.SidecarSetSpec) bool {
		return !s.UpdateStrategy.Paused && updated <= int(all)-held(s.UpdateStrategy.Partition, all)
	}) {
		r.broken(11, "pod %s in member %s is the %dth of %d to get revision %s of SidecarSet %s, and the partition is %v, paused: %t", pod.Name, d.c.name, updated, all, pod.Labels[key], name,
			specs[len(specs)-1].UpdateStrategy.Partition, specs[len(specs)-1].UpdateStrategy.Paused)
	}
	for _, c := range living(pod) {
		if image := c.Image; other != nil && ofSidecars(pod, c.Name, name) && (d.c.nodes.broken[image] || d.c.nodes.looping[image]) {
			r.broken(11, "pod %s in member %s gets %s, which cannot run, after pod %s", pod.Name, d.c.name, image, other.Name)
		}
	}
}

// checkSidecars is what users of SidecarSets have in the end: every pod that can runs what its set says, nobody's hands are on it, and status tells so.
func (w *World) checkSidecars() {
	end := func(format string, args ...any) { w.rules.broken(0, format, args...) }
	for _, c := range w.members {
		there := map[string]bool{}
		for _, set := range c.sidecars() {
			there[set.Name] = true
			w.checkSidecarSet(c, set)
		}
		for _, pod := range c.pods() {
			look := inplace.LookAt(pod)
			if holder := look.Holder(); bySidecarSet(holder) || bySidecarSet(pod.Annotations[appsv1alpha1.AnnotationHolder]) {
				end("%s still holds pod %s in member %s", holder, pod.Name, c.name)
			}
			for name := range sidecar.PartsOf(pod) {
				if look.HasBegun("SidecarSet/" + name) {
					end("the change that SidecarSet %s made of pod %s in member %s is not ended: %s", name, pod.Name, c.name, pod.Annotations[appsv1alpha1.AnnotationUpdate])
				}
			}
			if !isTrue(pod, appsv1alpha1.ReadinessGateInService) && w.story.sidecars != nil && w.alone != nil {
				end("the gate of pod %s in member %s is left closed", pod.Name, c.name)
			}
		}
		if w.story.sidecars == nil {
			continue
		}
		for _, act := range w.story.sidecars.acts {
			if name := w.story.sidecars.sets[act.set].Name; act.do == nil && w.members[act.member] == c && there[name] {
				end("SidecarSet %s in member %s was deleted, and is there", name, c.name)
			}
		}
	}
}

func (w *World) checkSidecarSet(c *cluster, set *appsv1alpha1.SidecarSet) {
	end := func(format string, args ...any) {
		w.rules.broken(0, format+": %s", append(args, jsonText(set.Status))...)
	}
	s := &set.Status
	var matched, injected, updated int32
	for _, pod := range c.pods() {
		matched++
		part, carries := sidecar.PartsOf(pod)[set.Name]
		if !carries {
			continue
		}
		injected++
		if part.Revision != s.UpdateRevision {
			continue
		}
		updated++
		for _, of := range living(pod) {
			if ofSidecars(pod, of.Name, set.Name) && (of.Image != sidecarOf(set).Image || statusOf(pod, of.Name).Image != of.Image || !statusOf(pod, of.Name).Ready) {
				end("pod %s in member %s is on the newest revision of SidecarSet %s, and its container runs %s, ready: %t", pod.Name, c.name, set.Name, statusOf(pod, of.Name).Image, statusOf(pod, of.Name).Ready)
			}
		}
	}
	if s.ObservedGeneration != set.Generation || s.Matched != matched || s.Injected != injected || s.Updated != updated {
		end("SidecarSet %s in member %s has %d pods of %d, %d of them updated, and does not say so", set.Name, c.name, injected, matched, updated)
	}
	if matched != updated+s.WaitingForCreation+s.Missed || s.UpdatedReady != updated {
		end("SidecarSet %s in member %s means %d pods, %d of them updated, and others neither wait for their creation nor were missed", set.Name, c.name, matched, updated)
	}
}

// drains are how those who claim a pod are waited for.
type drains struct {
	grace, timeout time.Duration
	goOn           bool
}

func drainsOf(s *appsv1alpha1.SidecarSetSpec) drains {
	of := &s.UpdateStrategy
	return drains{time.Duration(*of.GracePeriodSeconds) * time.Second, time.Duration(ptr.Deref(of.DrainTimeoutSeconds, 300)) * time.Second, of.OnDrainTimeout == appsv1alpha1.DrainGoOn}
}

func drainsOfSet(set *appsv1alpha1.InPlaceSet) drains {
	of := &set.Spec.UpdateStrategy
	return drains{time.Duration(ptr.Deref(of.GracePeriodSeconds, 3)) * time.Second, drainTimeout(set), of.OnDrainTimeout == appsv1alpha1.DrainGoOn}
}
