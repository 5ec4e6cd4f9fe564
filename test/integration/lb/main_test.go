//go:build integration

// Package lb tries the load-balancer controller with a real HAProxy and a real API server, with the example of config/lb: its configuration of HAProxy
// and the RBAC of its ServiceAccount. Kubelet and InPlaceSet controller are played by the tests, and the applications are in this process.
package lb

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"

	"github.com/periplus-dev/periplus/test/haproxy"
	"github.com/periplus-dev/periplus/test/integration/apiserver"
)

const (
	example = "../../../config/lb"
	// limit of everything that is waited for.
	limit = 20 * time.Second
)

var (
	server  *apiserver.Server
	admin   kubernetes.Interface
	program haproxy.Program
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var err error
	program, err = haproxy.Find(ctx, func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) })
	if err == nil {
		server, err = apiserver.Start(ctx)
	}
	if err == nil {
		defer func() {
			if err := server.Stop(); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
		}()
		admin, err = kubernetes.NewForConfig(server.Admin())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}
