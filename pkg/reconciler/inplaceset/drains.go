package inplaceset

import (
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
)

// byAddress indexes EndpointSlices by namespace/address.
const byAddress = "address"

// drains knows the pods that were taken out of service for a change, and since when each is quiet. It is lost with the process, and then the wait
// starts anew (see pkg/inplace). It also says which sets wait for an EndpointSlice, so that no other set is woken by one.
type drains struct {
	mu     sync.Mutex
	byPod  map[types.UID]*drain
	byAddr map[string]map[types.UID]*drain
}

type drain struct {
	uid       types.UID
	set       types.NamespacedName
	addresses []string
	// since is zero while the pod is not quiet.
	since time.Time
}

func newDrains() *drains {
	return &drains{byPod: map[types.UID]*drain{}, byAddr: map[string]map[types.UID]*drain{}}
}

// watch a pod, before it is looked at: what a slice says from now on is not missed.
func (d *drains) watch(set types.NamespacedName, pod *corev1.Pod) {
	d.mu.Lock()
	defer d.mu.Unlock()
	addresses := addressesOf(pod)
	if known := d.byPod[pod.UID]; known != nil {
		if slices.Equal(known.addresses, addresses) {
			return
		}
		d.drop(known)
	}
	w := &drain{uid: pod.UID, set: set, addresses: addresses}
	d.byPod[pod.UID] = w
	for _, address := range addresses {
		if d.byAddr[address] == nil {
			d.byAddr[address] = map[types.UID]*drain{}
		}
		d.byAddr[address][pod.UID] = w
	}
}

// looked says what was seen of a watched pod, and returns since when it is quiet; zero if it is not.
func (d *drains) looked(pod types.UID, quiet bool, now time.Time) time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	w := d.byPod[pod]
	switch {
	case w == nil:
		return time.Time{}
	case !quiet:
		w.since = time.Time{}
	case w.since.IsZero():
		w.since = now
	}
	return w.since
}

func (d *drains) forget(pod types.UID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if w := d.byPod[pod]; w != nil {
		d.drop(w)
	}
}

func (d *drains) drop(w *drain) {
	delete(d.byPod, w.uid)
	for _, address := range w.addresses {
		delete(d.byAddr[address], w.uid)
		if len(d.byAddr[address]) == 0 {
			delete(d.byAddr, address)
		}
	}
}

// sliceChanged starts the wait anew for watched pods that the slice now lists, and returns the sets of those that it no longer lists. Either may be nil.
func (d *drains) sliceChanged(before, now *discoveryv1.EndpointSlice) []types.NamespacedName {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.byPod) == 0 {
		return nil
	}
	still := map[*drain]bool{}
	d.each(now, func(w *drain) {
		w.since = time.Time{}
		still[w] = true
	})
	woken := map[types.NamespacedName]bool{}
	var sets []types.NamespacedName
	d.each(before, func(w *drain) {
		if !still[w] && !woken[w.set] {
			woken[w.set] = true
			sets = append(sets, w.set)
		}
	})
	return sets
}

func (d *drains) each(slice *discoveryv1.EndpointSlice, do func(*drain)) {
	if slice == nil {
		return
	}
	for i := range slice.Endpoints {
		e := &slice.Endpoints[i]
		for _, address := range e.Addresses {
			for uid, w := range d.byAddr[slice.Namespace+"/"+address] {
				if serves(e, uid) {
					do(w)
				}
			}
		}
	}
}

// listing says what EndpointSlices have of a pod: whether one lists it as ready, and which Service publishes it whether it is ready or not, if any.
func (r *reconciler) listing(pod *corev1.Pod) (listed bool, publisher string) {
	for _, address := range addressesOf(pod) {
		found, err := r.slices.ByIndex(byAddress, address)
		if err != nil {
			return true, "" // the index is missing: nothing is known, so nothing may move.
		}
		for _, object := range found {
			slice, ok := object.(*discoveryv1.EndpointSlice)
			if !ok {
				continue
			}
			for i := range slice.Endpoints {
				e := &slice.Endpoints[i]
				if !has(e, slice.Namespace, address) {
					continue
				}
				if serves(e, pod.UID) {
					listed = true
				} else if isOf(e, pod.UID) {
					publisher = slice.Labels[discoveryv1.LabelServiceName]
				}
			}
		}
	}
	return listed, publisher
}

func has(e *discoveryv1.Endpoint, namespace, address string) bool {
	for _, a := range e.Addresses {
		if namespace+"/"+a == address {
			return true
		}
	}
	return false
}

// serves says whether an endpoint lists a pod as ready because it is. A Service with publishNotReadyAddresses lists pods as ready whatever they are, and
// tells the truth in serving alone (podToEndpoint in k8s.io/endpointslice): no gate takes a pod out of it, so there is nothing to wait for.
func serves(e *discoveryv1.Endpoint, pod types.UID) bool {
	return isOf(e, pod) && isTrueOrUnset(e.Conditions.Ready) && isTrueOrUnset(e.Conditions.Serving)
}

// isOf says whether an endpoint is a pod's. Pods on the host's network share an address; where the endpoint does not name its pod, the address
// decides.
func isOf(e *discoveryv1.Endpoint, pod types.UID) bool {
	return e.TargetRef == nil || e.TargetRef.UID == "" || e.TargetRef.UID == pod
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

// onlyAddresses keeps of an EndpointSlice what is asked of it, the addresses that are listed as ready: a cluster has thousands of slices.
func onlyAddresses(object any) (any, error) {
	slice, ok := object.(*discoveryv1.EndpointSlice)
	if !ok {
		return object, nil
	}
	kept := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{
		Name: slice.Name, Namespace: slice.Namespace, UID: slice.UID, ResourceVersion: slice.ResourceVersion,
		Labels: map[string]string{discoveryv1.LabelServiceName: slice.Labels[discoveryv1.LabelServiceName]},
	}}
	for _, e := range slice.Endpoints {
		if !isTrueOrUnset(e.Conditions.Ready) {
			continue
		}
		k := discoveryv1.Endpoint{Addresses: e.Addresses}
		k.Conditions.Serving = e.Conditions.Serving
		if e.TargetRef != nil {
			k.TargetRef = &corev1.ObjectReference{UID: e.TargetRef.UID}
		}
		kept.Endpoints = append(kept.Endpoints, k)
	}
	return kept, nil
}

var _ cache.TransformFunc = onlyAddresses

func indexByAddress(object any) ([]string, error) {
	slice, ok := object.(*discoveryv1.EndpointSlice)
	if !ok {
		return nil, nil
	}
	var out []string
	for _, e := range slice.Endpoints {
		for _, address := range e.Addresses {
			out = append(out, slice.Namespace+"/"+address)
		}
	}
	return out, nil
}
