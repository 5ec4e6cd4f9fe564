package apiserver

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
)

const (
	startLimit = time.Minute
	// attempts to start: another program may take a port between finding and using it.
	attempts = 3
)

// Server is a running etcd and kube-apiserver.
type Server struct {
	dir    string
	config *rest.Config
	etcd   *process
	api    *process
	// collector is nil unless it was started.
	collector *process
	dynamic   dynamic.Interface
	mapper    *restmapper.DeferredDiscoveryRESTMapper
}

// Start starts both in a directory of their own and returns when the API server is ready, which takes some 5 to 15 s of two cores. flags are
// added to the API server's. The caller stops it.
func Start(ctx context.Context, flags ...string) (*Server, error) {
	var err error
	for range attempts {
		var s *Server
		if s, err = start(ctx, flags); err == nil {
			return s, nil
		}
		if !strings.Contains(err.Error(), "address already in use") {
			break
		}
	}
	return nil, fmt.Errorf("starting an API server: %w", err)
}

func start(ctx context.Context, flags []string) (_ *Server, err error) {
	dir, err := os.MkdirTemp("", "periplus-apiserver-*")
	if err != nil {
		return nil, fmt.Errorf("making a directory: %w", err)
	}
	s := &Server{dir: dir}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Stop())
		}
	}()
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	client, peer := "http://"+loopback(ports[0]), "http://"+loopback(ports[1])
	s.etcd, err = startProcess(dir, "etcd",
		"--name=test", "--data-dir="+filepath.Join(dir, "etcd"), "--unsafe-no-fsync", "--log-level=warn",
		"--listen-client-urls="+client, "--advertise-client-urls="+client,
		"--listen-peer-urls="+peer, "--initial-advertise-peer-urls="+peer, "--initial-cluster=test="+peer)
	if err != nil {
		return nil, err
	}
	token, err := writeCredentials(dir)
	if err != nil {
		return nil, err
	}
	if err := s.etcd.await(ctx, startLimit, healthy(client+"/health")); err != nil {
		return nil, err
	}
	key := filepath.Join(dir, "serviceaccount.key")
	s.api, err = startProcess(dir, "kube-apiserver", append([]string{
		"--etcd-servers=" + client, "--cert-dir=" + dir,
		"--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--secure-port=" + strconv.Itoa(ports[2]), "--endpoint-reconciler-type=none",
		"--service-account-issuer=https://kubernetes.default.svc", "--service-account-key-file=" + key, "--service-account-signing-key-file=" + key,
		"--token-auth-file=" + filepath.Join(dir, "tokens.csv"), "--authorization-mode=RBAC",
		"--service-cluster-ip-range=10.96.0.0/16", "--profiling=false",
	}, flags...)...)
	if err != nil {
		return nil, err
	}
	s.config = &rest.Config{
		Host: "https://" + loopback(ports[2]), BearerToken: token, QPS: -1, WarningHandler: rest.NoWarnings{},
		// The server makes its own certificate; it is our child on loopback.
		TLSClientConfig: rest.TLSClientConfig{Insecure: true},
	}
	if s.dynamic, err = dynamic.NewForConfig(s.config); err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	disco, err := discovery.NewDiscoveryClientForConfig(s.config)
	if err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	s.mapper = restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(disco))
	err = s.api.await(ctx, startLimit, func(ctx context.Context) error {
		return disco.RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	})
	return s, err
}

// Admin is how system:masters reach the server.
func (s *Server) Admin() *rest.Config { return rest.CopyConfig(s.config) }

// As is how a user in these groups, and in system:authenticated, reaches the server. The server judges him as if he had come by himself.
func (s *Server) As(user string, groups ...string) *rest.Config {
	c := s.Admin()
	c.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: append([]string{"system:authenticated"}, groups...)}
	return c
}

// AsServiceAccount is how a ServiceAccount reaches the server.
func (s *Server) AsServiceAccount(namespace, name string) *rest.Config {
	return s.As("system:serviceaccount:"+namespace+":"+name, "system:serviceaccounts", "system:serviceaccounts:"+namespace)
}

// Stop ends both programs and takes their directory away.
func (s *Server) Stop() error {
	var errs []error
	if s.collector != nil {
		errs = append(errs, s.collector.stop(10*time.Second))
	}
	if s.api != nil {
		errs = append(errs, s.api.stop(10*time.Second))
	}
	if s.etcd != nil {
		errs = append(errs, s.etcd.stop(5*time.Second))
	}
	return errors.Join(append(errs, os.RemoveAll(s.dir))...)
}

// writeCredentials writes a key for service account tokens and a token for the admin, which it returns.
func writeCredentials(dir string) (string, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", fmt.Errorf("making a service account key: %w", err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return "", fmt.Errorf("making a service account key: %w", err)
	}
	raw := make([]byte, 24)
	rand.Read(raw)
	token := hex.EncodeToString(raw)
	for file, data := range map[string][]byte{
		"serviceaccount.key": pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}),
		"tokens.csv":         []byte(token + ",admin,admin,system:masters\n"),
	} {
		if err := os.WriteFile(filepath.Join(dir, file), data, 0o600); err != nil {
			return "", fmt.Errorf("writing credentials: %w", err)
		}
	}
	return token, nil
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

func healthy(url string) func(context.Context) error {
	client := &http.Client{Timeout: 2 * time.Second}
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s answers %s", url, resp.Status)
		}
		return nil
	}
}
