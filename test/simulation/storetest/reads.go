package storetest

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"

	appsv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

var reads = map[string]func(*server){
	"a list is selected by labels and fields, in the order of names": func(s *server) {
		s.pod("c", onNode)
		s.pod("a")
		s.pod("b", func(p *corev1.Pod) { p.Labels["app"] = "api" })
		for selector, want := range map[metav1.ListOptions]string{
			{}:                                  "abc",
			{LabelSelector: "app=web"}:          "ac",
			{LabelSelector: "app!=web"}:         "b",
			{LabelSelector: "app"}:              "abc",
			{LabelSelector: "nothing"}:          "",
			{FieldSelector: "metadata.name=b"}:  "b",
			{FieldSelector: "spec.nodeName=n1"}: "c",
			{LabelSelector: "app=web", FieldSelector: "spec.nodeName="}: "a",
		} {
			l, err := s.kube.CoreV1().Pods(s.namespace).List(s.ctx, selector)
			s.must(err)
			got := ""
			for i := range l.Items {
				got += l.Items[i].Name
			}
			if got != want {
				s.Errorf("labels %q, fields %q: %q, not %q", selector.LabelSelector, selector.FieldSelector, got, want)
			}
		}
	},
	"a field that nobody selects by is refused": func(s *server) {
		_, err := s.kube.CoreV1().Pods(s.namespace).List(s.ctx, metav1.ListOptions{FieldSelector: "spec.whatever=1"})
		s.refused(err, apierrors.IsBadRequest)
	},
	"a list over all namespaces holds those of each": func(s *server) {
		s.set("web")
		l, err := s.periplus.AppsV1alpha1().InPlaceSets("").List(s.ctx, metav1.ListOptions{FieldSelector: "metadata.namespace=" + s.namespace})
		s.must(err)
		if len(l.Items) != 1 {
			s.Fatalf("%d sets", len(l.Items))
		}
	},
}

// next is the next event that is not a bookmark.
func (s *server) next(w watch.Interface) watch.Event {
	s.Helper()
	for {
		select {
		case e, ok := <-w.ResultChan():
			if !ok {
				s.Fatal("the watch ended")
			}
			if e.Type != watch.Bookmark {
				return e
			}
		case <-time.After(limit):
			s.Fatal("no event came")
		}
	}
}

func (s *server) expect(w watch.Interface, t watch.EventType, name string) runtime.Object {
	s.Helper()
	e := s.next(w)
	o, ok := e.Object.(metav1.Object)
	if !ok || e.Type != t || o.GetName() != name {
		s.Fatalf("%s of %v came, not %s of %s", e.Type, e.Object, t, name)
	}
	return e.Object
}

func (s *server) watchPods(o metav1.ListOptions) watch.Interface {
	s.Helper()
	w, err := s.kube.CoreV1().Pods(s.namespace).Watch(s.ctx, o)
	s.must(err)
	s.Cleanup(w.Stop)
	return w
}

var watches = map[string]func(*server){
	"a watch from a list misses nothing and repeats nothing": func(s *server) {
		s.pod("a")
		l, err := s.kube.CoreV1().Pods(s.namespace).List(s.ctx, metav1.ListOptions{})
		s.must(err)
		s.pod("b")
		w := s.watchPods(metav1.ListOptions{ResourceVersion: l.ResourceVersion})
		s.expect(w, watch.Added, "b")
		_, err = s.patchPod("a", `{"metadata":{"labels":{"x":"y"}}}`)
		s.must(err)
		s.expect(w, watch.Modified, "a")
		s.must(s.kube.CoreV1().Pods(s.namespace).Delete(s.ctx, "b", metav1.DeleteOptions{}))
		if leaving, ok := s.expect(w, watch.Modified, "b").(*corev1.Pod); !ok || leaving.DeletionTimestamp == nil {
			s.Fatal("a pod went before it was said to go")
		}
		s.expect(w, watch.Deleted, "b")
	},
	"the event of a deletion has a later version than the last change": func(s *server) {
		cm := s.config("a")
		api := s.kube.CoreV1().ConfigMaps(s.namespace)
		w, err := api.Watch(s.ctx, metav1.ListOptions{ResourceVersion: cm.ResourceVersion})
		s.must(err)
		defer w.Stop()
		s.must(api.Delete(s.ctx, "a", metav1.DeleteOptions{}))
		if gone, ok := s.expect(w, watch.Deleted, "a").(*corev1.ConfigMap); !ok || gone.ResourceVersion == cm.ResourceVersion {
			s.Fatalf("deleted at version %s", cm.ResourceVersion)
		}
	},
	"an update that changes nothing makes no event": func(s *server) {
		pod := s.pod("a")
		w := s.watchPods(metav1.ListOptions{ResourceVersion: pod.ResourceVersion})
		_, err := s.kube.CoreV1().Pods(s.namespace).Update(s.ctx, pod, metav1.UpdateOptions{})
		s.must(err)
		s.pod("b")
		s.expect(w, watch.Added, "b")
	},
	"what begins to match a watch is added, what no longer does is deleted": func(s *server) {
		pod := s.pod("a")
		w := s.watchPods(metav1.ListOptions{ResourceVersion: pod.ResourceVersion, LabelSelector: "x=y"})
		_, err := s.patchPod("a", `{"metadata":{"labels":{"x":"y"}}}`)
		s.must(err)
		s.expect(w, watch.Added, "a")
		changed, err := s.patchPod("a", `{"metadata":{"labels":{"x":"z"}}}`)
		s.must(err)
		last, ok := s.expect(w, watch.Deleted, "a").(*corev1.Pod)
		if !ok || last.Labels["x"] != "y" || last.ResourceVersion != changed.ResourceVersion {
			s.Fatalf("the event shows labels %v at version %s", last.Labels, last.ResourceVersion)
		}
	},
	"a watch from no version begins with what there is": func(s *server) {
		s.pod("a")
		w := s.watchPods(metav1.ListOptions{})
		s.expect(w, watch.Added, "a")
	},
	"a watch can ask for what there is, and is told when that was all": func(s *server) {
		s.pod("a")
		initial := true
		w := s.watchPods(metav1.ListOptions{SendInitialEvents: &initial, AllowWatchBookmarks: true, ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan})
		s.expect(w, watch.Added, "a")
		e := <-w.ResultChan()
		if pod, ok := e.Object.(*corev1.Pod); !ok || e.Type != watch.Bookmark || pod.Annotations[metav1.InitialEventsAnnotationKey] != "true" || pod.ResourceVersion == "" {
			s.Fatalf("%s of %v came", e.Type, e.Object)
		}
	},
	"a watch from a version that is too old is told so": func(s *server) {
		s.set("web")
		w, err := s.periplus.AppsV1alpha1().InPlaceSets(s.namespace).Watch(s.ctx, metav1.ListOptions{ResourceVersion: "1"})
		if err == nil {
			defer w.Stop()
			e := s.next(w)
			if e.Type != watch.Error {
				s.Fatalf("%s came", e.Type)
			}
			err = apierrors.FromObject(e.Object)
		}
		s.refused(err, func(err error) bool { return apierrors.IsResourceExpired(err) || apierrors.IsGone(err) })
	},
	"a watch ends at its timeout": func(s *server) {
		seconds := int64(1)
		w := s.watchPods(metav1.ListOptions{TimeoutSeconds: &seconds})
		for {
			select {
			case _, ok := <-w.ResultChan():
				if !ok {
					return
				}
			case <-time.After(limit):
				s.Fatal("it did not end")
			}
		}
	},
	"an informer comes to have what is there, and loses what goes": func(s *server) {
		s.pod("a")
		factory := informers.NewSharedInformerFactoryWithOptions(s.kube, 0, informers.WithNamespace(s.namespace))
		lister := factory.Core().V1().Pods()
		inf := lister.Informer()
		ctx, cancel := context.WithCancel(s.ctx)
		defer factory.Shutdown()
		defer cancel()
		factory.Start(ctx.Done())
		if !cache.WaitForCacheSync(ctx.Done(), inf.HasSynced) {
			s.Fatal("it did not sync")
		}
		s.pod("b")
		s.eventually("b is seen", func(context.Context) (bool, error) {
			_, err := lister.Lister().Pods(s.namespace).Get("b")
			return err == nil, nil
		})
		s.must(s.kube.CoreV1().Pods(s.namespace).Delete(s.ctx, "a", metav1.DeleteOptions{}))
		s.eventually("a is not seen any more", func(context.Context) (bool, error) {
			_, err := lister.Lister().Pods(s.namespace).Get("a")
			return apierrors.IsNotFound(err), nil
		})
	},
	"a watch sees a finalizer hold what is deleted": func(s *server) {
		set := s.set("web", func(set *appsv1alpha1.InPlaceSet) { set.Finalizers = []string{"test.periplus.dev/hold"} })
		api := s.periplus.AppsV1alpha1().InPlaceSets(s.namespace)
		w, err := api.Watch(s.ctx, metav1.ListOptions{ResourceVersion: set.ResourceVersion})
		s.must(err)
		defer w.Stop()
		s.must(api.Delete(s.ctx, "web", metav1.DeleteOptions{}))
		s.expect(w, watch.Modified, "web")
		_, err = s.patchSet("web", "application/merge-patch+json", `{"metadata":{"finalizers":null}}`)
		s.must(err)
		s.expect(w, watch.Deleted, "web")
	},
}
