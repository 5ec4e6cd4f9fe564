package inplaceset

import (
	"maps"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/inplace"
	"github.com/periplus-dev/periplus/pkg/revision"
)

// looks keep what pods said of themselves, for as long as they are the very objects that were looked at: nobody changes an object that an informer or a write
// returned. Without them each step of one pod would read the records of all.
type looks map[*corev1.Pod]*seenPod

// seenPod is what a pass asks of a pod, read once.
type seenPod struct {
	pod *corev1.Pod
	inplace.Look
	revision string
	ended    bool
	// failing is the pod's own reason why it does not come up, and why its words.
	failing, why string
	// roomUntil is until when it waits for room on the node that it asks for; zero if it does not.
	roomUntil time.Time
	// leaving: it is being deleted. ours: isOurs says so, by a selector that never changes.
	leaving, ours bool
}

func (l looks) at(pod *corev1.Pod, set *v1alpha1.InPlaceSet, selector labels.Selector) *seenPod {
	seen := l[pod]
	if seen == nil {
		seen = see(pod)
		seen.ours = isOurs(pod, set, selector)
		l[pod] = seen
	}
	return seen
}

func see(pod *corev1.Pod) *seenPod {
	seen := &seenPod{pod: pod, Look: inplace.LookAt(pod), revision: pod.Labels[v1alpha1.LabelRevision], ended: ended(pod), leaving: pod.DeletionTimestamp != nil, roomUntil: roomUntil(pod)}
	seen.failing, seen.why = inplace.Failing(pod, seen.Changing)
	return seen
}

// seen are the pods of a pass, in its order.
func (p *pass) seen() []*seenPod {
	if len(p.looked) != len(p.pods) {
		p.looked = make([]*seenPod, 0, len(p.pods))
		for _, pod := range p.pods {
			p.looked = append(p.looked, see(pod))
		}
	}
	return p.looked
}

// forgetAllBut these pods, once there are more than a few others.
func (l looks) forgetAllBut(pods []*corev1.Pod) {
	if len(l) <= len(pods)+len(pods)/4+16 {
		return
	}
	kept := make(map[*corev1.Pod]bool, len(pods))
	for _, pod := range pods {
		kept[pod] = true
	}
	maps.DeleteFunc(l, func(pod *corev1.Pod, _ *seenPod) bool { return !kept[pod] })
}

// texts keep the templates that revisions hold, and how they differ, as looks keep pods.
type texts struct {
	templates map[*appsv1.ControllerRevision]*corev1.PodTemplateSpec
	changes   map[[2]*corev1.PodTemplateSpec]inplace.Change
}

func (t *texts) templateOf(of *appsv1.ControllerRevision) (*corev1.PodTemplateSpec, error) {
	if t == nil {
		return revision.TemplateOf(of) //nolint:wrapcheck // it names the revision.
	}
	if known := t.templates[of]; known != nil {
		return known, nil
	}
	template, err := revision.TemplateOf(of)
	if err == nil {
		if t.templates == nil {
			t.templates = map[*appsv1.ControllerRevision]*corev1.PodTemplateSpec{}
		}
		t.templates[of] = template
	}
	return template, err //nolint:wrapcheck // as above.
}

func (t *texts) compare(from, to *corev1.PodTemplateSpec) inplace.Change {
	if t == nil {
		return inplace.Compare(from, to)
	}
	pair := [2]*corev1.PodTemplateSpec{from, to}
	c, known := t.changes[pair]
	if !known {
		c = inplace.Compare(from, to)
		if t.changes == nil {
			t.changes = map[[2]*corev1.PodTemplateSpec]inplace.Change{}
		}
		t.changes[pair] = c
	}
	return c
}

// forgetAllBut these revisions, once there are others.
func (t *texts) forgetAllBut(history []*appsv1.ControllerRevision) {
	if len(t.templates) <= 2*len(history)+4 {
		return
	}
	kept := make(map[*appsv1.ControllerRevision]bool, len(history))
	for _, revision := range history {
		kept[revision] = true
	}
	maps.DeleteFunc(t.templates, func(revision *appsv1.ControllerRevision, _ *corev1.PodTemplateSpec) bool { return !kept[revision] })
	t.changes = nil
}
