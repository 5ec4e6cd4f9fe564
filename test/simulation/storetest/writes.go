package storetest

import (
	"strconv"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

var writes = map[string]func(*server){
	"what is created has a UID, a time, a version and no status": func(s *server) {
		set := s.set("web", withStatus)
		if set.UID == "" || set.CreationTimestamp.IsZero() || set.ResourceVersion == "" || set.Generation != 1 || set.Status.Replicas != 0 {
			s.Fatalf("created as %+v, status %+v", set.ObjectMeta, set.Status)
		}
	},
	"a creation that is tried dry says what would be, and makes nothing": func(s *server) {
		dry := metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}
		api := s.kube.CoreV1().ConfigMaps(s.namespace)
		made, err := api.Create(s.ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "a-"}, Data: map[string]string{"k": "v"}}, dry)
		s.must(err)
		if made.Name == "" || made.UID == "" || made.Data["k"] != "v" {
			s.Fatalf("it would be %+v", made)
		}
		all, err := api.List(s.ctx, metav1.ListOptions{})
		s.must(err)
		for _, c := range all.Items {
			if c.Name == made.Name {
				s.Fatal("it was made")
			}
		}
		_, err = s.kube.CoreV1().Pods(s.namespace).Create(s.ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "a"}}, dry)
		s.refused(err, apierrors.IsInvalid, "spec.containers")
	},
	"a name that is taken is refused": func(s *server) {
		s.config("a")
		_, err := s.kube.CoreV1().ConfigMaps(s.namespace).Create(s.ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "a"}}, metav1.CreateOptions{})
		s.refused(err, apierrors.IsAlreadyExists)
	},
	"a name can be generated, and then differs each time": func(s *server) {
		prefix := func(c *corev1.ConfigMap) { c.Name, c.GenerateName = "", "run-" }
		a, b := s.config("", prefix), s.config("", prefix)
		if a.Name == b.Name || len(a.Name) != len("run-")+5 {
			s.Fatalf("names %q and %q", a.Name, b.Name)
		}
	},
	"a name that can be none is refused": func(s *server) {
		_, err := s.kube.CoreV1().ConfigMaps(s.namespace).Create(s.ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "Not_One"}}, metav1.CreateOptions{})
		s.refused(err, apierrors.IsInvalid)
	},
	"nothing is created in a namespace that there is not": func(s *server) {
		_, err := s.kube.CoreV1().ConfigMaps("nowhere").Create(s.ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "a"}}, metav1.CreateOptions{})
		s.refused(err, apierrors.IsNotFound)
	},
	"what carries a version cannot be created": func(s *server) {
		_, err := s.kube.CoreV1().ConfigMaps(s.namespace).Create(s.ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "a", ResourceVersion: "1"}}, metav1.CreateOptions{})
		s.refused(err, func(error) bool { return true }, "resourceVersion")
	},
	"what is not there cannot be read, updated, patched or deleted": func(s *server) {
		api := s.kube.CoreV1().ConfigMaps(s.namespace)
		_, err := api.Get(s.ctx, "a", metav1.GetOptions{})
		s.refused(err, apierrors.IsNotFound)
		_, err = api.Update(s.ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "a"}}, metav1.UpdateOptions{})
		s.refused(err, apierrors.IsNotFound)
		_, err = api.Patch(s.ctx, "a", types.MergePatchType, []byte(`{}`), metav1.PatchOptions{})
		s.refused(err, apierrors.IsNotFound)
		s.refused(api.Delete(s.ctx, "a", metav1.DeleteOptions{}), apierrors.IsNotFound)
	},
	"each write has a higher version than the one before": func(s *server) {
		last := uint64(0)
		for i := range 3 {
			cm := s.config("a-" + strconv.Itoa(i))
			v, err := strconv.ParseUint(cm.ResourceVersion, 10, 64)
			s.must(err)
			if v <= last {
				s.Fatalf("version %d after %d", v, last)
			}
			last = v
		}
	},
	"an update of an old version conflicts": func(s *server) {
		old := s.config("a")
		next := old.DeepCopy()
		next.Data = map[string]string{"k": "1"}
		api := s.kube.CoreV1().ConfigMaps(s.namespace)
		_, err := api.Update(s.ctx, next, metav1.UpdateOptions{})
		s.must(err)
		old.Data = map[string]string{"k": "2"}
		_, err = api.Update(s.ctx, old, metav1.UpdateOptions{})
		s.refused(err, apierrors.IsConflict, "the object has been modified")
	},
	"an update of another object of the same name conflicts": func(s *server) {
		cm := s.config("a")
		cm.UID, cm.ResourceVersion = "another", ""
		_, err := s.kube.CoreV1().ConfigMaps(s.namespace).Update(s.ctx, cm, metav1.UpdateOptions{})
		s.refused(err, apierrors.IsConflict, "UID")
	},
	"an update of a custom object must say of which version": func(s *server) {
		set := s.set("web")
		set.ResourceVersion = ""
		_, err := s.periplus.AppsV1alpha1().InPlaceSets(s.namespace).Update(s.ctx, set, metav1.UpdateOptions{})
		s.refused(err, apierrors.IsInvalid, "resourceVersion")
	},
	"an update that changes nothing makes no version": func(s *server) {
		set := s.set("web")
		again, err := s.periplus.AppsV1alpha1().InPlaceSets(s.namespace).Update(s.ctx, set, metav1.UpdateOptions{})
		s.must(err)
		if again.ResourceVersion != set.ResourceVersion {
			s.Fatalf("version %s became %s", set.ResourceVersion, again.ResourceVersion)
		}
	},
	"a change of the spec makes a generation, one of metadata or status none": func(s *server) {
		api := s.periplus.AppsV1alpha1().InPlaceSets(s.namespace)
		set := s.set("web")
		set.Labels = map[string]string{"a": "b"}
		set, err := api.Update(s.ctx, set, metav1.UpdateOptions{})
		s.must(err)
		set.Status.Replicas = 3
		set, err = api.UpdateStatus(s.ctx, set, metav1.UpdateOptions{})
		s.must(err)
		if set.Generation != 1 {
			s.Fatalf("generation %d after changes of labels and status", set.Generation)
		}
		set.Spec.MinReadySeconds = 5
		set, err = api.Update(s.ctx, set, metav1.UpdateOptions{})
		s.must(err)
		if set.Generation != 2 {
			s.Fatalf("generation %d after a change of the spec", set.Generation)
		}
	},
	"a status is written by its own subresource, and the rest is not": func(s *server) {
		api := s.periplus.AppsV1alpha1().InPlaceSets(s.namespace)
		set := s.set("web")
		set.Status.Replicas, set.Spec.MinReadySeconds, set.Labels = 3, 5, map[string]string{"a": "b"}
		set, err := api.UpdateStatus(s.ctx, set, metav1.UpdateOptions{})
		s.must(err)
		if set.Status.Replicas != 3 || set.Spec.MinReadySeconds != 0 || len(set.Labels) > 0 {
			s.Fatalf("the status write left %+v, spec %+v, labels %v", set.Status, set.Spec.MinReadySeconds, set.Labels)
		}
		set.Status.Replicas, set.Spec.MinReadySeconds = 4, 6
		set, err = api.Update(s.ctx, set, metav1.UpdateOptions{})
		s.must(err)
		if set.Status.Replicas != 3 || set.Spec.MinReadySeconds != 6 {
			s.Fatalf("the write of the spec left %+v, spec %+v", set.Status, set.Spec.MinReadySeconds)
		}
	},
	"a status write of an old version conflicts": func(s *server) {
		api := s.periplus.AppsV1alpha1().InPlaceSets(s.namespace)
		old := s.set("web")
		next := old.DeepCopy()
		next.Status.Replicas = 1
		_, err := api.UpdateStatus(s.ctx, next, metav1.UpdateOptions{})
		s.must(err)
		old.Status.Replicas = 2
		_, err = api.UpdateStatus(s.ctx, old, metav1.UpdateOptions{})
		s.refused(err, apierrors.IsConflict)
	},
}
