//go:build integration

package lb

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/periplus-dev/periplus/pkg/lb"
	runtimeapi "github.com/periplus-dev/periplus/pkg/lb/haproxy"
)

// In every story the audit of world_test.go looks on, and controller_test.go at each write.

func TestAReadyPodIsClaimedAndThenRegistered(t *testing.T) {
	w := newWorld(t)
	c := w.start()
	w.until("it is ready with nothing to do", func() bool { return c.Ready() == nil })
	w.pod("web-0")
	w.status("web-0", false, false)
	w.serving("web-1")
	if pod := w.get("web-0"); held(pod) || len(w.servers("web-0")) > 0 {
		t.Error("a pod whose gate was never opened is registered")
	}
	w.status("web-0", true, true)
	w.registered("web-0")
	answers := map[string]bool{}
	for range 10 {
		name, err := w.ask(t.Context(), newConnections(), "/")
		if err != nil {
			t.Fatal(err)
		}
		answers[name] = true
	}
	if len(answers) != 2 {
		t.Errorf("%v answer, want both", answers)
	}
	// IPv6, by the address alone: nothing need run there.
	w.pod("web-6")
	w.statusAt("web-6", "fd00::6", true, true)
	w.registered("web-6")
	if got, want := w.servers("web-6")[0].Address, netip.AddrPortFrom(netip.MustParseAddr("fd00::6"), port); got != want {
		t.Errorf("registered as %s, want %s", got, want)
	}
}

func TestRequestsInFlightFinishBeforeAPodIsLetGoOf(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.serving("web-0", "web-1")
	type answer struct {
		name string
		err  error
	}
	answers := make(chan answer, 8)
	idle := keepAlive()
	if _, err := w.ask(t.Context(), idle, "/"); err != nil { // its connection stays open, and must hold nobody up.
		t.Fatal(err)
	}
	for range cap(answers) {
		go func() {
			name, err := w.ask(context.Background(), newConnections(), "/slow")
			answers <- answer{name, err}
		}()
	}
	w.until("both have requests in flight", func() bool {
		for _, name := range []string{"web-0", "web-1"} {
			if s := w.servers(name); len(s) != 1 || s[0].Sessions < 2 {
				return false
			}
		}
		return true
	})
	closed := time.Now()
	w.status("web-0", false, true) // the kubelet is late to say that it is not ready.
	w.until("web-0 drains", func() bool { s := w.servers("web-0"); return len(s) == 1 && s[0].State == runtimeapi.Drain })
	for range 20 {
		if name, err := w.ask(t.Context(), newConnections(), "/"); err != nil || name != "web-1" {
			t.Errorf("while web-0 drains %q answers, %v", name, err)
		}
	}
	if !held(w.get("web-0")) {
		t.Error("web-0 was let go of while it had requests")
	}
	w.letGo("web-0")
	if took := time.Since(closed); took > 4*time.Second {
		t.Errorf("it took %s to let go of it, want about 2 s", took)
	}
	both := map[string]int{}
	for range cap(answers) {
		a := <-answers
		if a.err != nil {
			t.Errorf("a request in flight failed: %v", a.err)
		}
		both[a.name]++
	}
	if both["web-0"] < 2 {
		t.Errorf("requests in flight were answered by %v", both)
	}
	w.status("web-0", true, true)
	w.registered("web-0")
}

func TestSessionsThatOutlastTheTimeoutAreCut(t *testing.T) {
	w := newWorld(t)
	w.start(func(c *lb.Config) { c.Rules.DrainTimeout = time.Second })
	w.pod("web-0").hold = time.Minute
	w.status("web-0", true, true)
	w.registered("web-0")
	failed := make(chan error, 1)
	go func() { _, err := w.ask(context.Background(), newConnections(), "/slow"); failed <- err }()
	w.until("it is in flight", func() bool { s := w.servers("web-0"); return len(s) == 1 && s[0].Sessions == 1 })
	w.status("web-0", false, false)
	w.letGo("web-0")
	if err := <-failed; err == nil {
		t.Error("the request was not cut")
	}
}

func TestHAProxyIsKilledAndStartedAgain(t *testing.T) {
	w := newWorld(t)
	c := w.start()
	w.serving("web-0", "web-1", "web-2")
	if err := w.haproxy.Kill(); err != nil {
		t.Fatal(err)
	}
	w.status("web-1", false, false)
	for range 3 { // seconds in which it is looked for.
		time.Sleep(time.Second)
		if !held(w.get("web-1")) {
			t.Fatal("a pod was let go of while HAProxy could not be asked")
		}
	}
	if err := w.haproxy.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	w.registered("web-0")
	w.registered("web-2")
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("it took %s to register them again, want a second or two", took)
	}
	w.letGo("web-1")
	w.until("it says that it is ready", func() bool { return c.Ready() == nil })
}

func TestTheControllerIsKilledAtEveryWrite(t *testing.T) {
	w := newWorld(t)
	w.pod("web-0")
	for n := int64(1); n <= 6; n++ { // claim, add, enable, drain, remove, release
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("write %d, after it %v", n, after), func(t *testing.T) {
				w.status("web-0", false, false)
				k := &killing{at: n, after: after}
				first := w.startKilled(k)
				w.status("web-0", true, true)
				second := (*controller)(nil)
				revive := func() {
					if second == nil && k.count.Load() >= n {
						first.stop()
						second = w.start()
					}
				}
				w.until("web-0 is registered", func() bool {
					revive()
					s := w.servers("web-0")
					return held(w.get("web-0")) && len(s) == 1 && s[0].State == runtimeapi.Ready
				})
				w.status("web-0", false, false)
				w.until("web-0 is let go of", func() bool { revive(); return !held(w.get("web-0")) })
				w.until("it was killed", func() bool { revive(); return second != nil })
				t.Logf("killed at: %v", k.what.Load())
				w.letGo("web-0")
				second.stop()
			})
		}
	}
}

func TestAPodThatSomebodyDeletes(t *testing.T) {
	w := newWorld(t)
	c := w.start()
	w.serving("web-0", "web-1")
	uid := w.get("web-0").UID
	if err := admin.CoreV1().Pods(w.ns).Delete(t.Context(), "web-0", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	w.until("it is gone", func() bool { return w.get("web-0") == nil })
	if s := w.servers("web-0"); len(s) > 0 {
		t.Errorf("it is gone, and HAProxy has %+v", s)
	}
	w.serving("web-0") // another of the same name.
	if w.get("web-0").UID == uid {
		t.Fatal("it is the same pod")
	}
	// While the controller is away somebody takes the finalizer off one and deletes it.
	c.stop()
	if _, err := admin.CoreV1().Pods(w.ns).Patch(t.Context(), "web-1", types.MergePatchType, []byte(`{"metadata":{"annotations":{"robbed":"yes"},"finalizers":null}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := admin.CoreV1().Pods(w.ns).Delete(t.Context(), "web-1", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	w.until("it is gone", func() bool { return w.get("web-1") == nil })
	w.start()
	w.until("its server is gone", func() bool { return len(w.servers("web-1")) == 0 })
	w.registered("web-0")
}

func TestAFinalizerThatSomebodyTakesOffComesBack(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.serving("web-0")
	if _, err := admin.CoreV1().Pods(w.ns).Patch(t.Context(), "web-0", types.MergePatchType, []byte(`{"metadata":{"annotations":{"robbed":"yes"},"finalizers":null}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	w.registered("web-0")
}

func TestAPodThatIsNotReadyByItselfIsDrainedAndHeld(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.serving("web-0", "web-1")
	w.status("web-0", true, false)
	w.until("it drains", func() bool { s := w.servers("web-0"); return len(s) == 1 && s[0].State == runtimeapi.Drain })
	if !held(w.get("web-0")) {
		t.Error("it was let go of")
	}
	w.status("web-0", true, true)
	w.registered("web-0")
	w.status("web-0", true, false)
	w.status("web-0", false, false)
	w.letGo("web-0")
}

func TestAPodThatLosesItsLabelIsLetGoOf(t *testing.T) {
	w := newWorld(t)
	c := w.start()
	w.serving("web-0", "web-1", "web-2")
	label := func(name, value string) {
		t.Helper()
		if _, err := admin.CoreV1().Pods(w.ns).Patch(t.Context(), name, types.MergePatchType, []byte(`{"metadata":{"labels":{"app":`+value+`}}}`), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	label("web-0", "null")
	w.letGo("web-0")
	label("web-0", `"web"`)
	w.registered("web-0")
	c.stop()
	label("web-1", `"other"`) // while the controller is away.
	w.start()
	w.letGo("web-1")
	w.registered("web-2")
}

func TestServersOfTheConfigurationAreLeftAlone(t *testing.T) {
	w := newWorld(t, "balance leastconn", "balance leastconn\n    server sorry 127.0.0.1:1 backup")
	ghost := "web-9_0a1b2c3d"
	if err := w.api.Add(t.Context(), ghost, netip.MustParseAddrPort("127.0.0.1:1"), ""); err != nil {
		t.Fatal(err)
	}
	if err := w.api.Enable(t.Context(), ghost, false); err != nil {
		t.Fatal(err)
	}
	w.start()
	w.until("the server that no pod has is gone", func() bool { return len(w.servers("web-9")) == 0 })
	seen, err := w.api.Look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if s, ok := seen.Servers["sorry"]; !ok || s.State != runtimeapi.Ready || len(seen.Servers) != 1 {
		t.Errorf("HAProxy has %+v", seen.Servers)
	}
}

func TestABalancerThatIsGoneForGoodIsRetired(t *testing.T) {
	w := newWorld(t)
	c := w.start()
	w.serving("web-0", "web-1")
	c.stop()
	if err := w.haproxy.Kill(); err != nil {
		t.Fatal(err)
	}
	if n, err := lb.Retire(t.Context(), admin, w.config()); n != 2 || err != nil {
		t.Errorf("Retire = %d, %v", n, err)
	}
	for _, name := range []string{"web-0", "web-1"} {
		if held(w.get(name)) {
			t.Errorf("%s is still held", name)
		}
	}
}

func TestHAProxysOwnRefusalsAreTold(t *testing.T) {
	w := newWorld(t, "balance leastconn", "balance source")
	err := w.api.Add(t.Context(), "web-0_0a1b2c3d", netip.MustParseAddrPort("127.0.0.1:1"), "")
	if err == nil || !strings.Contains(err.Error(), "dynamic load balancing") {
		t.Errorf("with a balance that takes no servers: %v", err)
	}
	w = newWorld(t, "mode 660 level admin", "mode 660 level operator")
	err = w.api.Add(t.Context(), "web-0_0a1b2c3d", netip.MustParseAddrPort("127.0.0.1:1"), "")
	if err == nil || !strings.Contains(err.Error(), "level admin") {
		t.Errorf("with level operator: %v", err)
	}
	none, err := runtimeapi.New(w.haproxy.Socket, "none")
	if err != nil {
		t.Fatal(err)
	}
	if seen, err := none.Look(t.Context()); err == nil || !strings.Contains(err.Error(), "Can't find backend") {
		t.Errorf("a backend that is not there: %+v, %v", seen, err)
	}
}

// TestNoRequestFailsWhilePodsComeAndGo is what it is all for. HAProxy is not let to try again: each request that is sent to a pod which is being changed fails.
func TestNoRequestFailsWhilePodsComeAndGo(t *testing.T) {
	const cycles = 20
	w := newWorld(t, "option redispatch", "no option redispatch", "retries 3", "retries 0")
	w.start()
	names := []string{"web-0", "web-1", "web-2"}
	w.serving(names...)
	for _, a := range w.apps {
		a.hold = 200 * time.Millisecond
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var load sync.WaitGroup
	var mu sync.Mutex
	requests, failures := 0, map[string]int{}
	send := func(path string, client func() func(string) (string, error)) {
		load.Go(func() {
			ask := client()
			for ctx.Err() == nil {
				_, err := ask(path)
				mu.Lock()
				requests++
				if err != nil {
					failures[err.Error()]++
				}
				mu.Unlock()
				time.Sleep(2 * time.Millisecond)
			}
		})
	}
	fresh := func() func(string) (string, error) {
		return func(path string) (string, error) { return w.ask(context.Background(), newConnections(), path) }
	}
	kept := func() func(string) (string, error) {
		client := keepAlive()
		return func(path string) (string, error) { return w.ask(context.Background(), client, path) }
	}
	for range 3 {
		send("/", fresh)
		send("/", kept)
		send("/slow", fresh)
		send("/slow", kept)
	}
	for i := range cycles {
		name := names[i%len(names)]
		w.status(name, false, true)
		w.letGo(name)
		w.apps[name].kill() // with all its connections: the container is killed.
		w.status(name, false, false)
		w.apps[name].start()
		w.status(name, true, true)
		w.registered(name)
	}
	stop()
	load.Wait()
	t.Logf("%d requests in %d cycles", requests, cycles)
	for err, n := range failures {
		t.Errorf("%d of %d requests failed: %s", n, requests, err)
	}
	if requests < 1000 {
		t.Errorf("%d requests are no load", requests)
	}
	for _, a := range w.apps {
		if a.served.Load() < int64(requests)/10 {
			t.Errorf("%s served %d of %d", a.name, a.served.Load(), requests)
		}
	}
}
