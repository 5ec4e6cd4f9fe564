package inplaceset

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/plan"
)

// revise finds the revisions of a pass, and makes one for a template that has none.
func (r *reconciler) revise(ctx context.Context, p *pass) error {
	var err error
	if p.history, err = r.book.Of(p.set, p.set.Status.CollisionCount); err != nil {
		return fmt.Errorf("finding revisions: %w", err)
	}
	p.history.Read = p.texts.templateOf
	if len(p.problems) > 0 {
		p.update = p.set.Status.UpdateRevision // a template that cannot be used gets no revision.
	} else if p.update, err = r.book.Newest(ctx, p.set, p.history, &p.set.Spec.Template); err != nil {
		return fmt.Errorf("finding the revision of the template: %w", err)
	}
	p.current = p.currentRevision()
	return nil
}

// currentRevision is the one in status. Where status was lost, the one that most pods are on: what was held back stays so.
func (p *pass) currentRevision() string {
	if p.set.Status.CurrentRevision != "" {
		return p.set.Status.CurrentRevision
	}
	pods := map[string]int{}
	best := p.update
	for _, pod := range p.pods {
		revision := pod.Labels[v1alpha1.LabelRevision]
		pods[revision]++
		if pods[revision] > pods[best] && p.template(revision) != nil {
			best = revision
		}
	}
	return best
}

// template of a revision; nil if it is not in the history.
func (p *pass) template(revision string) *corev1.PodTemplateSpec {
	if p.history == nil {
		return nil
	}
	return p.history.Template(revision)
}

// used are the current revision and those that pods are on.
func (p *pass) used() map[string]bool {
	used := map[string]bool{p.current: true}
	last := p.current
	for _, pod := range p.seen() {
		if pod.revision != last { // most are on one.
			used[pod.revision] = true
			last = pod.revision
		}
	}
	for _, pod := range p.leaving {
		used[pod.Labels[v1alpha1.LabelRevision]] = true
	}
	return used
}

// forgetHistory deletes the oldest revisions beyond the limit that no pod is on.
func (r *reconciler) forgetHistory(ctx context.Context, p *pass) error {
	used := p.used()
	used[p.update], used[plan.CurrentRevision(p.state)] = true, true
	limit := 10
	if l := p.set.Spec.RevisionHistoryLimit; l != nil {
		limit = int(*l)
	}
	if err := r.book.Forget(ctx, p.set, p.history, used, limit); err != nil {
		return fmt.Errorf("keeping to revisionHistoryLimit: %w", err)
	}
	return nil
}
