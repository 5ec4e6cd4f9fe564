package prometheus

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/prometheus/client_golang/api"
)

// greatestBody is how many bytes an answer can have, unpacked.
const greatestBody = 8 << 20

var (
	errTooLarge = errors.New("the answer is too large")
	errPartial  = errors.New("the answer is partial")
)

// bounded ends the reading of an answer that is too large.
type bounded struct {
	next http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (b *bounded) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := b.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	resp.Body = &boundedBody{ReadCloser: resp.Body, left: greatestBody}
	return resp, nil
}

type boundedBody struct {
	io.ReadCloser
	left int
}

// Read implements io.Reader.
func (b *boundedBody) Read(p []byte) (int, error) {
	if len(p) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	if b.left -= n; b.left < 0 {
		return n, errTooLarge
	}
	return n, err
}

// strict looks at answers before Prometheus's client does, which takes any body for one of Prometheus and drops what is wrong with it.
type strict struct {
	api.Client
}

// statusError is an answer that is none.
type statusError struct {
	code int
	// said is Prometheus's own message, empty where the answer has not its form.
	said string
	// to is where a redirect leads.
	to *url.URL
}

// Error implements error. What is shown to people is made of it in errors.go.
func (e *statusError) Error() string { return http.StatusText(e.code) }

// formError is an answer that is not of Prometheus's form.
type formError struct {
	mediaType string
}

// Error implements error.
func (e *formError) Error() string { return "not an answer of Prometheus's API" }

// connectionError is what came in place of an answer.
type connectionError struct {
	err error
}

// Error implements error.
func (e *connectionError) Error() string { return e.err.Error() }

// Unwrap lets the cause be found.
func (e *connectionError) Unwrap() error { return e.err }

// Do implements api.Client.
func (s *strict) Do(ctx context.Context, req *http.Request) (*http.Response, []byte, error) {
	resp, body, err := s.Client.Do(ctx, req)
	if err != nil {
		return resp, body, &connectionError{err: err}
	}
	var said struct {
		Status    string `json:"status"`
		Error     string `json:"error"`
		IsPartial bool   `json:"isPartial"`
	}
	formed := false
	if t := bytes.TrimLeft(body, " \t\r\n"); len(t) > 0 && t[0] == '{' {
		formed = json.Unmarshal(body, &said) == nil && said.Status != ""
	}
	if resp.StatusCode/100 != 2 {
		e := &statusError{code: resp.StatusCode}
		if formed {
			e.said = said.Error
		}
		if resp.StatusCode/100 == 3 {
			e.to, _ = resp.Location()
		}
		return resp, body, e
	}
	if !formed {
		mediaType, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
		return resp, body, &formError{mediaType: strings.ToLower(mediaType)}
	}
	if said.IsPartial {
		return resp, body, errPartial
	}
	return resp, body, nil
}
