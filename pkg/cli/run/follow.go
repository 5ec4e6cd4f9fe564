package run

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	pipelinev1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	pipelinev1beta1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"

	stages "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/cli/hub"
	"github.com/periplus-dev/periplus/pkg/cli/screen"
)

// Following is a run that is followed by watches.
type Following struct {
	first *Run
	uid   types.UID
	// lastRun and lastRoot are the root as it was last seen, for when it is gone. Objects alone reads and writes them.
	lastRun  *pipelinev1.PipelineRun
	lastRoot *pipelinev1beta1.CustomRun
	changed  chan struct{}
	clock    clock.PassiveClock

	root, customs, tasks, records, did, frozen cache.Store

	mu   sync.Mutex
	lost map[string]loss
}

type loss struct {
	since time.Time
	err   error
}

// Follow watches the objects of a run that was read, until ctx ends. It returns once everything was seen once.
func Follow(ctx context.Context, h *hub.Hub, first *Run, c clock.PassiveClock) (*Following, error) {
	name := first.Name()
	f := &Following{first: first, uid: first.UID(), lastRun: first.PipelineRun, lastRoot: first.Root, changed: make(chan struct{}, 1), clock: c, lost: map[string]loss{}}
	named := func(o *metav1.ListOptions) {
		o.FieldSelector = fields.OneTermEqualSelector("metadata.name", name).String()
	}
	inRun := func(o *metav1.ListOptions) { o.LabelSelector = ofRun(name) }
	all := func(*metav1.ListOptions) {}
	inRelease := func(o *metav1.ListOptions) { o.LabelSelector = ofRoot(string(f.uid)) }
	if first.joins() {
		inRelease = all // which one it joins may not be known yet
	}
	v1, v1beta1 := h.Tekton.TektonV1(), h.Tekton.TektonV1beta1()

	customSource := source{customRuns, &pipelinev1beta1.CustomRun{}, inRun,
		func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return v1beta1.CustomRuns(h.Namespace).List(ctx, o)
		},
		func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return v1beta1.CustomRuns(h.Namespace).Watch(ctx, o)
		}}
	var synced []cache.InformerSynced
	start := func(s source) cache.Store {
		store, has := f.start(ctx, s)
		synced = append(synced, has)
		return store
	}
	if first.Root != nil {
		customSource.narrow = named
		f.root = start(customSource)
	} else {
		f.customs = start(customSource)
		f.root = start(source{pipelineRuns, &pipelinev1.PipelineRun{}, named,
			func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
				return v1.PipelineRuns(h.Namespace).List(ctx, o)
			},
			func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
				return v1.PipelineRuns(h.Namespace).Watch(ctx, o)
			}})
		if !first.denied[taskRuns] {
			f.tasks = start(source{taskRuns, &pipelinev1.TaskRun{}, inRun,
				func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
					return v1.TaskRuns(h.Namespace).List(ctx, o)
				},
				func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
					return v1.TaskRuns(h.Namespace).Watch(ctx, o)
				}})
		}
	}
	if !first.denied[releases] {
		f.records = start(source{releases, &stages.Release{}, inRelease,
			func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
				return h.Periplus.StagesV1alpha1().Releases(h.Namespace).List(ctx, o)
			},
			func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
				return h.Periplus.StagesV1alpha1().Releases(h.Namespace).Watch(ctx, o)
			}})
	}
	if !first.denied[interventions] {
		f.did = start(source{interventions, &stages.Intervention{}, all,
			func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
				return h.Periplus.StagesV1alpha1().Interventions(h.Namespace).List(ctx, o)
			},
			func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
				return h.Periplus.StagesV1alpha1().Interventions(h.Namespace).Watch(ctx, o)
			}})
	}
	if !first.denied[freezes] {
		f.frozen = start(source{freezes, &stages.Freeze{}, all,
			func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
				return h.Periplus.StagesV1alpha1().Freezes().List(ctx, o)
			},
			func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
				return h.Periplus.StagesV1alpha1().Freezes().Watch(ctx, o)
			}})
	}
	patient, done := context.WithTimeout(ctx, 30*time.Second)
	defer done()
	if !cache.WaitForCacheSync(patient.Done(), synced...) {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if _, err := f.lostSince(); err != nil {
			return nil, h.Explain(hub.Request{Verb: "watch", Resource: pipelineRuns, Name: name}, err)
		}
		return nil, fmt.Errorf("the hub at %s did not answer the watches of run %s within 30s", h.Server, name)
	}
	return f, nil
}

// source is one kind of objects, narrowed down to those of the run.
type source struct {
	name   string
	object runtime.Object
	narrow func(*metav1.ListOptions)
	list   func(context.Context, metav1.ListOptions) (runtime.Object, error)
	watch  func(context.Context, metav1.ListOptions) (watch.Interface, error)
}

// plainLists keeps to list and watch, which every server and every fake understands; there is too little here for streaming to matter.
type plainLists struct{ *cache.ListWatch }

func (plainLists) IsWatchListSemanticsUnSupported() bool { return true }

func (f *Following) start(ctx context.Context, s source) (cache.Store, cache.InformerSynced) {
	lw := plainLists{&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			s.narrow(&o)
			list, err := s.list(ctx, o)
			f.note(ctx, s.name, err)
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			s.narrow(&o)
			w, err := s.watch(ctx, o)
			f.note(ctx, s.name, err)
			return w, err
		},
	}}
	informer := cache.NewSharedInformer(lw, s.object, 0)
	// The default handler writes to the log, which would tear the screen; note says it on the screen instead.
	_ = informer.SetWatchErrorHandlerWithContext(func(context.Context, *cache.Reflector, error) {})
	_, _ = informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { f.wake() }, UpdateFunc: func(any, any) { f.wake() }, DeleteFunc: func(any) { f.wake() },
	})
	go informer.RunWithContext(ctx)
	return informer.GetStore(), informer.HasSynced
}

func (f *Following) wake() {
	select {
	case f.changed <- struct{}{}:
	default:
	}
}

// Changed is signalled after something changed; changes that come together are signalled once.
func (f *Following) Changed() <-chan struct{} { return f.changed }

// note keeps since when a source cannot be read.
func (f *Following) note(ctx context.Context, name string, err error) {
	if ctx.Err() != nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	l, was := f.lost[name]
	if err == nil {
		delete(f.lost, name)
	} else {
		if !was {
			l.since = f.clock.Now()
		}
		l.err = err
		f.lost[name] = l
	}
	if was != (err != nil) {
		f.wake()
	}
}

// lostSince says since when something of the run cannot be read, and why; nil where all can.
func (f *Following) lostSince() (time.Time, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var first loss
	for _, l := range f.lost {
		if first.err == nil || l.since.Before(first.since) {
			first = l
		}
	}
	return first.since, first.err
}

// Objects gives the run as it was last seen; ok is false once it was deleted, and then they are as they were before. It is for one
// goroutine at a time.
func (f *Following) Objects() (objects screen.Objects, ok bool) {
	o := screen.Objects{Pipeline: f.first.Pipeline, Notes: f.first.Notes, MemberLabels: f.first.MemberLabels}
	for _, x := range f.root.List() {
		switch x := x.(type) {
		case *pipelinev1.PipelineRun:
			o.PipelineRun = x
		case *pipelinev1beta1.CustomRun:
			o.Root = x
		}
	}
	ok = o.UID() == f.uid
	if !ok {
		o.PipelineRun, o.Root = f.lastRun, f.lastRoot
	}
	f.lastRun, f.lastRoot = o.PipelineRun, o.Root
	if f.customs != nil {
		o.CustomRuns = sorted[*pipelinev1beta1.CustomRun](f.customs)
	}
	if f.tasks != nil {
		o.TaskRuns = sorted[*pipelinev1.TaskRun](f.tasks)
	}
	if f.records != nil {
		seen := Run{Objects: o}
		for _, r := range sorted[*stages.Release](f.records) {
			seen.keep(r)
		}
		o.Release = seen.Release
	}
	if f.did != nil {
		o.Interventions = sorted[*stages.Intervention](f.did)
	}
	if f.frozen != nil {
		o.Freezes = sorted[*stages.Freeze](f.frozen)
	}
	if since, err := f.lostSince(); err != nil {
		var request *url.Error
		if errors.As(err, &request) {
			err = request.Err // which of our watches it was matters to nobody
		}
		o.Stale = fmt.Sprintf("the hub does not answer since %s, this is from before: %v", since.Format(time.TimeOnly), err)
	}
	return o, ok
}

// sorted lists a store by name, so that the same objects always give the same screen.
func sorted[T metav1.Object](store cache.Store) []T {
	var out []T
	for _, x := range store.List() {
		if t, ok := x.(T); ok {
			out = append(out, t)
		}
	}
	slices.SortFunc(out, func(a, b T) int { return strings.Compare(a.GetName(), b.GetName()) })
	return out
}
