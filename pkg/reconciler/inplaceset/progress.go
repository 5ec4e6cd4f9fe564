package inplaceset

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/inplace"
)

// Reasons of the conditions Progressing and Available.
const (
	// ReasonComplete: every pod is as the template wants it, and available.
	ReasonComplete = "Complete"
	// ReasonHeldBack: as ReasonComplete, but for the pods that the partition holds back.
	ReasonHeldBack = "HeldBack"
	// ReasonMoving: pods are being created, deleted or changed, or are starting.
	ReasonMoving = "Moving"
	// ReasonPaused: pods would be changed but for spec.updateStrategy.paused.
	ReasonPaused = "Paused"
	// ReasonPodsFailing: nothing goes on until pods that fail are repaired. The message has their own reasons.
	ReasonPodsFailing = "PodsFailing"
	// ReasonInvalidSpec: the spec says something that cannot be. Nothing moves.
	ReasonInvalidSpec = v1alpha1.ReasonInvalidSpec
	// ReasonNotInPlace: the change does not fit in place, and the set wants nothing else. Nothing moves.
	ReasonNotInPlace = v1alpha1.ReasonNotInPlace
	// ReasonRevisionMissing: a pod is to be created on a revision whose ControllerRevision was deleted.
	ReasonRevisionMissing = v1alpha1.ReasonRevisionMissing
	// ReasonCreateFailed: the API server refuses to create pods.
	ReasonCreateFailed = "CreateFailed"
	// ReasonProgressDeadlineExceeded: no pod got on for progressDeadlineSeconds. The message says what it would say otherwise.
	ReasonProgressDeadlineExceeded = v1alpha1.ReasonProgressDeadlineExceeded
	// ReasonDrainTimeout: a load balancer or hook did not let go of a pod, or did not take it back, in drainTimeoutSeconds, and the set holds.
	ReasonDrainTimeout = "DrainTimeout"
	// ReasonEnoughAvailable and ReasonTooFewAvailable are those of Available.
	ReasonEnoughAvailable = "EnoughAvailable"
	ReasonTooFewAvailable = "TooFewAvailable"
)

// progressing says whether the set goes on, and what it waits for. The first that is true counts.
func (p *pass) progressing(s *v1alpha1.InPlaceSetStatus) metav1.Condition {
	failing := p.failing()
	toUpdate := max(s.ExpectedUpdatedReplicas-s.UpdatedAvailableReplicas, 0)
	starting := p.plan.Unavailable - int32(failing.Pods) // #nosec G115 -- a set has at most 10000 pods.
	moves := len(p.plan.Create) + len(p.plan.Discard) + len(p.plan.ScaleDown) + len(p.plan.Rebuild) + len(p.plan.Update)
	switch {
	case len(p.problems) > 0:
		return stopped(ReasonInvalidSpec, "Nothing moves: "+strings.Join(p.problems, "; "))
	case p.state.Refused:
		return stopped(ReasonNotInPlace, fmt.Sprintf("Nothing moves: the change does not fit in place and spec.updateStrategy.type is %s. It differs in %s",
			v1alpha1.InPlaceOnly, strings.Join(p.misfits, ", ")))
	case p.missing != "":
		return stopped(ReasonRevisionMissing, fmt.Sprintf("Pods are missing and cannot be created: ControllerRevision %s-%s was deleted. "+
			"Restore it, or set spec.updateStrategy.partition to 0", p.set.Name, p.missing))
	case p.createErr != nil:
		return stopped(ReasonCreateFailed, p.createErr.Error())
	case p.waits.timedOut() != "":
		return stopped(ReasonDrainTimeout, p.waits.timedOut())
	case failing.Pods > 0 && moves == 0 && starting <= 0:
		return stopped(ReasonPodsFailing, failing.String())
	case p.set.Spec.UpdateStrategy.Paused && toUpdate > 0 && starting <= 0:
		return stopped(ReasonPaused, fmt.Sprintf("%d pods are to be changed to revision %s once spec.updateStrategy.paused is false", toUpdate, p.update))
	case moves == 0 && p.plan.Unavailable == 0 && p.plan.Waiting == 0 && len(p.plan.WaitingFor) == 0:
		return p.atRest(s)
	}
	return goesOn(ReasonMoving, p.movement(s, failing))
}

func (p *pass) atRest(s *v1alpha1.InPlaceSetStatus) metav1.Condition {
	if held := s.Replicas - s.UpdatedReplicas; held > 0 {
		return goesOn(ReasonHeldBack, fmt.Sprintf("%d of %d pods run revision %s; the partition holds %d back", s.UpdatedReplicas, s.Replicas, p.update, held))
	}
	return goesOn(ReasonComplete, fmt.Sprintf("All %d pods run revision %s", s.Replicas, p.update))
}

// movement says where the set is and what the pods on their way wait for.
func (p *pass) movement(s *v1alpha1.InPlaceSetStatus, failing inplace.Failures) string {
	parts := []string{fmt.Sprintf("%d of %d pods run revision %s, %d of them are available", s.UpdatedReplicas, s.ExpectedUpdatedReplicas, p.update, s.UpdatedAvailableReplicas)}
	for _, w := range []struct {
		wait inplace.Wait
		text string
	}{
		{inplace.WaitUnready, "%d wait for the kubelet to take them out of service"},
		{inplace.WaitEndpointSlices, "%d wait until no EndpointSlice lists them"},
		{inplace.WaitGracePeriod, "%d are in their grace period"},
		{inplace.WaitKubelet, "%d wait for the kubelet to change their containers"},
		{inplace.WaitResize, "%d wait for the kubelet to give them their cpu and memory"},
		{inplace.WaitContainers, "%d wait for their containers"},
		{inplace.WaitHolder, "%d wait for the change that " + strings.Join(slices.Sorted(maps.Keys(p.waits.holders)), ", ") + " makes of them"},
	} {
		if n := p.waits.pods[w.wait]; n > 0 {
			parts = append(parts, fmt.Sprintf(w.text, n))
		}
	}
	if p.forNode > 0 {
		parts = append(parts, fmt.Sprintf("%d wait for room on the node of the pod before them", p.forNode))
	}
	for _, of := range s.WaitingFor {
		parts = append(parts, claimWords(&of))
	}
	if why := p.unfitting(); why != "" {
		parts = append(parts, why)
	}
	if p.plan.Waiting > 0 {
		parts = append(parts, fmt.Sprintf("%d wait because %d of at most %d are unavailable", p.plan.Waiting, p.plan.Unavailable, p.plan.MaxUnavailable))
	}
	for _, name := range slices.Sorted(maps.Keys(p.plan.WaitingFor)) {
		parts = append(parts, fmt.Sprintf("%d wait for PodDisruptionBudget %s", p.plan.WaitingFor[name], name))
	}
	if p.plan.Later > 0 {
		parts = append(parts, fmt.Sprintf("%d are made once no more than spec.scaleStrategy.maxUnavailable are unavailable", p.plan.Later))
	}
	if p.plan.Surge > 0 {
		parts = append(parts, fmt.Sprintf("%d are above replicas until then", p.plan.Surge))
	}
	if failing.Pods > 0 {
		parts = append(parts, failing.String())
	}
	if names := outOfOrder(p.set); len(names) > 0 {
		parts = append(parts, fmt.Sprintf("spec.updateStrategy.containerOrder names %s, which the template does not have", strings.Join(names, ", ")))
	}
	for _, service := range slices.Sorted(maps.Keys(p.publishers)) {
		parts = append(parts, fmt.Sprintf("Service %s publishes pods that are not ready: no gate keeps its clients from pods that are being changed", service))
	}
	return strings.Join(parts, "; ")
}

// unfitting says which pods cannot be resized where they are, and why; the first of them where they are many.
func (p *pass) unfitting() string {
	if len(p.unfits) == 0 {
		return ""
	}
	does := "are rebuilt"
	if p.set.Spec.UpdateStrategy.Type == v1alpha1.InPlaceOnly {
		does = "would have to be rebuilt, which " + string(v1alpha1.InPlaceOnly) + " does not do"
	}
	first := slices.Min(slices.Collect(maps.Keys(p.unfits)))
	return fmt.Sprintf("%d cannot be resized where they are and %s (%s: %s)", len(p.unfits), does, first, p.unfits[first])
}

// failing pods, by their own reasons.
func (p *pass) failing() inplace.Failures {
	f := inplace.Failures{}
	for i, seen := range p.seen() {
		if seen.failing == "" || p.state.Pods[i].Available {
			continue
		}
		if left, waits := seen.waitsForNode(p.now); waits && left > 0 {
			continue
		}
		f.Add(seen.pod.Name, seen.failing, seen.why)
	}
	return f
}

func stopped(reason, message string) metav1.Condition {
	return metav1.Condition{Type: v1alpha1.ConditionProgressing, Status: metav1.ConditionFalse, Reason: reason, Message: clip(message)}
}

func goesOn(reason, message string) metav1.Condition {
	return metav1.Condition{Type: v1alpha1.ConditionProgressing, Status: metav1.ConditionTrue, Reason: reason, Message: clip(message)}
}

// clip keeps a message below what the API takes, 32 KiB, and what a person reads.
func clip(message string) string {
	const longest = 2048
	if len(message) <= longest {
		return message
	}
	return strings.ToValidUTF8(message[:longest], "") + " …"
}
