// Command lb is the load-balancer controller of one backend of one HAProxy: it registers pods with it, and takes them out before they are changed.
// It runs beside its HAProxy. See docs/load-balancers.md.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/spf13/pflag"
	"go.uber.org/zap"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/clock"
	"knative.dev/pkg/environment"
	"knative.dev/pkg/signals"

	"github.com/periplus-dev/periplus/pkg/lb"
	"github.com/periplus-dev/periplus/pkg/lb/haproxy"
)

type options struct {
	lb.Config
	selector, backend, socket, kubeconfig, health string
	retire                                        bool
}

func (o *options) bind(fs *pflag.FlagSet) {
	fs.StringVar(&o.Name, "name", "", "name of this HAProxy, that no other has; pods carry the finalizer lb.periplus.dev/<name> while they are registered")
	fs.StringVar(&o.Namespace, "namespace", os.Getenv("POD_NAMESPACE"), "namespace of the pods; $POD_NAMESPACE where empty")
	fs.StringVar(&o.selector, "selector", "", "label selector of the pods, such as app=web")
	fs.Uint16Var(&o.Port, "port", 0, "port of the pods")
	fs.StringVar(&o.backend, "backend", "", "backend of HAProxy that they are servers of")
	fs.StringVar(&o.socket, "socket", "/var/run/haproxy/admin.sock", "HAProxy's runtime API, of level admin: the path of a unix socket, or address:port on loopback")
	fs.StringVar(&o.Options, "server-options", "check inter 1s fall 2 rise 1", "what each server line has after its address; health checks are enabled where it has the word check")
	fs.DurationVar(&o.Rules.DrainTimeout, "drain-timeout", 30*time.Second, "how long sessions in flight may go on in a pod that leaves, in whole seconds; then they are cut")
	fs.DurationVar(&o.Rules.ReloadGrace, "reload-grace", 0, "where HAProxy is reloaded, its hard-stop-after: the process before cannot be asked, so no pod is let go of for so long after a start")
	fs.StringVar(&o.kubeconfig, "kubeconfig", os.Getenv("KUBECONFIG"), "path of the kubeconfig; the pod's own ServiceAccount where empty")
	fs.StringVar(&o.health, "health-address", "", "host:port where /healthz and /readyz are served; off where empty")
	fs.BoolVar(&o.retire, "retire", false, "take the finalizer off all pods of the namespace and end, for a HAProxy that is gone for good; needs --name and --namespace only")
}

func main() {
	var o options
	o.bind(pflag.CommandLine)
	pflag.Parse()
	if err := o.run(signals.NewContext()); err != nil {
		fmt.Fprintln(os.Stderr, "lb:", err)
		os.Exit(1)
	}
}

func (o *options) run(ctx context.Context) error {
	var err error
	if o.Selector, err = labels.Parse(o.selector); err != nil {
		return fmt.Errorf("--selector: %w", err)
	}
	log, err := zap.NewProduction()
	if err != nil {
		return fmt.Errorf("starting the log: %w", err)
	}
	defer func() { _ = log.Sync() }()
	kube, err := o.client()
	if err != nil {
		return err
	}
	if o.retire {
		n, err := lb.Retire(ctx, kube, o.Config)
		if err != nil {
			return fmt.Errorf("after %d pods: %w", n, err)
		}
		fmt.Printf("%s is off %d pods of %s\n", o.Finalizer(), n, o.Namespace)
		return nil
	}
	balancer, err := haproxy.New(o.socket, o.backend)
	if err != nil {
		return err
	}
	controller, err := lb.New(o.Config, kube, balancer, clock.RealClock{}, log.Sugar())
	if err != nil {
		return err
	}
	if err := o.serveHealth(ctx, controller); err != nil {
		return err
	}
	return controller.Run(ctx)
}

// client has no rate limit on its side: the API server's priority and fairness is the limit.
func (o *options) client() (kubernetes.Interface, error) {
	env := environment.ClientConfig{Kubeconfig: o.kubeconfig}
	cfg, err := env.GetRESTConfig()
	if err != nil {
		return nil, fmt.Errorf("reading --kubeconfig %q: %w", o.kubeconfig, err)
	}
	cfg.QPS, cfg.UserAgent = -1, "periplus-lb"
	kube, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("making a client of %s: %w", cfg.Host, err)
	}
	return kube, nil
}

// serveHealth until ctx ends. A port that is taken ends the start.
func (o *options) serveHealth(ctx context.Context, controller *lb.Controller) error {
	if o.health == "" {
		return nil
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.health)
	if err != nil {
		return fmt.Errorf("listening on --health-address %q: %w", o.health, err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := controller.Ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	go func() {
		if err := server.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
			fmt.Fprintln(os.Stderr, "lb: serving probes:", err)
		}
	}()
	return nil
}
