package inplaceset

import (
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/periplus-dev/periplus/pkg/taken"
)

// ledger knows which pods are being taken out of service, by this controller and others of its process, so that of sets that are under the same limit no two take its
// last place; and which sets wait for which disruption budget, so that no other set is woken by one.
type ledger struct {
	*taken.Register

	mu sync.Mutex
	// waiting are the budgets that each set waits for.
	waiting map[types.NamespacedName]map[string]bool
}

func newLedger(register *taken.Register) *ledger {
	if register == nil {
		register = taken.New()
	}
	return &ledger{Register: register, waiting: map[types.NamespacedName]map[string]bool{}}
}

// by names a set of this controller.
func by(set types.NamespacedName) taken.By { return taken.By{Kind: kind.Kind, NamespacedName: set} }

// waits notes which budgets a set waits for.
func (l *ledger) waits(set types.NamespacedName, budgets map[string]int32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(budgets) == 0 {
		delete(l.waiting, set)
		return
	}
	l.waiting[set] = make(map[string]bool, len(budgets))
	for name := range budgets {
		l.waiting[set][name] = true
	}
}

// keep only those pods of a set whose gates are being closed still, and return the sets that may go on for it.
func (l *ledger) keep(set types.NamespacedName, still func(types.UID) bool) []types.NamespacedName {
	if !l.Keep(by(set), still) {
		return nil
	}
	return l.waitingIn(set.Namespace, set)
}

// forget a set that is gone.
func (l *ledger) forget(set types.NamespacedName) { l.waits(set, nil) }

// podChanged takes what the informer says of a pod, and returns the sets that may go on for it.
func (l *ledger) podChanged(before, now *corev1.Pod) []types.NamespacedName {
	l.Seen(now)
	if before != nil && healthy(before) || !l.someWait() || !healthy(now) {
		return nil
	}
	return l.waitingIn(now.Namespace, types.NamespacedName{})
}

// budgetChanged returns the sets that wait for a budget.
func (l *ledger) budgetChanged(budget types.NamespacedName) []types.NamespacedName {
	l.mu.Lock()
	defer l.mu.Unlock()
	var sets []types.NamespacedName
	for set, names := range l.waiting {
		if set.Namespace == budget.Namespace && names[budget.Name] {
			sets = append(sets, set)
		}
	}
	return sets
}

func (l *ledger) someWait() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.waiting) > 0
}

func (l *ledger) waitingIn(namespace string, except types.NamespacedName) []types.NamespacedName {
	l.mu.Lock()
	defer l.mu.Unlock()
	var sets []types.NamespacedName
	for set := range l.waiting {
		if set.Namespace == namespace && set != except {
			sets = append(sets, set)
		}
	}
	return sets
}

// healthy says whether a disruption budget counts on a pod.
func healthy(pod *corev1.Pod) bool { return taken.Healthy(pod) }
