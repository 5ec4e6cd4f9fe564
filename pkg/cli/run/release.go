package run

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	stages "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/cli/hub"
	"github.com/periplus-dev/periplus/pkg/cli/screen"
)

// readRelease finds the record that the run's release has: its own, the one it joined as a retry, or the one that it carries a part of.
func (r *Run) readRelease(ctx context.Context, h *hub.Hub) error {
	opts := metav1.ListOptions{LabelSelector: ofRoot(string(r.UID()))}
	if r.joins() {
		opts = metav1.ListOptions{}
	}
	list, err := h.Periplus.StagesV1alpha1().Releases(h.Namespace).List(ctx, opts)
	if hub.NoSuchAPI(err) {
		r.denied[releases] = true
		r.Notes = append(r.Notes, fmt.Sprintf("the cluster at %s has no %s: is Periplus installed there?", h.Server, releases))
		return nil
	}
	if err := r.allow(h, releases, err); err != nil {
		return err
	}
	if err == nil {
		for i := range list.Items {
			r.keep(&list.Items[i])
		}
	}
	return nil
}

// joins says whether the run may carry the release of another.
func (r *Run) joins() bool {
	if r.PipelineRun == nil {
		return false
	}
	a := r.PipelineRun.Annotations
	return a[stages.AnnotationRetryOf] != "" || a[stages.AnnotationRelease] != ""
}

// keep takes a record where it is that of the run. What a retry claims counts once the record says so; what a child's annotation says counts at
// once, because only our controller sets it.
func (r *Run) keep(release *stages.Release) {
	if screen.Carries(release, r.UID()) || r.PipelineRun != nil && r.PipelineRun.Annotations[stages.AnnotationRelease] == release.Name {
		r.Release = release
	}
}

// KnowsReleases says whether the caller may read records, and the hub has such a kind: without, having found none means nothing.
func (r *Run) KnowsReleases() bool { return r != nil && !r.denied[releases] }

// Releases lists the records of the namespace.
func Releases(ctx context.Context, h *hub.Hub) ([]stages.Release, error) {
	list, err := h.Periplus.StagesV1alpha1().Releases(h.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, h.Explain(hub.Request{Verb: "list", Resource: releases}, err)
	}
	return list.Items, nil
}

// OfLostRoot finds the newest record that was made for a run of this name, or has this name itself: the run may be gone. nil where there is none.
func OfLostRoot(ctx context.Context, h *hub.Hub, name string) (*stages.Release, error) {
	list, err := Releases(ctx, h)
	if err != nil {
		return nil, err
	}
	var found *stages.Release
	for i := range list {
		r := &list[i]
		if r.Name == name {
			return r, nil
		}
		if r.Spec.Root.Name == name && (found == nil || found.CreationTimestamp.Before(&r.CreationTimestamp)) {
			found = r
		}
	}
	return found, nil
}

// Children reads the runs that ClusterHops of a release made and that are not over, with their stages, oldest first. Of other namespaces none are
// made.
func Children(ctx context.Context, h *hub.Hub, release *stages.Release) ([]*Run, error) {
	prs, err := h.Tekton.TektonV1().PipelineRuns(h.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, h.Explain(hub.Request{Verb: "list", Resource: pipelineRuns}, err)
	}
	var out []*Run
	byName := map[string]*Run{}
	for i := range prs.Items {
		pr := &prs.Items[i]
		if pr.Annotations[stages.AnnotationRelease] != release.Name || pr.IsDone() {
			continue
		}
		child := &Run{Objects: screen.Objects{PipelineRun: pr, Release: release}}
		out = append(out, child)
		byName[pr.Name] = child
	}
	if len(out) == 0 {
		return nil, nil
	}
	customs, err := h.Tekton.TektonV1beta1().CustomRuns(h.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, h.Explain(hub.Request{Verb: "list", Resource: customRuns}, err)
	}
	for i := range customs.Items {
		c := &customs.Items[i]
		if child := byName[parentOf(c)]; child != nil {
			child.CustomRuns = append(child.CustomRuns, c)
		}
	}
	return out, nil
}
