// Command server is the program of the containers in tests on real nodes: an HTTP server as decent as those that releases are made of.
//
//	GET /            its version
//	GET /slow?for=2s its version, after that long
//	GET /healthz     ok while it runs
//
// As a proxy it passes every request on to an application at APPLICATION, and puts its own version before the answer: "p1 v1".
//
// Told to end, it accepts on for a moment, because those who were not told yet still come, then finishes what it was asked and ends. What it does instead of
// serving is said by its image, by the environment variable ROLE: "crash" ends with 1, "init" with 0, "proxy" is a proxy.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const (
	// lag is how long new connections are accepted after SIGTERM.
	lag = 500 * time.Millisecond
	// slowest is the longest that /slow may be asked for, and how long the end waits for what was asked.
	slowest = 20 * time.Second
)

func main() {
	switch os.Getenv("ROLE") {
	case "crash":
		fmt.Fprintln(os.Stderr, "this version crashes")
		os.Exit(1)
	case "init":
		return
	}
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve() error {
	address := os.Getenv("ADDRESS")
	if address == "" {
		address = ":8080"
	}
	told, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	answers := handler(os.Getenv("VERSION"))
	if os.Getenv("ROLE") == "proxy" {
		var err error
		if answers, err = proxy(os.Getenv("VERSION"), os.Getenv("APPLICATION")); err != nil {
			return err
		}
	}
	server := &http.Server{Addr: address, Handler: answers, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	select {
	case err := <-failed:
		return err
	case <-told.Done():
	}
	// Clients of kept connections learn by their answers that this one ends; new ones are taken for a moment yet.
	server.SetKeepAlivesEnabled(false)
	time.Sleep(lag)
	ctx, cancel := context.WithTimeout(context.Background(), slowest)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		return fmt.Errorf("finishing requests: %w", err)
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func handler(version string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, version) })
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /slow", func(w http.ResponseWriter, r *http.Request) {
		d, err := time.ParseDuration(r.URL.Query().Get("for"))
		if err != nil || d < 0 || d > slowest {
			http.Error(w, fmt.Sprintf("for must be a duration up to %s", slowest), http.StatusBadRequest)
			return
		}
		select {
		case <-time.After(d):
			fmt.Fprintln(w, version)
		case <-r.Context().Done():
		}
	})
	return mux
}
