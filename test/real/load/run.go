package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Options of a run.
type Options struct {
	Target Target
	// Rate is how many requests are sent a second.
	Rate int
	// Requests is how many are sent in all; 0 sends until the context ends.
	Requests int
	Mix      Mix
	// Long is how long a long request takes to be answered; 2 s where 0.
	Long time.Duration
	// Timeout of a request, beside the time that a long one takes by itself; 5 s where 0.
	Timeout time.Duration
}

// Run sends requests at the rate, each when it is due whatever became of those before, and returns when all that were sent have ended. A request that fails is
// tried again only where every HTTP client does so: a kept connection that the server had closed before the request was sent.
func Run(ctx context.Context, o Options, tally *Tally) {
	if o.Long == 0 {
		o.Long = 2 * time.Second
	}
	if o.Timeout == 0 {
		o.Timeout = 5 * time.Second
	}
	once, kept := o.client(true), o.client(false)
	defer kept.CloseIdleConnections()
	var open sync.WaitGroup
	defer open.Wait()
	begin := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for number := 0; o.Requests == 0 || number < o.Requests; number++ {
		due := begin.Add(time.Duration(number) * time.Second / time.Duration(o.Rate))
		timer.Reset(time.Until(due))
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		open.Go(func() {
			kind := o.Mix.Kind(number)
			client := once
			if kind == Kept {
				client = kept
			}
			// Its end is its own: what was sent is waited for.
			tally.Add(o.send(context.WithoutCancel(ctx), client, kind, due))
		})
	}
}

// client dials wherever the target says at that moment, whatever the URL is.
func (o Options) client(once bool) *http.Client {
	dialer := &net.Dialer{Timeout: o.Timeout}
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			address, err := o.Target.Pick()
			if err != nil {
				return nil, err
			}
			return dialer.DialContext(ctx, network, address)
		},
		DisableKeepAlives: once, MaxIdleConnsPerHost: 1000, IdleConnTimeout: time.Minute,
	}}
}

func (o Options) send(ctx context.Context, client *http.Client, kind Kind, due time.Time) Result {
	r := Result{Kind: kind, Due: due}
	limit, path := o.Timeout, "/"
	if kind == Long {
		limit, path = limit+o.Long, "/slow?for="+url.QueryEscape(o.Long.String())
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) { r.Address = c.Conn.RemoteAddr().String() }})
	var status int
	r.Answer, status, r.Err = get(ctx, client, "http://service"+path)
	r.Took = time.Since(due)
	r.Failure = failure(status, r.Err)
	if dial := (*net.OpError)(nil); r.Address == "" && errors.As(r.Err, &dial) && dial.Addr != nil {
		r.Address = dial.Addr.String()
	}
	if r.Failure != "" && r.Err == nil {
		r.Err = fmt.Errorf("answer %d: %s", status, r.Answer)
	}
	return r
}

func get(ctx context.Context, client *http.Client, url string) (string, int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", 0, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
	return strings.TrimSpace(string(body)), resp.StatusCode, err
}

// failure says in a word what went wrong.
func failure(status int, err error) string {
	var timeout net.Error
	switch {
	case err == nil && status == http.StatusOK:
		return ""
	case err == nil:
		return fmt.Sprintf("status %d", status)
	case errors.Is(err, ErrNobody):
		return "nobody to send to"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "connection reset"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "closed without an answer"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	case errors.Is(err, syscall.EHOSTUNREACH):
		return "no route"
	default:
		return "other"
	}
}
