package simulation

import (
	"fmt"
	"sort"

	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"github.com/periplus-dev/periplus/test/simulation/store"
)

// informer is a cache that gets one event when the scheduler says so, and lags until then.
type informer struct {
	// What the simulation does not have panics.
	cache.SharedIndexInformer

	name      string
	source    *cluster
	selection *store.Selection
	indexer   cache.Indexer
	transform cache.TransformFunc
	handlers  []cache.ResourceEventHandler
	// lie, if not nil, changes what the cache believes: a bug that a test plants.
	lie func(runtime.Object)
	// as, if not nil, is the form in which the cache gets objects.
	as func(runtime.Object) runtime.Object
	// woken is called after each event.
	woken func()

	// seen are the objects that were delivered, as the API server had them, by key.
	seen map[string]*store.Object

	// stalled is the step until which nothing is delivered.
	stalled int

	listed bool
	// at is the version up to which events were delivered; looked, up to which none was found that concerns the cache.
	at, looked uint64
	next       *store.Event
}

func newInformer(name string, c *cluster, f *store.Selection) *informer {
	return &informer{
		name: name, source: c, selection: f, seen: map[string]*store.Object{},
		indexer: cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc}),
	}
}

// AddEventHandler implements cache.SharedInformer.
func (i *informer) AddEventHandler(h cache.ResourceEventHandler) (cache.ResourceEventHandlerRegistration, error) {
	i.handlers = append(i.handlers, h)
	return nil, nil
}

// SetTransform implements cache.SharedInformer.
func (i *informer) SetTransform(t cache.TransformFunc) error {
	i.transform = t
	return nil
}

// AddIndexers implements cache.SharedIndexInformer.
func (i *informer) AddIndexers(x cache.Indexers) error { return i.indexer.AddIndexers(x) }

// GetIndexer implements cache.SharedIndexInformer.
func (i *informer) GetIndexer() cache.Indexer { return i.indexer }

// HasSynced implements cache.SharedInformer.
func (i *informer) HasSynced() bool { return i.listed }

// GetStore implements cache.SharedInformer.
func (i *informer) GetStore() cache.Store { return i.indexer }

// pending is the next event that the cache has not got, or nil.
func (i *informer) pending() *store.Event {
	if !i.listed || i.next != nil {
		return i.next
	}
	if version := i.source.api.Version(); i.looked == version {
		return nil
	}
	events, ok := i.source.api.Since(i.looked)
	if !ok {
		panic(fmt.Errorf("%s looked at version %d, which the store forgot", i.name, i.looked))
	}
	for n := range events {
		i.looked = events[n].Object.Version
		if _, seen := i.selection.Seen(events[n]); seen {
			i.next = &events[n]
			return i.next
		}
	}
	return nil
}

// deliver the next event.
func (i *informer) deliver() string {
	e := i.pending()
	i.next, i.at = nil, e.Object.Version
	t, _ := i.selection.Seen(*e)
	if t == watch.Deleted {
		delete(i.seen, e.Object.Namespace+"/"+e.Object.Name)
		last := decode(e.Object)
		if i.as != nil {
			last = i.as(last)
		}
		i.remove(last, false)
	} else {
		i.seen[e.Object.Namespace+"/"+e.Object.Name] = e.Object
		i.put(i.believed(e.Object))
	}
	if i.woken != nil {
		i.woken()
	}
	return fmt.Sprintf("%s %s/%s@%d", t, e.Object.Namespace, e.Object.Name, e.Object.Version)
}

// list everything anew, as at the start or after a watch was too old.
func (i *informer) list() {
	gone := map[string]runtime.Object{}
	for _, o := range i.indexer.List() {
		if key, err := cache.MetaNamespaceKeyFunc(o); err == nil {
			gone[key], _ = o.(runtime.Object)
		}
	}
	clear(i.seen)
	for _, o := range i.source.api.Objects(i.selection.Kind) {
		if !i.selection.Matches(o) {
			continue
		}
		i.seen[o.Namespace+"/"+o.Name] = o
		obj := i.believed(o)
		if key, err := cache.MetaNamespaceKeyFunc(obj); err == nil {
			delete(gone, key)
		}
		i.put(obj)
	}
	keys := make([]string, 0, len(gone))
	for key := range gone {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	for _, key := range keys {
		i.remove(gone[key], true)
	}
	i.listed, i.next = true, nil
	i.at = i.source.api.Version()
	i.looked = i.at
	if i.woken != nil {
		i.woken()
	}
}

func (i *informer) believed(o *store.Object) runtime.Object {
	obj := decode(o)
	if i.lie != nil {
		i.lie(obj)
	}
	if i.as != nil {
		obj = i.as(obj)
	}
	if i.transform != nil {
		out, err := i.transform(obj)
		if err != nil {
			panic(fmt.Errorf("%s: a transform failed: %w", i.name, err))
		}
		obj, _ = out.(runtime.Object)
	}
	return obj
}

func (i *informer) put(obj runtime.Object) {
	old, exists, err := i.indexer.Get(obj)
	if err == nil {
		err = i.indexer.Update(obj)
	}
	if err != nil {
		panic(fmt.Errorf("%s: %w", i.name, err))
	}
	for _, h := range i.handlers {
		if exists {
			h.OnUpdate(old, obj) // also where a list finds another object of the same name.
		} else {
			h.OnAdd(obj, false)
		}
	}
}

func (i *informer) remove(obj runtime.Object, missed bool) {
	if i.transform != nil && !missed {
		if out, err := i.transform(obj); err == nil {
			obj, _ = out.(runtime.Object)
		}
	}
	if err := i.indexer.Delete(obj); err != nil {
		panic(fmt.Errorf("%s: %w", i.name, err))
	}
	var told any = obj
	if missed {
		key, _ := cache.MetaNamespaceKeyFunc(obj)
		told = cache.DeletedFinalStateUnknown{Key: key, Obj: obj}
	}
	for _, h := range i.handlers {
		h.OnDelete(told)
	}
}

// truthOf is a budget as the cache was told of it, whatever it believes.
func (i *informer) truthOf(o *store.Object) (*policyv1.PodDisruptionBudget, error) {
	budget, ok := decode(o).(*policyv1.PodDisruptionBudget)
	if !ok {
		return nil, fmt.Errorf("%s has a %s", i.name, o.Kind.Kind)
	}
	return budget, nil
}
