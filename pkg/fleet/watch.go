package fleet

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// WatchEvent is what happened to a watch request.
type WatchEvent int

// The events of a watch.
const (
	// WatchOpened: the server accepted the watch and streams.
	WatchOpened WatchEvent = iota
	// WatchEnded: an opened watch is over, whoever ended it.
	WatchEnded
	// WatchFailed: the server refused the watch or could not be reached.
	WatchFailed
)

// WatchObserver is told of the watches made with one set of clients. The error says why a watch ended or failed; it is nil where
// it ended as watches do, by the server's time limit or our own wish. It must not block.
type WatchObserver func(WatchEvent, error)

// watchTransport observes watch requests. client-go's reflector has no hook for "the watch is open again", and tells its error
// handler neither of watches that broke nor of refused connections.
type watchTransport struct {
	base    http.RoundTripper
	observe WatchObserver
}

// RoundTrip implements http.RoundTripper.
func (t *watchTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	w := req.URL.Query().Get("watch")
	if req.Method != http.MethodGet || (w != "true" && w != "1") {
		return t.base.RoundTrip(req)
	}
	resp, err := t.base.RoundTrip(req)
	if err != nil {
		if req.Context().Err() == nil {
			t.observe(WatchFailed, err)
		}
		// The cause is hidden on purpose: on "connection refused" the reflector waits up to half a minute without listening to
		// its stop signal, on other errors it returns to its outer loop, which does listen.
		return nil, fmt.Errorf("opening the watch: %s", err.Error())
	}
	if resp.StatusCode != http.StatusOK {
		t.observe(WatchFailed, &apierrors.StatusError{ErrStatus: metav1.Status{
			Code: int32(resp.StatusCode), Message: "opening the watch: " + resp.Status,
		}})
		return resp, nil
	}
	t.observe(WatchOpened, nil)
	resp.Body = &watchBody{ReadCloser: resp.Body, req: req, observe: t.observe}
	return resp, nil
}

// WrappedRoundTripper lets client-go find the transport below.
func (t *watchTransport) WrappedRoundTripper() http.RoundTripper { return t.base }

type watchBody struct {
	io.ReadCloser
	req     *http.Request
	observe WatchObserver
	once    sync.Once
}

func (b *watchBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.end(err)
	}
	return n, err
}

func (b *watchBody) Close() error {
	b.end(nil)
	return b.ReadCloser.Close()
}

func (b *watchBody) end(err error) {
	b.once.Do(func() {
		if errors.Is(err, io.EOF) || b.req.Context().Err() != nil {
			err = nil
		}
		b.observe(WatchEnded, err)
	})
}
