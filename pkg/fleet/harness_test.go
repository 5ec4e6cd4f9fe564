package fleet_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/cache"

	fleetv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/fleet/v1alpha1"
	listers "github.com/periplus-dev/periplus/pkg/client/listers/fleet/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/fleet"
)

// patience is how long a test waits for what should take milliseconds. It is a limit, not a sleep.
const patience = 20 * time.Second

// hub is the hub as a Fleet sees it.
type hub struct {
	t       testing.TB
	indexer cache.Indexer
	kube    *fake.Clientset
	fleet   *fleet.Fleet
}

// newHub makes a Fleet with short intervals over real connections. It is stopped, and nothing of it may run, at the end.
func newHub(t testing.TB, change func(*fleet.Options)) *hub {
	t.Helper()
	h := &hub{t: t, indexer: cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{}), kube: fake.NewClientset()}
	opts := fleet.Options{
		Members:          listers.NewMemberLister(h.indexer),
		Hub:              h.kube,
		HeartbeatActive:  100 * time.Millisecond,
		HeartbeatAtRest:  time.Second,
		HeartbeatTimeout: time.Second,
		CallTimeout:      2 * time.Second,
		Linger:           50 * time.Millisecond,
		WatchGap:         300 * time.Millisecond,
		SecretInterval:   200 * time.Millisecond,
	}
	if change != nil {
		change(&opts)
	}
	h.fleet = fleet.New(opts)
	t.Cleanup(func() {
		h.fleet.Stop()
		noneLeft(t)
	})
	return h
}

func (h *hub) addMember(name string, kubeconfig []byte) {
	h.t.Helper()
	h.setSecret(name, kubeconfig)
	h.setMember(name, fleetv1alpha1.SecretKeyRef{Namespace: "periplus-system", Name: name})
}

func (h *hub) setMember(name string, ref fleetv1alpha1.SecretKeyRef) {
	h.t.Helper()
	err := h.indexer.Update(&fleetv1alpha1.Member{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"region": "north"}},
		Spec:       fleetv1alpha1.MemberSpec{KubeconfigSecretRef: &ref, Importance: 7},
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *hub) setSecret(name string, kubeconfig []byte) {
	h.t.Helper()
	secrets := h.kube.CoreV1().Secrets("periplus-system")
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "periplus-system", Name: name}, Data: map[string][]byte{"kubeconfig": kubeconfig}}
	_, err := secrets.Update(context.Background(), secret, metav1.UpdateOptions{})
	if err != nil {
		_, err = secrets.Create(context.Background(), secret, metav1.CreateOptions{})
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

// open opens a session whose wakes are counted.
func (h *hub) open(owner, member string) (*fleet.Session, *atomic.Int64) {
	h.t.Helper()
	wakes := &atomic.Int64{}
	s, err := h.fleet.Open(types.UID(owner), member, func() { wakes.Add(1) })
	if err != nil {
		h.t.Fatalf("opening member %q: %v", member, err)
	}
	return s, wakes
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("did not come true within %s: %s", patience, what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func reach(t testing.TB, s *fleet.Session, state fleet.State, reason fleet.Reason) fleet.Reachability {
	t.Helper()
	eventually(t, fmt.Sprintf("member %q is %s because %s; last seen: %+v", s.Member(), state, reason, s.Reachability()), func() bool {
		r := s.Reachability()
		return r.State == state && r.Reason == reason
	})
	return s.Reachability()
}

func makePods(c fleet.Clients) cache.SharedIndexInformer {
	return coreinformers.NewPodInformer(c.Kube, "shop", 0, cache.Indexers{})
}

func synced(s *fleet.Session) bool {
	_, ok := s.Informer("pods", makePods)
	return ok
}

func podNames(s *fleet.Session) []string {
	inf, ok := s.Informer("pods", makePods)
	if !ok {
		return nil
	}
	return inf.GetStore().ListKeys()
}

// noneLeft fails the test if goroutines of the fleet or of client-go's informers still run.
func noneLeft(t testing.TB) {
	t.Helper()
	var left string
	deadline := time.Now().Add(patience)
	for {
		left = ""
		buf := make([]byte, 1<<22)
		for g := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
			if strings.Contains(g, "periplus/pkg/fleet.") || strings.Contains(g, "client-go/tools/cache") || strings.Contains(g, "net/http.(*persistConn)") ||
				strings.Contains(g, "ClientConn).readLoop") || strings.Contains(g, "clientConnReadLoop)") {
				left = g
				break
			}
		}
		if left == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("still running after Stop:\n%s", left)
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}
