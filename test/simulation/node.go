package simulation

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apitypes "k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
)

// nodes are the kubelets of a cluster, its scheduler and its EndpointSlice controller. Each move is one write, made on what is true.
type nodes struct {
	c     *cluster
	clock func() time.Time
	made  int
	// sick images restart once after each start; broken ones cannot be pulled.
	sick, broken map[string]bool
	// looping images crash again and again; crashes counts, by pod and image.
	looping map[string]bool
	crashes map[string]int
	// crashed are containers that have had their restart, by ID.
	crashed map[string]bool
	// looked is the version at which todo was made.
	looked uint64
	todo   []move
}

// move is something that a pod's kubelet or scheduler can do now.
type move struct {
	what string
	pod  *corev1.Pod
	do   func(ctx context.Context, pod *corev1.Pod) error
}

func newNodes(c *cluster, clock func() time.Time) *nodes {
	return &nodes{c: c, clock: clock, sick: map[string]bool{}, broken: map[string]bool{}, crashed: map[string]bool{}, looping: map[string]bool{}, crashes: map[string]int{}}
}

// moves that can be made now, in the order of the pods' names.
func (n *nodes) moves() []move {
	if v := n.c.api.Version(); n.looked == v {
		return n.todo
	}
	n.todo = nil
	for _, pod := range n.c.pods() {
		if what, do := n.next(pod); do != nil {
			n.todo = append(n.todo, move{what, pod, do})
		}
	}
	if want := n.slice(); want != nil {
		n.todo = append(n.todo, move{"endpoint slice", nil, func(ctx context.Context, _ *corev1.Pod) error { return n.publish(ctx, want) }})
	}
	n.looked = n.c.api.Version()
	return n.todo
}

// forget has moves looked for anew: what they hang on changed by no write.
func (n *nodes) forget() { n.looked = 0 }

func (m *move) String() string {
	if m.pod == nil {
		return m.what
	}
	return m.what + " " + m.pod.Name
}

// next is the next move of a pod, or none.
func (n *nodes) next(pod *corev1.Pod) (string, func(context.Context, *corev1.Pod) error) {
	switch {
	case pod.DeletionTimestamp != nil:
		return n.ending(pod)
	case pod.Spec.NodeName == "":
		return "binds", n.bind
	case len(pod.Status.ContainerStatuses) == 0:
		return "starts", n.start
	case pod.Status.ObservedGeneration < pod.Generation:
		return "observes", n.status(n.observe)
	}
	ready := true
	for _, c := range living(pod) {
		if what, do := n.nextOf(pod, c); do != nil {
			return what, n.status(do)
		}
		ready = ready && statusOf(pod, c.Name).Ready
	}
	switch {
	case isTrue(pod, corev1.ContainersReady) != ready:
		return "reports containers", n.status(func(pod *corev1.Pod) { set(pod, corev1.ContainersReady, ready, n.now()) })
	case isTrue(pod, corev1.PodReady) != n.shouldBeReady(pod):
		return "reports ready", n.status(func(pod *corev1.Pod) { set(pod, corev1.PodReady, n.shouldBeReady(pod), n.now()) })
	case isTrue(pod, corev1.PodResizeInProgress):
		return "resizes", n.status(n.resize)
	}
	return "", nil
}

// ending is the end of a pod that somebody deletes: its containers stop, and its kubelet lets it go. Others may hold it still.
func (n *nodes) ending(pod *corev1.Pod) (string, func(context.Context, *corev1.Pod) error) {
	switch {
	case len(pod.Finalizers) > 0 && isTrue(pod, corev1.ContainersReady):
		return "stops", n.status(func(pod *corev1.Pod) {
			for i := range pod.Status.ContainerStatuses {
				pod.Status.ContainerStatuses[i].Ready = false
			}
			set(pod, corev1.ContainersReady, false, n.now())
			set(pod, corev1.PodReady, false, n.now())
		})
	case ptr.Deref(pod.DeletionGracePeriodSeconds, 0) > 0 || len(pod.Finalizers) == 0:
		return "ends", n.end
	}
	return "", nil
}

func (n *nodes) now() metav1.Time { return metav1.NewTime(n.clock()) }

func (n *nodes) shouldBeReady(pod *corev1.Pod) bool {
	for _, g := range pod.Spec.ReadinessGates {
		if !isTrue(pod, g.ConditionType) {
			return false
		}
	}
	return isTrue(pod, corev1.ContainersReady)
}

func (n *nodes) bind(ctx context.Context, pod *corev1.Pod) error {
	return n.c.admin.kube.CoreV1().Pods(pod.Namespace).Bind(ctx, &corev1.Binding{
		ObjectMeta: metav1.ObjectMeta{Name: pod.Name}, Target: corev1.ObjectReference{Kind: "Node", Name: n.c.name + "-n1"},
	}, metav1.CreateOptions{})
}

func (n *nodes) start(ctx context.Context, pod *corev1.Pod) error {
	return n.status(func(pod *corev1.Pod) {
		n.made++
		ip := fmt.Sprintf("10.0.%d.%d", n.made/250, n.made%250+1)
		pod.Status.PodIP, pod.Status.PodIPs = ip, []corev1.PodIP{{IP: ip}}
		for i := range pod.Spec.InitContainers {
			pod.Status.InitContainerStatuses = append(pod.Status.InitContainerStatuses, corev1.ContainerStatus{Name: pod.Spec.InitContainers[i].Name, RestartCount: -1})
		}
		for i := range pod.Spec.Containers {
			pod.Status.ContainerStatuses = append(pod.Status.ContainerStatuses, corev1.ContainerStatus{Name: pod.Spec.Containers[i].Name, RestartCount: -1})
		}
		set(pod, corev1.PodInitialized, true, n.now())
		for _, c := range living(pod) {
			n.run(pod, c.Name)
		}
	})(ctx, pod)
}

// flap takes a container down for a moment, without a restart.
func (n *nodes) flap(ctx context.Context, pod *corev1.Pod) error {
	return n.status(func(pod *corev1.Pod) {
		pod.Status.ContainerStatuses[0].Ready = false
		set(pod, corev1.ContainersReady, false, n.now())
		set(pod, corev1.PodReady, false, n.now())
	})(ctx, pod)
}

func (n *nodes) end(ctx context.Context, pod *corev1.Pod) error {
	return n.c.admin.kube.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{
		GracePeriodSeconds: ptr.To(int64(0)), Preconditions: metav1.NewUIDPreconditions(string(pod.UID)),
	})
}

// status changes a pod's status as a kubelet does: of the pod as it is, and nothing but what is the kubelet's.
func (n *nodes) status(change func(*corev1.Pod)) func(context.Context, *corev1.Pod) error {
	return func(ctx context.Context, pod *corev1.Pod) error {
		pod = pod.DeepCopy()
		change(pod)
		_, err := n.c.admin.kube.CoreV1().Pods(pod.Namespace).UpdateStatus(ctx, pod, metav1.UpdateOptions{})
		return err
	}
}

func isTrue(pod *corev1.Pod, t corev1.PodConditionType) bool {
	for i := range pod.Status.Conditions {
		if pod.Status.Conditions[i].Type == t {
			return pod.Status.Conditions[i].Status == corev1.ConditionTrue
		}
	}
	return false
}

func set(pod *corev1.Pod, t corev1.PodConditionType, is bool, now metav1.Time) {
	status := corev1.ConditionFalse
	if is {
		status = corev1.ConditionTrue
	}
	for i := range pod.Status.Conditions {
		c := &pod.Status.Conditions[i]
		if c.Type == t {
			if c.Status != status {
				c.Status, c.LastTransitionTime = status, now
			}
			c.ObservedGeneration = pod.Generation
			return
		}
	}
	pod.Status.Conditions = append(pod.Status.Conditions, corev1.PodCondition{Type: t, Status: status, LastTransitionTime: now, ObservedGeneration: pod.Generation})
}

// slice is the EndpointSlice as it should be, or nil where it is.
func (n *nodes) slice() *discoveryv1.EndpointSlice {
	want := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: "web", Namespace: namespace, Labels: map[string]string{discoveryv1.LabelServiceName: "web"}},
		AddressType: discoveryv1.AddressTypeIPv4,
	}
	for _, pod := range n.c.pods() {
		if pod.Status.PodIP == "" {
			continue
		}
		ready, leaving := isTrue(pod, corev1.PodReady), pod.DeletionTimestamp != nil
		want.Endpoints = append(want.Endpoints, discoveryv1.Endpoint{
			Addresses:  []string{pod.Status.PodIP},
			Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(ready && !leaving), Serving: ptr.To(ready), Terminating: ptr.To(leaving)},
			TargetRef:  &corev1.ObjectReference{Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID},
		})
	}
	for _, is := range n.c.slices() {
		if equality.Semantic.DeepEqual(is.Endpoints, want.Endpoints) {
			return nil
		}
		want.ResourceVersion = is.ResourceVersion
	}
	return want
}

func (n *nodes) publish(ctx context.Context, want *discoveryv1.EndpointSlice) error {
	api := n.c.admin.kube.DiscoveryV1().EndpointSlices(namespace)
	var err error
	if want.ResourceVersion == "" {
		_, err = api.Create(ctx, want, metav1.CreateOptions{})
	} else {
		_, err = api.Update(ctx, want, metav1.UpdateOptions{})
	}
	return err
}

// listed says whether an EndpointSlice of the cluster lists a pod as ready.
func (c *cluster) listed(uid apitypes.UID) bool {
	for _, s := range c.slices() {
		for i := range s.Endpoints {
			e := &s.Endpoints[i]
			if e.TargetRef != nil && e.TargetRef.UID == uid && ptr.Deref(e.Conditions.Ready, true) {
				return true
			}
		}
	}
	return false
}

// ignoreGone: what was to be changed may be gone, or changed, by the time that the move is made.
func ignoreGone(err error) error {
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}
