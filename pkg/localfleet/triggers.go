package localfleet

import (
	"context"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// PartInterceptors is the server of Tekton Triggers' own interceptors: GitHub's and GitLab's signatures, CEL, and others.
const PartInterceptors = "triggers-interceptors"

// interceptorsHost is the name that the interceptors' certificate is for. Triggers makes it for a Service, which nothing here would resolve.
const interceptorsHost = "localhost"

const (
	interceptorsAccount = "tekton-triggers-core-interceptors"
	interceptorsSecret  = "tekton-triggers-core-interceptors-certs" // #nosec G101 -- a name.
)

var clusterInterceptors = schema.GroupVersionResource{Group: "triggers.tekton.dev", Version: "v1alpha1", Resource: "clusterinterceptors"}

// triggersEdits make the programs of Tekton Triggers listen on 127.0.0.1, as loopbackEdits do those of Tekton. The interceptors have no setting for their port at all.
var triggersEdits = []edit{
	{triggersModule, "pkg/adapter/adapter.go", `":" + s.Args.Port`, `"127.0.0.1:" + s.Args.Port`},
	{triggersModule, "cmd/interceptors/main.go", `fmt.Sprintf(":%d", HTTPSPort)`, `"127.0.0.1:" + os.Getenv("INTERCEPTORS_PORT")`},
	{triggersModule, "cmd/interceptors/main.go", "\t\"net/http\"\n", "\t\"net/http\"\n\t\"os\"\n"},
}

// triggersManifests are what Tekton Triggers publishes, less what would be pods. Its controller, which makes a Deployment of each EventListener, and its webhook, which
// fills in defaults, are left out with them: the first is what Listen stands for, without the second manifests must say what they mean.
func triggersManifests(moduleDir string, interceptorsPort int) ([]*unstructured.Unstructured, error) {
	objs, err := readManifests(filepath.Join(moduleDir, "config"))
	if err != nil {
		return nil, err
	}
	objs = slices.DeleteFunc(objs, func(obj *unstructured.Unstructured) bool {
		return slices.Contains([]string{"Deployment", "Service"}, obj.GetKind()) || strings.HasSuffix(obj.GetKind(), "WebhookConfiguration")
	})
	for _, obj := range objs {
		if obj.GetKind() != "ClusterInterceptor" {
			continue
		}
		served, _, err := unstructured.NestedString(obj.Object, "spec", "clientConfig", "service", "path")
		if err != nil {
			return nil, fmt.Errorf("reading where Tekton Triggers' interceptor %s is served: %w", obj.GetName(), err)
		}
		url := "https://" + interceptorsHost + ":" + strconv.Itoa(interceptorsPort) + path.Join("/", served)
		obj.Object["spec"] = map[string]any{"clientConfig": map[string]any{"url": url}}
	}
	return objs, nil
}

// triggersPorts are the ports of Tekton Triggers by key.
func triggersPorts(s *State) []string {
	if !s.Triggers {
		return nil
	}
	keys := []string{portKey(Hub, PartInterceptors, "https")}
	for _, at := range s.Listeners {
		keys = append(keys, portKey(Hub, at.Part(), "http"))
	}
	return keys
}

// triggersParts are the interceptors and the sinks of EventListeners.
func triggersParts(l Layout, s *State) []part {
	if !s.Triggers {
		return nil
	}
	parts := []part{interceptorsPart(l, s)}
	for _, at := range s.Listeners {
		parts = append(parts, listenerPart(l, s, at))
	}
	return parts
}

func interceptorsPart(l Layout, s *State) part {
	port := s.Port(Hub, PartInterceptors, "https")
	return part{
		cluster: Hub, name: PartInterceptors, binary: "interceptors", port: port, ports: []int{port},
		args: []string{"-kubeconfig=" + l.partKubeconfig(Hub, PartInterceptors)},
		env: []string{
			"SYSTEM_NAMESPACE=" + tektonNamespace, "KUBERNETES_MIN_VERSION=v1.28.0", "METRICS_DOMAIN=tekton.dev/triggers",
			"CONFIG_LOGGING_NAME=config-logging-triggers", "CONFIG_OBSERVABILITY_NAME=config-observability-triggers",
			"INTERCEPTOR_TLS_SVC_NAME=" + interceptorsHost, "INTERCEPTOR_TLS_SECRET_NAME=" + interceptorsSecret,
			"INTERCEPTORS_PORT=" + strconv.Itoa(port),
		},
		ready: httpOK(loopbackURL("https", port) + "/ready"),
	}
}

// startTriggers installs Tekton Triggers on the hub where the fleet has it, and plays the EventListeners that there still are.
func (u *upRun) startTriggers(ctx context.Context, hub *clusterClient) error {
	if !u.state.Triggers {
		return nil
	}
	dir, err := u.tool.moduleDir(ctx, filepath.Join(u.state.Source, filepath.FromSlash(modulesDir), "triggers"), triggersModule)
	if err != nil {
		return err
	}
	objs, err := triggersManifests(dir, u.state.Port(Hub, PartInterceptors, "https"))
	if err != nil {
		return err
	}
	if err := hub.apply(ctx, objs); err != nil {
		return err
	}
	if err := hub.writePartIdentity(ctx, u.layout, u.state, u.cred, PartInterceptors, tektonNamespace, interceptorsAccount); err != nil {
		return err
	}
	p := interceptorsPart(u.layout, u.state)
	if err := u.ensureAll(ctx, []part{p}); err != nil {
		return err
	}
	if err := hub.awaitInterceptors(ctx, objs); err != nil {
		log := u.layout.Log(Hub, PartInterceptors)
		return &partError{part: p.String(), log: log, tail: tailLines(log, 15), err: err}
	}
	return u.startListeners(ctx, hub)
}

// awaitInterceptors waits until the interceptors have told by which certificate they are known: a sink that does not find it looks again ten seconds later.
func (c *clusterClient) awaitInterceptors(ctx context.Context, objs []*unstructured.Unstructured) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for _, obj := range objs {
		if obj.GetKind() != "ClusterInterceptor" {
			continue
		}
		last := errors.New("it was not asked yet")
		err := poll(ctx, 100*time.Millisecond, func() bool {
			got, err := c.dynamic.Resource(clusterInterceptors).Get(ctx, obj.GetName(), metav1.GetOptions{})
			if err != nil {
				last = err
				return false
			}
			bundle, _, _ := unstructured.NestedString(got.Object, "spec", "clientConfig", "caBundle")
			last = errors.New("it has no certificate")
			return bundle != ""
		})
		if err != nil {
			return fmt.Errorf("waiting for Tekton Triggers' interceptor %s: %w", obj.GetName(), last)
		}
	}
	return nil
}
