package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
)

// proxy passes requests on to an application, and puts its version before the answers.
func proxy(version, application string) (http.Handler, error) {
	to, err := url.Parse("http://" + application)
	if err != nil || application == "" {
		return nil, fmt.Errorf("APPLICATION must say where the application is, as host:port: %q (%w)", application, err)
	}
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) },
		ModifyResponse: func(r *http.Response) error {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return fmt.Errorf("reading the application's answer: %w", err)
			}
			body = append([]byte(version+" "), body...)
			r.Body = io.NopCloser(bytes.NewReader(body))
			r.ContentLength = int64(len(body))
			r.Header.Set("Content-Length", strconv.Itoa(len(body)))
			return nil
		},
	}, nil
}
