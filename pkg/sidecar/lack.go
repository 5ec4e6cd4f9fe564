package sidecar

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

// View is what is asked of a pod to tell which sets' sidecars it lacks. Its record is read once for all sets.
type View struct {
	metav1.Object
	parts map[string]Part
	whys  map[string]string
	ended bool
}

// ViewOf a pod: whole, or only its metadata where it is known that nobody put anything into it and that it has not ended.
func ViewOf(pod metav1.Object) View {
	v := View{Object: pod}
	whole, ok := pod.(*corev1.Pod)
	if !ok {
		return v
	}
	v.ended, v.parts, v.whys = Ended(whole), PartsOf(whole), map[string]string{}
	if record, err := RecordOf(whole); err == nil {
		for _, part := range record.Sets {
			v.whys[part.Set] = part.Skipped
		}
	}
	return v
}

// Ended says whether a pod is over: it serves nobody any more, with sidecars or without.
func Ended(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodSucceeded
}

// Lack is that a pod is without the sidecars of a set that means it.
type Lack struct {
	Created metav1.Time
	// Why the webhook left the set out; empty where it did not see the pod, or did not know then that the set means it.
	Why string
}

// Lacks says whether the pod is without the sidecars of a set, of which m is the matcher, in a namespace with these labels.
func (v *View) Lacks(set string, m *Matcher, namespace map[string]string) (Lack, bool) {
	_, injected := v.parts[set]
	if injected || v.ended || v.GetDeletionTimestamp() != nil || !m.Pod(v) || !m.Namespace(v.GetNamespace(), namespace) {
		return Lack{}, false
	}
	return Lack{Created: v.GetCreationTimestamp(), Why: v.whys[set]}, true
}

// Missed says whether the pod should have got the sidecars when it was created. since is when what the set matches was last changed: older pods had no chance. Creation
// times are whole seconds, so a pod of that very second counts as older.
func (l Lack) Missed(set *v1alpha1.SidecarSet, since *metav1.Time) bool {
	return since != nil && !set.Spec.InjectionStrategy.Paused && l.Created.After(since.Time)
}

// MatchingOf is a hash of all by which it is decided whether a new pod gets the sidecars; status.matching has the one that status.matchingSince is about.
func MatchingOf(set *v1alpha1.SidecarSet) string {
	text, err := json.Marshal([]any{set.Spec.Selector, set.Spec.All, set.Spec.NamespaceSelector, set.Spec.InjectionStrategy.Paused})
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%x", sha256.Sum256(text))[:16]
}
