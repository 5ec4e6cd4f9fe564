package fleet_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/periplus-dev/periplus/pkg/fleet"
)

// wire stands before a server and can go silent: it goes on accepting connections and says nothing any more.
type wire struct {
	addr   string
	target string
	silent chan struct{} // closed when it goes silent
}

// newWire returns a wire to a target; one without a target is silent from the start.
func newWire(t *testing.T, target string) *wire {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{addr: l.Addr().String(), target: target, silent: make(chan struct{})}
	if target == "" {
		close(w.silent)
	}
	var (
		mu    sync.Mutex
		conns []net.Conn
		done  sync.WaitGroup
	)
	keep := func(c net.Conn) {
		mu.Lock()
		defer mu.Unlock()
		conns = append(conns, c)
	}
	forward := func(to, from net.Conn) {
		buf := make([]byte, 1<<15)
		for {
			n, err := from.Read(buf)
			if err != nil {
				_ = to.Close()
				return
			}
			select {
			case <-w.silent: // what was read is lost; the connection stays open until the other side gives up
				continue
			default:
			}
			if _, err := to.Write(buf[:n]); err != nil {
				_ = from.Close()
				return
			}
		}
	}
	done.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			keep(c)
			select {
			case <-w.silent:
				continue
			default:
			}
			up, err := new(net.Dialer).DialContext(context.Background(), "tcp", w.target)
			if err != nil {
				_ = c.Close()
				continue
			}
			keep(up)
			done.Go(func() { forward(up, c) })
			done.Go(func() { forward(c, up) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for _, c := range conns {
			_ = c.Close()
		}
		mu.Unlock()
		done.Wait()
	})
	return w
}

// step does what a stage does in one step: it looks at its informer and makes one call.
func step(ctx context.Context, s *fleet.Session) error {
	s.Informer("pods", makePods)
	return s.Do(ctx, "listing pods", func(ctx context.Context, c fleet.Clients) error {
		_, err := c.Kube.CoreV1().Pods("shop").List(ctx, metav1.ListOptions{})
		return err
	})
}

func median(of []time.Duration) time.Duration {
	slices.Sort(of)
	return of[len(of)/2]
}

func TestAMemberThatHangsDelaysNoOther(t *testing.T) {
	for _, tt := range []struct {
		name     string
		answered bool
		longest  time.Duration
	}{
		{"a member that never answered: no step of it waits for anything", false, 500 * time.Millisecond},
		{"a member that stops answering: a few steps of it wait for the call's timeout", true, 2 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) { hangs(t, tt.answered, tt.longest) })
	}
}

func hangs(t *testing.T, answered bool, patienceOfWorkers time.Duration) {
	server := newAPIServer(t)
	for _, p := range []string{"a", "b", "c"} {
		server.addPod(p)
	}
	h := newHub(t, func(o *fleet.Options) {
		o.HeartbeatTimeout = 1500 * time.Millisecond
		o.CallTimeout = time.Second
		o.HeartbeatActive = time.Minute // the first contact and the calls have to find out
	})
	h.addMember("good", server.kubeconfig(goodToken))
	good, _ := h.open("run", "good")
	eventually(t, "the good member is synced", func() bool { return synced(good) })
	target := ""
	if answered {
		target = server.addr
	}
	w := newWire(t, target)
	h.addMember("hung", server.kubeconfigAt(w.addr, goodToken))
	if answered {
		hung, _ := h.open("other", "hung")
		eventually(t, "the member that will hang is synced", func() bool { return synced(hung) })
		close(w.silent)
	}

	const steps = 200
	measure := func(goOn func() bool) []time.Duration {
		out := make([]time.Duration, 0, steps)
		for len(out) < steps && goOn() {
			began := time.Now()
			if err := step(t.Context(), good); err != nil {
				t.Fatalf("step in the good member: %v", err)
			}
			out = append(out, time.Since(began))
		}
		return out
	}
	always := func() bool { return true }
	measure(always) // warm
	alone := median(measure(always))

	// From here on fifty workers step in the member that hangs. Each waits a little after an answer, as a work queue's back-off makes it.
	ctx, cancel := context.WithCancel(context.Background())
	var (
		workers sync.WaitGroup
		mu      sync.Mutex
		longest time.Duration
		saw     = map[string]int{}
	)
	defer func() { cancel(); workers.Wait() }()
	for range 50 {
		workers.Go(func() {
			hung, err := h.fleet.Open("run", "hung", func() {})
			if err != nil {
				t.Error(err)
				return
			}
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for {
				began := time.Now()
				err := step(ctx, hung)
				took := time.Since(began)
				if ctx.Err() != nil {
					return
				}
				var u *fleet.UnreachableError
				mu.Lock()
				longest = max(longest, took)
				switch {
				case errors.Is(err, fleet.ErrBusy):
					saw["busy"]++
				case errors.As(err, &u) && strings.Contains(err.Error(), "no answer within 1"):
					saw["unreachable"]++ // told so by the call's own limit of 1 s or by the heartbeat's of 1.5 s
				default:
					saw["other"]++
					t.Errorf("a step in the member that hangs gave %v", err)
				}
				mu.Unlock()
				select {
				case <-tick.C:
				case <-ctx.Done():
					return
				}
			}
		})
	}
	eventually(t, "calls to the member that hangs are under way", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return saw["busy"] > 0
	})
	unknown := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return saw["unreachable"] == 0
	}
	samples := measure(unknown)
	if len(samples) < steps/10 {
		t.Fatalf("only %d steps in the good member within the time that calls to the other hang", len(samples))
	}
	beside := median(samples)
	eventually(t, "the member that hangs is found out", func() bool { return !unknown() })
	after := median(measure(always))
	cancel()
	workers.Wait()

	t.Logf("median step in the good member: alone %s, while calls hang %s, once it is known %s; in the other: %v, longest %s", alone, beside, after, saw, longest)
	// The fifty workers, and whatever else runs on this machine, take processor time. What must not be there is a wait for the member that
	// hangs, which would be most of a second.
	for name, got := range map[string]time.Duration{"while calls hang": beside, "once it is known": after} {
		if limit := 5*alone + 50*time.Millisecond; got > limit {
			t.Errorf("%s a step in the good member takes %s, alone %s", name, got, alone)
		}
	}
	if longest > patienceOfWorkers {
		t.Errorf("a worker was held for %s by the member that hangs; a call is bounded to 1s", longest)
	}
}

func TestACallThatGetsNoAnswerMarksTheMemberAtOnce(t *testing.T) {
	server := newAPIServer(t)
	h := newHub(t, func(o *fleet.Options) {
		o.HeartbeatActive = time.Hour // the calls find out, not the heartbeat
		o.CallTimeout = 200 * time.Millisecond
	})
	h.addMember("north", server.kubeconfig(goodToken))
	s, wakes := h.open("run", "north")
	eventually(t, "synced", func() bool { return synced(s) })

	before := wakes.Load()
	err := s.Do(t.Context(), "patching InPlaceSet shop/web", func(ctx context.Context, _ fleet.Clients) error {
		<-ctx.Done()
		return ctx.Err()
	})
	var u *fleet.UnreachableError
	if !errors.As(err, &u) || u.Member != "north" || u.Since.IsZero() || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	if wakes.Load() == before {
		t.Error("nobody was woken")
	}
	// The member answers, only that call did not: the heartbeat says so, and the informer, whose watch never broke, is kept.
	lists := server.listed()
	reach(t, s, fleet.Reachable, fleet.ReasonAnswering)
	if !synced(s) || server.listed() != lists {
		t.Errorf("synced %t after %d more lists", synced(s), server.listed()-lists)
	}
}

func TestACallThatWasCutByAHeartbeatSaysWhatTheHeartbeatFound(t *testing.T) {
	server := newAPIServer(t)
	h := newHub(t, func(o *fleet.Options) {
		o.HeartbeatTimeout = 300 * time.Millisecond
		o.CallTimeout = patience
	})
	w := newWire(t, server.addr)
	h.addMember("north", server.kubeconfigAt(w.addr, goodToken))
	s, _ := h.open("run", "north")
	reach(t, s, fleet.Reachable, fleet.ReasonAnswering)
	close(w.silent)
	began := time.Now()
	err := step(t.Context(), s)
	if took := time.Since(began); took > patience/4 {
		t.Errorf("it took %s, although the heartbeat knew after 300ms", took)
	}
	var u *fleet.UnreachableError
	if !errors.As(err, &u) || !strings.Contains(err.Error(), "no answer within 300ms (GET") || strings.Contains(err.Error(), "closed") {
		t.Errorf("got %v", err)
	}
}

func TestAHeartbeatSentBeforeACallFailedDoesNotClearTheMember(t *testing.T) {
	server := newAPIServer(t)
	h := newHub(t, func(o *fleet.Options) {
		o.HeartbeatActive, o.SecretInterval, o.HeartbeatTimeout = time.Hour, time.Hour, patience
		o.CallTimeout = 50 * time.Millisecond
	})
	h.addMember("north", server.kubeconfig(goodToken))
	s, _ := h.open("run", "north")
	reach(t, s, fleet.Reachable, fleet.ReasonAnswering)

	answers := make(chan struct{})
	server.set(func(s *apiServer) { s.beats = answers })
	// An error of the server's has the heart checked; that heartbeat is held on its way.
	_ = s.Do(t.Context(), "reading", func(context.Context, fleet.Clients) error {
		return apierrors.NewInternalError(errors.New("etcd is away"))
	})
	_ = s.Do(t.Context(), "reading", func(ctx context.Context, _ fleet.Clients) error { <-ctx.Done(); return ctx.Err() })
	reach(t, s, fleet.Unreachable, fleet.ReasonNotAnswering)
	var seen beats
	h.fleet.Subscribe(seen.add)
	answers <- struct{}{}
	eventually(t, "the first heartbeat is over", func() bool { return seen.of("north") == 1 })
	if r := s.Reachability(); r.State != fleet.Unreachable {
		t.Errorf("a heartbeat that was sent before made it %+v", r)
	}
	answers <- struct{}{}
	reach(t, s, fleet.Reachable, fleet.ReasonAnswering)
}
