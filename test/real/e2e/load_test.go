//go:build e2ereal

package e2e

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	appsv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

const (
	replicas = 8
	// rate of requests a second, on each way that they come.
	rate = 120
	// proxyLag is how late clients know what slices say; longest is how long a long request takes. The default grace period covers both.
	proxyLag = time.Second
	longest  = 2 * time.Second
)

// least is how many requests and pod changes a story of load has at least: PERIPLUS_REAL_REQUESTS and PERIPLUS_REAL_CHANGES, for longer ones.
func least(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s is %q: want a number", name, text)
	}
	return n
}

// loaded makes the set that is under load: eight pods over all units, of which half may be changed at a time.
func (s *site) loaded(change func(*appsv1alpha1.InPlaceSetUpdateStrategy)) *set {
	s.t.Helper()
	set := s.set("web", "", replicas, "v1", func(spec *appsv1alpha1.InPlaceSetSpec) {
		half := intstr.FromString("50%")
		spec.UpdateStrategy = appsv1alpha1.InPlaceSetUpdateStrategy{MaxUnavailable: &half}
		change(&spec.UpdateStrategy)
	})
	set.awaitAvailable()
	nodes := map[string]bool{}
	for _, p := range set.pods() {
		nodes[p.Spec.NodeName] = true
	}
	if len(nodes) != len(units) {
		s.t.Fatalf("all pods are on %v", nodes)
	}
	return set
}

// application is what changes versions under load.
type application interface {
	setImage(tag string)
	awaitAvailable()
}

// backAndForth changes an application from v1 to v2 and back until there were enough pod changes and requests, and returns how many changes there were.
func (t *traffic) backAndForth(app application, changes, requests int) int {
	t.site.t.Helper()
	done, tags := 0, []string{"v2", "v1"}
	for round := 0; done < changes || t.sent() < requests; round++ {
		app.setImage(tags[round%2])
		app.awaitAvailable()
		done += replicas
		t.site.t.Logf("%d pods changed, %d requests", done, t.sent())
	}
	return done
}

func TestNoRequestFailsWhilePodsAreChangedInPlace(t *testing.T) {
	s := newSite(t).loaded(func(*appsv1alpha1.InPlaceSetUpdateStrategy) {})
	before := s.pods()
	tr := s.traffic().followSlices().throughHAProxy()
	changes := tr.backAndForth(s, least(t, "PERIPLUS_REAL_CHANGES", 100), least(t, "PERIPLUS_REAL_REQUESTS", 20_000))
	failed := tr.end()
	t.Logf("%d pod changes in place\n%s", changes, tr)
	if failed != 0 {
		t.Errorf("%d of %d requests failed", failed, tr.sent())
	}
	tr.bothAnswered()
	s.same(before)
	if got := int(restarts(s.pods()) - restarts(before)); got != changes {
		t.Errorf("%d restarts for %d changes", got, changes)
	}
}

func TestNoRequestFailsWhilePodsAreRebuilt(t *testing.T) {
	s := newSite(t).loaded(func(u *appsv1alpha1.InPlaceSetUpdateStrategy) { u.Type = appsv1alpha1.ReCreate })
	before := s.pods()
	tr := s.traffic().followSlices().throughHAProxy()
	changes := tr.backAndForth(s, 2*replicas, 1)
	failed := tr.end()
	t.Logf("%d pods rebuilt\n%s", changes, tr)
	if failed != 0 {
		t.Errorf("%d of %d requests failed", failed, tr.sent())
	}
	tr.bothAnswered()
	for _, p := range s.pods() {
		if slices.ContainsFunc(before, func(b corev1.Pod) bool { return b.UID == p.UID }) {
			t.Errorf("pod %s was not rebuilt", p.Name)
		}
	}
}

// The two that follow say that the ones above would see it: what they leave out costs requests.

func TestWithoutTheGracePeriodRequestsFail(t *testing.T) {
	none := int32(0)
	s := newSite(t).loaded(func(u *appsv1alpha1.InPlaceSetUpdateStrategy) { u.GracePeriodSeconds = &none })
	tr := s.traffic().followSlices()
	tr.backAndForth(s, 2*replicas, 1)
	if tr.end() == 0 {
		t.Errorf("no request failed though pods are changed while clients still come:\n%s", tr)
	} else {
		t.Logf("as it should be:\n%s", tr)
	}
}

func TestWithoutTheGateRequestsFail(t *testing.T) {
	s := newSite(t).loaded(func(*appsv1alpha1.InPlaceSetUpdateStrategy) {})
	tr := s.traffic().followSlices()
	var group sync.WaitGroup
	for _, p := range s.pods()[:replicas/2] {
		group.Go(func() {
			patch := fmt.Sprintf(`{"spec":{"containers":[{"name":"app","image":%q}]}}`, image+"v2")
			if _, err := s.kube.CoreV1().Pods(s.ns).Patch(t.Context(), p.Name, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	s.eventually("four pods run v2", func() (bool, string) {
		n := 0
		for _, p := range s.pods() {
			c := p.Status.ContainerStatuses[0]
			if c.Image == image+"v2" && c.Ready && c.RestartCount == 1 {
				n++
			}
		}
		return n == replicas/2, fmt.Sprint(n)
	})
	if tr.end() == 0 {
		t.Errorf("no request failed though pods are changed in service:\n%s", tr)
	} else {
		t.Logf("as it should be:\n%s", tr)
	}
}
