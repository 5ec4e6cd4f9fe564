package webhook

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"slices"
	"time"
)

const (
	// lifetime of a certificate, and how long before its end the next one is made.
	lifetime = 90 * 24 * time.Hour
	renewIn  = 30 * 24 * time.Hour
	// settle is how long a certificate is published before it is served: API servers read the registration through caches.
	settle = time.Minute
	// skew of the clocks of API servers that is let be.
	skew = 5 * time.Minute
)

// Names of what the Secret holds. The first two are those of Kubernetes for TLS.
const (
	servedCert = "tls.crt"
	servedKey  = "tls.key"
	nextCert   = "next.crt"
	nextKey    = "next.key"
	// previousCert is trusted until it ends, for replicas that serve it still.
	previousCert = "previous.crt"
)

// keys are the content of the Secret.
type keys map[string][]byte

// step is what is to become of the keys at a moment: the keys themselves where nothing is, with the time at which to look again. settled says that the next certificate
// has been published for long enough.
func (k keys) step(hosts []string, now time.Time, settled bool) (_ keys, again time.Duration, err error) {
	served := k.certificate(servedCert, servedKey)
	next := k.certificate(nextCert, nextKey)
	switch {
	case served == nil || now.After(served.NotAfter) || now.Before(served.NotBefore):
		// Nobody is answered with it. What is published already comes first.
		if next != nil && good(next, hosts, now) {
			return k.promoted(nil), 0, nil
		}
		cert, key, err := newPair(hosts, now)
		return keys{servedCert: cert, servedKey: key}, 0, err
	case next != nil && good(next, hosts, now):
		if settled {
			return k.promoted(served), 0, nil
		}
		return k, settle, nil
	case !good(served, hosts, now):
		out := k.clone()
		out[nextCert], out[nextKey], err = newPair(hosts, now)
		return out, settle, err
	}
	return k, served.NotAfter.Add(-renewIn).Sub(now), nil
}

// good says whether a certificate is for these hosts and not near its end.
func good(c *x509.Certificate, hosts []string, now time.Time) bool {
	for _, host := range hosts {
		if c.VerifyHostname(host) != nil {
			return false
		}
	}
	return now.Before(c.NotAfter.Add(-renewIn))
}

// promoted keys serve the next certificate.
func (k keys) promoted(served *x509.Certificate) keys {
	out := keys{servedCert: k[nextCert], servedKey: k[nextKey]}
	if served != nil {
		out[previousCert] = k[servedCert]
	}
	return out
}

func (k keys) clone() keys {
	out := make(keys, len(k))
	for name, value := range k {
		out[name] = value
	}
	return out
}

// equal compares only what is ours.
func (k keys) equal(other keys) bool {
	for _, name := range []string{servedCert, servedKey, nextCert, nextKey, previousCert} {
		if !bytes.Equal(k[name], other[name]) {
			return false
		}
	}
	return true
}

// trusted is the bundle that API servers are to trust: every certificate that is served, was, or will be.
func (k keys) trusted() []byte {
	var out []byte
	for _, name := range []string{servedCert, nextCert, previousCert} {
		out = append(out, k[name]...)
	}
	return out
}

// certificate that goes with a key; nil where there is none, or it cannot be read.
func (k keys) certificate(cert, key string) *x509.Certificate {
	pair, err := tls.X509KeyPair(k[cert], k[key])
	if err != nil {
		return nil
	}
	return pair.Leaf
}

// newPair makes a certificate that is its own authority, and its key. Nobody else is ever signed, so there is no other key to keep.
func newPair(hosts []string, now time.Time) (cert, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("making a key of the webhook: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, nil, fmt.Errorf("making a serial number of the webhook's certificate: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{Organization: []string{"Periplus"}, CommonName: hosts[0]},
		NotBefore: now.Add(-skew), NotAfter: now.Add(lifetime),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, host := range slices.Compact(slices.Sorted(slices.Values(hosts))) {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		return nil, nil, fmt.Errorf("making a certificate of the webhook: %w", err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, nil, fmt.Errorf("writing a key of the webhook: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), nil
}
