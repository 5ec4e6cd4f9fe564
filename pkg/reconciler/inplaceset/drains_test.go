package inplaceset

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"
)

var noon = time.Date(2025, 3, 1, 12, 0, 0, 0, time.UTC)

func podAt(uid, ip string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "pod-" + uid, UID: types.UID(uid)},
		Status:     corev1.PodStatus{PodIP: ip, PodIPs: []corev1.PodIP{{IP: ip}}},
	}
}

type endpoint struct {
	ip, uid        string
	ready, serving *bool
}

// sliceOf is a slice as the API server has it, through the informer's transform.
func sliceOf(endpoints ...endpoint) *discoveryv1.EndpointSlice {
	slice := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{
		Namespace: "shop", Name: "web-1", Labels: map[string]string{discoveryv1.LabelServiceName: "web", "other": "x"},
	}}
	for _, e := range endpoints {
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{
			Addresses: []string{e.ip}, Conditions: discoveryv1.EndpointConditions{Ready: e.ready, Serving: e.serving},
			TargetRef: &corev1.ObjectReference{Kind: "Pod", Name: "pod", UID: types.UID(e.uid)},
		})
	}
	kept, err := onlyAddresses(slice)
	if err != nil {
		panic(err)
	}
	return kept.(*discoveryv1.EndpointSlice)
}

func TestListing(t *testing.T) {
	yes, no := ptr.To(true), ptr.To(false)
	for _, r := range []struct {
		name      string
		endpoints []endpoint
		listed    bool
		publisher string
	}{
		{name: "a pod in no slice is not listed"},
		{name: "a ready endpoint is listed", endpoints: []endpoint{{"10.0.0.1", "a", yes, yes}}, listed: true},
		{name: "an endpoint that does not say is ready", endpoints: []endpoint{{"10.0.0.1", "a", nil, nil}}, listed: true},
		{name: "an endpoint that is there and not ready is not listed", endpoints: []endpoint{{"10.0.0.1", "a", no, no}}},
		{name: "another pod's address is not ours", endpoints: []endpoint{{"10.0.0.2", "b", yes, yes}}},
		{name: "another pod on the same host address is not ours", endpoints: []endpoint{{"10.0.0.1", "b", yes, yes}}},
		{name: "an endpoint that does not name its pod is told by its address", endpoints: []endpoint{{"10.0.0.1", "", yes, yes}}, listed: true},
		{name: "a Service that publishes what is not ready is named and not waited for", endpoints: []endpoint{{"10.0.0.1", "a", yes, no}}, publisher: "web"},
	} {
		t.Run(r.name, func(t *testing.T) {
			indexer := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{byAddress: indexByAddress})
			if err := indexer.Add(sliceOf(r.endpoints...)); err != nil {
				t.Fatal(err)
			}
			listed, publisher := (&reconciler{slices: indexer}).listing(podAt("a", "10.0.0.1"))
			if listed != r.listed || publisher != r.publisher {
				t.Errorf("listed %t, published by %q; want %t, %q", listed, publisher, r.listed, r.publisher)
			}
		})
	}
}

func TestDrains(t *testing.T) {
	yes := ptr.To(true)
	shop, other := types.NamespacedName{Namespace: "shop", Name: "web"}, types.NamespacedName{Namespace: "shop", Name: "api"}
	a := endpoint{"10.0.0.1", "a", yes, yes}
	b := endpoint{"10.0.0.2", "b", yes, yes}
	later := noon.Add(time.Second)

	t.Run("a pod is quiet since it was first seen so", func(t *testing.T) {
		d := newDrains()
		d.watch(shop, podAt("a", "10.0.0.1"))
		if since := d.looked("a", false, noon); !since.IsZero() {
			t.Errorf("quiet since %s while it is not", since)
		}
		d.looked("a", true, noon)
		d.watch(shop, podAt("a", "10.0.0.1"))
		if since := d.looked("a", true, later); !since.Equal(noon) {
			t.Errorf("quiet since %s; want noon", since)
		}
	})
	t.Run("a slice that lists the pod again starts the wait anew, even if it is gone before the next pass", func(t *testing.T) {
		d := newDrains()
		d.watch(shop, podAt("a", "10.0.0.1"))
		d.looked("a", true, noon)
		d.sliceChanged(sliceOf(), sliceOf(a))
		d.sliceChanged(sliceOf(a), sliceOf())
		if since := d.looked("a", true, later); !since.Equal(later) {
			t.Errorf("quiet since %s; want %s", since, later)
		}
	})
	t.Run("a slice wakes the sets whose pods left it, and no other", func(t *testing.T) {
		d := newDrains()
		d.watch(shop, podAt("a", "10.0.0.1"))
		d.watch(other, podAt("b", "10.0.0.2"))
		for _, r := range []struct {
			before, now *discoveryv1.EndpointSlice
			want        []types.NamespacedName
		}{
			{sliceOf(), sliceOf(a, b), nil},
			{sliceOf(a, b), sliceOf(b), []types.NamespacedName{shop}},
			{sliceOf(b), sliceOf(b), nil},
			{sliceOf(b), nil, []types.NamespacedName{other}},
			{nil, sliceOf(a), nil},
		} {
			if got := d.sliceChanged(r.before, r.now); fmt.Sprint(got) != fmt.Sprint(r.want) {
				t.Errorf("wakes %v; want %v", got, r.want)
			}
		}
	})
	t.Run("a pod that nobody waits for wakes nobody", func(t *testing.T) {
		d := newDrains()
		d.watch(shop, podAt("a", "10.0.0.1"))
		d.forget("a")
		if got := d.sliceChanged(sliceOf(a), sliceOf()); len(got) != 0 || len(d.byAddr) != 0 {
			t.Errorf("wakes %v, and knows %v", got, d.byAddr)
		}
	})
	t.Run("a pod that got its address late is found by it", func(t *testing.T) {
		d := newDrains()
		d.watch(shop, podAt("a", ""))
		d.watch(shop, podAt("a", "10.0.0.1"))
		if got := d.sliceChanged(sliceOf(a), sliceOf()); len(got) != 1 {
			t.Errorf("wakes %v; want the set", got)
		}
	})
}

func TestTheTransformKeepsOnlyWhatIsAsked(t *testing.T) {
	no := ptr.To(false)
	kept := sliceOf(endpoint{"10.0.0.1", "a", nil, nil}, endpoint{"10.0.0.2", "b", no, no})
	if len(kept.Endpoints) != 1 || kept.Endpoints[0].Addresses[0] != "10.0.0.1" || len(kept.Labels) != 1 || kept.Endpoints[0].TargetRef.Name != "" {
		t.Errorf("kept %+v", kept)
	}
}
