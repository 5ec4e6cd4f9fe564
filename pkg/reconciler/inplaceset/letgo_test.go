package inplaceset

import (
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	testclock "k8s.io/utils/clock/testing"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

func TestABalancerThatDoesNotAnswerHoldsADeletedPodForALimitedTime(t *testing.T) {
	short := int32(60)
	mine := setOf("web", "u1")
	mine.Spec.UpdateStrategy.DrainTimeoutSeconds = &short
	dying := mine.DeepCopy()
	dying.DeletionTimestamp = &metav1.Time{Time: noon}
	const dead, other = v1alpha1.BalancerPrefix + "dead", "example.com/keep"
	for _, r := range []struct {
		name       string
		set        *v1alpha1.InPlaceSet
		finalizers []string
		alive      bool
		after      time.Duration // since the pod was deleted
		keeps      []string
		again      time.Duration
		told       string
	}{
		{name: "it has its time", set: mine, finalizers: []string{dead}, after: 40 * time.Second, keeps: []string{dead}, again: 20 * time.Second},
		{name: "then its finalizer goes, and is named", set: mine, finalizers: []string{dead, other}, after: time.Minute, keeps: []string{other}, told: dead},
		{name: "a set that is being deleted says how long", set: dying, finalizers: []string{dead}, after: time.Minute, told: dead},
		{name: "where the set is gone it has 300 seconds", finalizers: []string{dead}, after: 299 * time.Second, keeps: []string{dead}, again: time.Second},
		{name: "where the set is gone its finalizer goes after 300 seconds", finalizers: []string{dead}, after: 300 * time.Second, told: dead},
		{name: "a set of the same name that is another does not say how long", set: setOf("web", "u2"), finalizers: []string{dead}, after: time.Minute, keeps: []string{dead}, again: 240 * time.Second},
		{name: "finalizers of others are never taken", set: mine, finalizers: []string{other}, after: time.Hour, keeps: []string{other}},
		{name: "from a pod that nobody deleted nothing is taken", set: mine, finalizers: []string{dead}, alive: true, after: time.Hour, keeps: []string{dead}},
	} {
		t.Run(r.name, func(t *testing.T) {
			pod := podWith("a", "r1")
			pod.Namespace, pod.UID, pod.Finalizers = "shop", "p1", r.finalizers
			pod.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(mine, kind)}
			if !r.alive {
				pod.DeletionTimestamp = &metav1.Time{Time: noon}
			}
			pods := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{byHeld: indexHeld})
			if err := pods.Add(pod); err != nil {
				t.Fatal(err)
			}
			client, events := fake.NewClientset(pod), record.NewFakeRecorder(5)
			rec := &reconciler{kube: client, pods: pods, clock: testclock.NewFakePassiveClock(noon.Add(r.after)), recorder: events}
			key := types.NamespacedName{Namespace: "shop", Name: "web"}
			if keys, err := heldKeys(pods); err != nil || (len(keys) == 1 && keys[0] == key) == (r.alive || !slices.Contains(r.finalizers, dead)) {
				t.Errorf("a new leader looks at %v, %v", keys, err)
			}
			again, err := rec.letGo(t.Context(), key, r.set)
			if err != nil || again != r.again {
				t.Errorf("again in %s, %v; want %s", again, err, r.again)
			}
			got, err := client.CoreV1().Pods("shop").Get(t.Context(), "a", metav1.GetOptions{})
			if err != nil || !slices.Equal(got.Finalizers, r.keeps) {
				t.Errorf("finalizers are %v, %v; want %v", got.Finalizers, err, r.keeps)
			}
			select {
			case told := <-events.Events:
				if r.told == "" || !strings.Contains(told, r.told) || !strings.Contains(told, corev1.EventTypeWarning) {
					t.Errorf("told %q; want %q in it", told, r.told)
				}
			default:
				if r.told != "" {
					t.Errorf("told nothing; want %q", r.told)
				}
			}
		})
	}
}
