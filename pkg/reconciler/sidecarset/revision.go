package sidecarset

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/sidecar"
)

// account that a dry run names. Admission asks that there is one; the pod never is.
const account = "periplus-workloads"

// known is a revision of a set.
type known struct {
	object *appsv1.ControllerRevision
	hash   string
	*sidecar.Content
}

// revise finds the revisions of a set, and makes one for a content that has none and that the API server would accept.
func (r *reconciler) revise(ctx context.Context, p *pass) error {
	found, err := r.revisions.ByIndex(bySet, p.set.Name)
	if err != nil {
		return fmt.Errorf("listing ControllerRevisions of SidecarSet %s: %w", p.set.Name, err)
	}
	var cached []*appsv1.ControllerRevision
	for _, object := range found {
		if revision, ok := object.(*appsv1.ControllerRevision); ok && metav1.IsControlledBy(revision, p.set) {
			cached = append(cached, revision)
		}
	}
	for _, object := range r.writtenRevisions.Over(string(p.set.UID), cached) {
		if content := r.content(object); content != nil {
			p.history = append(p.history, known{object, object.Labels[v1alpha1.LabelRevision], content})
		}
	}
	slices.SortFunc(p.history, func(a, b known) int {
		if a.object.Revision != b.object.Revision {
			return int(a.object.Revision - b.object.Revision)
		}
		return strings.Compare(a.hash, b.hash)
	})
	p.update = p.set.Status.UpdateRevision
	if len(p.problems) == 0 {
		return r.updateRevision(ctx, p)
	}
	return nil
}

// content that a revision holds, read once for as long as it is the same object; nil if it cannot be read.
func (r *reconciler) content(object *appsv1.ControllerRevision) *sidecar.Content {
	if content, ok := r.contents[object]; ok {
		return content
	}
	content, err := sidecar.Decode(object.Data.Raw)
	if err != nil {
		return nil
	}
	if len(r.contents) > 10000 {
		clear(r.contents)
	}
	r.contents[object] = content
	return content
}

func (p *pass) content(hash string) *sidecar.Content {
	for _, k := range p.history {
		if k.hash == hash {
			return k.Content
		}
	}
	return nil
}

// updateRevision finds or makes the revision of the spec. Contents are compared as objects, not by hash: a newer Periplus may write the same with other bytes.
func (r *reconciler) updateRevision(ctx context.Context, p *pass) error {
	content := sidecar.ContentOf(p.set)
	newest := int64(0)
	if n := len(p.history); n > 0 {
		newest = p.history[n-1].object.Revision
	}
	for _, k := range slices.Backward(p.history) {
		if !k.Equal(content) {
			continue
		}
		p.update = k.hash
		if k.object.Revision == newest {
			return nil
		}
		again := k.object.DeepCopy() // a content that came back is the newest again.
		again.Revision = newest + 1
		_, err := r.writtenRevisions.Write(string(p.set.UID), again.Name, func() (*appsv1.ControllerRevision, error) {
			return r.kube.AppsV1().ControllerRevisions(r.system).Update(ctx, again, metav1.UpdateOptions{})
		})
		if err != nil {
			return fmt.Errorf("making ControllerRevision %s/%s the newest of its set: %w", r.system, again.Name, err)
		}
		return nil
	}
	raw, hash, err := content.Encode()
	if err != nil {
		return err
	}
	if refusal, err := r.accepted(ctx, hash, &content); err != nil {
		return err
	} else if refusal != "" {
		p.problems = append(p.problems, "the API server would refuse pods with it: "+refusal)
		return nil
	}
	revision := &appsv1.ControllerRevision{
		ObjectMeta: metav1.ObjectMeta{
			Name: p.set.Name + "-" + hash, Namespace: r.system,
			Labels:          map[string]string{v1alpha1.LabelSidecarSet: p.set.Name, v1alpha1.LabelRevision: hash},
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(p.set, kind)},
		},
		Data: runtime.RawExtension{Raw: raw}, Revision: newest + 1,
	}
	made, err := r.writtenRevisions.Write(string(p.set.UID), revision.Name, func() (*appsv1.ControllerRevision, error) {
		return r.kube.AppsV1().ControllerRevisions(r.system).Create(ctx, revision, metav1.CreateOptions{})
	})
	switch {
	case apierrors.IsAlreadyExists(err):
		return fmt.Errorf("ControllerRevision %s/%s is another's, or of a set by this name that was deleted a moment ago: %w", r.system, revision.Name, err)
	case err != nil:
		return fmt.Errorf("creating ControllerRevision %s/%s: %w", r.system, revision.Name, err)
	}
	p.history = append(p.history, known{made, hash, &content})
	p.update = hash
	return nil
}

// accepted asks the API server, by a dry run, whether a pod with the content would be valid, and returns why not. Anything but that, such as a policy that forbids
// privileged pods where we ask, says nothing about other namespaces.
func (r *reconciler) accepted(ctx context.Context, hash string, content *sidecar.Content) (refusal string, err error) {
	if refusal, asked := r.refused[hash]; asked {
		return refusal, nil
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "sidecars-", Namespace: r.system},
		Spec: corev1.PodSpec{
			ServiceAccountName: account, AutomountServiceAccountToken: ptr.To(false), RestartPolicy: corev1.RestartPolicyAlways,
			Containers: []corev1.Container{{Name: "application", Image: "application"}},
		},
	}
	addition := sidecar.Inject(pod, []sidecar.Want{{Set: "any", Revision: "any", Content: content}})
	if len(addition.Containers)+len(addition.InitContainers) == 0 { // a container has the name of ours.
		pod.Spec.Containers[0].Name = "the-application"
		addition = sidecar.Inject(pod, []sidecar.Want{{Set: "any", Revision: "any", Content: content}})
	}
	pod.Spec.InitContainers, pod.Spec.Containers = addition.InitContainers, append(addition.Containers, pod.Spec.Containers...) // so that messages count as the set does.
	pod.Spec.Volumes, pod.Spec.ImagePullSecrets = addition.Volumes, addition.ImagePullSecrets
	_, err = r.kube.CoreV1().Pods(r.system).Create(ctx, pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	switch {
	case apierrors.IsInvalid(err):
		refusal = err.Error()
		if status := apierrors.APIStatus(nil); errors.As(err, &status) && status.Status().Details != nil {
			var causes []string
			for _, c := range status.Status().Details.Causes {
				causes = append(causes, c.Field+": "+c.Message)
			}
			refusal = strings.Join(causes, "; ")
		}
	case apierrors.IsForbidden(err), apierrors.IsBadRequest(err), apierrors.IsNotFound(err), err == nil:
	default:
		return "", fmt.Errorf("asking the API server whether pods with the sidecars would be valid: %w", err)
	}
	r.refused[hash] = refusal
	return refusal, nil
}

// forgetHistory deletes the oldest revisions beyond the limit that nothing uses.
func (r *reconciler) forgetHistory(ctx context.Context, p *pass) error {
	used := map[string]bool{p.update: true, p.current: true, p.set.Spec.InjectionStrategy.Revision: true, p.injects: true, p.set.Status.InjectionRevision: true}
	for _, seen := range p.pods {
		used[seen.part.Revision] = true
	}
	limit := 10
	if l := p.set.Spec.RevisionHistoryLimit; l != nil {
		limit = int(*l)
	}
	var unused []known
	for _, k := range p.history {
		if !used[k.hash] {
			unused = append(unused, k)
		}
	}
	for _, old := range unused[:max(len(unused)-limit, 0)] {
		err := r.writtenRevisions.Delete(string(p.set.UID), old.object.DeepCopy(), func() error {
			return r.kube.AppsV1().ControllerRevisions(r.system).Delete(ctx, old.object.Name, metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(old.object.UID))})
		})
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("deleting ControllerRevision %s/%s, beyond revisionHistoryLimit: %w", r.system, old.object.Name, err)
		}
	}
	return nil
}
