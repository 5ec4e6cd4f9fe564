package store

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
)

// Seen is an event as a watch of a selection sees it: an object that begins to match is added, one that no longer does is deleted. ok is
// false where it does not see it at all.
func (f *Selection) Seen(e Event) (t watch.EventType, ok bool) {
	now, before := e.Type != watch.Deleted && f.Matches(e.Object), f.Matches(e.Before)
	switch {
	case now && before:
		return watch.Modified, true
	case now:
		return watch.Added, true
	case before:
		return watch.Deleted, true
	}
	return "", false
}

// shown is the object that an event of this type carries: what is deleted, or no longer matches, as it was, with the version of the change.
func (e *Event) shown(t watch.EventType) []byte {
	if t != watch.Deleted || e.Type == watch.Deleted {
		return e.Object.JSON
	}
	last := unstructured.Unstructured{Object: runtime.DeepCopyJSON(e.Before.fields)}
	last.SetResourceVersion(strconv.FormatUint(e.Object.Version, 10))
	raw, _ := json.Marshal(last.Object) // it was encoded before.
	return raw
}

// stream is one watch.
type stream struct {
	store *Store
	f     *Selection
	out   *io.PipeWriter
	ended bool // guarded by store.mu
}

// watch answers with a stream that ends with the request's context, with its timeout, or when its reader closes it.
func (s *Store) watch(req *http.Request, r *Request) *http.Response {
	f, err := r.selection()
	if err != nil {
		return answer(req, nil, err)
	}
	from, err := strconv.ParseUint(orZero(r.query.Get("resourceVersion")), 10, 64)
	if err != nil {
		return answer(req, nil, apierrors.NewBadRequest("resourceVersion: "+err.Error()))
	}
	in, out := io.Pipe()
	w := &stream{store: s, f: f, out: out}
	end := func() {
		s.mu.Lock()
		w.ended = true
		s.changed.Broadcast()
		s.mu.Unlock()
	}
	stop := context.AfterFunc(req.Context(), end)
	if seconds, err := strconv.Atoi(r.query.Get("timeoutSeconds")); err == nil {
		timer := s.clock.AfterFunc(time.Duration(seconds)*time.Second, func() { go end() })
		context.AfterFunc(req.Context(), func() { timer.Stop() })
	}
	initial, bookmarks := r.query.Get("sendInitialEvents") == "true", r.query.Get("allowWatchBookmarks") == "true"
	go func() {
		defer stop()
		_ = out.CloseWithError(w.run(from, initial || from == 0, initial && bookmarks))
	}()
	return response(req, http.StatusOK, &closing{PipeReader: in, end: end}, -1)
}

func orZero(s string) string {
	if s == "" {
		return "0"
	}
	return s
}

// closing wakes a watch that waits when its reader goes away.
type closing struct {
	*io.PipeReader
	end func()
}

// Close implements io.Closer.
func (c *closing) Close() error {
	c.end()
	return c.PipeReader.Close()
}

func (w *stream) run(from uint64, initial, mark bool) error {
	s := w.store
	s.mu.Lock()
	var frames [][]byte
	if initial {
		for _, o := range s.objectsOf(w.f.Kind, w.f.Namespace) {
			if w.f.Matches(o) {
				frames = append(frames, frame(watch.Added, o.JSON))
			}
		}
		from = s.version
		if mark {
			frames = append(frames, frame(watch.Bookmark, w.bookmark(from)))
		}
	}
	for {
		events, ok := s.since(from)
		if !ok {
			tooOld := apierrors.NewResourceExpired(fmt.Sprintf("too old resource version: %d (%d)", from, s.floor)).Status()
			tooOld.Kind, tooOld.APIVersion = "Status", "v1"
			raw, _ := json.Marshal(tooOld) // a Status of strings always encodes.
			frames = append(frames, frame(watch.Error, raw))
		}
		for _, e := range events {
			from = e.Object.Version
			if t, ok := w.f.Seen(e); ok {
				frames = append(frames, frame(t, e.shown(t)))
			}
		}
		s.mu.Unlock()
		for _, f := range frames {
			if _, err := w.out.Write(f); err != nil {
				return err
			}
		}
		frames = nil
		if !ok {
			return nil
		}
		s.mu.Lock()
		for !w.ended && s.version == from {
			s.changed.Wait()
		}
		if w.ended {
			s.mu.Unlock()
			return nil
		}
	}
}

// bookmark tells a watch that asked for the initial events that these were all.
func (w *stream) bookmark(version uint64) []byte {
	return fmt.Appendf(nil, `{"kind":%q,"apiVersion":%q,"metadata":{"resourceVersion":%q,"annotations":{%q:"true"}}}`,
		w.f.Kind.Kind, w.f.Kind.apiVersion(), strconv.FormatUint(version, 10), metav1.InitialEventsAnnotationKey)
}

func frame(t watch.EventType, object []byte) []byte {
	return fmt.Appendf(nil, "{\"type\":%q,\"object\":%s}\n", t, object)
}
