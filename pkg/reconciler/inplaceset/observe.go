package inplaceset

import (
	"context"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/inplace"
	"github.com/periplus-dev/periplus/pkg/plan"
)

// observe reads all that a pass is about. It writes nothing but a ControllerRevision for a new template.
func (r *reconciler) observe(ctx context.Context, set *v1alpha1.InPlaceSet) (*pass, error) {
	p := &pass{set: set, now: r.clock.Now(), holder: kind.Kind + "/" + set.Name, problems: problemsOf(set), publishers: map[string]bool{}, unfits: map[string]string{}}
	if err := r.ask(ctx, set); err != nil {
		return nil, err
	}
	var looks looks
	r.memory.of(keyOf(set), func(known *remembered) { looks, p.texts, p.best = known.looks, known.texts, known.best })
	found, err := r.pods.ByIndex(byOwner, string(set.UID))
	if err != nil {
		return nil, fmt.Errorf("listing pods of InPlaceSet %s/%s: %w", set.Namespace, set.Name, err)
	}
	cached := make([]*corev1.Pod, 0, len(found))
	for _, object := range found {
		if pod, ok := object.(*corev1.Pod); ok {
			cached = append(cached, pod)
		}
	}
	selector := selectorOf(set)
	p.pods, p.looked = make([]*corev1.Pod, 0, len(cached)), make([]*seenPod, 0, len(cached))
	for _, pod := range r.writtenPods.Over(string(set.UID), cached) {
		switch seen := looks.at(pod, set, selector); {
		case seen.leaving:
			p.leaving = append(p.leaving, pod)
		case seen.ours:
			p.pods, p.looked = append(p.pods, pod), append(p.looked, seen)
		default:
			p.strayed = append(p.strayed, pod)
		}
	}
	if err := r.revise(ctx, p); err != nil {
		return nil, err
	}
	r.memory.of(keyOf(set), func(known *remembered) {
		maps.DeleteFunc(known.unfit, func(uid types.UID, _ refusal) bool {
			return !slices.ContainsFunc(p.pods, func(pod *corev1.Pod) bool { return pod.UID == uid && pod.Labels[v1alpha1.LabelRevision] == p.update })
		})
		p.refused = maps.Clone(known.unfit)
	})
	looks.forgetAllBut(p.pods)
	p.texts.forgetAllBut(p.history.Revisions)
	return p, nil
}

// ask the API server about pods whose writes got no answer, or which the informer does not catch up with.
func (r *reconciler) ask(ctx context.Context, set *v1alpha1.InPlaceSet) error {
	for _, name := range r.writtenPods.Doubtful(string(set.UID)) {
		pod, err := r.kube.CoreV1().Pods(set.Namespace).Get(ctx, name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			r.writtenPods.Settle(string(set.UID), name, nil)
		case err != nil:
			return fmt.Errorf("reading pod %s/%s, whose last write is in doubt: %w", set.Namespace, name, err)
		case ownerUID(pod) != string(set.UID):
			r.writtenPods.Settle(string(set.UID), name, nil)
		default:
			r.writtenPods.Settle(string(set.UID), name, &pod)
		}
	}
	return nil
}

// isOurs: the controller reference, the label that our informer selects by, and the set's own selector. Anything less is left alone.
func isOurs(pod *corev1.Pod, set *v1alpha1.InPlaceSet, selector labels.Selector) bool {
	owner := ownerOf(pod)
	return owner != nil && owner.UID == set.UID && pod.Labels[v1alpha1.LabelInPlaceSet] == set.Name && selector.Matches(labels.Set(pod.Labels))
}

// selectorOf returns a selector that matches nothing where the set's cannot be read; problemsOf says so to the user.
func selectorOf(set *v1alpha1.InPlaceSet) labels.Selector {
	selector, err := metav1.LabelSelectorAsSelector(set.Spec.Selector)
	if err != nil {
		return labels.Nothing()
	}
	return selector
}

// problemsOf a spec that the schema cannot see.
func problemsOf(set *v1alpha1.InPlaceSet) []string {
	var out []string
	template := &set.Spec.Template
	if selector, err := metav1.LabelSelectorAsSelector(set.Spec.Selector); err != nil {
		out = append(out, fmt.Sprintf("spec.selector: %v", err))
	} else if selector.Empty() {
		out = append(out, "spec.selector: is empty and would match every pod; name a label of the template")
	} else if !selector.Matches(labels.Set(template.Labels)) {
		out = append(out, "spec.template.metadata.labels: do not match spec.selector")
	}
	if policy := template.Spec.RestartPolicy; policy != "" && policy != corev1.RestartPolicyAlways {
		out = append(out, fmt.Sprintf("spec.template.spec.restartPolicy: is %s; pods of an InPlaceSet run for ever, so it must be Always", policy))
	}
	if template.Spec.ActiveDeadlineSeconds != nil {
		out = append(out, "spec.template.spec.activeDeadlineSeconds: pods of an InPlaceSet run for ever; take it out")
	}
	if len(template.Spec.Containers) == 0 {
		out = append(out, "spec.template.spec.containers: there is none")
	}
	if key := set.Spec.UpdateStrategy.Scatter; key != "" && len(validation.IsQualifiedName(key)) > 0 {
		out = append(out, fmt.Sprintf("spec.updateStrategy.scatter: %q is no key of a label", key))
	}
	_, unread := rankingOf(set)
	out = append(out, unread...)
	if len(set.Name) > maxNameLength {
		out = append(out, fmt.Sprintf("metadata.name: has %d characters; pods are named after it, so it must have at most %d", len(set.Name), maxNameLength))
	}
	return out
}

// outOfOrder are the names in containerOrder that the template does not have. They stand for nothing: a template that goes back to an older one must not be held
// up by the order that was written for the newer.
func outOfOrder(set *v1alpha1.InPlaceSet) []string {
	var out []string
	for _, name := range set.Spec.UpdateStrategy.ContainerOrder {
		if !changesInPlace(&set.Spec.Template.Spec, name) {
			out = append(out, name)
		}
	}
	return out
}

// changesInPlace says whether a template has a container, or native sidecar, of this name.
func changesInPlace(spec *corev1.PodSpec, name string) bool {
	return slices.ContainsFunc(spec.Containers, func(c corev1.Container) bool { return c.Name == name }) ||
		slices.ContainsFunc(spec.InitContainers, func(c corev1.Container) bool {
			return c.Name == name && c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
		})
}

// change of pods on one revision to the update revision.
type change struct {
	inplace.Change
	// rebuild: it does not fit, is not wanted in place, or the revision's template is lost.
	rebuild bool
}

// decide fills in the plan.
func (p *pass) decide() error {
	strategy := p.set.Spec.UpdateStrategy
	ranking, _ := rankingOf(p.set) // what cannot be read is among the problems.
	p.state = plan.InPlaceSetState{
		Replicas: replicasOf(p.set), Partition: strategy.Partition, MaxUnavailable: strategy.MaxUnavailable, MaxSurge: strategy.MaxSurge, Paused: strategy.Paused,
		ScaleUnavailable: p.set.Spec.ScaleStrategy.MaxUnavailable, Established: p.established, Spread: strategy.Scatter != "",
		Current: p.current, Update: p.update, Budgets: p.budgets, Left: p.left,
	}
	p.compare(strategy.Type)
	p.state.Refused = len(p.misfits) > 0 && strategy.Type == v1alpha1.InPlaceOnly
	p.state.Pods = make([]plan.InPlacePod, 0, len(p.pods))
	for _, look := range p.seen() {
		pod, revision := look.pod, look.revision
		left, comes := look.AvailableIn(p.set.Spec.MinReadySeconds, p.now)
		if comes {
			p.wakeAfter(left)
		}
		rebuild := p.changes[revision].rebuild
		if why, unfit := p.unfit(pod, look); unfit {
			// It carries the update revision, and can never get there where it is.
			p.unfits[pod.Name] = why
			if strategy.Type != v1alpha1.InPlaceOnly {
				revision, rebuild = "", true
			}
		}
		seen := plan.InPlacePod{
			Name: pod.Name, Revision: revision, Created: pod.CreationTimestamp.Time,
			Available: comes && left <= 0, Ready: look.Ready,
			Changing: look.Changing, Closed: look.ClosedFor == inplace.GateChanging, Leaving: look.ClosedFor == inplace.GateLeaving,
			Ended:   look.ended,
			Rebuild: rebuild,
		}
		if p.takenByOthers != nil && p.takenByOthers(pod.UID) {
			seen.Available = false
		}
		ranking.describe(pod, &seen)
		if left, waits := look.waitsForNode(p.now); waits && left > 0 {
			p.forNode++
			p.wakeAfter(left)
		} else if waits {
			seen.Ended = true
		}
		p.state.Pods = append(p.state.Pods, seen)
	}
	if len(p.problems) > 0 {
		return nil // an empty plan: what was begun is brought to its end, and nothing else moves.
	}
	var err error
	if p.plan, err = plan.InPlaceSet(p.state); err != nil {
		p.problems = append(p.problems, "spec.updateStrategy: "+err.Error())
	}
	return nil
}

// unfit says whether a pod's node or the API server refused what the update revision wants of it.
func (p *pass) unfit(pod *corev1.Pod, look *seenPod) (why string, unfit bool) {
	if look.revision != p.update {
		return "", false
	}
	if refused, ok := p.refused[pod.UID]; ok {
		return refused.why, true
	}
	return look.Infeasible, look.Infeasible != ""
}

// compare each revision that pods are on, and the current one, with the update revision. Misfits are those of pods that live, and of the current revision where
// the partition wants pods of it: what no pod runs need not fit.
func (p *pass) compare(how v1alpha1.UpdateType) {
	p.changes = map[string]change{}
	to := p.template(p.update)
	misfits := map[string]bool{}
	live := p.live()
	for revision := range p.used() {
		if _, known := p.changes[revision]; known || revision == p.update || to == nil {
			continue
		}
		from := p.template(revision)
		if from == nil {
			p.changes[revision] = change{rebuild: true}
			if live[revision] {
				misfits[fmt.Sprintf("spec.template (revision %q is not in the history)", revision)] = true
			}
			continue
		}
		c := p.texts.compare(from, to)
		p.changes[revision] = change{Change: c, rebuild: how == v1alpha1.ReCreate || !c.Fits()}
		if !live[revision] {
			continue
		}
		for _, path := range c.Misfits {
			misfits[path] = true
		}
	}
	for path := range misfits {
		p.misfits = append(p.misfits, path)
	}
	slices.Sort(p.misfits)
}

// live are the revisions of pods that have not ended, and the current one where the partition makes or keeps pods of it.
func (p *pass) live() map[string]bool {
	live := map[string]bool{}
	last := "" // pods of one revision are many.
	for _, seen := range p.seen() {
		if !seen.ended && (seen.revision != last || last == "") {
			last = seen.revision
			live[last] = true
		}
	}
	if stay, err := plan.Partition(p.set.Spec.UpdateStrategy.Partition, replicasOf(p.set)); err == nil && stay > 0 {
		live[p.current] = true
	}
	return live
}

func replicasOf(set *v1alpha1.InPlaceSet) int32 {
	if set.Spec.Replicas == nil {
		return 1
	}
	return *set.Spec.Replicas
}
