package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/connrotation"

	"github.com/periplus-dev/periplus/pkg/client/clientset/versioned"
)

// Clients of one member.
type Clients struct {
	Kube     kubernetes.Interface
	Periplus versioned.Interface
	Dynamic  dynamic.Interface
}

// Connection is the way to one member with one set of credentials. Its methods are called without locks held and from several
// goroutines; those that do I/O obey their context.
type Connection interface {
	// Clients returns clients over this connection. Watches made with them are told to observe, where it is not nil.
	Clients(observe WatchObserver) (Clients, error)
	// Ready returns nil when the member's API server says that it is ready to serve, or refuses to say (Forbidden), which is an
	// answer too.
	Ready(ctx context.Context) error
	// Version of the API server.
	Version(ctx context.Context) (string, error)
	// Cut ends all requests and watches that are under way; later ones dial anew.
	Cut()
	// Rest gives up what is open but not in use.
	Rest()
}

// dialTimeout bounds the making of one connection; calls are bounded by their own context as well.
const dialTimeout = 5 * time.Second

// Connect makes a Connection of a kubeconfig without contacting the member.
func Connect(kubeconfig []byte) (Connection, error) {
	cfg, err := restConfig(kubeconfig)
	if err != nil {
		return nil, err
	}
	dialer := connrotation.NewDialer((&net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}).DialContext)
	cfg.Dial = dialer.DialContext
	hc, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return nil, fmt.Errorf("using the kubeconfig's certificates: %w", err)
	}
	c := &connection{cfg: cfg, http: hc, dialer: dialer}
	if c.probe, err = discovery.NewDiscoveryClientForConfigAndClient(cfg, hc); err != nil {
		return nil, fmt.Errorf("using the kubeconfig's server %q: %w", cfg.Host, err)
	}
	return c, nil
}

type connection struct {
	cfg    *rest.Config
	http   *http.Client
	dialer *connrotation.Dialer
	probe  *discovery.DiscoveryClient
}

func (c *connection) Clients(observe WatchObserver) (Clients, error) {
	hc := c.http
	if observe != nil {
		// The client is ours alone, its transport is shared: informers use the connections of everybody else.
		hc = &http.Client{Transport: &watchTransport{base: c.http.Transport, observe: observe}}
	}
	proto := rest.CopyConfig(c.cfg)
	proto.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	proto.ContentType = runtime.ContentTypeProtobuf
	var out Clients
	kube, err := kubernetes.NewForConfigAndClient(proto, hc)
	if err != nil {
		return out, fmt.Errorf("making the Kubernetes client: %w", err)
	}
	ours, err := versioned.NewForConfigAndClient(c.cfg, hc)
	if err != nil {
		return out, fmt.Errorf("making the Periplus client: %w", err)
	}
	dyn, err := dynamic.NewForConfigAndClient(c.cfg, hc)
	if err != nil {
		return out, fmt.Errorf("making the dynamic client: %w", err)
	}
	return Clients{Kube: kube, Periplus: ours, Dynamic: dyn}, nil
}

func (c *connection) Ready(ctx context.Context) error {
	res := c.probe.RESTClient().Get().AbsPath("/readyz").Do(ctx)
	err := res.Error()
	if err == nil || apierrors.IsForbidden(err) {
		return nil
	}
	var code int
	res.StatusCode(&code)
	if code >= http.StatusInternalServerError {
		body, _ := res.Raw()
		return fmt.Errorf("the API server answers that it is not ready (%d): %s", code, failedChecks(string(body)))
	}
	return err
}

// failedChecks picks the failed ones of /readyz, which lists all.
func failedChecks(body string) string {
	var failed []string
	for line := range strings.Lines(body) {
		if strings.HasPrefix(line, "[-]") {
			failed = append(failed, strings.TrimSpace(strings.TrimPrefix(line, "[-]")))
		}
	}
	if len(failed) == 0 {
		return "no details given"
	}
	const most = 3
	if len(failed) > most {
		failed = append(failed[:most], fmt.Sprintf("and %d more", len(failed)-most))
	}
	return strings.Join(failed, "; ")
}

func (c *connection) Version(ctx context.Context) (string, error) {
	body, err := c.probe.RESTClient().Get().AbsPath("/version").Do(ctx).Raw()
	if err != nil {
		return "", err
	}
	var info version.Info
	if err := json.Unmarshal(body, &info); err != nil {
		return "", fmt.Errorf("reading the answer of /version: %w", err)
	}
	return info.GitVersion, nil
}

func (c *connection) Cut() {
	c.dialer.CloseAll()
	c.Rest()
}

func (c *connection) Rest() { utilnet.CloseIdleConnectionsFor(c.http.Transport) }

// plain turns an error of an HTTP call into words that stay the same from one attempt to the next, so that a status which carries them does
// not change without news: without the URL's query and without our own port.
func plain(err error) string {
	var c *cause
	if errors.As(err, &c) {
		return c.text
	}
	var u *url.Error
	if errors.As(err, &u) {
		return fmt.Sprintf("%s %s: %s", strings.ToUpper(u.Op), pathOf(u.URL), plain(u.Err))
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Addr != nil {
		return fmt.Sprintf("%s %s %s: %v", op.Op, op.Net, op.Addr, op.Err)
	}
	return err.Error()
}

func pathOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return raw
	}
	u.RawQuery, u.User = "", nil
	return u.String()
}
