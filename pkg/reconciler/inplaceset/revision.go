package inplaceset

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/rand"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/plan"
)

// revisionData is what a ControllerRevision holds: the template, where it stands in a set, so that it can be merged into one by hand.
type revisionData struct {
	Spec struct {
		Template *corev1.PodTemplateSpec `json:"template"`
	} `json:"spec"`
}

// revise finds the revisions of a pass, and makes one for a template that has none. A revision is the hash that ends the ControllerRevision's name. It is
// made of the template alone, so sets with the same template share it.
func (r *reconciler) revise(ctx context.Context, p *pass) error {
	found, err := r.revisions.ByIndex(byOwner, string(p.set.UID))
	if err != nil {
		return fmt.Errorf("listing ControllerRevisions of InPlaceSet %s/%s: %w", p.set.Namespace, p.set.Name, err)
	}
	cached := make([]*appsv1.ControllerRevision, 0, len(found))
	for _, object := range found {
		if revision, ok := object.(*appsv1.ControllerRevision); ok {
			cached = append(cached, revision)
		}
	}
	p.history = slices.Clone(r.writtenRevisions.Over(string(p.set.UID), cached))
	slices.SortFunc(p.history, func(a, b *appsv1.ControllerRevision) int {
		if a.Revision != b.Revision {
			return int(a.Revision - b.Revision)
		}
		return strings.Compare(a.Name, b.Name)
	})
	p.collisions = p.set.Status.CollisionCount
	if len(p.problems) > 0 {
		p.update = p.set.Status.UpdateRevision // a template that cannot be used gets no revision.
	} else if p.update, err = r.updateRevision(ctx, p); err != nil {
		return err
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

// updateRevision returns the revision of the set's template. Templates are compared as objects, not by hash: a newer Periplus may write the same template
// with other bytes, and must not roll the fleet for that.
func (r *reconciler) updateRevision(ctx context.Context, p *pass) (string, error) {
	newest := int64(0)
	if n := len(p.history); n > 0 {
		newest = p.history[n-1].Revision
	}
	for _, known := range slices.Backward(p.history) {
		template, err := p.texts.templateOf(known)
		if err != nil || !apiequality.Semantic.DeepEqual(template, &p.set.Spec.Template) {
			continue
		}
		if known.Revision != newest { // a template that came back is the newest again.
			again := known.DeepCopy()
			again.Revision = newest + 1
			if err := r.renumber(ctx, p, again); err != nil {
				return "", err
			}
		}
		return hashOf(known), nil
	}
	return r.newRevision(ctx, p, newest+1)
}

func (r *reconciler) renumber(ctx context.Context, p *pass, revision *appsv1.ControllerRevision) error {
	_, err := r.writtenRevisions.Write(string(p.set.UID), revision.Name, func() (*appsv1.ControllerRevision, error) {
		return r.kube.AppsV1().ControllerRevisions(p.set.Namespace).Update(ctx, revision, metav1.UpdateOptions{})
	})
	if err != nil {
		return fmt.Errorf("making ControllerRevision %s/%s the newest of its set: %w", revision.Namespace, revision.Name, err)
	}
	return nil
}

func (r *reconciler) newRevision(ctx context.Context, p *pass, number int64) (string, error) {
	data := revisionData{}
	data.Spec.Template = &p.set.Spec.Template
	raw, err := json.Marshal(data)
	if err != nil {
		return "", fmt.Errorf("writing the template of InPlaceSet %s/%s: %w", p.set.Namespace, p.set.Name, err)
	}
	hash := hashBytes(raw, p.collisions)
	revision := &appsv1.ControllerRevision{
		ObjectMeta: metav1.ObjectMeta{
			Name: p.set.Name + "-" + hash, Namespace: p.set.Namespace,
			Labels:          map[string]string{v1alpha1.LabelInPlaceSet: p.set.Name, v1alpha1.LabelRevision: hash},
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(p.set, kind)},
		},
		Data: runtime.RawExtension{Raw: raw}, Revision: number,
	}
	client := r.kube.AppsV1().ControllerRevisions(p.set.Namespace)
	made, err := r.writtenRevisions.Write(string(p.set.UID), revision.Name, func() (*appsv1.ControllerRevision, error) {
		return client.Create(ctx, revision, metav1.CreateOptions{})
	})
	if apierrors.IsAlreadyExists(err) {
		made, err = client.Get(ctx, revision.Name, metav1.GetOptions{})
		if err == nil && !p.isMade(made) {
			// Another template, or another owner, has this hash: the next pass tries another.
			n := int32(1)
			if p.collisions != nil {
				n = *p.collisions + 1
			}
			p.collisions = &n
			return r.newRevision(ctx, p, number)
		}
	}
	if err != nil {
		return "", fmt.Errorf("creating ControllerRevision %s/%s: %w", revision.Namespace, revision.Name, err)
	}
	p.history = append(p.history, made)
	return hash, nil
}

// isMade says whether a ControllerRevision is ours and holds the set's template.
func (p *pass) isMade(revision *appsv1.ControllerRevision) bool {
	template, err := templateOf(revision)
	return err == nil && ownerUID(revision) == string(p.set.UID) && apiequality.Semantic.DeepEqual(template, &p.set.Spec.Template)
}

// template of a revision; nil if it is not in the history.
func (p *pass) template(revision string) *corev1.PodTemplateSpec {
	for _, known := range p.history {
		if hashOf(known) == revision {
			if template, err := p.texts.templateOf(known); err == nil {
				return template
			}
		}
	}
	return nil
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
	var unused []*appsv1.ControllerRevision
	for _, revision := range p.history {
		if !used[hashOf(revision)] {
			unused = append(unused, revision)
		}
	}
	for len(unused) > limit {
		old := unused[0]
		unused = unused[1:]
		err := r.writtenRevisions.Delete(string(p.set.UID), old.DeepCopy(), func() error {
			return r.kube.AppsV1().ControllerRevisions(old.Namespace).Delete(ctx, old.Name, metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(old.UID))})
		})
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("deleting ControllerRevision %s/%s, beyond revisionHistoryLimit: %w", old.Namespace, old.Name, err)
		}
	}
	return nil
}

func templateOf(revision *appsv1.ControllerRevision) (*corev1.PodTemplateSpec, error) {
	var data revisionData
	if err := json.Unmarshal(revision.Data.Raw, &data); err != nil {
		return nil, fmt.Errorf("reading ControllerRevision %s/%s: %w", revision.Namespace, revision.Name, err)
	}
	if data.Spec.Template == nil {
		return nil, fmt.Errorf("reading ControllerRevision %s/%s: it holds no template", revision.Namespace, revision.Name)
	}
	return data.Spec.Template, nil
}

func hashOf(revision *appsv1.ControllerRevision) string {
	return revision.Labels[v1alpha1.LabelRevision]
}

func hashBytes(data []byte, collisions *int32) string {
	h := fnv.New32a()
	_, _ = h.Write(data) // never fails.
	if collisions != nil {
		_, _ = h.Write([]byte(strconv.Itoa(int(*collisions))))
	}
	return rand.SafeEncodeString(strconv.FormatUint(uint64(h.Sum32()), 10))
}
