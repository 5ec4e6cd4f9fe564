package localfleet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Listener is an EventListener of the hub that this machine plays: where Tekton Triggers' controller makes a Deployment and a Service of it, here its sink is a part
// of the fleet.
type Listener struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

// Part is the name of the sink's part. A namespace has no dots, so no two EventListeners share a name.
func (at Listener) Part() string { return "listener-" + at.Namespace + "." + at.Name }

func (at Listener) String() string { return at.Namespace + "/" + at.Name }

var eventListeners = schema.GroupVersionResource{Group: "triggers.tekton.dev", Version: "v1beta1", Resource: "eventlisteners"}

// listenerPart is a sink as Tekton Triggers' controller would run it, with its defaults.
func listenerPart(l Layout, s *State, at Listener) part {
	port := s.Port(Hub, at.Part(), "http")
	config := l.partKubeconfig(Hub, at.Part())
	return part{
		cluster: Hub, name: at.Part(), binary: "eventlistenersink", port: port, ports: []int{port},
		args: []string{"--kubeconfig=" + config, "--el-namespace=" + at.Namespace, "--el-name=" + at.Name, "--port=" + strconv.Itoa(port)},
		env: []string{
			"NAMESPACE=" + at.Namespace, "NAME=" + at.Name, "SYSTEM_NAMESPACE=" + at.Namespace, "KUBERNETES_MIN_VERSION=v1.28.0",
			// Why an event started nothing is told at this level only.
			`K_LOGGING_CONFIG={"loglevel.eventlistener": "debug"}`, `K_TRACING_CONFIG={"backend": "none"}`,
			`K_METRICS_CONFIG={"Domain": "tekton.dev/triggers", "Component": "eventlistener", "ConfigMap": {"metrics.backend-destination": "none"}}`,
			"EL_EVENT=enable", "K_SINK_TIMEOUT=5",
		},
		// An EventListener that was made anew has another ServiceAccount's token.
		files: []string{config},
		ready: httpOK(loopbackURL("http", port) + "/live"),
	}
}

// Listen plays an EventListener of the hub, as its ServiceAccount, and returns the address that takes its webhooks. One that is played already is brought up to date.
// `up` plays it again until it is deleted. What it refers to should be there before: the sink knows of what comes later some moments after.
func (r *Running) Listen(ctx context.Context, namespace, name string) (string, error) {
	at := Listener{namespace, name}
	var url string
	err := r.withState(ctx, func(s *State) error {
		if !s.Triggers {
			return errors.New("this fleet has no Tekton Triggers; run `periplus local up --triggers`")
		}
		cred, err := ensureCredentials(r.Layout, s)
		if err != nil {
			return err
		}
		hub, err := newClusterClient(r.Layout, Hub)
		if err != nil {
			return err
		}
		account, err := hub.accountOf(ctx, at)
		if err != nil {
			return err
		}
		if !slices.Contains(s.Listeners, at) {
			s.Listeners = append(s.Listeners, at)
		}
		if err := allocatePorts(s, r.Dir, portFree); err != nil {
			return err
		}
		if err := writeState(r.Layout, s); err != nil {
			return err
		}
		if err := hub.writePartIdentity(ctx, r.Layout, s, cred, at.Part(), namespace, account); err != nil {
			return err
		}
		url = loopbackURL("http", s.Port(Hub, at.Part(), "http"))
		_, err = ensurePart(ctx, r.Layout, s, listenerPart(r.Layout, s, at))
		return err
	})
	if err != nil {
		return "", fmt.Errorf("listening for EventListener %s: %w", at, err)
	}
	return url, nil
}

// Unlisten ends what Listen began. One that is not played is no error.
func (r *Running) Unlisten(ctx context.Context, namespace, name string) error {
	return r.withState(ctx, func(s *State) error { return forgetListener(ctx, r.Layout, s, Listener{namespace, name}) })
}

// withState does something to the fleet while no other command changes it.
func (r *Running) withState(ctx context.Context, do func(*State) error) error {
	unlock, err := lock(ctx, r.lock())
	if err != nil {
		return err
	}
	defer unlock()
	s, err := r.State()
	if err != nil {
		return err
	}
	return do(s)
}

// startListeners plays the EventListeners that there still are, and forgets the others.
func (u *upRun) startListeners(ctx context.Context, hub *clusterClient) error {
	var parts []part
	for _, at := range slices.Clone(u.state.Listeners) {
		account, err := hub.accountOf(ctx, at)
		if errors.Is(err, errNoListener) {
			u.mu.Lock()
			err = forgetListener(ctx, u.layout, u.state, at)
			u.mu.Unlock()
			if err != nil {
				return err
			}
			u.progress.Say("%s: EventListener %s is gone; nothing listens for it any more", Hub, at)
			continue
		}
		if err == nil {
			err = hub.writePartIdentity(ctx, u.layout, u.state, u.cred, at.Part(), at.Namespace, account)
		}
		if err != nil {
			return err
		}
		parts = append(parts, listenerPart(u.layout, u.state, at))
	}
	return u.ensureAll(ctx, parts)
}

func forgetListener(ctx context.Context, l Layout, s *State, at Listener) error {
	if err := stopPart(ctx, l, listenerPart(l, s, at)); err != nil {
		return err
	}
	s.Listeners = slices.DeleteFunc(s.Listeners, func(other Listener) bool { return other == at })
	delete(s.Ports, portKey(Hub, at.Part(), "http"))
	if err := os.Remove(l.partKubeconfig(Hub, at.Part())); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("forgetting EventListener %s: %w", at, err)
	}
	return writeState(l, s)
}

// errNoListener is returned where there is no such EventListener.
var errNoListener = errors.New("there is no such EventListener on the hub; apply it first")

// accountOf is the ServiceAccount that an EventListener's sink runs as.
func (c *clusterClient) accountOf(ctx context.Context, at Listener) (string, error) {
	el, err := c.dynamic.Resource(eventListeners).Namespace(at.Namespace).Get(ctx, at.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return "", errNoListener
	}
	if err != nil {
		return "", fmt.Errorf("reading EventListener %s on %s: %w", at, c.name, err)
	}
	// The pod's own, where it says so, stands before the listener's.
	for _, field := range [][]string{{"spec", "resources", "kubernetesResource", "spec", "template", "spec", "serviceAccountName"}, {"spec", "serviceAccountName"}} {
		if account, _, _ := unstructured.NestedString(el.Object, field...); account != "" {
			return account, nil
		}
	}
	return "default", nil
}
