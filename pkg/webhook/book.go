package webhook

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/tools/cache"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	listers "github.com/periplus-dev/periplus/pkg/client/listers/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/sidecar"
)

// byRevision indexes ControllerRevisions by set/revision.
const byRevision = "revision"

func indexByRevision(object any) ([]string, error) {
	revision, ok := object.(*appsv1.ControllerRevision)
	if !ok {
		return nil, nil
	}
	return []string{revision.Labels[v1alpha1.LabelSidecarSet] + "/" + revision.Labels[v1alpha1.LabelRevision]}, nil
}

// book says which sets mean a pod, and with what. It keeps what it has read of an object for as long as the cache has that very object.
type book struct {
	sets      listers.SidecarSetLister
	revisions cache.Indexer
	system    string

	mu       sync.Mutex
	matchers map[string]matcher
	contents map[string]content
}

type matcher struct {
	set *v1alpha1.SidecarSet
	sidecar.Matcher
}

type content struct {
	revision *appsv1.ControllerRevision
	*sidecar.Content
}

// NewInjector returns what the webhook would do with a new pod of a namespace, as a JSON patch, by what caches of SidecarSets and their ControllerRevisions have. It is
// for those who play the API server. system is Periplus's own namespace. The informer of revisions must not be started yet.
func NewInjector(sets cache.Indexer, revisions cache.SharedIndexInformer, system string) (func(pod *corev1.Pod, namespace *corev1.Namespace) (patch []byte, skips []string, err error), error) {
	if err := revisions.AddIndexers(cache.Indexers{byRevision: indexByRevision}); err != nil {
		return nil, fmt.Errorf("indexing ControllerRevisions: %w", err)
	}
	b := &book{sets: listers.NewSidecarSetLister(sets), revisions: revisions.GetIndexer(), system: system, matchers: map[string]matcher{}, contents: map[string]content{}}
	return b.patch, nil
}

// patch that puts the sidecars of all sets that mean a pod into it, and the sets that were left out.
func (b *book) patch(pod *corev1.Pod, namespace *corev1.Namespace) (patch []byte, skips []string, err error) {
	wants, err := b.wants(pod, namespace)
	if err != nil {
		return nil, nil, err
	}
	addition := sidecar.Inject(pod, wants)
	patch, err = addition.Patch(pod)
	return patch, addition.Skips, err
}

// wants are the sets that mean a pod of a namespace.
func (b *book) wants(pod *corev1.Pod, namespace *corev1.Namespace) ([]sidecar.Want, error) {
	sets, err := b.sets.List(labels.Everything())
	if err != nil {
		return nil, fmt.Errorf("listing SidecarSets: %w", err)
	}
	var out []sidecar.Want
	for _, set := range sets {
		if set.DeletionTimestamp != nil || set.Spec.InjectionStrategy.Paused {
			continue
		}
		m := b.matcher(set)
		if !m.Pod(pod) || !m.Namespace(namespace.Name, namespace.Labels) {
			continue
		}
		revision := revisionFor(set, pod)
		out = append(out, sidecar.Want{Set: set.Name, Revision: revision, Content: b.content(set.Name, revision), Gate: set.Spec.UpdateStrategy.Drain})
	}
	slices.SortFunc(out, func(x, y sidecar.Want) int { return strings.Compare(x.Set, y.Set) })
	return out, nil
}

// revisionFor a new pod: the pinned one; else that of its unit, where a release is done with it before others; else that of the set.
func revisionFor(set *v1alpha1.SidecarSet, pod *corev1.Pod) string {
	if pinned := set.Spec.InjectionStrategy.Revision; pinned != "" {
		return pinned
	}
	name := sidecar.UnitOf(pod, set.Name)
	for i := range set.Status.Units {
		if u := &set.Status.Units[i]; u.Name == name && u.InjectionRevision != "" && set.Status.InjectionRevision != "" {
			return u.InjectionRevision
		}
	}
	return set.Status.InjectionRevision
}

func (b *book) matcher(set *v1alpha1.SidecarSet) sidecar.Matcher {
	b.mu.Lock()
	defer b.mu.Unlock()
	known, ok := b.matchers[set.Name]
	if !ok || known.set != set {
		m, _ := sidecar.MatcherOf(set, b.system) // one that cannot be read means no pod; the controller says so.
		known = matcher{set, m}
		b.matchers[set.Name] = known
	}
	return known.Matcher
}

// content of a revision; nil where it is not known, or cannot be read.
func (b *book) content(set, revision string) *sidecar.Content {
	key := set + "/" + revision
	found, err := b.revisions.ByIndex(byRevision, key)
	if err != nil || len(found) == 0 {
		return nil
	}
	object, ok := found[0].(*appsv1.ControllerRevision)
	if !ok {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	known := b.contents[key]
	if known.revision != object {
		c, err := sidecar.Decode(object.Data.Raw)
		if err != nil {
			return nil
		}
		known = content{object, c}
		b.contents[key] = known
	}
	return known.Content
}

// forget what is of a set that is gone.
func (b *book) forget(set string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.matchers, set)
	for key := range b.contents {
		if strings.HasPrefix(key, set+"/") {
			delete(b.contents, key)
		}
	}
}
