package fleet_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	ktesting "k8s.io/client-go/testing"

	fleetv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/fleet/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/fleet"
)

func TestUnknownMembersAreSaidToBeThat(t *testing.T) {
	h := newHub(t, nil)
	if _, err := h.fleet.Info("nowhere"); !errors.Is(err, fleet.ErrUnknownMember) || !strings.Contains(err.Error(), `"nowhere"`) {
		t.Errorf("Info: %v", err)
	}
	if _, err := h.fleet.Open("run", "nowhere", nil); !errors.Is(err, fleet.ErrUnknownMember) {
		t.Errorf("Open: %v", err)
	}
}

func TestMembersAreListedByNameAndSelector(t *testing.T) {
	h := newHub(t, nil)
	for _, name := range []string{"west", "east", "north"} {
		h.setMember(name, fleetv1alpha1.SecretKeyRef{})
	}
	for _, tt := range []struct {
		sel  labels.Selector
		want []string
	}{
		{nil, []string{"east", "north", "west"}},
		{labels.SelectorFromSet(labels.Set{"region": "north"}), []string{"east", "north", "west"}},
		{labels.SelectorFromSet(labels.Set{"region": "south"}), nil},
	} {
		infos, err := h.fleet.List(tt.sel)
		var got []string
		for _, i := range infos {
			got = append(got, i.Name)
		}
		if err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("selector %v: got %v, %v, want %v", tt.sel, got, err, tt.want)
		}
	}
}

func TestOpeningContactsTheMemberAndWakes(t *testing.T) {
	h := newHub(t, nil)
	h.addMember("north", newAPIServer(t).kubeconfig(goodToken))
	s, wakes := h.open("run", "north")
	r := reach(t, s, fleet.Reachable, fleet.ReasonAnswering)
	if r.LastContact.IsZero() || r.Since.IsZero() {
		t.Errorf("times are missing: %+v", r)
	}
	eventually(t, "woken", func() bool { return wakes.Load() > 0 })
	info, err := h.fleet.Info("north")
	if err != nil || info.Version != "v1.36.3" || info.Importance != 7 || info.Labels["region"] != "north" || info.Reachability.State != fleet.Reachable {
		t.Errorf("info: %+v, %v", info, err)
	}
	if again, _ := h.open("run", "north"); again != s {
		t.Error("a second Open of the same owner made another session")
	}
}

func TestWhyAMemberCannotBeWorkedWith(t *testing.T) {
	server := newAPIServer(t)
	ref := fleetv1alpha1.SecretKeyRef{Namespace: "periplus-system", Name: "north"}
	tests := []struct {
		name    string
		spoil   func(h *hub)
		state   fleet.State
		reason  fleet.Reason
		message string
	}{
		{"the Secret is not there", func(h *hub) { h.setMember("north", fleetv1alpha1.SecretKeyRef{Namespace: ref.Namespace, Name: "lost"}) },
			fleet.Unreachable, fleet.ReasonSecretNotFound, "periplus-system/lost does not exist"},
		{"the key is not there", func(h *hub) { r := ref; r.Key = "config"; h.setMember("north", r) },
			fleet.Unreachable, fleet.ReasonSecretNotFound, `no data under the key "config"`},
		{"the Secret is in a namespace we may not read", func(h *hub) { r := ref; r.Namespace = "shop"; h.setMember("north", r) },
			fleet.Unreachable, fleet.ReasonWrongNamespace, `is "shop", but Secrets are read from "periplus-system" only`},
		{"the kubeconfig is nonsense", func(h *hub) { h.setSecret("north", []byte("{{{")) },
			fleet.Unreachable, fleet.ReasonBadKubeconfig, "parsing the kubeconfig"},
		{"the hub does not give us the Secret", func(h *hub) {
			h.kube.PrependReactor("get", "secrets", func(ktesting.Action) (bool, runtime.Object, error) {
				return true, nil, apierrors.NewForbidden(corev1.Resource("secrets"), "north", errors.New("no"))
			})
		}, fleet.Unknown, fleet.ReasonSecretUnreadable, "forbidden"},
		{"the token is wrong", func(h *hub) { h.setSecret("north", server.kubeconfig("wrong")) },
			fleet.Unreachable, fleet.ReasonUnauthorized, "refuses the credentials"},
		{"nobody listens", func(h *hub) { h.setSecret("north", kubeconfigOf(t, "https://127.0.0.1:1", nil, "x")) },
			fleet.Unreachable, fleet.ReasonNotAnswering, "connection refused"},
		{"the certificate is not the one we know", func(h *hub) { h.setSecret("north", kubeconfigOf(t, "https://"+server.addr, nil, goodToken)) },
			fleet.Unreachable, fleet.ReasonNotAnswering, "certificate"},
		{"the API server says it is not ready", func(*hub) { server.set(func(s *apiServer) { s.notReady = true }) },
			fleet.Unreachable, fleet.ReasonNotAnswering, "not ready (500): etcd failed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHub(t, nil)
			h.addMember("north", server.kubeconfig(goodToken))
			tt.spoil(h)
			s, wakes := h.open("run", "north")
			r := reach(t, s, tt.state, tt.reason)
			if !strings.Contains(r.Message, tt.message) {
				t.Errorf("the message does not say %q: %q", tt.message, r.Message)
			}
			eventually(t, "woken", func() bool { return wakes.Load() > 0 })
			err := s.Do(t.Context(), "reading", func(context.Context, fleet.Clients) error { t.Error("called"); return nil })
			var u *fleet.UnreachableError
			if !errors.As(err, &u) || u.Member != "north" || !strings.Contains(err.Error(), tt.message) {
				t.Errorf("Do: %v", err)
			}
		})
	}
}

func TestNewCredentialsAreTakenUp(t *testing.T) {
	server := newAPIServer(t)
	server.addPod("a")
	h := newHub(t, nil)
	h.addMember("north", server.kubeconfig("wrong"))
	s, _ := h.open("run", "north")
	reach(t, s, fleet.Unreachable, fleet.ReasonUnauthorized)

	h.setSecret("north", server.kubeconfig(goodToken))
	reach(t, s, fleet.Reachable, fleet.ReasonAnswering)
	eventually(t, "pods are listed", func() bool { return len(podNames(s)) == 1 })

	// The token is rotated in the member first, as it is after a leak.
	server.set(func(s *apiServer) { s.token = "rotated" })
	reach(t, s, fleet.Unreachable, fleet.ReasonUnauthorized)
	if synced(s) {
		t.Error("the pods count as synced while our credentials are refused")
	}
	h.setSecret("north", server.kubeconfig("rotated"))
	reach(t, s, fleet.Reachable, fleet.ReasonAnswering)
	eventually(t, "pods are listed again", func() bool { return len(podNames(s)) == 1 })
}

func TestAMemberThatMovesIsFollowed(t *testing.T) {
	one, two := newAPIServer(t), newAPIServer(t)
	one.addPod("of-one")
	two.addPod("of-two")
	h := newHub(t, func(o *fleet.Options) { o.HeartbeatActive, o.SecretInterval = time.Hour, time.Hour })
	h.addMember("north", one.kubeconfig(goodToken))
	h.setSecret("elsewhere", two.kubeconfig(goodToken))
	s, _ := h.open("run", "north")
	eventually(t, "the first one's pods", func() bool { return slices.Equal(podNames(s), []string{"shop/of-one"}) })

	h.setMember("north", fleetv1alpha1.SecretKeyRef{Namespace: "periplus-system", Name: "elsewhere"})
	h.fleet.MemberChanged("north")
	eventually(t, "the second one's pods", func() bool { return slices.Equal(podNames(s), []string{"shop/of-two"}) })
	eventually(t, "the first one is left alone", func() bool { return one.watches() == 0 })
}

func TestADeletedMemberEndsItsSessionsAndComesBack(t *testing.T) {
	server := newAPIServer(t)
	h := newHub(t, nil)
	h.addMember("north", server.kubeconfig(goodToken))
	s, _ := h.open("run", "north")
	eventually(t, "synced", func() bool { return synced(s) })
	obj, _, _ := h.indexer.GetByKey("north")
	if err := h.indexer.Delete(obj); err != nil {
		t.Fatal(err)
	}
	h.fleet.MemberChanged("north")
	reach(t, s, fleet.Unreachable, fleet.ReasonMemberNotFound)
	eventually(t, "no watch is left", func() bool { return server.watches() == 0 })

	h.addMember("north", server.kubeconfig(goodToken))
	h.fleet.MemberChanged("north")
	eventually(t, "synced again", func() bool { return synced(s) })
}

func TestDoPassesTheMembersErrorsThrough(t *testing.T) {
	h := newHub(t, nil)
	h.addMember("north", newAPIServer(t).kubeconfig(goodToken))
	s, _ := h.open("run", "north")
	reach(t, s, fleet.Reachable, fleet.ReasonAnswering)
	err := s.Do(t.Context(), "reading pod shop/x", func(ctx context.Context, c fleet.Clients) error {
		_, err := c.Kube.CoreV1().Pods("shop").Get(ctx, "x", metav1.GetOptions{})
		return err
	})
	if !apierrors.IsNotFound(err) || !strings.Contains(err.Error(), `reading pod shop/x in member "north"`) {
		t.Errorf("got %v", err)
	}
	if r := s.Reachability(); r.State != fleet.Reachable {
		t.Errorf("a NotFound made the member %+v", r)
	}
	own := errors.New("the caller's own")
	if err := s.Do(t.Context(), "deciding", func(context.Context, fleet.Clients) error { return own }); !errors.Is(err, own) {
		t.Errorf("got %v", err)
	}
	canceled, cancel := context.WithCancel(t.Context())
	err = s.Do(canceled, "reading", func(ctx context.Context, c fleet.Clients) error {
		cancel()
		_, err := c.Kube.CoreV1().Pods("shop").Get(ctx, "x", metav1.GetOptions{})
		return err
	})
	if !errors.Is(err, context.Canceled) || s.Reachability().State != fleet.Reachable {
		t.Errorf("the caller's own cancel gave %v and made the member %+v", err, s.Reachability())
	}
}

func TestOnlySoManyCallsAtOnceAndWhoeverWaitsIsWoken(t *testing.T) {
	h := newHub(t, func(o *fleet.Options) { o.CallsPerMember = 2 })
	h.addMember("north", newAPIServer(t).kubeconfig(goodToken))
	s, _ := h.open("run", "north")
	other, wakes := h.open("other", "north")
	reach(t, s, fleet.Reachable, fleet.ReasonAnswering)

	release := make(chan struct{})
	var inside, done sync.WaitGroup
	for range 2 {
		inside.Add(1)
		done.Go(func() {
			_ = s.Do(context.Background(), "waiting", func(context.Context, fleet.Clients) error { inside.Done(); <-release; return nil })
		})
	}
	inside.Wait()
	before := wakes.Load()
	if err := other.Do(t.Context(), "reading", func(context.Context, fleet.Clients) error { return nil }); !errors.Is(err, fleet.ErrBusy) {
		t.Errorf("the third call at once gave %v", err)
	}
	close(release)
	done.Wait()
	eventually(t, "whoever found no place is woken", func() bool { return wakes.Load() > before })
	if err := other.Do(t.Context(), "reading", func(context.Context, fleet.Clients) error { return nil }); err != nil {
		t.Errorf("with places free: %v", err)
	}
}

func TestAfterCloseASessionIsOfNoUse(t *testing.T) {
	h := newHub(t, nil)
	h.addMember("north", newAPIServer(t).kubeconfig(goodToken))
	s, _ := h.open("run", "north")
	reach(t, s, fleet.Reachable, fleet.ReasonAnswering)
	h.fleet.Close("run")
	if err := s.Do(t.Context(), "reading", func(context.Context, fleet.Clients) error { return nil }); !errors.Is(err, fleet.ErrClosed) {
		t.Errorf("Do: %v", err)
	}
	if inf, ok := s.Informer("pods", makePods); inf != nil || ok {
		t.Error("an informer was given")
	}
	h.fleet.Stop()
	if _, err := h.fleet.Open("run", "north", nil); !errors.Is(err, fleet.ErrClosed) {
		t.Errorf("Open after Stop: %v", err)
	}
}
