package inplace

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

// Wish is what is to become of a pod.
type Wish int

const (
	// Serve: the pod is as it should be, or must stay as it is. A change that was patched is brought to its end.
	Serve Wish = iota
	// Update: the pod is to be changed in place.
	Update
	// Leave: the pod is to be deleted.
	Leave
)

// Input is all that is known of one pod.
type Input struct {
	Pod *corev1.Pod
	// Look is what LookAt says of this very Pod, kept by whoever asks often; nil: it is looked at now.
	Look *Look
	Wish Wish
	// Holder on whose behalf this is done, as <kind>/<name>.
	Holder string
	// InService: the pod is changed while it serves. No gate is closed, and nobody is waited for but other holders.
	InService bool
	// Failing: a container that is the holder's does not come up. It may be changed though another holder took the pod out of service, where that one waits for nothing
	// but the containers: neither would come to an end.
	Failing bool
	// RevisionLabel that the change writes Revision to; that of the pod's owner, LabelRevision, where empty.
	RevisionLabel string
	// Revision and Change are what to update to.
	Revision string
	Change   Change
	// Order names containers that are changed one after the other; those not named follow together.
	Order []string
	// Lifecycle names who, beside load balancers, must let go of the pod first.
	Lifecycle v1alpha1.InPlaceSetLifecycle
	// DrainTimeout is how long those who claim the pod have to let go of it, and to take it back; OnDrainTimeout is what happens then.
	DrainTimeout   time.Duration
	OnDrainTimeout v1alpha1.OnDrainTimeout
	// QuietSince is the moment from which on the pod was Quiet and not Held all the time, as far as is known for sure; zero if it is not. It may be too late,
	// never too early.
	QuietSince time.Time
	// GracePeriod is how long a pod stays quiet before it is touched.
	GracePeriod time.Duration
	Now         time.Time
}

// Act is a write to make.
type Act int

const (
	// Nothing is to be written now.
	Nothing Act = iota
	// WriteGate: patch the pod's status with Step.Patch.
	WriteGate
	// WriteChange: patch the pod with Step.Patch.
	WriteChange
	// WriteResize: patch the pod's resize subresource with Step.Patch.
	WriteResize
	// Delete the pod, with its UID and resourceVersion as preconditions.
	Delete
)

// Wait is what stands between a pod and its next step.
type Wait string

const (
	// NoWait: the pod is where it should be, or a write is to be made.
	NoWait Wait = ""
	// WaitUnready: until the kubelet reports the pod as not ready.
	WaitUnready Wait = "NotReady"
	// WaitEndpointSlices: until no EndpointSlice lists the pod as ready.
	WaitEndpointSlices Wait = "EndpointSlices"
	// WaitBalancer: until the load balancers in Step.Claims let go of the pod.
	WaitBalancer Wait = "Balancer"
	// WaitHook: until the hooks in Step.Claims let go of the pod.
	WaitHook Wait = "Hook"
	// WaitReturn: until the load balancers and hooks in Step.Claims take the pod back.
	WaitReturn Wait = "Return"
	// WaitGracePeriod: until the grace period is over; Step.After says how long that is.
	WaitGracePeriod Wait = "GracePeriod"
	// WaitKubelet: until the kubelet made the change.
	WaitKubelet Wait = "Kubelet"
	// WaitResize: until the kubelet gave the containers their cpu and memory.
	WaitResize Wait = "Resize"
	// WaitContainers: until the containers are ready.
	WaitContainers Wait = "Containers"
	// WaitHolder: until the change that another holder makes of this pod is done.
	WaitHolder Wait = "Holder"
)

// Step is the next step of one pod: a write, or something to wait for.
type Step struct {
	Act Act
	// Patch is a strategic merge patch that carries the pod's UID and resourceVersion: if the pod is not the one that was looked at, the API
	// server answers with a conflict.
	Patch []byte
	Wait  Wait
	// After is how long to wait where no event will tell; 0 where one will.
	After time.Duration
	// Holder of the change that is waited for, with WaitHolder.
	Holder string
	// Claims that are waited for, since when, and whether their time is up.
	Claims   []string
	Since    time.Time
	TimedOut bool
}

// Quiet says whether nothing should reach a pod any more: its gate is closed, the kubelet has taken notice, and no EndpointSlice lists
// it as ready, which is what listed says.
func Quiet(pod *corev1.Pod, listed bool) bool {
	return !inService(pod) && !Ready(pod) && !listed
}

// inService says whether our gate is open, so that it can be closed.
func inService(pod *corev1.Pod) bool { return hasGate(pod) && gateOpen(pod) }

// Next returns the next step of a pod.
func Next(in Input) (Step, error) {
	if in.Look == nil {
		look := LookAt(in.Pod)
		in.Look = &look
	}
	switch in.Wish {
	case Update:
		if other, ok := in.Look.HeldByAnother(in.Holder, in.Failing); ok {
			return Step{Wait: WaitHolder, Holder: other}, nil
		}
		in.InService = in.InService || in.Look.closedBy != "" && in.Look.closedBy != in.Holder // that one opens the gate.
		return in.quietly("Taken out of service to be changed to revision "+in.Revision, changeStep)
	case Leave:
		return afterQuiet(in, GateLeaving, "Taken out of service to be deleted", func(Input) (Step, error) { return Step{Act: Delete}, nil })
	default:
		return serve(in)
	}
}

// quietly goes on with next once nothing reaches the pod any more, or at once where it is changed in service.
func (in Input) quietly(message string, next func(Input) (Step, error)) (Step, error) {
	if in.InService {
		return next(in)
	}
	return afterQuiet(in, GateChanging, message, next)
}

// serve brings a change that was patched to its end, and opens the gate.
func serve(in Input) (Step, error) {
	if other := in.Look.closedBy; other != "" && other != in.Holder {
		return Step{Wait: WaitHolder, Holder: other}, nil
	}
	switch {
	case in.Look.Unfinished(in.Holder):
		return in.quietly("Taken out of service to be changed on", goOn)
	case in.Look.Changing:
		return Step{Wait: waitOfKubelet(in)}, nil
	case (in.InService || gateOpen(in.Pod)) && in.Look.earlier().Holder == in.Holder: // whoever opened the gate.
		return doneStep(in)
	case !hasGate(in.Pod) || gateOpen(in.Pod):
		return takenBack(in)
	case condition(in.Pod, corev1.ContainersReady).Status != corev1.ConditionTrue:
		return Step{Wait: WaitContainers}, nil
	}
	return gateStep(in, true, GateInService, "In service")
}

// takenBack waits for those who let go of a pod that is in service again. Where their time is up and the set goes on, they are forgotten: or each reader of the pod
// would have to know the set's timeout.
func takenBack(in Input) (Step, error) {
	if len(Missing(in.Pod)) == 0 || !Ready(in.Pod) {
		return Step{}, nil
	}
	// A hook that the set names no more is waited for by nobody.
	if wait := in.missing(); wait.Wait != NoWait {
		return wait, nil
	}
	patch, err := annotationsPatch(in.Pod, map[string]any{v1alpha1.AnnotationClaims: nil})
	return Step{Act: WriteChange, Patch: patch}, err
}

// afterQuiet closes the gate, waits for all that may still send something to the pod, and goes on with next.
func afterQuiet(in Input, reason, message string, next func(Input) (Step, error)) (Step, error) {
	if inService(in.Pod) {
		return gateStep(in, false, reason, message)
	}
	if wait := acknowledged(in); wait.Wait != NoWait {
		return wait, nil
	}
	return next(in)
}

// acknowledged says what has not let go of a pod yet.
func acknowledged(in Input) Step {
	if Ready(in.Pod) {
		return Step{Wait: WaitUnready}
	}
	if wait := in.held(); wait.Wait != NoWait {
		return wait
	}
	if in.QuietSince.IsZero() {
		return Step{Wait: WaitEndpointSlices}
	}
	if left := in.QuietSince.Add(in.GracePeriod).Sub(in.Now); left > 0 {
		return Step{Wait: WaitGracePeriod, After: left}
	}
	return Step{}
}

// doneStep ends a change that was made in service: its containers are ready.
func doneStep(in Input) (Step, error) {
	r := in.Look.earlier()
	for _, c := range r.Containers {
		if !containerStatus(in.Pod, c.Name).Ready {
			return Step{Wait: WaitContainers}, nil
		}
	}
	text, ok := r.doneNow(in.Holder)
	if !ok {
		return Step{}, nil
	}
	patch, err := annotationsPatch(in.Pod, map[string]any{v1alpha1.AnnotationUpdate: text})
	return Step{Act: WriteChange, Patch: patch}, err
}

// Release is a patch with which a holder takes its hands off a pod, wherever its change is, so that others need not wait for one who is gone: the record is closed,
// and the gate is nobody's. nil where it holds nothing.
func Release(pod *corev1.Pod, look *Look, holder string) ([]byte, error) {
	annotations := map[string]any{}
	if text, ok := look.earlier().doneNow(holder); ok {
		annotations[v1alpha1.AnnotationUpdate] = text
	}
	if pod.Annotations[v1alpha1.AnnotationHolder] == holder {
		annotations[v1alpha1.AnnotationHolder] = nil
	}
	if len(annotations) == 0 {
		return nil, nil
	}
	return annotationsPatch(pod, annotations)
}

func gateStep(in Input, open bool, reason, message string) (Step, error) {
	annotations := map[string]any{}
	if open {
		if _, there := in.Pod.Annotations[v1alpha1.AnnotationHolder]; there {
			annotations[v1alpha1.AnnotationHolder] = nil
		}
		if text, ok := in.Look.earlier().doneNow(in.Holder); ok {
			annotations[v1alpha1.AnnotationUpdate] = text
		}
	} else {
		if in.Holder != in.Pod.Annotations[v1alpha1.AnnotationHolder] {
			annotations[v1alpha1.AnnotationHolder] = orNil(in.Holder)
		}
		if claims := claimsToRecord(in.Pod, in.hook()); claims != in.Pod.Annotations[v1alpha1.AnnotationClaims] {
			annotations[v1alpha1.AnnotationClaims] = orNil(claims)
		}
	}
	patch, err := gatePatch(in.Pod, gateCondition(in.Pod, open, reason, message, in.Now), annotations)
	return Step{Act: WriteGate, Patch: patch}, err
}
