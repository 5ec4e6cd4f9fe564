package localfleet

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// script makes a program of a shell script, and a fleet directory with a state that knows it.
func script(t *testing.T, text string) (Layout, *State, part) {
	t.Helper()
	l := Layout{t.TempDir()}
	for _, d := range l.dirs() {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"+text), 0o700); err != nil {
		t.Fatal(err)
	}
	s := &State{Binaries: map[string]string{"program": file}}
	p := part{cluster: "m1", name: "program", binary: "program", grace: 2 * time.Second}
	t.Cleanup(func() { _ = stopPart(context.Background(), l, p) })
	return l, s, p
}

func running(t *testing.T, l Layout, p part) Process {
	t.Helper()
	proc, ok, err := readProcess(l.run(p.cluster, p.name))
	if err != nil || !ok || !proc.Alive() {
		t.Fatalf("%s does not run (%v, %v)", p, ok, err)
	}
	return proc
}

func TestAPartThatDies(t *testing.T) {
	l, s, p := script(t, "for i in $(seq 1 30); do echo line $i; done; echo 'cannot bind: permission denied' >&2; exit 3\n")
	p.ready = func(context.Context) error { return errors.New("not yet") }
	_, err := ensurePart(t.Context(), l, s, p)
	if !errors.Is(err, errDied) {
		t.Fatalf("error is %v", err)
	}
	for _, want := range []string{"m1/program", l.Log("m1", "program"), "line 30", "cannot bind: permission denied"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %q:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "line 5\n") {
		t.Errorf("error has more than the last lines:\n%v", err)
	}
}

func TestAPartThatNeverGetsReady(t *testing.T) {
	l, s, p := script(t, "echo waiting for godot; exec sleep 1000\n")
	p.patience = 300 * time.Millisecond
	p.ready = func(context.Context) error { return errors.New("/readyz answers 500: etcd failed") }
	_, err := ensurePart(t.Context(), l, s, p)
	if err == nil || !strings.Contains(err.Error(), "etcd failed") || !strings.Contains(err.Error(), "waiting for godot") {
		t.Errorf("error is %v", err)
	}
}

func TestAPortThatIsTaken(t *testing.T) {
	l, s, p := script(t, "exec sleep 1000\n")
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	port := listener.Addr().(*net.TCPAddr).Port
	p.ports = []int{port}
	_, err = ensurePart(t.Context(), l, s, p)
	if err == nil || !strings.Contains(err.Error(), "port "+strconv.Itoa(port)+" of this part is taken") || !strings.Contains(err.Error(), "periplus local down") {
		t.Errorf("error is %v", err)
	}
	if _, ok, _ := readProcess(l.run(p.cluster, p.name)); ok {
		t.Error("the part was started all the same")
	}
}

func TestTooLittleDisk(t *testing.T) {
	real := diskFree
	t.Cleanup(func() { diskFree = real })
	diskFree = func(string) (uint64, error) { return 100 << 20, nil }
	_, err := Up(t.Context(), Options{Dir: filepath.Join(t.TempDir(), "fleet")})
	if err == nil || !strings.Contains(err.Error(), "too little disk") || !strings.Contains(err.Error(), "1.0 GB") {
		t.Errorf("error is %v", err)
	}
}

func TestNoGo(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := Up(t.Context(), Options{Dir: filepath.Join(t.TempDir(), "fleet")})
	if err == nil || !strings.Contains(err.Error(), "install Go") {
		t.Errorf("error is %v", err)
	}
}

func TestEnsurePart(t *testing.T) {
	t.Run("a part that runs is kept", func(t *testing.T) {
		l, s, p := script(t, "exec sleep 1000\n")
		if started, err := ensurePart(t.Context(), l, s, p); err != nil || !started {
			t.Fatalf("started %v, %v", started, err)
		}
		first := running(t, l, p)
		if started, err := ensurePart(t.Context(), l, s, p); err != nil || started {
			t.Fatalf("started %v, %v", started, err)
		}
		if running(t, l, p).PID != first.PID {
			t.Error("it is another process")
		}
	})
	t.Run("a part that was killed is started again", func(t *testing.T) {
		l, s, p := script(t, "exec sleep 1000\n")
		if _, err := ensurePart(t.Context(), l, s, p); err != nil {
			t.Fatal(err)
		}
		first := running(t, l, p)
		if err := (&Running{l}).Kill(t.Context(), p.cluster, p.name, syscall.SIGKILL); err != nil || first.Alive() {
			t.Fatalf("alive %v, %v", first.Alive(), err)
		}
		if started, err := ensurePart(t.Context(), l, s, p); err != nil || !started {
			t.Fatalf("started %v, %v", started, err)
		}
	})
	t.Run("a part with other arguments is started anew", func(t *testing.T) {
		l, s, p := script(t, "exec sleep 1000\n")
		if _, err := ensurePart(t.Context(), l, s, p); err != nil {
			t.Fatal(err)
		}
		first := running(t, l, p)
		p.args = []string{"--other"}
		if started, err := ensurePart(t.Context(), l, s, p); err != nil || !started {
			t.Fatalf("started %v, %v", started, err)
		}
		if first.Alive() {
			t.Error("the old process lives")
		}
	})
	t.Run("a part that ignores SIGTERM is killed", func(t *testing.T) {
		l, s, p := script(t, "trap '' TERM; echo deaf; while :; do sleep 1000; done\n")
		p.grace = 100 * time.Millisecond
		p.ready = func(context.Context) error {
			if len(tailLines(l.Log(p.cluster, p.name), 15)) < 2 {
				return errors.New("the trap is not set yet")
			}
			return nil
		}
		if _, err := ensurePart(t.Context(), l, s, p); err != nil {
			t.Fatal(err)
		}
		proc := running(t, l, p)
		if err := stopPart(t.Context(), l, p); err != nil || proc.Alive() {
			t.Errorf("alive %v, %v", proc.Alive(), err)
		}
	})
}

func TestARecycledProcessIDIsNeverSignalled(t *testing.T) {
	l, s, p := script(t, "exec sleep 1000\n")
	if _, err := ensurePart(t.Context(), l, s, p); err != nil {
		t.Fatal(err)
	}
	proc := running(t, l, p)
	for name, other := range map[string]Process{
		"a process that started at another time": {PID: proc.PID, StartTicks: proc.StartTicks - 1, BootID: proc.BootID},
		"a process of another boot":              {PID: proc.PID, StartTicks: proc.StartTicks, BootID: "another"},
		"no process":                             {},
	} {
		if other.Alive() {
			t.Errorf("%s is taken for ours", name)
		}
		if err := other.Signal(syscall.SIGKILL); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !proc.Alive() {
		t.Error("our process was killed for another")
	}
}

func TestParseStat(t *testing.T) {
	got, err := parseStat("42 (a) b (c) S 1 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 9 0 12345 100 1 18446744073709551615\n")
	if err != nil || got.state != 'S' || got.startTicks != 12345 {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := parseStat("nonsense"); err == nil {
		t.Error("nonsense is read")
	}
}
