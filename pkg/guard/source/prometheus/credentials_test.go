package prometheus

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/periplus-dev/periplus/pkg/guard/source"
)

// authority signs certificates for a test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{}
	a.cert = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.cert, a.key, a.pem, _ = a.sign(t, a.cert)
	return a
}

func (a *authority) sign(t *testing.T, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey, []byte, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	parent, signer := template, key
	if a.key != nil {
		parent, signer = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	rawKey, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: rawKey})
}

func (a *authority) pair(t *testing.T, name string, until time.Time) (cert, key []byte) {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: until, DNSNames: []string{name},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if name == "" {
		template.DNSNames, template.IPAddresses = nil, []net.IP{net.IPv4(127, 0, 0, 1)}
	}
	_, _, cert, key = a.sign(t, template)
	return cert, key
}

func serveTLS(t *testing.T, cert, key []byte, clients *authority) string {
	t.Helper()
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(data(`{"resultType":"scalar","result":[1,"1"]}`))
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	if clients != nil {
		srv.TLS.ClientAuth, srv.TLS.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
		srv.TLS.ClientCAs.AddCert(clients.cert)
	}
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return srv.URL
}

func secret(value []byte, key string) *Secret {
	return &Secret{Value: value, From: "Secret prom, key " + key}
}

func TestTLS(t *testing.T) {
	ours, others := newAuthority(t), newAuthority(t)
	soon := time.Now().Add(time.Hour)
	cert, key := ours.pair(t, "", soon)
	named, namedKey := ours.pair(t, "prom.example.com", soon)
	old, oldKey := ours.pair(t, "", time.Now().Add(-time.Hour))
	client, clientKey := ours.pair(t, "periplus", soon)
	stranger, strangerKey := others.pair(t, "periplus", soon)
	ca := secret(ours.pem, "ca")

	for _, tc := range []struct {
		name      string
		cert, key []byte
		clients   *authority
		with      Credentials
		want      string
	}{
		{name: "an authority that is given", cert: cert, key: key, with: Credentials{CA: ca}},
		{name: "an authority that is not known", cert: cert, key: key, want: "authority that is not known: give the authority's in tls.ca"},
		{name: "another authority than the given", cert: cert, key: key, with: Credentials{CA: secret(others.pem, "ca")}, want: "authority that is not known"},
		{name: "anything, where that is asked for", cert: cert, key: key, with: Credentials{InsecureSkipVerify: true}},
		{name: "a certificate for another name", cert: named, key: namedKey, with: Credentials{CA: ca}, want: "set tls.serverName"},
		{name: "a certificate for the given name", cert: named, key: namedKey, with: Credentials{CA: ca, ServerName: "prom.example.com"}},
		{name: "a certificate that ran out", cert: old, key: oldKey, with: Credentials{CA: ca}, want: "has expired"},
		{name: "a certificate of ours that it wants", cert: cert, key: key, clients: ours, with: Credentials{CA: ca, Certificate: secret(client, "tls.crt"), PrivateKey: secret(clientKey, "tls.key")}},
		{name: "none of ours where it wants one", cert: cert, key: key, clients: ours, with: Credentials{CA: ca}, want: "no certificate is shown: set tls.certificate"},
		{
			name: "one of ours that it does not take", cert: cert, key: key, clients: ours,
			with: Credentials{CA: ca, Certificate: secret(stranger, "tls.crt"), PrivateKey: secret(strangerKey, "tls.key")}, want: "the certificate shown is that of Secret prom, key tls.crt",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := sourceFor(t, serveTLS(t, tc.cert, tc.key, tc.clients), func(o *Options) { o.Credentials = tc.with })
			_, err := s.Ask(t.Context(), source.Question{Query: "up", Window: time.Minute})
			if (err == nil) != (tc.want == "") || (err != nil && (!strings.Contains(err.Error(), tc.want) || !errors.Is(err, ErrCredentials))) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
	t.Run("https to a server that speaks http", func(t *testing.T) {
		srv := serve(t, http.NotFound)
		_, err := sourceFor(t, strings.Replace(srv.URL, "http://", "https://", 1)).Ask(t.Context(), source.Question{Query: "up", Window: time.Minute})
		if err == nil || !strings.Contains(err.Error(), "does not speak TLS there") {
			t.Errorf("got %v", err)
		}
	})
}

func TestCredentialsAreSent(t *testing.T) {
	for _, tc := range []struct {
		name string
		with Credentials
		want string
	}{
		{"none", Credentials{}, ""},
		{"a token, without the line end of its file", Credentials{BearerToken: secret([]byte("t0ken\n"), "token")}, "Bearer t0ken"},
		{"a password with spaces at its end", Credentials{Username: "me", Password: secret([]byte("p \r\n"), "password")}, "Basic bWU6cCA="},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got string
			srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
				got = r.Header.Get("Authorization")
				data(`{"resultType":"scalar","result":[1,"1"]}`)(w, r)
			})
			if _, err := sourceFor(t, srv.URL, func(o *Options) { o.Credentials = tc.with }).Ask(t.Context(), source.Question{Query: "up", Window: time.Minute}); err != nil {
				t.Fatal(err)
			}
			if got != tc.want {
				t.Errorf("sent %q", got)
			}
		})
	}
}

func TestSecretsThatAreNotWhatTheyShouldBe(t *testing.T) {
	cert, _ := newAuthority(t).pair(t, "x", time.Now().Add(time.Hour))
	_, key := newAuthority(t).pair(t, "x", time.Now().Add(time.Hour))
	for _, tc := range []struct {
		name string
		with Credentials
		want string
	}{
		{"an empty token", Credentials{BearerToken: secret([]byte("\n"), "token")}, "Secret prom, key token is empty"},
		{"a kubeconfig for a token", Credentials{BearerToken: secret([]byte("apiVersion: v1\nkind: Config"), "token")}, "Secret prom, key token is no token"},
		{"a kubeconfig for a password", Credentials{Username: "me", Password: secret([]byte("apiVersion: v1\nkind: Config"), "pw")}, "Secret prom, key pw is no password"},
		{"an authority that is no certificate", Credentials{CA: secret([]byte("s3cret"), "ca")}, "Secret prom, key ca holds no certificate in PEM"},
		{"a certificate and another's key", Credentials{Certificate: secret(cert, "crt"), PrivateKey: secret(key, "key")}, "Secret prom, key crt and the private key of Secret prom, key key are no pair"},
		{"a key that is none", Credentials{Certificate: secret(cert, "crt"), PrivateKey: secret([]byte("s3cret"), "key")}, "are no pair"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := New(Options{Address: "https://prom", Credentials: tc.with})
			if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "apiVersion") {
				t.Errorf("got %v", err)
			}
		})
	}
}
