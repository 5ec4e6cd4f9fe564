package storetest

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	appsv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

func (s *server) gone(name string) bool {
	s.Helper()
	_, err := s.kube.CoreV1().ConfigMaps(s.namespace).Get(s.ctx, name, metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		s.Fatal(err)
	}
	return err != nil
}

func ownedBy(owners ...*corev1.ConfigMap) func(*corev1.ConfigMap) {
	return func(c *corev1.ConfigMap) {
		for _, o := range owners {
			c.OwnerReferences = append(c.OwnerReferences, metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: o.Name, UID: o.UID})
		}
	}
}

var deletions = map[string]func(*server){
	"what is deleted is gone": func(s *server) {
		s.config("a")
		s.must(s.kube.CoreV1().ConfigMaps(s.namespace).Delete(s.ctx, "a", metav1.DeleteOptions{}))
		if !s.gone("a") {
			s.Fatal("it is still there")
		}
	},
	"a deletion of another UID or version conflicts": func(s *server) {
		cm := s.config("a")
		api := s.kube.CoreV1().ConfigMaps(s.namespace)
		s.refused(api.Delete(s.ctx, "a", metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions("another")}), apierrors.IsConflict, "UID")
		old := "1"
		s.refused(api.Delete(s.ctx, "a", metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &cm.UID, ResourceVersion: &old}}), apierrors.IsConflict, "ResourceVersion")
		s.must(api.Delete(s.ctx, "a", metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &cm.UID, ResourceVersion: &cm.ResourceVersion}}))
	},
	"what has a finalizer stays until that is taken away": func(s *server) {
		api := s.periplus.AppsV1alpha1().InPlaceSets(s.namespace)
		s.set("web", func(set *appsv1alpha1.InPlaceSet) { set.Finalizers = []string{"test.periplus.dev/hold"} })
		s.must(api.Delete(s.ctx, "web", metav1.DeleteOptions{}))
		set, err := api.Get(s.ctx, "web", metav1.GetOptions{})
		s.must(err)
		if set.DeletionTimestamp == nil || set.Generation != 2 {
			s.Fatalf("deleting with timestamp %v, generation %d", set.DeletionTimestamp, set.Generation)
		}
		s.must(api.Delete(s.ctx, "web", metav1.DeleteOptions{})) // once more changes nothing.
		_, err = s.patchSet("web", types.MergePatchType, `{"metadata":{"finalizers":[]}}`)
		s.must(err)
		_, err = api.Get(s.ctx, "web", metav1.GetOptions{})
		s.refused(err, apierrors.IsNotFound)
	},
	"what is being deleted takes no new finalizer": func(s *server) {
		s.set("web", func(set *appsv1alpha1.InPlaceSet) { set.Finalizers = []string{"test.periplus.dev/hold"} })
		s.must(s.periplus.AppsV1alpha1().InPlaceSets(s.namespace).Delete(s.ctx, "web", metav1.DeleteOptions{}))
		_, err := s.patchSet("web", types.MergePatchType, `{"metadata":{"finalizers":["test.periplus.dev/hold","test.periplus.dev/more"]}}`)
		s.refused(err, apierrors.IsInvalid, "finalizers")
		_, err = s.patchSet("web", types.MergePatchType, `{"metadata":{"finalizers":null}}`)
		s.must(err)
	},
	"what all owners of are gone goes, and what has one left stays": func(s *server) {
		a, b := s.config("a"), s.config("b")
		s.config("of-a", ownedBy(a))
		s.config("of-both", ownedBy(a, b))
		s.config("of-nobody")
		s.must(s.kube.CoreV1().ConfigMaps(s.namespace).Delete(s.ctx, "a", metav1.DeleteOptions{}))
		s.eventually("collecting what a owned", func(context.Context) (bool, error) { return s.gone("of-a"), nil })
		s.eventually("dropping the reference to a", func(ctx context.Context) (bool, error) {
			cm, err := s.kube.CoreV1().ConfigMaps(s.namespace).Get(ctx, "of-both", metav1.GetOptions{})
			return err == nil && len(cm.OwnerReferences) == 1 && cm.OwnerReferences[0].UID == b.UID, err
		})
		if s.gone("of-nobody") {
			s.Fatal("what nobody owned went, too")
		}
	},
	"an owner of the same name made anew is not the owner": func(s *server) {
		a := s.config("a")
		s.must(s.kube.CoreV1().ConfigMaps(s.namespace).Delete(s.ctx, "a", metav1.DeleteOptions{}))
		s.config("a")
		s.config("of-a", ownedBy(a))
		s.eventually("collecting what the first a owned", func(context.Context) (bool, error) { return s.gone("of-a"), nil })
	},
	"a pod on a node ends gracefully, and at once when its kubelet says so": func(s *server) {
		api := s.kube.CoreV1().Pods(s.namespace)
		pod := s.pod("p", onNode)
		s.must(api.Delete(s.ctx, "p", metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(pod.UID))}))
		pod, err := api.Get(s.ctx, "p", metav1.GetOptions{})
		s.must(err)
		if pod.DeletionTimestamp == nil || ptr.Deref(pod.DeletionGracePeriodSeconds, 0) != 30 || pod.Generation != 2 {
			s.Fatalf("deleting with timestamp %v, grace %v, generation %d", pod.DeletionTimestamp, pod.DeletionGracePeriodSeconds, pod.Generation)
		}
		s.must(api.Delete(s.ctx, "p", metav1.DeleteOptions{GracePeriodSeconds: ptr.To(int64(0))}))
		_, err = api.Get(s.ctx, "p", metav1.GetOptions{})
		s.refused(err, apierrors.IsNotFound)
	},
	"a pod on no node is gone at once": func(s *server) {
		api := s.kube.CoreV1().Pods(s.namespace)
		s.pod("p")
		s.must(api.Delete(s.ctx, "p", metav1.DeleteOptions{}))
		_, err := api.Get(s.ctx, "p", metav1.GetOptions{})
		s.refused(err, apierrors.IsNotFound)
	},
	"a pod with a finalizer outlives its kubelet's word": func(s *server) {
		api := s.kube.CoreV1().Pods(s.namespace)
		s.pod("p", onNode, finalized)
		s.must(api.Delete(s.ctx, "p", metav1.DeleteOptions{}))
		s.must(api.Delete(s.ctx, "p", metav1.DeleteOptions{GracePeriodSeconds: ptr.To(int64(0))}))
		_, err := s.patchPod("p", `{"metadata":{"$deleteFromPrimitiveList/finalizers":["test.periplus.dev/hold"]}}`)
		s.must(err)
		_, err = api.Get(s.ctx, "p", metav1.GetOptions{})
		s.refused(err, apierrors.IsNotFound)
	},
}
