package history

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	appsv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	stages "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/cli/hub"
	"github.com/periplus-dev/periplus/pkg/spelling"
)

// kind is a kind of workload that has a history, and what it is known by.
type kind struct {
	name     string
	resource string
	words    []string
	// label of its pods and revisions, and the label of a pod that names its revision.
	label, podRevision string
}

var kinds = []kind{
	{"CafeDeployment", "cafedeployments", []string{"cafedeployment", "cafedeployments", "cafe"}, appsv1alpha1.LabelCafeDeployment, appsv1alpha1.LabelCafeRevision},
	{"InPlaceSet", "inplacesets", []string{"inplaceset", "inplacesets", "ips"}, appsv1alpha1.LabelInPlaceSet, appsv1alpha1.LabelRevision},
}

// parse reads KIND/NAME, or KIND NAME.
func parse(args []string) (kind, string, error) {
	word, name, ok := strings.Cut(args[0], "/")
	if len(args) == 2 && !ok {
		name, ok = args[1], true
	} else if len(args) == 2 {
		return kind{}, "", fmt.Errorf("name one workload: %s or %s", args[0], args[1])
	}
	word, _, _ = strings.Cut(strings.ToLower(word), ".") // inplacesets.apps.periplus.dev too.
	var known []string
	for _, k := range kinds {
		if slices.Contains(k.words, word) {
			if !ok || name == "" {
				return kind{}, "", fmt.Errorf("name the %s: %s/NAME", k.name, k.words[0])
			}
			return k, name, nil
		}
		known = append(known, k.words...)
	}
	if near := spelling.Nearest(word, known); near != "" {
		return kind{}, "", fmt.Errorf("there is no kind %q of workload here; did you mean %s/%s?", word, near, name)
	}
	return kind{}, "", fmt.Errorf("%q names no workload with revisions: write cafedeployment/NAME or inplaceset/NAME", strings.Join(args, " "))
}

// workload is one, as the member has it.
type workload struct {
	kind
	name, namespace string
	uid             types.UID
	resourceVersion string
	template        *corev1.PodTemplateSpec
	// current is the revision that held back pods are on, update that of the template, as its controller last saw it.
	current, update string
	// seen is true once the controller has seen the template as it is.
	seen bool
	// owner is the controller that keeps it, such as the CafeDeployment of an InPlaceSet; empty where nobody does.
	owner       string
	annotations map[string]string
	set         *appsv1alpha1.InPlaceSet
	cafe        *appsv1alpha1.CafeDeployment
}

// read reads a workload from the member.
func read(ctx context.Context, m *hub.Hub, k kind, name string) (*workload, error) {
	w := &workload{kind: k, name: name, namespace: m.Namespace}
	take := func(o metav1.ObjectMeta, template *corev1.PodTemplateSpec, current, update string, observed int64) {
		w.uid, w.resourceVersion, w.annotations, w.template = o.UID, o.ResourceVersion, o.Annotations, template
		w.current, w.update, w.seen = current, update, observed == o.Generation
		if c := metav1.GetControllerOfNoCopy(&o); c != nil {
			w.owner = c.Kind + " " + c.Name
		}
	}
	var err error
	if k.name == "InPlaceSet" {
		if w.set, err = m.Periplus.AppsV1alpha1().InPlaceSets(m.Namespace).Get(ctx, name, metav1.GetOptions{}); err == nil {
			st := &w.set.Status
			take(w.set.ObjectMeta, &w.set.Spec.Template, st.CurrentRevision, st.UpdateRevision, st.ObservedGeneration)
		}
	} else if w.cafe, err = m.Periplus.AppsV1alpha1().CafeDeployments(m.Namespace).Get(ctx, name, metav1.GetOptions{}); err == nil {
		st := &w.cafe.Status
		take(w.cafe.ObjectMeta, &w.cafe.Spec.Template, st.CurrentRevision, st.UpdateRevision, st.ObservedGeneration)
	}
	if err != nil {
		return nil, explain(m, "get", k.resource+".apps.periplus.dev", name, err)
	}
	return w, nil
}

// explain an error of a request to a member.
func explain(m *hub.Hub, verb, resource, name string, err error) error {
	return m.ExplainAtMember(hub.Request{Verb: verb, Resource: resource, Name: name}, err)
}

// lock is the release that holds the workload, nil where none does.
func (w *workload) lock() (*stages.Lock, error) {
	raw, ok := w.annotations[stages.AnnotationLock]
	if !ok {
		return nil, nil
	}
	l := &stages.Lock{}
	if err := json.Unmarshal([]byte(raw), l); err != nil {
		return nil, fmt.Errorf("the annotation %s of %s %s cannot be read; remove it if no release moves the workload: %w", stages.AnnotationLock, w.kind.name, w.name, err)
	}
	return l, nil
}

// revision is one that the workload has or had.
type revision struct {
	number   int64
	hash     string
	object   *appsv1.ControllerRevision
	template *corev1.PodTemplateSpec
}

// revisions are those in the history, the oldest first.
func revisions(ctx context.Context, m *hub.Hub, w *workload) ([]revision, error) {
	list, err := m.Kube.AppsV1().ControllerRevisions(m.Namespace).List(ctx, metav1.ListOptions{LabelSelector: w.label + "=" + w.name})
	if err != nil {
		return nil, explain(m, "list", "controllerrevisions.apps", "", err)
	}
	var out []revision
	for i := range list.Items {
		o := &list.Items[i]
		// The sets of a CafeDeployment have revisions too, with its label.
		if owner := metav1.GetControllerOfNoCopy(o); owner == nil || owner.UID != w.uid {
			continue
		}
		var data struct {
			Spec struct {
				Template *corev1.PodTemplateSpec `json:"template"`
			} `json:"spec"`
		}
		if err := json.Unmarshal(o.Data.Raw, &data); err != nil || data.Spec.Template == nil {
			return nil, fmt.Errorf("reading ControllerRevision %s: it holds no pod template (%w)", o.Name, err)
		}
		hash := o.Labels[appsv1alpha1.LabelRevision]
		if hash == "" {
			hash = strings.TrimPrefix(o.Name, w.name+"-")
		}
		out = append(out, revision{number: o.Revision, hash: hash, object: o, template: data.Spec.Template})
	}
	slices.SortFunc(out, func(a, b revision) int {
		if a.number != b.number {
			return int(a.number - b.number)
		}
		return strings.Compare(a.hash, b.hash)
	})
	return out, nil
}

// find finds a revision by number or hash.
func find(all []revision, which string) (*revision, error) {
	var have []string
	for i := range all {
		if fmt.Sprint(all[i].number) == which || all[i].hash == which {
			return &all[i], nil
		}
		have = append(have, fmt.Sprintf("%d (%s)", all[i].number, all[i].hash))
	}
	if len(have) == 0 {
		return nil, fmt.Errorf("there is no revision %s: the history is empty", which)
	}
	return nil, fmt.Errorf("there is no revision %s; there are %s", which, strings.Join(have, ", "))
}

// pods are how many are on each revision; ok is false where the caller may not see them.
func pods(ctx context.Context, m *hub.Hub, w *workload) (on map[string]int, ok bool, err error) {
	list, err := m.Kube.CoreV1().Pods(m.Namespace).List(ctx, metav1.ListOptions{LabelSelector: w.label + "=" + w.name})
	if apierrors.IsForbidden(err) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, explain(m, "list", "pods", "", err)
	}
	on = map[string]int{}
	for i := range list.Items {
		if p := &list.Items[i]; p.DeletionTimestamp == nil {
			on[p.Labels[w.podRevision]]++
		}
	}
	return on, true, nil
}
