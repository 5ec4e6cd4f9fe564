package traffic

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/yaml"
)

const (
	// LabelTold with the value "true" marks a ConfigMap of a member whose namespace gets requests.
	LabelTold = "local.periplus.dev/traffic"
	// KeyTold is its key that holds a Told, as YAML.
	KeyTold = "traffic.yaml"
)

// Told is what a ConfigMap says of the requests to the pods of its namespace.
type Told struct {
	// RequestsPerSecond to each ready pod; more than 0 and at most 1000.
	RequestsPerSecond float64 `json:"requestsPerSecond"`
	// Versions by the tag of the image of a pod's first container. Those of which nothing is said are healthy.
	Versions map[string]VersionTold `json:"versions,omitempty"`
}

// VersionTold is how the pods of a version answer.
type VersionTold struct {
	// Errors is the share of requests that are answered 500, such as 0.1%.
	Errors string `json:"errors,omitempty"`
	// Capacity is how many requests a pod answers in a second; as many as come where empty. What is beyond is answered 500.
	Capacity float64 `json:"capacity,omitempty"`
	// Latency is the mean time of an answer; that of Healthy where empty.
	Latency metav1.Duration `json:"latency,omitempty"`
}

// Read makes behaviours by version of what a ConfigMap says. That of "" is for all others.
func Read(text string) (map[string]Behaviour, error) {
	var told Told
	if err := yaml.UnmarshalStrict([]byte(text), &told); err != nil {
		return nil, fmt.Errorf("%s: %w", KeyTold, err)
	}
	var errs []error
	if told.RequestsPerSecond <= 0 || told.RequestsPerSecond > 1000 {
		errs = append(errs, fmt.Errorf("requestsPerSecond is %v, and must be more than 0 and at most 1000", told.RequestsPerSecond))
	}
	other := Healthy
	other.Rate = told.RequestsPerSecond
	out := map[string]Behaviour{"": other}
	for name, v := range told.Versions {
		b, err := v.behaviour(other)
		if err != nil {
			errs = append(errs, fmt.Errorf("versions[%s].%w", name, err))
		}
		out[name] = b
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("%s: %w", KeyTold, err)
	}
	return out, nil
}

// behaviour of a version under so many requests.
func (v VersionTold) behaviour(b Behaviour) (Behaviour, error) {
	if v.Errors != "" {
		share, percent := strings.CutSuffix(v.Errors, "%")
		n, err := strconv.ParseFloat(share, 64)
		if err != nil || !percent || !(n >= 0 && n <= 100) {
			return b, fmt.Errorf("errors: %q is no percentage from 0%% to 100%%", v.Errors)
		}
		b.Errors = n / 100
	}
	if v.Capacity < 0 || v.Latency.Duration < 0 {
		return b, errors.New("capacity, and latency, must not be below 0")
	}
	if v.Capacity > 0 {
		b.Errors = math.Max(b.Errors, 1-v.Capacity/b.Rate)
	}
	if v.Latency.Duration > 0 {
		b.Latency = v.Latency.Duration
	}
	return b, nil
}

// Follow plays each namespace of a member that has a ConfigMap with LabelTold, as that says, until ctx ends. What is wrong with one is said, and what it said before holds.
// It returns when those that are there are played. The member must be the only one of these Apps.
func (a *Apps) Follow(ctx context.Context, client kubernetes.Interface, say func(format string, args ...any)) error {
	f := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.LabelSelector = LabelTold + "=true" }))
	inf := f.Core().V1().ConfigMaps().Informer()
	// An informer calls one after the other: what is told is done in the order in which it was told.
	t := &told{apps: a, by: map[string]string{}, say: say}
	registered, err := inf.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: t.see, UpdateFunc: func(_, o any) { t.see(o) }, DeleteFunc: t.forget,
	})
	if err != nil {
		return fmt.Errorf("watching what is told of traffic: %w", err)
	}
	f.Start(ctx.Done())
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if !cache.WaitForCacheSync(ctx.Done(), registered.HasSynced) {
		return errors.New("watching what is told of traffic: not listed within 30 s")
	}
	return nil
}

// told is which ConfigMap tells of which namespace; the first does where there are several.
type told struct {
	apps *Apps
	say  func(format string, args ...any)
	mu   sync.Mutex
	by   map[string]string
}

func (t *told) see(o any) {
	cm, ok := o.(*corev1.ConfigMap)
	if !ok {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if by, ok := t.by[cm.Namespace]; ok && by != cm.Name {
		t.say("%s/%s tells of a namespace that %s tells of already; it is not heard", cm.Namespace, cm.Name, by)
		return
	}
	versions, err := Read(cm.Data[KeyTold])
	if err != nil {
		t.say("%s/%s: %v", cm.Namespace, cm.Name, err)
		return
	}
	t.by[cm.Namespace] = cm.Name
	if n := t.apps.namespace(cm.Namespace); n != nil {
		n.Tell(versions)
	} else if _, err := t.apps.Play(cm.Namespace, versions); err != nil {
		t.say("%v", err)
		return
	}
	t.say("%s is played: %d requests a second to each pod", cm.Namespace, int(versions[""].Rate))
}

func (t *told) forget(o any) {
	if gone, ok := o.(cache.DeletedFinalStateUnknown); ok {
		o = gone.Obj
	}
	cm, ok := o.(*corev1.ConfigMap)
	if !ok {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.by[cm.Namespace] != cm.Name {
		return
	}
	delete(t.by, cm.Namespace)
	if n := t.apps.namespace(cm.Namespace); n != nil {
		n.Stop()
		t.say("%s is not played any more", cm.Namespace)
	}
}

// Tell says how all versions behave from now on; that of "" is for those of which nothing is said.
func (n *Namespace) Tell(versions map[string]Behaviour) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.versions = maps.Clone(versions)
	now := n.apps.clock.Now()
	for _, p := range n.pods {
		b := n.behaviour(p.version)
		p.with(func(l *Load) { l.Behave(b, now) })
	}
}
