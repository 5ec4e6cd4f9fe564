package sidecarset

import (
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
)

// byPodAddress indexes EndpointSlices by namespace/address. The informer is shared with other controllers of the binary, so the name is ours.
const byPodAddress = "address-of-a-sidecar's-pod"

// quiet knows since when pods that were taken out of service are quiet. It is lost with the process, and then the wait starts anew (see pkg/inplace).
type quiet struct {
	mu   sync.Mutex
	pods map[types.UID]*silence
}

type silence struct {
	set       string
	addresses []string
	since     time.Time
}

// watch a pod, before it is looked at: what a slice says from now on is not missed.
func (q *quiet) watch(set string, pod *corev1.Pod) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if addresses := addressesOf(pod); q.pods[pod.UID] == nil || !slices.Equal(q.pods[pod.UID].addresses, addresses) {
		q.pods[pod.UID] = &silence{set: set, addresses: addresses}
	}
}

// looked says what was seen of a watched pod, and returns since when it is quiet; zero if it is not.
func (q *quiet) looked(pod types.UID, isQuiet bool, now time.Time) time.Time {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.pods[pod]
	switch {
	case s == nil:
		return time.Time{}
	case !isQuiet:
		s.since = time.Time{}
	case s.since.IsZero():
		s.since = now
	}
	return s.since
}

func (q *quiet) forget(pod types.UID) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.pods, pod)
}

// sliceChanged starts the wait anew for pods that a slice lists as ready, and returns the sets of all watched pods whose addresses it has or had.
func (q *quiet) sliceChanged(slice *discoveryv1.EndpointSlice) []string {
	q.mu.Lock()
	defer q.mu.Unlock()
	var sets []string
	for uid, s := range q.pods {
		for i := range slice.Endpoints {
			e := &slice.Endpoints[i]
			if !slices.ContainsFunc(e.Addresses, func(a string) bool { return slices.Contains(s.addresses, slice.Namespace+"/"+a) }) {
				continue
			}
			if serves(e, uid) {
				s.since = time.Time{}
			}
			sets = append(sets, s.set)
		}
	}
	return sets
}

// listed says whether an EndpointSlice lists a pod as ready.
func (r *reconciler) listed(pod *corev1.Pod) bool {
	for _, address := range addressesOf(pod) {
		found, err := r.slices.ByIndex(byPodAddress, address)
		if err != nil {
			return true // nothing is known, so nothing may move.
		}
		for _, object := range found {
			slice, ok := object.(*discoveryv1.EndpointSlice)
			if !ok {
				continue
			}
			for i := range slice.Endpoints {
				e := &slice.Endpoints[i]
				if slices.ContainsFunc(e.Addresses, func(a string) bool { return slice.Namespace+"/"+a == address }) && serves(e, pod.UID) {
					return true
				}
			}
		}
	}
	return false
}

// serves says whether an endpoint lists a pod as ready because it is. A Service with publishNotReadyAddresses lists pods as ready whatever they are, and tells the truth
// in serving alone: no gate takes a pod out of it, so there is nothing to wait for.
func serves(e *discoveryv1.Endpoint, pod types.UID) bool {
	mine := e.TargetRef == nil || e.TargetRef.UID == "" || e.TargetRef.UID == pod
	return mine && isTrueOrUnset(e.Conditions.Ready) && isTrueOrUnset(e.Conditions.Serving)
}

func isTrueOrUnset(b *bool) bool { return b == nil || *b }

func addressesOf(pod *corev1.Pod) []string {
	out := make([]string, 0, len(pod.Status.PodIPs))
	for _, ip := range pod.Status.PodIPs {
		out = append(out, pod.Namespace+"/"+ip.IP)
	}
	if len(out) == 0 && pod.Status.PodIP != "" {
		out = append(out, pod.Namespace+"/"+pod.Status.PodIP)
	}
	return out
}

func indexByPodAddress(object any) ([]string, error) {
	slice, ok := object.(*discoveryv1.EndpointSlice)
	if !ok {
		return nil, fmt.Errorf("indexing %T as an EndpointSlice", object)
	}
	var out []string
	for _, e := range slice.Endpoints {
		for _, address := range e.Addresses {
			out = append(out, slice.Namespace+"/"+address)
		}
	}
	return out, nil
}

var _ cache.IndexFunc = indexByPodAddress
