package inplaceset

import (
	"context"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/rand"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

const (
	// writesAtOnce is how many pods of one set are written at the same time.
	writesAtOnce = 16
	// createAgain is the longest that a refused create waits to be tried again. No event tells that a quota was raised, and the back-off of the
	// work queue grows to a quarter of an hour.
	createAgain = 10 * time.Second
	// maxNameLength of a set: with a dash and nameHashLength it is a label value and a host name, which have at most 63 characters.
	maxNameLength = 57
	// nameHashLength is how many characters of a pod's name tell it from others of its set.
	nameHashLength = 5
)

// create makes the pods that are missing. It starts with one and doubles as long as all goes well, so that a quota which is used up is asked once and
// not a thousand times.
func (r *reconciler) create(ctx context.Context, p *pass) error {
	wanted := p.plan.Create
	templates := map[string]*corev1.PodTemplateSpec{}
	for _, revision := range wanted {
		if _, known := templates[revision]; known {
			continue
		}
		if templates[revision] = p.template(revision); templates[revision] == nil {
			p.missing = revision
			return nil // said in the condition: only the user can help.
		}
	}
	names := r.freeNames(p, len(wanted))
	freed := p.freedNodes(r.rememberScaledDown(p))
	for at, batch := 0, 1; at < len(wanted); batch *= 2 {
		end := min(at+batch, len(wanted))
		writes := make([]write, 0, end-at)
		for i := at; i < end; i++ {
			pod := newPod(p.set, templates[wanted[i]], names[i], wanted[i])
			if wanted[i] == p.update && len(freed) > 0 && pod.Spec.NodeName == "" {
				pin(pod, freed[0], p.now.Add(sameNodeOf(p.set)))
				freed = freed[1:]
			}
			writes = append(writes, write{pod.Name, func() error { return r.createPod(ctx, p, pod) }})
		}
		if errs := r.sideBySide(writes); len(errs) > 0 {
			p.createErr = errs[0]
			p.wakeAfter(createAgain)
			return errs[0]
		}
		at = end
	}
	return nil
}

func (r *reconciler) createPod(ctx context.Context, p *pass, pod *corev1.Pod) error {
	client := r.kube.CoreV1().Pods(p.set.Namespace)
	_, err := r.writtenPods.Write(string(p.set.UID), pod.Name, func() (*corev1.Pod, error) {
		return client.Create(ctx, pod, metav1.CreateOptions{})
	})
	if apierrors.IsAlreadyExists(err) {
		return r.meet(ctx, p, pod.Name)
	}
	if err != nil {
		return fmt.Errorf("creating pod %s/%s: %w", p.set.Namespace, pod.Name, err)
	}
	return nil
}

// meet a pod that has the name of one that was to be created: ours, which the informer does not have yet, or somebody else's.
func (r *reconciler) meet(ctx context.Context, p *pass, name string) error {
	pod, err := r.kube.CoreV1().Pods(p.set.Namespace).Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil // gone meanwhile; its event starts the next pass.
	case err != nil:
		return fmt.Errorf("reading pod %s/%s, which exists already: %w", p.set.Namespace, name, err)
	case isOurs(pod, p.set, selectorOf(p.set)):
		r.writtenPods.Settle(string(p.set.UID), name, &pod)
	default:
		r.memory.of(keyOf(p.set), func(known *remembered) { known.taken[name] = true })
	}
	r.enqueue(keyOf(p.set))
	return nil
}

// freeNames returns the names of the lowest numbers that no pod has, and that are not to be deleted: a pod by such a name would be replaced in its turn, for ever.
// They are told from the set's UID, so that a create that was made and not heard of is made again under the same name.
func (r *reconciler) freeNames(p *pass, n int) []string {
	if n == 0 {
		return nil
	}
	taken := map[string]bool{}
	for _, pod := range slices.Concat(p.pods, p.leaving, p.strayed) {
		taken[pod.Name] = true
	}
	for _, name := range p.set.Spec.ScaleStrategy.PodsToDelete {
		taken[name] = true
	}
	r.memory.of(keyOf(p.set), func(known *remembered) { maps.Copy(taken, known.taken) })
	names := make([]string, 0, n)
	for number := 0; len(names) < n; number++ {
		if name := podName(p.set, number); !taken[name] {
			taken[name] = true
			names = append(names, name)
		}
	}
	return names
}

func podName(set *v1alpha1.InPlaceSet, number int) string {
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%s/%d", set.UID, number) // never fails.
	hash := rand.SafeEncodeString(fmt.Sprintf("%020d", h.Sum64()))
	return set.Name + "-" + hash[len(hash)-nameHashLength:]
}

// ofPods are annotations that say what became of one pod. A template that was copied from a pod may carry them; no pod is born with them.
var ofPods = []string{v1alpha1.AnnotationUpdate, v1alpha1.AnnotationClaims, v1alpha1.AnnotationSameNode}

// newPod of a template. It carries the readiness gate, which is opened once its containers are ready.
func newPod(set *v1alpha1.InPlaceSet, template *corev1.PodTemplateSpec, name, revision string) *corev1.Pod {
	t := template.DeepCopy()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: set.Namespace,
			Labels: map[string]string{}, Annotations: t.Annotations, Finalizers: t.Finalizers,
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(set, kind)},
		},
		Spec: t.Spec,
	}
	for _, key := range ofPods {
		delete(pod.Annotations, key)
	}
	maps.Copy(pod.Labels, t.Labels)
	pod.Labels[v1alpha1.LabelInPlaceSet] = set.Name
	pod.Labels[v1alpha1.LabelRevision] = revision
	if unit := set.Labels[v1alpha1.LabelUnit]; unit != "" {
		pod.Labels[v1alpha1.LabelUnit] = unit
	}
	for _, gate := range pod.Spec.ReadinessGates {
		if gate.ConditionType == v1alpha1.ReadinessGateInService {
			return pod
		}
	}
	pod.Spec.ReadinessGates = append(pod.Spec.ReadinessGates, corev1.PodReadinessGate{ConditionType: v1alpha1.ReadinessGateInService})
	return pod
}

// deletePod that was looked at, and no other: it may have been changed, or be another by that name.
func (r *reconciler) deletePod(ctx context.Context, p *pass, pod *corev1.Pod) error {
	uid, version := pod.UID, pod.ResourceVersion
	err := r.writtenPods.Delete(string(p.set.UID), pod.DeepCopy(), func() error {
		return r.kube.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{
			Preconditions: &metav1.Preconditions{UID: &uid, ResourceVersion: &version},
		})
	})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("deleting pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	return nil
}

// write of one pod.
type write struct {
	pod string
	do  func() error
}

// sideBySide makes writes in the order of the pods' names, writesAtOnce of them at a time, and returns their errors. A few goroutines make them all: one for each would
// grow its stack for each.
func (r *reconciler) sideBySide(writes []write) []error {
	slices.SortFunc(writes, func(a, b write) int { return strings.Compare(a.pod, b.pod) })
	errs := make([]error, len(writes))
	var group sync.WaitGroup
	var next atomic.Int64
	for range min(r.writesAtOnce, len(writes)) {
		group.Go(func() {
			for i := next.Add(1) - 1; int(i) < len(writes); i = next.Add(1) - 1 {
				errs[i] = writes[i].do()
			}
		})
	}
	group.Wait()
	return slices.DeleteFunc(errs, func(err error) bool { return err == nil })
}
