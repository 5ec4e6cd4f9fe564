package localfleet

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"slices"
	"strings"
	"time"
)

// user is a person of the fleet, known to every API server by a token.
type user struct {
	Name   string
	Groups []string
}

// Users of a fleet: one admin, and people who have what the published roles give them and no more.
const (
	Admin = "admin"
	Alice = "alice"
	Bob   = "bob"
	Carol = "carol"
)

var users = []user{
	{Admin, []string{"system:masters"}},
	{Alice, []string{"release-engineers"}},
	{Bob, []string{"sre"}},
	{Carol, []string{"sre"}},
}

// credentials are what the API servers and their clients trust: one authority and one serving certificate for the
// fleet, one service account key for each cluster, so that a token of one member means nothing in another.
type credentials struct {
	ca []byte
	// tokens by user; a node's user is system:node:<node>.
	tokens map[string]string
}

// ensureCredentials makes what is missing. Certificates last ten years: a fleet is thrown away before.
func ensureCredentials(l Layout, s *State) (credentials, error) {
	if err := ensureServingCertificate(l); err != nil {
		return credentials{}, err
	}
	for _, c := range s.Clusters() {
		if err := ensureKey(l.pki(c + "-serviceaccount.key")); err != nil {
			return credentials{}, err
		}
	}
	ca, err := os.ReadFile(l.pki("ca.crt"))
	if err != nil {
		return credentials{}, fmt.Errorf("reading the fleet's certificate authority: %w", err)
	}
	all := slices.Clone(users)
	for _, c := range s.Clusters() {
		for _, n := range realNodes(s, c) {
			all = append(all, n.user())
		}
	}
	tokens, err := ensureTokens(l.pki("tokens.csv"), all)
	return credentials{ca: ca, tokens: tokens}, err
}

// ensureTokens keeps a token file in the API server's own format: token,user,uid,"groups".
func ensureTokens(file string, users []user) (map[string]string, error) {
	tokens := map[string]string{}
	data, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("reading the users' tokens: %w", err)
	}
	for line := range strings.Lines(string(data)) {
		if fields := strings.SplitN(line, ",", 3); len(fields) == 3 {
			tokens[fields[1]] = fields[0]
		}
	}
	complete := true
	var out strings.Builder
	for _, u := range users {
		if tokens[u.Name] == "" {
			complete = false
			raw := make([]byte, 24)
			rand.Read(raw)
			tokens[u.Name] = hex.EncodeToString(raw)
		}
		fmt.Fprintf(&out, "%s,%s,%s,%q\n", tokens[u.Name], u.Name, u.Name, strings.Join(u.Groups, ","))
	}
	if complete {
		return tokens, nil
	}
	return tokens, writeFile(file, []byte(out.String()), 0o600)
}

func ensureServingCertificate(l Layout) error {
	if _, err := os.Stat(l.pki("server.crt")); err == nil {
		return nil
	}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("making the fleet's certificate authority: %w", err)
	}
	until := time.Now().AddDate(10, 0, 0)
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "periplus local fleet"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: until,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	if err != nil {
		return fmt.Errorf("making the fleet's certificate authority: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("making the serving certificate: %w", err)
	}
	server := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "kube-apiserver"},
		NotBefore: ca.NotBefore, NotAfter: until,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		DNSNames:    []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"},
	}
	der, err := x509.CreateCertificate(rand.Reader, server, ca, key.Public(), caKey)
	if err != nil {
		return fmt.Errorf("making the serving certificate: %w", err)
	}
	if err := writeKey(l.pki("server.key"), key); err != nil {
		return err
	}
	if err := writePEM(l.pki("ca.crt"), "CERTIFICATE", caDER); err != nil {
		return err
	}
	// Last: its presence says that all three are there. The authority's own key is used once and kept nowhere.
	return writePEM(l.pki("server.crt"), "CERTIFICATE", der)
}

// ensureKubeletClient makes what API servers show to real kubelets: a certificate that vouches for itself, and that kubelets trust for this alone.
func ensureKubeletClient(l Layout) error {
	if _, err := os.Stat(l.pki("kubelet-client.crt")); err == nil {
		return nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("making the kubelets' client certificate: %w", err)
	}
	client := &x509.Certificate{
		SerialNumber: big.NewInt(3), Subject: pkix.Name{CommonName: "kube-apiserver-kubelet-client", Organization: []string{"system:masters"}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(10, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, client, client, key.Public(), key)
	if err != nil {
		return fmt.Errorf("making the kubelets' client certificate: %w", err)
	}
	if err := writeKey(l.pki("kubelet-client.key"), key); err != nil {
		return err
	}
	return writePEM(l.pki("kubelet-client.crt"), "CERTIFICATE", der)
}

func ensureKey(file string) error {
	if _, err := os.Stat(file); err == nil {
		return nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("making a service account key: %w", err)
	}
	return writeKey(file, key)
}

func writeKey(file string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return fmt.Errorf("writing a key: %w", err)
	}
	return writePEM(file, "EC PRIVATE KEY", der)
}

func writePEM(file, kind string, der []byte) error {
	return writeFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}
