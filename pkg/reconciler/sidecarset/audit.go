package sidecarset

import (
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/sidecar"
)

// audit knows which pods each set means that do not carry its sidecars. It is told of each change once, so that a cluster of many pods costs what changes in it.
type audit struct {
	system    string
	namespace func(name string) map[string]string
	// sources are the caches of all pods: those with sidecars of some set, whole, and the others as metadata.
	sources []cache.Indexer

	mu   sync.Mutex
	sets map[string]*audited
}

type audited struct {
	matcher sidecar.Matcher
	key     string
	// without are the pods that lack the sidecars, by source and namespace/name.
	without map[at]sidecar.Lack
}

type at struct {
	source int
	pod    string
}

func newAudit(system string, namespace func(string) map[string]string, sources ...cache.Indexer) *audit {
	return &audit{system: system, namespace: namespace, sources: sources, sets: map[string]*audited{}}
}

// set is to be audited. What it means is looked at anew only if it changed.
func (a *audit) set(set *v1alpha1.SidecarSet, key string) sidecar.Matcher {
	a.mu.Lock()
	known := a.sets[set.Name]
	if known != nil && known.key == key {
		defer a.mu.Unlock()
		return known.matcher
	}
	m, _ := sidecar.MatcherOf(set, a.system)
	known = &audited{matcher: m, key: key, without: map[at]sidecar.Lack{}}
	a.sets[set.Name] = known
	a.mu.Unlock()
	for i, source := range a.sources {
		for _, object := range source.List() {
			if pod, ok := object.(metav1.Object); ok {
				a.mu.Lock()
				// One that went meanwhile was told of already.
				if _, there, err := source.GetByKey(pod.GetNamespace() + "/" + pod.GetName()); err == nil && there {
					known.look(a, set.Name, i, sidecar.ViewOf(pod))
				}
				a.mu.Unlock()
			}
		}
	}
	return known.matcher
}

func (a *audit) forget(set string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.sets, set)
}

// look at one pod for one set, and say whether something changed. The audit is locked.
func (known *audited) look(a *audit, set string, source int, pod sidecar.View) bool {
	key := at{source, pod.GetNamespace() + "/" + pod.GetName()}
	was, there := known.without[key]
	now, lacks := pod.Lacks(set, &known.matcher, a.namespace(pod.GetNamespace()))
	switch {
	case lacks:
		known.without[key] = now
		return !there || was != now
	case there:
		delete(known.without, key)
		return true
	}
	return false
}

// podChanged returns the sets for which something changed.
func (a *audit) podChanged(source int, pod metav1.Object) []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []string
	seen := sidecar.ViewOf(pod)
	for name, known := range a.sets {
		if known.look(a, name, source, seen) {
			out = append(out, name)
		}
	}
	return out
}

func (a *audit) podGone(source int, pod metav1.Object) []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	key := at{source, pod.GetNamespace() + "/" + pod.GetName()}
	var out []string
	for name, known := range a.sets {
		if _, there := known.without[key]; there {
			delete(known.without, key)
			out = append(out, name)
		}
	}
	return out
}

// namespaceChanged looks anew at all pods of a namespace.
func (a *audit) namespaceChanged(name string) []string {
	woken := map[string]bool{}
	for i, source := range a.sources {
		pods, err := source.ByIndex(cache.NamespaceIndex, name)
		if err != nil {
			continue
		}
		for _, object := range pods {
			if pod, ok := object.(metav1.Object); ok {
				for _, set := range a.podChanged(i, pod) {
					woken[set] = true
				}
			}
		}
	}
	out := make([]string, 0, len(woken))
	for set := range woken {
		out = append(out, set)
	}
	return out
}

// lacks are the pods without the sidecars of a set, by namespace/name.
func (a *audit) lacks(set string) map[string]sidecar.Lack {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := map[string]sidecar.Lack{}
	if known := a.sets[set]; known != nil {
		for key, of := range known.without {
			out[key.pod] = of
		}
	}
	return out
}
