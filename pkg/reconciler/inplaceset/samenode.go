package inplaceset

import (
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/inplace"
)

// A pod that takes the place of a rebuilt one asks for its node by a required affinity: a preference would be weighed against others and often lost while
// the old pod still holds its room. What it asks for and until when is in an annotation. A pod that found no room by then was never scheduled, so it is
// deleted without loss, and another is made that asks for nothing.

const defaultSameNode = 30 * time.Second

func sameNodeOf(set *v1alpha1.InPlaceSet) time.Duration {
	if s := set.Spec.UpdateStrategy.SameNodeSeconds; s != nil {
		return time.Duration(*s) * time.Second
	}
	return defaultSameNode
}

// freedNodes are the nodes of pods that the set rebuilds and that are being deleted, one for each that has no replacement yet. Pods of a scale-down, and
// those that somebody wants gone, have none: scaledDown tells the first, as long as the process that took them lives. A pod that was deleted longer ago than
// sameNodeSeconds and is still there (its node is dead) asks for nothing: its replacement has stopped to ask, and would not be told from one that is to be made.
func (p *pass) freedNodes(scaledDown map[types.UID]bool) []string {
	if sameNodeOf(p.set) == 0 || len(p.leaving) == 0 || len(p.plan.Create) == 0 {
		return nil
	}
	unwanted := map[string]bool{}
	for _, name := range p.set.Spec.ScaleStrategy.PodsToDelete {
		unwanted[name] = true
	}
	pins := p.pins()
	var nodes []string
	for _, pod := range p.leaving {
		if pod.Spec.NodeName == "" || inplace.ClosedFor(pod) != inplace.GateLeaving || pod.Labels[v1alpha1.LabelRevision] == p.update ||
			unwanted[pod.Name] || scaledDown[pod.UID] {
			continue
		}
		deleted := pod.DeletionTimestamp.Time
		if s := pod.DeletionGracePeriodSeconds; s != nil {
			deleted = deleted.Add(-time.Duration(*s) * time.Second)
		}
		if p.now.Sub(deleted) > sameNodeOf(p.set) {
			continue
		}
		made := pins[pod.Spec.NodeName]
		i := slices.IndexFunc(made, func(at time.Time) bool { return !at.Before(deleted.Truncate(time.Second)) })
		if i < 0 {
			nodes = append(nodes, pod.Spec.NodeName)
			continue
		}
		pins[pod.Spec.NodeName] = slices.Delete(made, i, i+1) // its replacement is there.
	}
	return nodes
}

// pins are when pods were made that asked for a node, by that node.
func (p *pass) pins() map[string][]time.Time {
	out := map[string][]time.Time{}
	for _, pods := range [][]*corev1.Pod{p.pods, p.leaving} {
		for _, pod := range pods {
			if node, _, ok := pinned(pod); ok {
				out[node] = append(out[node], pod.CreationTimestamp.Time)
			}
		}
	}
	return out
}

// pin a pod that is to be created to a node, until then.
func pin(pod *corev1.Pod, node string, until time.Time) {
	metav1.SetMetaDataAnnotation(&pod.ObjectMeta, v1alpha1.AnnotationSameNode, node+" "+until.UTC().Format(time.RFC3339))
	only := corev1.NodeSelectorRequirement{Key: metav1.ObjectNameField, Operator: corev1.NodeSelectorOpIn, Values: []string{node}}
	if pod.Spec.Affinity == nil {
		pod.Spec.Affinity = &corev1.Affinity{}
	}
	if pod.Spec.Affinity.NodeAffinity == nil {
		pod.Spec.Affinity.NodeAffinity = &corev1.NodeAffinity{}
	}
	affinity := pod.Spec.Affinity.NodeAffinity
	if affinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		affinity.RequiredDuringSchedulingIgnoredDuringExecution = &corev1.NodeSelector{
			NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchFields: []corev1.NodeSelectorRequirement{only}}},
		}
		return
	}
	terms := affinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
	for i := range terms {
		if len(terms[i].MatchExpressions)+len(terms[i].MatchFields) > 0 { // an empty term matches no node, and must not begin to.
			terms[i].MatchFields = append(terms[i].MatchFields, only)
		}
	}
}

// pinned returns the node that a pod asks for in the place of another, and until when.
func pinned(pod *corev1.Pod) (node string, until time.Time, ok bool) {
	node, text, ok := strings.Cut(pod.Annotations[v1alpha1.AnnotationSameNode], " ")
	if !ok {
		return "", time.Time{}, false
	}
	until, err := time.Parse(time.RFC3339, text)
	return node, until, err == nil
}

// roomUntil is until when a pod waits for room on the node that it asks for; zero if it does not.
func roomUntil(pod *corev1.Pod) time.Time {
	if pod.Spec.NodeName != "" || pod.Status.Phase != corev1.PodPending && pod.Status.Phase != "" {
		return time.Time{}
	}
	_, until, ok := pinned(pod)
	if !ok {
		return time.Time{}
	}
	for i := range pod.Status.Conditions {
		if c := &pod.Status.Conditions[i]; c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable {
			return until
		}
	}
	return time.Time{}
}

// waitsForNode says whether a pod waits for room on the node that it asks for, and for how much longer; not above 0 once its time is up.
func (s *seenPod) waitsForNode(now time.Time) (left time.Duration, waits bool) {
	if s.roomUntil.IsZero() {
		return 0, false
	}
	return s.roomUntil.Sub(now), true
}

// rememberScaledDown keeps which pods were taken for being too many, as long as they are seen, and returns them.
func (r *reconciler) rememberScaledDown(p *pass) (all map[types.UID]bool) {
	r.memory.of(keyOf(p.set), func(known *remembered) {
		if len(known.scaledDown) == 0 && len(p.plan.ScaleDown) == 0 {
			return
		}
		all = map[types.UID]bool{}
		for _, pod := range p.leaving {
			if known.scaledDown[pod.UID] {
				all[pod.UID] = true
			}
		}
		tooMany := make(map[string]bool, len(p.plan.ScaleDown))
		for _, name := range p.plan.ScaleDown {
			tooMany[name] = true
		}
		for _, pod := range p.pods {
			if tooMany[pod.Name] {
				all[pod.UID] = true
			}
		}
		known.scaledDown = all
	})
	return all
}
