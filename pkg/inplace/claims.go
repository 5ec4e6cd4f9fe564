package inplace

import (
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

// Claims on a pod are what must be let go of before it is changed or deleted, by name: the finalizers of load balancers, and what a hook of the set's holds pods
// by, a finalizer or a label as key=value. Sorted.
func Claims(pod *corev1.Pod, hook *v1alpha1.LifecycleHook) []string {
	var out []string
	for _, f := range pod.Finalizers {
		if IsBalancer(f) || hook != nil && slices.Contains(hook.Finalizers, f) {
			out = append(out, f)
		}
	}
	if hook != nil {
		for k, v := range hook.Labels {
			if claim := k + "=" + v; onPod(pod, claim) {
				out = append(out, claim)
			}
		}
	}
	slices.Sort(out)
	return out
}

// IsBalancer says whether a claim is a load balancer's; else it is a hook's.
func IsBalancer(claim string) bool { return strings.HasPrefix(claim, v1alpha1.BalancerPrefix) }

// Missing are the claims that were on a pod when its gate was last closed, and that are not back: it gets no traffic from them.
func Missing(pod *corev1.Pod) []string {
	text := pod.Annotations[v1alpha1.AnnotationClaims]
	if text == "" {
		return nil
	}
	var out []string
	for claim := range strings.SplitSeq(text, ",") {
		if !onPod(pod, claim) {
			out = append(out, claim)
		}
	}
	return out
}

func onPod(pod *corev1.Pod, claim string) bool {
	if key, value, isLabel := strings.Cut(claim, "="); isLabel {
		have, ok := pod.Labels[key]
		return ok && have == value
	}
	return slices.Contains(pod.Finalizers, claim)
}

// claimsToRecord when a pod's gate is closed: those on it, and those that have not come back since the last time. They are written with the gate and not with the
// change: by then they have let go, and a controller that was killed meanwhile would not know of them.
func claimsToRecord(pod *corev1.Pod, hook *v1alpha1.LifecycleHook) string {
	out := append(Claims(pod, hook), Missing(pod)...)
	slices.Sort(out)
	return strings.Join(slices.Compact(out), ",")
}

// Held says whether somebody claims the pod who has not let go of it, and still has the time to.
func (in *Input) Held() bool { return in.held().Wait != NoWait }

// held is the wait for those who claim the pod; NoWait where nobody does, or where their time is up and the set goes on.
func (in *Input) held() Step {
	since := condition(in.Pod, v1alpha1.ReadinessGateInService).LastTransitionTime.Time
	if since.IsZero() {
		since = in.Pod.CreationTimestamp.Time // it never served.
	}
	return in.waitFor(Claims(in.Pod, in.hook()), since, WaitBalancer)
}

// missing is the wait for those who are to take the pod back.
func (in *Input) missing() Step {
	claims := slices.DeleteFunc(Missing(in.Pod), func(claim string) bool { return !IsBalancer(claim) && !in.names(claim) })
	return in.waitFor(claims, condition(in.Pod, corev1.PodReady).LastTransitionTime.Time, WaitReturn)
}

func (in *Input) waitFor(claims []string, since time.Time, wait Wait) Step {
	if len(claims) == 0 {
		return Step{}
	}
	s := Step{Wait: wait, Claims: claims, Since: since}
	if wait == WaitBalancer && !slices.ContainsFunc(claims, IsBalancer) {
		s.Wait = WaitHook
	}
	if left := since.Add(in.DrainTimeout).Sub(in.Now); left > 0 {
		s.After = left
		return s
	}
	if in.OnDrainTimeout == v1alpha1.DrainGoOn {
		return Step{}
	}
	s.TimedOut = true
	return s
}

// names says whether a hook of the set's holds pods by a claim.
func (in *Input) names(claim string) bool {
	for _, hook := range []*v1alpha1.LifecycleHook{in.Lifecycle.InPlaceUpdate, in.Lifecycle.PreDelete} {
		if hook == nil {
			continue
		}
		key, value, isLabel := strings.Cut(claim, "=")
		if wanted, ok := hook.Labels[key]; isLabel && ok && wanted == value || slices.Contains(hook.Finalizers, claim) {
			return true
		}
	}
	return false
}

// hook of the set that is asked.
func (in *Input) hook() *v1alpha1.LifecycleHook {
	if in.Wish == Leave {
		return in.Lifecycle.PreDelete
	}
	return in.Lifecycle.InPlaceUpdate
}
