package sidecar

import (
	"cmp"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

// Want is a set that means a pod, with the revision that it is to get.
type Want struct {
	Set, Revision string
	// Content of the revision; nil where it is not known, and nothing can be put in.
	Content *Content
	// Gate: the set drains pods, for which they need the readiness gate.
	Gate bool
}

// Addition is all that is put into a pod. An empty one changes nothing.
type Addition struct {
	// InitContainers come before the pod's, Containers after.
	InitContainers, Containers []corev1.Container
	Volumes                    []corev1.Volume
	ImagePullSecrets           []corev1.LocalObjectReference
	// Gate: the readiness gate apps.periplus.dev/in-service.
	Gate bool
	// Record of it; Labels follow from it.
	Record Record
	// Skips are the sets that were left out, in words.
	Skips []string
	// changed says that the record is not the one on the pod.
	changed bool
}

// Empty says whether there is nothing to put in or to note.
func (a *Addition) Empty() bool { return !a.changed }

// Inject decides what the sets that mean a pod put into it. Sets go by their names, so the first of two that claim a name has it, whoever was made first. What is in
// the pod already, by its record and in fact, is not put in again: a pod that comes twice stays as it is.
func Inject(pod *corev1.Pod, wants []Want) Addition {
	before, _ := RecordOf(pod) // one that is damaged is written anew.
	a := Addition{Record: Record{Gate: before.Gate && HasReadinessGate(pod)}}
	for _, p := range before.Sets {
		if p.holds(pod) {
			a.Record = a.Record.with(p)
		}
	}
	believed := len(a.Record.Sets) > 0
	t := newTaken(pod, a.Record)
	for _, want := range slices.SortedFunc(slices.Values(wants), func(x, y Want) int { return cmp.Compare(x.Set, y.Set) }) {
		if _, there := a.Record.Part(want.Set); there {
			continue
		}
		part := Part{Set: want.Set, Revision: want.Revision}
		if part.Skipped = t.refuses(pod, want); part.Skipped != "" {
			if was, noted := before.Part(want.Set); believed && noted && was.Skipped != "" {
				part = was // decided before sets that come later were in.
			}
			a.Skips = append(a.Skips, fmt.Sprintf("SidecarSet %s puts nothing into this pod: %s", want.Set, part.Skipped))
			a.Record = a.Record.with(part)
			continue
		}
		a.add(&part, want, t, pod)
		a.Record = a.Record.with(part)
	}
	a.changed = len(a.Record.Sets) > 0 && a.Record.text() != pod.Annotations[v1alpha1.AnnotationSidecars] || len(a.Record.Sets) == 0 && len(before.Sets) > 0
	return a
}

// add what a set wants.
func (a *Addition) add(part *Part, want Want, t *taken, pod *corev1.Pod) {
	for i := range want.Content.InitContainers {
		c := build(&want.Content.InitContainers[i], t.apps)
		a.InitContainers = append(a.InitContainers, c)
		part.InitContainers = append(part.InitContainers, c.Name)
	}
	for i := range want.Content.Containers {
		c := build(&want.Content.Containers[i], t.apps)
		a.Containers = append(a.Containers, c)
		part.Containers = append(part.Containers, c.Name)
		t.takePorts(&c, pod.Spec.HostNetwork)
	}
	for _, name := range want.Content.names() {
		t.containers[name] = "SidecarSet " + want.Set + "'s"
	}
	for _, v := range want.Content.Volumes {
		if _, there := t.volumes[v.Name]; !there {
			t.volumes[v.Name] = v
			a.Volumes = append(a.Volumes, *v.DeepCopy())
		}
	}
	for _, secret := range want.Content.ImagePullSecrets {
		if !t.secrets[secret.Name] {
			t.secrets[secret.Name] = true
			a.ImagePullSecrets = append(a.ImagePullSecrets, secret)
		}
	}
	if want.Gate && !HasReadinessGate(pod) {
		a.Gate, a.Record.Gate = true, true
	}
}

// Labels of a pod that has what the record says. Keys with an empty value are to be taken away.
func (r Record) Labels() map[string]string {
	out := map[string]string{}
	if len(r.Sets) == 0 {
		return out
	}
	out[v1alpha1.LabelSidecars] = Skipped
	for _, p := range r.Sets {
		if p.Skipped == "" {
			out[v1alpha1.LabelSidecars] = Injected
			out[LabelOf(p.Set)] = p.Revision
		}
	}
	return out
}

// taken is what a pod has of what may be there only once, and whose it is.
type taken struct {
	containers map[string]string
	volumes    map[string]corev1.Volume
	secrets    map[string]bool
	ports      map[hostPort]string
	// apps are the application's own containers.
	apps []corev1.Container
}

type hostPort struct {
	port     int32
	protocol corev1.Protocol
	ip       string
}

func newTaken(pod *corev1.Pod, injected Record) *taken {
	t := &taken{containers: map[string]string{}, volumes: map[string]corev1.Volume{}, secrets: map[string]bool{}, ports: map[hostPort]string{}}
	owner := map[string]string{}
	for _, p := range injected.Sets {
		for _, name := range slices.Concat(p.InitContainers, p.Containers) {
			owner[name] = "SidecarSet " + p.Set + "'s"
		}
	}
	for i := range pod.Spec.InitContainers {
		name := pod.Spec.InitContainers[i].Name
		t.containers[name] = cmp.Or(owner[name], "the application's")
	}
	for i := range pod.Spec.Containers {
		c := &pod.Spec.Containers[i]
		t.containers[c.Name] = cmp.Or(owner[c.Name], "the application's")
		t.takePorts(c, pod.Spec.HostNetwork)
		if owner[c.Name] == "" {
			t.apps = append(t.apps, *c)
		}
	}
	for i := range pod.Spec.EphemeralContainers {
		t.containers[pod.Spec.EphemeralContainers[i].Name] = "the application's"
	}
	for _, v := range pod.Spec.Volumes {
		t.volumes[v.Name] = v
	}
	for _, s := range pod.Spec.ImagePullSecrets {
		t.secrets[s.Name] = true
	}
	return t
}

// refuses says why a set cannot be put into a pod; empty if it can.
func (t *taken) refuses(pod *corev1.Pod, want Want) string {
	switch {
	case want.Content == nil && want.Revision == "":
		return "it has no revision yet that could be put in"
	case want.Content == nil:
		return fmt.Sprintf("its revision %s is not known", want.Revision)
	case pod.Spec.OS != nil && pod.Spec.OS.Name == corev1.Windows:
		return "the pod is for Windows"
	case len(want.Content.Containers) > 0 && pod.Spec.RestartPolicy != corev1.RestartPolicyAlways && pod.Spec.RestartPolicy != "":
		return fmt.Sprintf("the pod ends by itself (restartPolicy %s) and containers of the set would keep it running; make them initContainers with restartPolicy: Always",
			pod.Spec.RestartPolicy)
	}
	for _, name := range want.Content.names() {
		if whose := t.containers[name]; whose != "" {
			return fmt.Sprintf("container %s is %s", name, whose)
		}
	}
	for i := range want.Content.Volumes {
		v := &want.Content.Volumes[i]
		if there, ok := t.volumes[v.Name]; ok && !apiequality.Semantic.DeepDerivative(v, &there) {
			return fmt.Sprintf("volume %s is another's and differs", v.Name)
		}
	}
	own := map[hostPort]string{}
	for i := range want.Content.Containers {
		c := &want.Content.Containers[i].Container
		for _, p := range hostPorts(c, pod.Spec.HostNetwork) {
			if whose := cmp.Or(t.ports[p], own[p]); whose != "" {
				return fmt.Sprintf("port %d of the host is container %s's", p.port, whose)
			}
			own[p] = c.Name
		}
	}
	if pod.Spec.Resources != nil {
		for _, list := range [][]v1alpha1.SidecarContainer{want.Content.InitContainers, want.Content.Containers} {
			for i := range list {
				if r := &list[i].Resources; len(r.Limits)+len(r.Requests) > 0 {
					return fmt.Sprintf("the pod names resources for all of its containers together, and container %s has its own", list[i].Name)
				}
			}
		}
	}
	return ""
}

func (t *taken) takePorts(c *corev1.Container, hostNetwork bool) {
	for _, p := range hostPorts(c, hostNetwork) {
		t.ports[p] = c.Name
	}
}

// hostPorts that a container asks for. On the host's network every port is one.
func hostPorts(c *corev1.Container, hostNetwork bool) []hostPort {
	var out []hostPort
	for _, p := range c.Ports {
		port := p.HostPort
		if hostNetwork && port == 0 {
			port = p.ContainerPort
		}
		if port != 0 {
			out = append(out, hostPort{port, cmp.Or(p.Protocol, corev1.ProtocolTCP), p.HostIP})
		}
	}
	return out
}

// HasReadinessGate says whether a pod has the gate apps.periplus.dev/in-service, whoever gave it.
func HasReadinessGate(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Spec.ReadinessGates, func(g corev1.PodReadinessGate) bool { return g.ConditionType == v1alpha1.ReadinessGateInService })
}
