package sidecarset

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	stages "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/inplace"
	"github.com/periplus-dev/periplus/pkg/overlay"
	"github.com/periplus-dev/periplus/pkg/plan"
	"github.com/periplus-dev/periplus/pkg/sidecar"
)

// seen is what a pass asks of a pod, read once for as long as it is the same object.
type seen struct {
	pod *corev1.Pod
	inplace.Look
	parts map[string]sidecar.Part
	// part and failing are of the pass's set.
	part         sidecar.Part
	failing, why string
	// failsIn is how long until the pod counts as failing if nothing happens; 0 where it does, or time alone does not tell.
	failsIn time.Duration
}

func (s *seen) name() string { return s.pod.Namespace + "/" + s.pod.Name }

// sight of a pod, whoever's it is.
func (r *reconciler) sight(pod *corev1.Pod) *seen {
	s := r.sees[pod.UID]
	if s == nil || s.pod != pod {
		s = &seen{pod: pod, Look: inplace.LookAt(pod)}
		if pod.Labels[v1alpha1.LabelSidecars] != "" {
			s.parts = sidecar.PartsOf(pod)
		}
		r.sees[pod.UID] = s
	}
	return s
}

func (r *reconciler) see(pod *corev1.Pod, set string) (*seen, bool) {
	s := r.sight(pod)
	part, ok := s.parts[set]
	if !ok {
		return nil, false
	}
	of := *s
	of.part = part
	of.failing, of.why, of.failsIn = whyFailing(pod, part, r.clock.Now())
	return &of, true
}

// observe reads all that a pass is about.
func (r *reconciler) observe(ctx context.Context, set *v1alpha1.SidecarSet) (*pass, error) {
	p := &pass{
		set: set, now: r.clock.Now(), holder: sidecar.Holder(set.Name), byName: map[string]*seen{}, namespaces: map[string]bool{}, waits: newWaits(),
		newest: map[types.UID]*corev1.Pod{}, workloads: map[types.UID]string{}, applications: map[string]*application{},
	}
	p.problems = problemsOf(set)
	matcher := r.audit.set(set, sidecar.MatchingOf(set))
	found, err := r.pods.ByIndex(bySet, set.Name)
	if err != nil {
		return nil, fmt.Errorf("listing the pods of SidecarSet %s: %w", set.Name, err)
	}
	in := map[string]bool{}
	for _, pod := range podsOf(found) {
		in[pod.Namespace] = true
	}
	for _, namespace := range slices.Sorted(keysOf(in)) {
		if err := r.ask(ctx, namespace); err != nil {
			return nil, err
		}
		cached, err := r.pods.ByIndex(cache.NamespaceIndex, namespace)
		if err != nil {
			return nil, fmt.Errorf("listing the pods with sidecars in namespace %s: %w", namespace, err)
		}
		meant := matcher.Namespace(namespace, r.labelsOf(namespace))
		for _, pod := range r.writtenPods.Over(namespace, podsOf(cached)) {
			pod = r.newest(pod)
			p.newest[pod.UID] = pod
			seen, mine := r.see(pod, set.Name)
			if !mine || pod.DeletionTimestamp != nil || sidecar.Ended(pod) {
				continue
			}
			p.namespaces[namespace] = true
			if !meant || !matcher.Pod(pod) {
				p.strays = append(p.strays, seen)
				continue
			}
			p.pods = append(p.pods, seen)
			p.byName[seen.name()] = seen
			p.wakeAfter(seen.failsIn)
		}
	}
	p.lacks = r.audit.lacks(set.Name)
	r.forgetGone()
	return p, nil
}

// newest of what two informers know of a pod. Another controller's may be ahead; what that one wrote itself is in the register until it is.
func (r *reconciler) newest(pod *corev1.Pod) *corev1.Pod {
	if r.workloads == nil || pod.Labels[v1alpha1.LabelInPlaceSet] == "" {
		return pod
	}
	found, _, err := r.workloads.InPlaceSetPods.GetIndexer().GetByKey(pod.Namespace + "/" + pod.Name)
	if other, ok := found.(*corev1.Pod); ok && err == nil && overlay.Older(pod, other) {
		return other
	}
	return pod
}

// forgetGone drops what is remembered of pods that are gone, once there may be many.
func (r *reconciler) forgetGone() {
	there := len(r.pods.ListKeys())
	if r.workloads != nil {
		there += len(r.workloads.InPlaceSetPods.GetIndexer().ListKeys()) + len(r.workloads.Pods.GetIndexer().ListKeys())
	}
	if len(r.sees) <= 2*there+16 {
		return
	}
	clear(r.sees)
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.unfit)
}

// ask the API server about pods whose writes got no answer, or which the informer does not catch up with.
func (r *reconciler) ask(ctx context.Context, namespace string) error {
	for _, name := range r.writtenPods.Doubtful(namespace) {
		pod, err := r.kube.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			r.writtenPods.Settle(namespace, name, nil)
		case err != nil:
			return fmt.Errorf("reading pod %s/%s, whose last write is in doubt: %w", namespace, name, err)
		default:
			r.writtenPods.Settle(namespace, name, &pod)
		}
	}
	return nil
}

func (r *reconciler) labelsOf(namespace string) map[string]string {
	ns, err := r.namespaces.Get(namespace)
	if err != nil {
		return nil
	}
	return ns.Labels
}

// problemsOf a spec that the schema cannot see.
func problemsOf(set *v1alpha1.SidecarSet) []string {
	var out []string
	if _, err := sidecar.MatcherOf(set, ""); err != nil {
		out = append(out, err.Error())
	}
	strategy := &set.Spec.UpdateStrategy
	if _, err := metav1.LabelSelectorAsSelector(strategy.Selector); err != nil {
		out = append(out, fmt.Sprintf("spec.updateStrategy.selector: %v", err))
	}
	for i := range strategy.Priority {
		if _, err := metav1.LabelSelectorAsSelector(&strategy.Priority[i].Selector); err != nil {
			out = append(out, fmt.Sprintf("spec.updateStrategy.priority[%d].selector: %v", i, err))
		}
	}
	return out
}

// foundBy is the revision on which a release found the set, as the lock tells that it holds; empty where there is none, or none that can be read.
func foundBy(set *v1alpha1.SidecarSet) string {
	var lock stages.Lock
	if text, ok := set.Annotations[stages.AnnotationLock]; !ok || json.Unmarshal([]byte(text), &lock) != nil {
		return ""
	}
	return lock.Previous.Revision
}

// decide fills in the revisions and the plan.
func (r *reconciler) decide(p *pass) error {
	strategy := &p.set.Spec.UpdateStrategy
	p.compare()
	selects := labels.Everything()
	if strategy.Selector != nil {
		selector, err := metav1.LabelSelectorAsSelector(strategy.Selector)
		if err != nil {
			selector = labels.Nothing() // it is among the problems.
		}
		selects = selector
	}
	p.state = plan.SidecarSetState{
		Partition: strategy.Partition, Partitions: strategy.Partitions, MaxUnavailable: strategy.MaxUnavailable, Paused: strategy.Paused, Spread: strategy.Scatter != "",
		Current: p.set.Status.CurrentRevision, Update: p.update, Before: foundBy(p.set),
	}
	order := orderOf(strategy)
	for _, seen := range p.pods {
		left, comes := seen.AvailableIn(0, p.now)
		pod := plan.SidecarPod{
			Name: seen.name(), Workload: r.workloadOf(p, seen.pod), Unit: sidecar.UnitOf(seen.pod, p.set.Name), Revision: seen.part.Revision, Ready: seen.Ready,
			Available: comes && left <= 0 && !p.taken(seen.pod.UID),
			Up:        !seen.ChangingFor(p.holder) && seen.part.Ready(seen.pod),
			Closed:    seen.ClosedFor == inplace.GateChanging && seen.Holder() == p.holder,
			Selected:  selects.Matches(labels.Set(seen.pod.Labels)), Failing: seen.failing != "", Created: seen.pod.CreationTimestamp.Time,
			Stays: p.waitsForCreation(seen), Held: heldByAnother(seen, p.holder),
		}
		order.describe(&pod, seen.pod)
		p.state.Pods = append(p.state.Pods, pod)
	}
	p.current = p.set.Status.CurrentRevision
	if len(p.problems) > 0 {
		p.injects = p.injectionRevision()
		return nil // an empty plan: what was begun is brought to its end, and nothing else moves.
	}
	if err := r.readBudgets(p); err != nil {
		return err
	}
	p.state.Applications = make(map[string]*plan.SidecarApplication, len(p.applications))
	for key, a := range p.applications {
		p.state.Applications[key] = &a.SidecarApplication
	}
	p.state.Budgets = p.under
	p.state.Left = func(name string) int32 { return r.leftOf(p, name) }
	var err error
	if p.plan, err = plan.SidecarSet(p.state); err != nil {
		p.problems = append(p.problems, "spec.updateStrategy: "+err.Error())
	}
	if len(p.plan.WaitingForApplication) > 0 {
		p.wakeAfter(p.comes)
	}
	p.current = plan.SidecarRevision(p.state)
	p.injects = p.injectionRevision()
	return nil
}

// injectionRevision is what new pods get: the pinned one; else the one that held back pods are on; else the newest.
func (p *pass) injectionRevision() string {
	strategy := p.set.Spec.InjectionStrategy
	want := p.update
	switch {
	case strategy.Paused:
		return ""
	case strategy.Revision != "":
		want = strategy.Revision
	case p.state.Held() && p.content(p.current) != nil:
		want = p.current
	}
	if p.content(want) == nil {
		return ""
	}
	return want
}

// compare each revision that pods are on with the update revision.
func (p *pass) compare() {
	p.changes = map[string]inplace.Change{}
	to := p.content(p.update)
	misfits := map[string]bool{}
	for _, seen := range p.pods {
		revision := seen.part.Revision
		if _, known := p.changes[revision]; known || revision == p.update || to == nil {
			continue
		}
		c := inplace.Change{Misfits: []string{fmt.Sprintf("spec (revision %q is not in the history)", revision)}}
		if from := p.content(revision); from != nil {
			c = sidecar.Compare(from, to)
		}
		p.changes[revision] = c
		for _, path := range c.Misfits {
			misfits[path] = true
		}
	}
	p.misfits = slices.Sorted(keysOf(misfits))
}

// waitsForCreation says whether a pod that is not on the update revision gets it only when it is created anew.
func (p *pass) waitsForCreation(seen *seen) bool {
	if seen.part.Revision == p.update || p.update == "" {
		return false
	}
	strategy := &p.set.Spec.UpdateStrategy
	change, ok := p.changes[seen.part.Revision]
	return !ok || !change.Fits() || strategy.Type == v1alpha1.SidecarOnNextCreate || strategy.Drain && !sidecar.HasReadinessGate(seen.pod)
}

func heldByAnother(seen *seen, holder string) bool {
	_, held := seen.HeldByAnother(holder, seen.failing != "")
	return held
}
