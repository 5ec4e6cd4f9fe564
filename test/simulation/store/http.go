package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kjson "k8s.io/apimachinery/pkg/util/json"
)

// Request is what a request to an API server asks for.
type Request struct {
	Kind *Kind
	// Verb is get, list, watch, create, update, patch or delete.
	Verb                         string
	Namespace, Name, Subresource string

	query url.Values
}

// Writes says whether the request may change anything.
func (r *Request) Writes() bool {
	return r.Verb != "get" && r.Verb != "list" && r.Verb != "watch" && r.query.Get("dryRun") == ""
}

// Parse says what an HTTP request asks for.
func (s *Store) Parse(req *http.Request) (*Request, error) {
	parts := strings.Split(strings.Trim(req.URL.Path, "/"), "/")
	r := &Request{query: req.URL.Query()}
	base := 2
	if parts[0] == "apis" {
		base = 3
	}
	if len(parts) <= base {
		return nil, fmt.Errorf("the store does not serve %s", req.URL.Path)
	}
	prefix, rest := strings.Join(parts[:base], "/")+"/", parts[base:]
	if rest[0] == "namespaces" && len(rest) > 2 && rest[2] != "status" && rest[2] != "finalize" {
		r.Namespace, rest = rest[1], rest[2:]
	}
	if r.Kind = s.kinds[prefix+rest[0]]; r.Kind == nil {
		return nil, fmt.Errorf("the store does not serve %s%s", prefix, rest[0])
	}
	if len(rest) > 1 {
		r.Name = rest[1]
	}
	if len(rest) > 2 {
		r.Subresource = strings.Join(rest[2:], "/")
	}
	switch req.Method {
	case http.MethodGet:
		r.Verb = "get"
		if r.Name == "" {
			r.Verb = "list"
			if w := r.query.Get("watch"); w == "true" || w == "1" {
				r.Verb = "watch"
			}
		}
	case http.MethodPost:
		r.Verb = "create"
	case http.MethodPut:
		r.Verb = "update"
	case http.MethodPatch:
		r.Verb = "patch"
	case http.MethodDelete:
		r.Verb = "delete"
	}
	return r, nil
}

// RoundTrip implements http.RoundTripper.
func (s *Store) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	var body []byte
	if req.Body != nil {
		defer req.Body.Close()
		var err error
		if body, err = io.ReadAll(req.Body); err != nil {
			return nil, fmt.Errorf("reading the body of a request: %w", err)
		}
	}
	r, err := s.Parse(req)
	if err != nil {
		return answer(req, nil, &apierrors.StatusError{ErrStatus: metav1.Status{
			Status: metav1.StatusFailure, Code: http.StatusNotFound, Reason: metav1.StatusReasonNotFound, Message: err.Error(),
		}}), nil
	}
	if r.Verb == "watch" {
		return s.watch(req, r), nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out, err := s.serve(req, r, body)
	return answer(req, out, err), nil
}

func (s *Store) serve(req *http.Request, r *Request, body []byte) ([]byte, error) {
	k := r.Kind
	if !k.has(r.Subresource) {
		return nil, apierrors.NewNotFound(k.resource(), r.Name+"/"+r.Subresource)
	}
	dry := r.query.Get("dryRun") != ""
	if dry && (r.Verb != "create" || r.Subresource != "") {
		return nil, unimplemented("dryRun of anything but a creation")
	}
	switch r.Verb {
	case "list":
		return s.list(r)
	case "create":
		fields, err := decode(body)
		if err != nil {
			return nil, err
		}
		if r.Subresource == "binding" {
			pod, err := s.get(k, r.Namespace, r.Name)
			if err == nil {
				err = s.bind(pod, text(fields, "target", "name"))
			}
			return success(), err
		}
		return bodyOf(s.create(k, r.Namespace, fields, dry))
	}
	if r.Name == "" {
		return nil, unimplemented("deletion of collections")
	}
	old, err := s.get(k, r.Namespace, r.Name)
	if err != nil {
		return nil, err
	}
	switch r.Verb {
	case "get":
		return old.JSON, nil
	case "update":
		fields, err := decode(body)
		if err != nil {
			return nil, err
		}
		return bodyOf(s.update(old, fields, r.Subresource, false))
	case "patch":
		return s.patch(req.Header.Get("Content-Type"), old, r.Subresource, body)
	case "delete":
		o := &metav1.DeleteOptions{}
		if len(body) > 0 {
			if err := json.Unmarshal(body, o); err != nil {
				return nil, apierrors.NewBadRequest(err.Error())
			}
		}
		if k.Resource == "namespaces" && k.Group == "" {
			return nil, unimplemented("deletion of namespaces")
		}
		gone, err := s.remove(old, o)
		if err != nil || s.objects[key{k, r.Namespace, r.Name}] == nil {
			return success(), err
		}
		return gone.JSON, nil
	}
	return nil, unimplemented(req.Method)
}

func bodyOf(o *Object, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	return o.JSON, nil
}

func decode(body []byte) (map[string]any, error) {
	var fields map[string]any
	if err := kjson.Unmarshal(body, &fields); err != nil {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("the object provided is unrecognized: %v", err))
	}
	if fields == nil {
		return nil, apierrors.NewBadRequest("the request has no object")
	}
	return fields, nil
}

func success() []byte { return []byte(`{"kind":"Status","apiVersion":"v1","status":"Success"}`) }

func unimplemented(what string) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusNotImplemented, Reason: "NotImplemented", Message: "the store in memory does not have " + what,
	}}
}

func answer(req *http.Request, body []byte, err error) *http.Response {
	code := http.StatusOK
	switch {
	case err != nil:
		status := metav1.Status{Status: metav1.StatusFailure, Code: http.StatusInternalServerError, Reason: metav1.StatusReasonInternalError, Message: err.Error()}
		var known apierrors.APIStatus
		if errors.As(err, &known) {
			status = known.Status()
		}
		status.Kind, status.APIVersion = "Status", "v1"
		code = int(status.Code)
		body, _ = json.Marshal(status) // a Status of strings always encodes.
	case req.Method == http.MethodPost:
		code = http.StatusCreated
	}
	return response(req, code, io.NopCloser(bytes.NewReader(body)), int64(len(body)))
}

func response(req *http.Request, code int, body io.ReadCloser, length int64) *http.Response {
	return &http.Response{
		Status: strconv.Itoa(code) + " " + http.StatusText(code), StatusCode: code, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": []string{"application/json"}}, Body: body, ContentLength: length, Request: req,
	}
}
