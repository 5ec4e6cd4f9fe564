package store

import (
	"cmp"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"net/http"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
)

// Options of a Store.
type Options struct {
	// Clock gives creation and deletion times, and ends watches.
	Clock clock.WithDelayedExecution
	// Kinds that are served besides the built-in ones; see LoadCRDs.
	Kinds []*Kind
	// Seed tells the UIDs of one store from those of another.
	Seed uint64
	// Sparse, if above 1, has only each so manyth update of an object of more than 16 KiB checked against its schema: that is most of what such a
	// write takes.
	Sparse uint64
}

// Store holds the objects of one cluster. It is safe for concurrent use.
type Store struct {
	clock  clock.WithDelayedExecution
	seed   uint64
	sparse uint64
	kinds  map[string]*Kind // by path prefix: "api/v1/pods", "apis/apps/v1/controllerrevisions"

	mu      sync.Mutex
	changed *sync.Cond
	version uint64
	made    uint64
	objects map[key]*Object
	// lists are the objects of a kind in their order, for as long as none changes.
	lists map[*Kind][]*Object
	// history are the changes since floor, in their order.
	history []Event
	floor   uint64
}

type key struct {
	kind            *Kind
	namespace, name string
}

// Object is one state of one object. It never changes.
type Object struct {
	Kind      *Kind
	Namespace string
	Name      string
	UID       types.UID
	// Version is the resource version.
	Version uint64
	// JSON as the server sends it.
	JSON []byte

	fields map[string]any
}

// Event is one change of one object.
type Event struct {
	Type watch.EventType
	// Object as it is now; of one that was deleted, as it was last, with the version of the deletion.
	Object *Object
	// Before is nil for an object that was added.
	Before *Object
}

// New returns a Store that has the namespaces default and kube-system.
func New(o Options) *Store {
	s := &Store{clock: o.Clock, seed: o.Seed, sparse: o.Sparse, kinds: map[string]*Kind{}, objects: map[key]*Object{}, lists: map[*Kind][]*Object{}, version: 1, floor: 1}
	s.changed = sync.NewCond(&s.mu)
	for _, k := range append(builtins(), o.Kinds...) {
		s.kinds[k.path()] = k
	}
	for _, ns := range []string{"default", "kube-system"} {
		if _, err := s.create(s.kinds["api/v1/namespaces"], "", map[string]any{"metadata": map[string]any{"name": ns}}, false); err != nil {
			panic(fmt.Errorf("making namespace %s of a new store: %w", ns, err))
		}
	}
	return s
}

// Config is how clients reach the store. wrap, if not nil, stands between them and it, and sees each request.
func (s *Store) Config(wrap func(http.RoundTripper) http.RoundTripper) *rest.Config {
	var rt http.RoundTripper = s
	if wrap != nil {
		rt = wrap(s)
	}
	return &rest.Config{
		Host: "http://store.invalid", Transport: rt, QPS: -1, WarningHandler: rest.NoWarnings{},
		ContentConfig: rest.ContentConfig{ContentType: "application/json", AcceptContentTypes: "application/json"},
	}
}

// Version is the latest resource version.
func (s *Store) Version() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.version
}

// Kind returns a kind that is served by its group, empty for the core one, and resource.
func (s *Store) Kind(group, resource string) *Kind {
	for _, k := range s.kinds {
		if k.Group == group && k.Resource == resource {
			return k
		}
	}
	return nil
}

// Objects of a kind, by namespace and name. The list is not to be changed.
func (s *Store) Objects(k *Kind) []*Object {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.objectsOf(k, "")
}

func (s *Store) objectsOf(k *Kind, namespace string) []*Object {
	if namespace != "" {
		return slices.DeleteFunc(slices.Clone(s.objectsOf(k, "")), func(o *Object) bool { return o.Namespace != namespace })
	}
	if known, ok := s.lists[k]; ok {
		return known
	}
	var out []*Object
	for id, o := range s.objects {
		if id.kind == k {
			out = append(out, o)
		}
	}
	slices.SortFunc(out, func(x, y *Object) int {
		return cmp.Or(strings.Compare(x.Namespace, y.Namespace), strings.Compare(x.Name, y.Name))
	})
	s.lists[k] = out
	return out
}

// Since returns the changes after a version, oldest first; ok is false where that is too old.
func (s *Store) Since(version uint64) (events []Event, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.since(version)
}

func (s *Store) since(version uint64) ([]Event, bool) {
	if version < s.floor {
		return nil, false
	}
	i := sort.Search(len(s.history), func(i int) bool { return s.history[i].Object.Version > version })
	return s.history[i:len(s.history):len(s.history)], true
}

// Compact forgets the changes up to a version: a watch from before it is told that it is too old.
func (s *Store) Compact(version uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if version <= s.floor {
		return
	}
	i := sort.Search(len(s.history), func(i int) bool { return s.history[i].Object.Version > version })
	s.history = append([]Event{}, s.history[i:]...)
	s.floor = version
}

// commit makes fields the new state of an object; deleted takes the object away.
func (s *Store) commit(k *Kind, before *Object, fields map[string]any, deleted bool) (*Object, error) {
	u := unstructured.Unstructured{Object: fields}
	s.version++
	u.SetResourceVersion(strconv.FormatUint(s.version, 10))
	u.SetAPIVersion(k.apiVersion())
	u.SetKind(k.Kind)
	raw, err := json.Marshal(fields)
	if err != nil {
		return nil, fmt.Errorf("encoding %s %s: %w", k.Kind, u.GetName(), err)
	}
	o := &Object{Kind: k, Namespace: u.GetNamespace(), Name: u.GetName(), UID: u.GetUID(), Version: s.version, JSON: raw, fields: fields}
	id := key{k, o.Namespace, o.Name}
	delete(s.lists, k)
	e := Event{Type: watch.Modified, Object: o, Before: before}
	switch {
	case deleted:
		e.Type = watch.Deleted
		delete(s.objects, id)
	case before == nil:
		e.Type = watch.Added
		s.objects[id] = o
	default:
		s.objects[id] = o
	}
	s.history = append(s.history, e)
	s.changed.Broadcast()
	return o, nil
}

// newUID returns a UID whose first eight characters differ, too.
func (s *Store) newUID() types.UID {
	s.made++
	h := fnv.New32a()
	_, _ = fmt.Fprintf(h, "%d/%d", s.seed, s.made) // never fails.
	return types.UID(fmt.Sprintf("%08x-%04x-4000-8000-%012x", h.Sum32(), s.seed&0xffff, s.made))
}

// newName returns a name that begins with prefix.
func (s *Store) newName(prefix string) string {
	const letters = "bcdfghjklmnpqrstvwxz2456789"
	s.made++
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%d/%d/%s", s.seed, s.made, prefix) // never fails.
	sum := h.Sum64()
	suffix := make([]byte, 5)
	for i := range suffix {
		suffix[i] = letters[sum%uint64(len(letters))]
		sum /= uint64(len(letters))
	}
	return prefix[:min(len(prefix), 58)] + string(suffix)
}
