package apiserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"
	"time"

	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"k8s.io/client-go/tools/clientcmd"
)

// StartCollector starts the garbage collector, which takes away what all owners of are gone. It ends with the server.
func (s *Server) StartCollector(ctx context.Context) error {
	ports, err := freePorts(1)
	if err != nil {
		return err
	}
	kubeconfig := filepath.Join(s.dir, "collector.kubeconfig")
	err = clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{"c": {Server: s.config.Host, InsecureSkipTLSVerify: true}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{"u": {Token: s.config.BearerToken}},
		Contexts:       map[string]*clientcmdapi.Context{"c": {Cluster: "c", AuthInfo: "u"}},
		CurrentContext: "c",
	}, kubeconfig)
	if err != nil {
		return fmt.Errorf("writing a kubeconfig for the garbage collector: %w", err)
	}
	p, err := startProcess(s.dir, "kube-controller-manager",
		"--kubeconfig="+kubeconfig, "--controllers=garbage-collector-controller", "--leader-elect=false", "--profiling=false",
		"--bind-address=127.0.0.1", "--secure-port="+strconv.Itoa(ports[0]), "--cert-dir="+s.dir)
	if err != nil {
		return err
	}
	s.collector = p
	// The certificate is one that it makes itself; it is our child on loopback.
	client := &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	return p.await(ctx, startLimit, func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+loopback(ports[0])+"/healthz", nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return errors.New("it answers " + resp.Status)
		}
		return nil
	})
}
