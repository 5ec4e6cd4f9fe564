package prom

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Proxy stands in front of a server, passes calls on with what the server demands, and has the faults that a story gives it.
type Proxy struct {
	address string
	next    *httputil.ReverseProxy

	mu     sync.Mutex
	server *http.Server
	slow   time.Duration
	nan    bool
	bearer string
	asked  int
}

// NewProxy listens on a loopback port of its own. Close ends it.
func NewProxy(to *Server) (*Proxy, error) {
	target, err := url.Parse(to.URL())
	if err != nil {
		return nil, fmt.Errorf("making a proxy: %w", err)
	}
	port, err := freePort()
	if err != nil {
		return nil, fmt.Errorf("making a proxy: %w", err)
	}
	p := &Proxy{address: net.JoinHostPort("127.0.0.1", strconv.Itoa(port))}
	p.next = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			// What the caller shows is for us; and an answer that we are to change must come uncompressed.
			r.Out.Header.Del("Authorization")
			r.Out.Header.Del("Accept-Encoding")
		},
		Transport:      to.Client().Transport,
		ModifyResponse: p.change,
		ErrorLog:       log.New(io.Discard, "", 0),
	}
	return p, p.Up()
}

// URL of the proxy: what comes before /api/v1.
func (p *Proxy) URL() string { return "http://" + p.address }

// Up listens again after Down.
func (p *Proxy) Up() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.server != nil {
		return nil
	}
	l, err := net.Listen("tcp4", p.address)
	if err != nil {
		return fmt.Errorf("listening as a proxy: %w", err)
	}
	server := &http.Server{Handler: http.HandlerFunc(p.serve), ReadHeaderTimeout: patience}
	p.server = server
	go func() { _ = server.Serve(l) }()
	return nil
}

// Down refuses connections, and breaks those there are, until Up.
func (p *Proxy) Down() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.server == nil {
		return nil
	}
	server := p.server
	p.server = nil
	if err := server.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("ending a proxy: %w", err)
	}
	return nil
}

// Close ends the proxy.
func (p *Proxy) Close() error { return p.Down() }

// Slow has each answer wait so long; 0 ends that.
func (p *Proxy) Slow(d time.Duration) { p.set(func() { p.slow = d }) }

// NaN puts a NaN in the place of every value that a query is answered with.
func (p *Proxy) NaN(on bool) { p.set(func() { p.nan = on }) }

// Bearer demands a token; none where it is empty.
func (p *Proxy) Bearer(token string) { p.set(func() { p.bearer = token }) }

// Asked is how many calls came, refused connections not counted.
func (p *Proxy) Asked() (n int) {
	p.set(func() { n = p.asked })
	return n
}

func (p *Proxy) set(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
}

func (p *Proxy) serve(w http.ResponseWriter, r *http.Request) {
	var slow time.Duration
	var bearer string
	p.set(func() {
		p.asked++
		slow, bearer = p.slow, p.bearer
	})
	if bearer != "" && r.Header.Get("Authorization") != "Bearer "+bearer {
		http.Error(w, "Unauthorized", http.StatusUnauthorized)
		return
	}
	if slow > 0 {
		// A server hears that its caller went away only once it has read all that he sent.
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		if wait(r.Context(), slow) != nil {
			return
		}
	}
	p.next.ServeHTTP(w, r)
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// change falsifies the answer to a query where a story wants that.
func (p *Proxy) change(res *http.Response) error {
	var nan bool
	p.set(func() { nan = p.nan })
	if !nan || res.StatusCode != http.StatusOK || !strings.Contains(res.Request.URL.Path, "/api/v1/query") {
		return nil
	}
	defer res.Body.Close()
	var answer map[string]any
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		return fmt.Errorf("reading Prometheus's answer: %w", err)
	}
	falsify(answer["data"])
	body, err := json.Marshal(answer)
	if err != nil {
		return fmt.Errorf("writing a changed answer: %w", err)
	}
	res.Body = io.NopCloser(bytes.NewReader(body))
	res.ContentLength = int64(len(body))
	res.Header.Set("Content-Length", strconv.Itoa(len(body)))
	return nil
}

// falsify looks for samples, which are pairs of a time as a number and a value as text.
func falsify(v any) {
	switch v := v.(type) {
	case map[string]any:
		for _, x := range v {
			falsify(x)
		}
	case []any:
		if len(v) == 2 {
			if _, ok := v[0].(float64); ok {
				v[1] = "NaN"
				return
			}
		}
		for _, x := range v {
			falsify(x)
		}
	}
}
