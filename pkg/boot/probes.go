package boot

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// probes serves /healthz, true while the process serves at all, and /readyz, true from the moment the informers are synced until SIGTERM.
type probes struct {
	listener net.Listener
	isReady  atomic.Bool
}

// listenForProbes opens address at once, so that a port that is taken ends the start. It returns nil where address is empty.
func listenForProbes(ctx context.Context, address string) (*probes, error) {
	if address == "" {
		return nil, nil
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listening on --health-address %q: %w", address, err)
	}
	return &probes{listener: l}, nil
}

func (p *probes) ready() {
	if p != nil {
		p.isReady.Store(true)
	}
}

// serve until ctx ends.
func (p *probes) serve(ctx context.Context) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		switch {
		case ctx.Err() != nil:
			http.Error(w, "stopping", http.StatusServiceUnavailable)
		case !p.isReady.Load():
			http.Error(w, "starting: informers are not synced", http.StatusServiceUnavailable)
		default:
			w.WriteHeader(http.StatusOK)
		}
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		<-ctx.Done()
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownPatience)
		defer cancel()
		_ = server.Shutdown(last) // the process ends anyway.
	}()
	if err := server.Serve(p.listener); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving probes on %s: %w", p.listener.Addr(), err)
	}
	<-stopped
	return nil
}
