package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// start builds the program and runs it until it serves.
func start(t *testing.T, env ...string) (cmd *exec.Cmd, address string) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "server")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address = l.Addr().String()
	l.Close()
	cmd = exec.Command(program)
	cmd.Env = append(append(os.Environ(), "ADDRESS="+address), env...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return cmd, address
}

func get(ctx context.Context, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return strings.TrimSpace(string(body)), err
}

func TestWhatWasAskedIsFinishedBeforeTheEnd(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd, address := start(t, "VERSION=v7")
	for {
		if _, err := get(ctx, "http://"+address+"/healthz"); err == nil {
			break
		} else if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
	type answer struct {
		body string
		err  error
	}
	answers := make(chan answer, 1)
	asked := make(chan struct{})
	go func() {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			close(asked)
			answers <- answer{err: err}
			return
		}
		defer conn.Close()
		_, err = io.WriteString(conn, "GET /slow?for=1s HTTP/1.0\r\n\r\n")
		close(asked)
		body, readErr := io.ReadAll(conn)
		if err == nil {
			err = readErr
		}
		answers <- answer{string(body), err}
	}()
	<-asked
	// A request that was asked first was taken once a later one is answered.
	if got, err := get(ctx, "http://"+address+"/"); err != nil || got != "v7" {
		t.Fatalf("answer %q, %v", got, err)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if got, err := get(ctx, "http://"+address+"/"); err != nil || got != "v7" {
		t.Errorf("who was not told yet gets %q, %v", got, err)
	}
	if a := <-answers; a.err != nil || !strings.HasSuffix(a.body, "v7\n") {
		t.Errorf("the long request got %q, %v", a.body, a.err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
}

func TestRoles(t *testing.T) {
	for role, want := range map[string]int{"crash": 1, "init": 0} {
		cmd, _ := start(t, "ROLE="+role)
		_ = cmd.Wait()
		if got := cmd.ProcessState.ExitCode(); got != want {
			t.Errorf("%s ends with %d, want %d", role, got, want)
		}
	}
}

func TestAProxyPassesOnAndFinishesWhatWasAskedBeforeTheEnd(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	_, application := start(t, "VERSION=v1")
	cmd, address := start(t, "ROLE=proxy", "VERSION=p1", "APPLICATION="+application)
	for {
		if got, err := get(ctx, "http://"+address+"/"); err == nil && got == "p1 v1" {
			break
		} else if ctx.Err() != nil {
			t.Fatalf("it answers %q, %v; want its own version and the application's", got, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	answered, asked := make(chan string, 1), make(chan struct{})
	go func() {
		traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { close(asked) }})
		got, err := get(traced, "http://"+address+"/slow?for=1s")
		if err != nil {
			got = err.Error()
		}
		answered <- got
	}()
	<-asked
	// A request that was asked first was taken once a later one is answered.
	if got, err := get(ctx, "http://"+address+"/"); err != nil || got != "p1 v1" {
		t.Fatalf("answer %q, %v", got, err)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if got := <-answered; got != "p1 v1" {
		t.Errorf("what was asked before the end got %q", got)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
}
