package sidecarset

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/inplace"
)

// mostClaims is how many load balancers status lists: those that are waited for longest.
const mostClaims = 32

// waits are what the pods of a pass wait for.
type waits struct {
	pods    map[inplace.Wait]int
	holders map[string]int
	claims  map[string]*v1alpha1.InPlaceSetWaitingFor
	late    map[string]bool
}

func newWaits() waits {
	return waits{pods: map[inplace.Wait]int{}, holders: map[string]int{}, claims: map[string]*v1alpha1.InPlaceSetWaitingFor{}, late: map[string]bool{}}
}

func (w *waits) add(pod *corev1.Pod, step inplace.Step) {
	w.pods[step.Wait]++
	if step.Holder != "" {
		w.holders[step.Holder]++
	}
	for _, claim := range step.Claims {
		of := w.claims[claim]
		if of == nil {
			of = &v1alpha1.InPlaceSetWaitingFor{Name: claim}
			w.claims[claim] = of
		}
		of.Pods++
		name := pod.Namespace + "/" + pod.Name
		if since := metav1.NewTime(step.Since.Truncate(time.Second)); of.Pod == "" || since.Before(&of.Since) || since.Equal(&of.Since) && name < of.Pod {
			of.Pod, of.Since, of.For = name, since, "LetGo"
			if step.Wait == inplace.WaitReturn {
				of.For = "TakeBack"
			}
		}
		w.late[claim] = w.late[claim] || step.TimedOut
	}
}

// waitingFor is what status says of load balancers, by name.
func (w *waits) waitingFor() []v1alpha1.InPlaceSetWaitingFor {
	var out []v1alpha1.InPlaceSetWaitingFor
	for _, of := range w.claims {
		out = append(out, *of)
	}
	slices.SortFunc(out, func(a, b v1alpha1.InPlaceSetWaitingFor) int {
		return cmp.Or(a.Since.Compare(b.Since.Time), cmp.Compare(a.Name, b.Name))
	})
	out = out[:min(len(out), mostClaims)]
	slices.SortFunc(out, func(a, b v1alpha1.InPlaceSetWaitingFor) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// words for those who are waited for; with late only of those whose time is up.
func (w *waits) words(late bool) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(w.claims)) {
		of := w.claims[name]
		if late && !w.late[name] {
			continue
		}
		does := "let go of"
		if of.For == "TakeBack" {
			does = "taken back"
		}
		out = append(out, fmt.Sprintf("load balancer %s has not %s %s since %s (%d pods wait)", name, does, of.Pod, of.Since.UTC().Format("15:04:05 UTC"), of.Pods))
	}
	return out
}

// movement says what pods on their way wait for.
func (w *waits) movement() []string {
	var out []string
	for _, of := range []struct {
		wait inplace.Wait
		text string
	}{
		{inplace.WaitUnready, "%d wait for the kubelet to take them out of service"},
		{inplace.WaitEndpointSlices, "%d wait until no EndpointSlice lists them"},
		{inplace.WaitGracePeriod, "%d are in their grace period"},
		{inplace.WaitKubelet, "%d wait for the kubelet to change their sidecars"},
		{inplace.WaitResize, "%d wait for the kubelet to give their sidecars cpu and memory"},
		{inplace.WaitContainers, "%d wait for their containers"},
	} {
		if n := w.pods[of.wait]; n > 0 {
			out = append(out, fmt.Sprintf(of.text, n))
		}
	}
	for _, holder := range slices.Sorted(maps.Keys(w.holders)) {
		out = append(out, fmt.Sprintf("%d wait for the change that %s makes of them", w.holders[holder], holder))
	}
	return append(out, w.words(false)...)
}

func joined(parts []string) string { return strings.Join(parts, "; ") }
