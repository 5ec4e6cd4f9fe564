package boot

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"knative.dev/pkg/environment"
	"knative.dev/pkg/observability"
	"knative.dev/pkg/observability/metrics"
)

type options struct {
	kubeconfig string
	disableHA  bool
	metrics    string
	health     string
}

func (o *options) bind(fs *flag.FlagSet) {
	fs.StringVar(&o.kubeconfig, "kubeconfig", os.Getenv("KUBECONFIG"), "path of the kubeconfig; the pod's own ServiceAccount where empty")
	fs.BoolVar(&o.disableHA, "disable-ha", false, "no leader election: for exactly one process")
	fs.StringVar(&o.metrics, "metrics-address", "", "host:port where Prometheus metrics are served at /metrics, port 1024 or above; off where empty")
	fs.StringVar(&o.health, "health-address", "", "host:port where /healthz and /readyz are served; off where empty")
}

// restConfig has no rate limit on the client's side: the API server's priority and fairness is the limit.
func (o *options) restConfig(name string) (*rest.Config, error) {
	env := environment.ClientConfig{Kubeconfig: o.kubeconfig}
	cfg, err := env.GetRESTConfig()
	if err != nil {
		return nil, fmt.Errorf("reading --kubeconfig %q: %w", o.kubeconfig, err)
	}
	cfg.QPS = -1
	cfg.Burst = -1
	cfg.UserAgent = "periplus-" + name
	// Pods come as protobuf, which costs a fraction of JSON to read; custom resources have no such form and come as JSON.
	cfg.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	return cfg, nil
}

// observability is knative's configuration for metrics in Prometheus format at --metrics-address, or for none. Knative only prints an error when
// it cannot listen later, so the address is tried here.
func (o *options) observability(ctx context.Context) (*observability.Config, error) {
	cfg := observability.DefaultConfig()
	if o.metrics == "" {
		return cfg, nil
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.metrics)
	if err != nil {
		return nil, fmt.Errorf("listening on --metrics-address %q: %w", o.metrics, err)
	}
	if err := l.Close(); err != nil {
		return nil, fmt.Errorf("listening on --metrics-address %q: %w", o.metrics, err)
	}
	cfg.Metrics.Protocol = metrics.ProtocolPrometheus
	cfg.Metrics.Endpoint = o.metrics
	return cfg, nil
}
