package inplaceset

import (
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/periplus-dev/periplus/pkg/inplace"
)

// ledger has the pods whose gates this process is closing, from the decision until the informer shows the gate closed, so that of sets that are under the
// same disruption budget no two take its last place. It also knows which sets wait for which budget, so that no other set is woken by one. All of it may
// be lost with the process: a new one has no writes under way.
type ledger struct {
	mu      sync.Mutex
	closing map[types.UID]types.NamespacedName
	// waiting are the budgets that each set waits for.
	waiting map[types.NamespacedName]map[string]bool
}

func newLedger() *ledger {
	return &ledger{closing: map[types.UID]types.NamespacedName{}, waiting: map[types.NamespacedName]map[string]bool{}}
}

// decide gives do what is closing, and notes what do takes in addition and which budgets the set waits for then. No other set decides meanwhile.
func (l *ledger) decide(set types.NamespacedName, do func(closing func(types.UID) bool) (taken []types.UID, waits map[string]int32)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	taken, waits := do(func(uid types.UID) bool { _, known := l.closing[uid]; return known })
	for _, uid := range taken {
		l.closing[uid] = set
	}
	if len(waits) == 0 {
		delete(l.waiting, set)
		return
	}
	l.waiting[set] = make(map[string]bool, len(waits))
	for name := range waits {
		l.waiting[set][name] = true
	}
}

// has says whether gates of a set's pods are being closed.
func (l *ledger) has(set types.NamespacedName) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, of := range l.closing {
		if of == set {
			return true
		}
	}
	return false
}

// keep only those pods of a set whose gates are being closed still, and return the sets that may go on for it.
func (l *ledger) keep(set types.NamespacedName, still func(types.UID) bool) []types.NamespacedName {
	l.mu.Lock()
	defer l.mu.Unlock()
	freed := false
	for uid, of := range l.closing {
		if of == set && !still(uid) {
			delete(l.closing, uid)
			freed = true
		}
	}
	if !freed {
		return nil
	}
	return l.waitingIn(set.Namespace, set)
}

// forget a set that is gone.
func (l *ledger) forget(set types.NamespacedName) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.waiting, set)
}

// podChanged takes what the informer says of a pod, and returns the sets that may go on for it.
func (l *ledger) podChanged(before, now *corev1.Pod) []types.NamespacedName {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !healthy(now) {
		delete(l.closing, now.UID)
		return nil
	}
	if len(l.waiting) == 0 || before != nil && healthy(before) {
		return nil
	}
	return l.waitingIn(now.Namespace, types.NamespacedName{})
}

func (l *ledger) podGone(pod *corev1.Pod) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.closing, pod.UID)
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

func (l *ledger) waitingIn(namespace string, except types.NamespacedName) []types.NamespacedName {
	var sets []types.NamespacedName
	for set := range l.waiting {
		if set.Namespace == namespace && set != except {
			sets = append(sets, set)
		}
	}
	return sets
}

// healthy says whether a disruption budget counts on a pod: it is ready, nobody deletes it, and we are not taking it out of service.
func healthy(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp == nil && inplace.Ready(pod) && inplace.ClosedFor(pod) == ""
}
