package prometheus

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"
	"unicode"

	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
)

// ErrCredentials is matched by errors that other credentials could mend: what we showed was refused, or what the server showed was not trusted.
var ErrCredentials = errors.New("credentials")

// longestSaid is how many characters of what a server said are shown.
const longestSaid = 400

// failure is an error in one line that names the source and no secret.
type failure struct {
	text        string
	credentials bool
}

// Error implements error.
func (f *failure) Error() string { return f.text }

// Is lets errors.Is find ErrCredentials.
func (f *failure) Is(target error) bool { return f.credentials && target == ErrCredentials }

// fail makes an error that names the server.
func (s *Source) fail(format string, a ...any) *failure {
	return &failure{text: "prometheus at " + s.address + " " + fmt.Sprintf(format, a...)}
}

// explain makes an error for people of what went wrong. limit is how long was waited.
func (s *Source) explain(err error, limit time.Duration) error {
	var own *failure
	var status *statusError
	var form *formError
	var said *v1.Error
	var connection *connectionError
	switch {
	case errors.As(err, &own):
		return own
	case errors.Is(err, errTooLarge):
		return s.fail("answered with more than %d MiB: let the query aggregate, as with sum(…)", greatestBody>>20)
	case errors.Is(err, errPartial):
		return s.fail("answered in part only: a part of it did not answer")
	case errors.As(err, &status):
		return s.explainStatus(status)
	case errors.As(err, &form):
		if form.mediaType == "text/html" {
			return s.fail("answered with a web page: the address must be what comes before /api/v1, with no login page before it")
		}
		return s.fail("did not answer as Prometheus does: the address must be what comes before /api/v1")
	case errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		return s.fail("did not answer within %s", limit)
	case errors.Is(err, context.Canceled):
		return s.fail("was not waited for")
	case errors.As(err, &said) && said.Type != v1.ErrBadResponse:
		return s.fail("could not answer: %s", s.quote(said.Msg))
	case errors.As(err, &connection):
		return s.explainConnection(err)
	}
	return s.fail("did not answer as Prometheus does: %s", s.quote(err.Error()))
}

func (s *Source) explainStatus(e *statusError) error {
	switch {
	case e.code == http.StatusUnauthorized || e.code == http.StatusForbidden:
		// Nothing of what it says is shown here: it may be what we sent.
		whose := s.credentials.described()
		if whose == "" {
			whose = "us without credentials: set bearerToken, basicAuth or tls.certificate"
		}
		f := s.fail("refused %s (%d)", whose, e.code)
		f.credentials = true
		return f
	case e.code/100 == 3 && e.to != nil:
		to := url.URL{Scheme: e.to.Scheme, Host: e.to.Host, Path: e.to.Path}
		for _, end := range []string{"/api/v1/query", "/api/v1/query_range"} {
			to.Path = strings.TrimSuffix(to.Path, end)
		}
		return s.fail("redirects to %s, and redirects are not followed, since credentials would go along: give the address that it leads to", s.quote(to.String()))
	case e.code == http.StatusNotFound:
		return s.fail("has no /api/v1/query (404): the address must be what comes before /api/v1")
	case (e.code == http.StatusBadRequest || e.code == http.StatusUnprocessableEntity) && e.said != "":
		return s.fail("refused the query: %s", s.quote(e.said))
	case e.said != "":
		return s.fail("could not answer (%d): %s", e.code, s.quote(e.said))
	}
	return s.fail("answered %s", strings.TrimSpace(fmt.Sprintf("%d %s", e.code, http.StatusText(e.code))))
}

// remoteError is how crypto/tls names an alert that the other side sent; its type for them is not exported.
const remoteError = "remote error"

func (s *Source) explainConnection(err error) error {
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var verification *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var alert *net.OpError
	var dns *net.DNSError
	var f *failure
	switch {
	case errors.As(err, &authority):
		f = s.fail("has a certificate of an authority that is not known: give the authority's in tls.ca")
	case errors.As(err, &host):
		f = s.fail("has a certificate for another name: %s; set tls.serverName", s.quote(host.Error()))
	case errors.As(err, &verification):
		f = s.fail("has a certificate that is not to be trusted: %s", s.quote(verification.Err.Error()))
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return s.fail("does not speak TLS there: use http, or the port that does")
	case errors.As(err, &alert) && alert.Op == remoteError:
		f = s.fail("refused the TLS handshake: %s", s.quote(alert.Err.Error()))
		if strings.Contains(f.text, "certificate") {
			whose := "no certificate is shown: set tls.certificate"
			if c := s.credentials.Certificate; c != nil {
				whose = "the certificate shown is that of " + c.From
			}
			f.text += "; " + whose
		}
	case errors.Is(err, syscall.ECONNREFUSED):
		return s.fail("cannot be reached: connection refused")
	case errors.As(err, &dns):
		return s.fail("cannot be reached: no address is known for %s", s.quote(dns.Name))
	default:
		return s.fail("cannot be reached: %s", s.quote(innermost(err).Error()))
	}
	f.credentials = true
	return f
}

// innermost is err without the request's URL, which can hold the query.
func innermost(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

// quote makes one short line of what a server said, and leaves all of it out where it holds, or seems to hold, what was sent with the query.
func (s *Source) quote(said string) string {
	lower := strings.ToLower(said)
	for _, secret := range s.secrets {
		if strings.Contains(lower, secret) {
			return "(what it said has our credentials in it and is left out)"
		}
	}
	for _, sign := range []string{"authorization", "bearer ", "basic "} {
		if strings.Contains(lower, sign) {
			return "(what it said may have our credentials in it and is left out)"
		}
	}
	line := strings.Join(strings.FieldsFunc(said, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }), " ")
	if r := []rune(line); len(r) > longestSaid {
		line = string(r[:longestSaid]) + "…"
	}
	return line
}
