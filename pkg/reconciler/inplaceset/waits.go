package inplaceset

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

const (
	// forLetGo and forTakeBack are what pods wait for those who claim them to do.
	forLetGo    = "LetGo"
	forTakeBack = "TakeBack"
	// maxWaitingFor is how many claims status lists: those that are waited for longest.
	maxWaitingFor = 32
)

// waits are what the pods of a pass wait for.
type waits struct {
	pods   map[inplace.Wait]int
	claims map[string]*v1alpha1.InPlaceSetWaitingFor
	// late are the claims whose time is up.
	late map[string]bool
	// holders of the changes that pods wait for.
	holders map[string]bool
}

func newWaits() waits {
	return waits{pods: map[inplace.Wait]int{}, claims: map[string]*v1alpha1.InPlaceSetWaitingFor{}, late: map[string]bool{}, holders: map[string]bool{}}
}

func (w *waits) add(pod *corev1.Pod, step inplace.Step) {
	w.pods[step.Wait]++
	if step.Holder != "" {
		w.holders[step.Holder] = true
	}
	what := forLetGo
	if step.Wait == inplace.WaitReturn {
		what = forTakeBack
	}
	for _, claim := range step.Claims {
		known := w.claims[claim]
		if known == nil {
			known = &v1alpha1.InPlaceSetWaitingFor{Name: claim}
			w.claims[claim] = known
		}
		known.Pods++
		if since := metav1.NewTime(step.Since.Truncate(time.Second)); known.Pod == "" || since.Before(&known.Since) || since.Equal(&known.Since) && pod.Name < known.Pod {
			known.Pod, known.Since, known.For = pod.Name, since, what
		}
		w.late[claim] = w.late[claim] || step.TimedOut
	}
}

// waitingFor is what status says of claims, by name.
func (w *waits) waitingFor() []v1alpha1.InPlaceSetWaitingFor {
	var out []v1alpha1.InPlaceSetWaitingFor
	for _, of := range w.claims {
		out = append(out, *of)
	}
	if len(out) > maxWaitingFor {
		slices.SortFunc(out, func(a, b v1alpha1.InPlaceSetWaitingFor) int {
			return cmp.Or(a.Since.Compare(b.Since.Time), cmp.Compare(a.Name, b.Name))
		})
		out = out[:maxWaitingFor]
	}
	slices.SortFunc(out, func(a, b v1alpha1.InPlaceSetWaitingFor) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// timedOut says who did not answer in time; empty where all did.
func (w *waits) timedOut() string {
	var parts []string
	for _, claim := range slices.Sorted(maps.Keys(w.claims)) {
		if w.late[claim] {
			parts = append(parts, claimWords(w.claims[claim]))
		}
	}
	return strings.Join(parts, "; ")
}

// claimWords say who is waited for, by which pods, and since when.
func claimWords(of *v1alpha1.InPlaceSetWaitingFor) string {
	kind, does := "hook", "let go of"
	if inplace.IsBalancer(of.Name) {
		kind = "load balancer"
	}
	if of.For == forTakeBack {
		does = "taken back"
	}
	return fmt.Sprintf("%s %s has not %s %s since %s (%d pods wait)", kind, of.Name, does, of.Pod, of.Since.UTC().Format("15:04:05 UTC"), of.Pods)
}
