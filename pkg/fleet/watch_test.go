package fleet_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/periplus-dev/periplus/pkg/fleet"
)

func TestEventsWakeTheSessionsThatAskedForTheInformer(t *testing.T) {
	server := newAPIServer(t)
	h := newHub(t, nil)
	h.addMember("north", server.kubeconfig(goodToken))
	s, wakes := h.open("run", "north")
	same, sameWakes := h.open("another", "north")
	_, bystander := h.open("bystander", "north")
	eventually(t, "synced with no pod at all", func() bool { return synced(s) && synced(same) })
	before, sameBefore, quiet := wakes.Load(), sameWakes.Load(), bystander.Load()
	server.addPod("a")
	eventually(t, "both users are woken", func() bool { return wakes.Load() > before && sameWakes.Load() > sameBefore })
	eventually(t, "the pod is seen", func() bool { return slices.Equal(podNames(s), []string{"shop/a"}) })
	if got := bystander.Load(); got != quiet {
		t.Errorf("a session that uses no informer was woken %d times", got-quiet)
	}
	if n := server.watches(); n != 1 {
		t.Errorf("%d watches for one key, want 1", n)
	}
}

func TestAWatchThatEndsAsWatchesDoIsTakenUpWithoutANewList(t *testing.T) {
	server := newAPIServer(t)
	h := newHub(t, nil)
	h.addMember("north", server.kubeconfig(goodToken))
	s, _ := h.open("run", "north")
	eventually(t, "synced", func() bool { return synced(s) && server.watches() == 1 })
	lists := server.listed()
	// A watch that saw an event is gone on with from there; others count as failed and are begun by a list.
	server.addPod("a")
	eventually(t, "the pod is seen", func() bool { return len(podNames(s)) == 1 })
	server.cutWatches()
	eventually(t, "it watches again", func() bool { return server.watches() == 1 })
	server.addPod("b")
	eventually(t, "events go on", func() bool { return len(podNames(s)) == 2 })
	if got := server.listed(); got != lists {
		t.Errorf("%d lists more", got-lists)
	}
}

func TestDataCountsAsSyncedOnlyWhileItsWatchIsOpen(t *testing.T) {
	server := newAPIServer(t)
	h := newHub(t, nil)
	h.addMember("north", server.kubeconfig(goodToken))
	s, wakes := h.open("run", "north")
	eventually(t, "synced", func() bool { return synced(s) && server.watches() == 1 })
	// A watch that saw an event is gone on with from there; others count as failed and are begun by a list.
	server.addPod("a")
	eventually(t, "the pod is seen", func() bool { return len(podNames(s)) == 1 })

	hold, late := make(chan struct{}), make(chan struct{})
	defer close(late)
	server.set(func(s *apiServer) { s.hold, s.late = hold, late })
	server.cutWatches()
	eventually(t, "not synced, although the member answers", func() bool {
		return !synced(s) && s.Reachability().State == fleet.Reachable
	})
	if err := s.InformerError("pods"); err == nil || !strings.Contains(err.Error(), "its watch is closed since") {
		t.Errorf("the reason is not said: %v", err)
	}
	server.addPod("b")
	if inf, ok := s.Informer("pods", makePods); ok || len(inf.GetStore().ListKeys()) != 1 {
		t.Errorf("synced %t with %v", ok, inf.GetStore().ListKeys())
	}

	before := wakes.Load()
	close(hold)
	eventually(t, "synced again, and never without what was missed", func() bool {
		names := podNames(s)
		if len(names) == 1 {
			t.Fatal("synced with the pods of before the gap")
		}
		return len(names) == 2
	})
	eventually(t, "woken", func() bool { return wakes.Load() > before })
	if err := s.InformerError("pods"); err != nil {
		t.Errorf("a reason is still said: %v", err)
	}
}

func TestAWatchThatIsRefusedIsSaidToBe(t *testing.T) {
	server := newAPIServer(t)
	server.set(func(s *apiServer) { s.noWatch = true })
	h := newHub(t, nil)
	h.addMember("north", server.kubeconfig(goodToken))
	s, _ := h.open("run", "north")
	eventually(t, "not synced, although the list was complete, and the reason is said", func() bool {
		inf, ok := s.Informer("pods", makePods)
		err := s.InformerError("pods")
		return inf != nil && inf.HasSynced() && !ok && err != nil && strings.Contains(strings.ToLower(err.Error()), "forbidden")
	})
	reach(t, s, fleet.Reachable, fleet.ReasonAnswering)
}

func TestAMemberThatWasAwayIsListedAnewWhenItIsBack(t *testing.T) {
	server := newAPIServer(t)
	server.addPod("a")
	h := newHub(t, nil)
	h.addMember("north", server.kubeconfig(goodToken))
	s, wakes := h.open("run", "north")
	eventually(t, "synced", func() bool { return len(podNames(s)) == 1 })
	old, _ := s.Informer("pods", makePods)

	before := wakes.Load()
	server.stop()
	r := reach(t, s, fleet.Unreachable, fleet.ReasonNotAnswering)
	if synced(s) || r.Since.IsZero() || wakes.Load() == before {
		t.Errorf("synced %t, woken %d times, %+v", synced(s), wakes.Load()-before, r)
	}
	eventually(t, "the informer has stopped", func() bool { return old.IsStopped() })
	server.addPod("b")

	server.restart()
	// The certificate is the same for every test server, so the kubeconfig still fits.
	eventually(t, "what was missed is there as soon as it counts as synced", func() bool {
		names := podNames(s)
		if len(names) == 1 {
			t.Fatal("synced with the pods of before the outage")
		}
		return len(names) == 2
	})
	if r := s.Reachability(); r.State != fleet.Reachable {
		t.Errorf("%+v", r)
	}
}

func TestAMemberThatNobodyWorksOnIsLeftAlone(t *testing.T) {
	server := newAPIServer(t)
	h := newHub(t, nil)
	h.addMember("north", server.kubeconfig(goodToken))
	s, _ := h.open("first", "north")
	eventually(t, "synced", func() bool { return synced(s) && server.watches() == 1 })
	h.fleet.Close("first")
	eventually(t, "the watch has ended", func() bool { return server.watches() == 0 })
	eventually(t, "nobody looks after the member any more", func() bool {
		info, err := h.fleet.Info("north")
		return err == nil && info.Reachability.State == fleet.Unknown
	})
	noneLeft(t)
}
