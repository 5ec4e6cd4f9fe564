package prometheus

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// Secret is what a key of a Secret holds.
type Secret struct {
	Value []byte
	// From says where it is, for errors, such as "Secret prom, key token".
	From string
}

// Credentials of a source, all of them optional. BearerToken and Password exclude each other; Certificate and PrivateKey go together.
type Credentials struct {
	BearerToken *Secret
	// Username and Password of basic auth.
	Username string
	Password *Secret
	// CA, Certificate and PrivateKey in PEM.
	CA, Certificate, PrivateKey *Secret
	// ServerName that the server's certificate is for; the address's host where empty.
	ServerName         string
	InsecureSkipVerify bool
}

// header is the value of Authorization, empty where there is none. The line end that files have is not part of a token or a password; a value of several lines
// is neither, and might be something that was never meant to leave, such as a kubeconfig.
func (c *Credentials) header() (string, error) {
	switch {
	case c.BearerToken != nil:
		token, err := oneLine(c.BearerToken, "token")
		if err != nil {
			return "", err
		}
		return "Bearer " + token, nil
	case c.Password != nil:
		password, err := oneLine(c.Password, "password")
		if err != nil {
			return "", err
		}
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(c.Username+":"+password)), nil
	}
	return "", nil
}

func oneLine(s *Secret, what string) (string, error) {
	v := strings.TrimRight(string(s.Value), "\r\n")
	if v == "" {
		return "", fmt.Errorf("%s is empty: put a %s there", s.From, what)
	}
	for _, r := range v {
		if r < ' ' || r == 0x7f {
			return "", fmt.Errorf("%s is no %s: it has line ends or control characters", s.From, what)
		}
	}
	return v, nil
}

// described says whose credentials are sent, for when they are refused.
func (c *Credentials) described() string {
	var all []string
	switch {
	case c.BearerToken != nil:
		all = append(all, "the token of "+c.BearerToken.From)
	case c.Password != nil:
		all = append(all, fmt.Sprintf("the credentials of %s, user %s", c.Password.From, c.Username))
	}
	if c.Certificate != nil {
		all = append(all, "the certificate of "+c.Certificate.From)
	}
	return strings.Join(all, " and ")
}

func (c *Credentials) tls() (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.ServerName, InsecureSkipVerify: c.InsecureSkipVerify} //nolint:gosec // The owner of the source asks for it.
	if c.CA != nil {
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(c.CA.Value) {
			return nil, fmt.Errorf("%s holds no certificate in PEM", c.CA.From)
		}
	}
	if c.Certificate != nil && c.PrivateKey != nil {
		pair, err := tls.X509KeyPair(c.Certificate.Value, c.PrivateKey.Value)
		if err != nil {
			return nil, fmt.Errorf("the certificate of %s and the private key of %s are no pair: %w", c.Certificate.From, c.PrivateKey.From, err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg, nil
}

// spellings are the texts that an answer must not show: what is secret, in the ways in which it could come back.
func (c *Credentials) spellings() []string {
	var all []string
	add := func(v string) {
		quoted := strconv.Quote(v)
		for _, s := range []string{v, base64.StdEncoding.EncodeToString([]byte(v)), base64.RawURLEncoding.EncodeToString([]byte(v)),
			url.QueryEscape(v), url.PathEscape(v), quoted[1 : len(quoted)-1]} {
			all = append(all, strings.ToLower(s))
		}
	}
	for _, s := range []*Secret{c.BearerToken, c.Password} {
		if s == nil {
			continue
		}
		if v := string(bytes.TrimRight(s.Value, "\r\n")); v != "" {
			add(v)
			add(c.Username + ":" + v)
		}
	}
	return all
}

// authorizing sends the credentials with every request.
type authorizing struct {
	header string
	next   http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (a *authorizing) RoundTrip(req *http.Request) (*http.Response, error) {
	if a.header != "" {
		req = req.Clone(req.Context())
		req.Header.Set("Authorization", a.header)
	}
	return a.next.RoundTrip(req)
}
