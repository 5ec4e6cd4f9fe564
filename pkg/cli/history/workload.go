package history

import (
	"context"
	"encoding/json"
	"errors"
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
	"github.com/periplus-dev/periplus/pkg/inplace"
	"github.com/periplus-dev/periplus/pkg/sidecar"
	"github.com/periplus-dev/periplus/pkg/spelling"
	adapters "github.com/periplus-dev/periplus/pkg/workload"
)

// systemNamespace of members, where SidecarSets have their history.
const systemNamespace = "periplus-system"

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
	{"SidecarSet", "sidecarsets", []string{"sidecarset", "sidecarsets", "scs"}, appsv1alpha1.LabelSidecarSet, ""},
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
	return kind{}, "", fmt.Errorf("%q names no workload with revisions: write cafedeployment/NAME, inplaceset/NAME or sidecarset/NAME", strings.Join(args, " "))
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
	sidecars    *appsv1alpha1.SidecarSet
}

// home is the namespace of the workload's history.
func (w *workload) home() string {
	if w.sidecars != nil {
		return systemNamespace
	}
	return w.namespace
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
	switch k.name {
	case "SidecarSet":
		w.namespace = ""
		if w.sidecars, err = m.Periplus.AppsV1alpha1().SidecarSets().Get(ctx, name, metav1.GetOptions{}); err == nil {
			st, content := &w.sidecars.Status, sidecar.ContentOf(w.sidecars)
			var template *corev1.PodTemplateSpec
			if template, err = content.Template(); err != nil {
				return nil, fmt.Errorf("SidecarSet %s: %w", name, err)
			}
			take(w.sidecars.ObjectMeta, template, st.CurrentRevision, st.UpdateRevision, st.ObservedGeneration)
		}
	case "InPlaceSet":
		if w.set, err = m.Periplus.AppsV1alpha1().InPlaceSets(m.Namespace).Get(ctx, name, metav1.GetOptions{}); err == nil {
			st := &w.set.Status
			take(w.set.ObjectMeta, &w.set.Spec.Template, st.CurrentRevision, st.UpdateRevision, st.ObservedGeneration)
		}
	default:
		if w.cafe, err = m.Periplus.AppsV1alpha1().CafeDeployments(m.Namespace).Get(ctx, name, metav1.GetOptions{}); err == nil {
			st := &w.cafe.Status
			take(w.cafe.ObjectMeta, &w.cafe.Spec.Template, st.CurrentRevision, st.UpdateRevision, st.ObservedGeneration)
		}
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
	list, err := m.Kube.AppsV1().ControllerRevisions(w.home()).List(ctx, metav1.ListOptions{LabelSelector: w.label + "=" + w.name})
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
		template, err := w.templateIn(o)
		if err != nil {
			return nil, fmt.Errorf("reading ControllerRevision %s: %w", o.Name, err)
		}
		hash := o.Labels[appsv1alpha1.LabelRevision]
		if hash == "" {
			hash = strings.TrimPrefix(o.Name, w.name+"-")
		}
		out = append(out, revision{number: o.Revision, hash: hash, object: o, template: template})
	}
	slices.SortFunc(out, func(a, b revision) int {
		if a.number != b.number {
			return int(a.number - b.number)
		}
		return strings.Compare(a.hash, b.hash)
	})
	return out, nil
}

// templateIn is the template that a revision holds, or that stands for what it holds.
func (w *workload) templateIn(o *appsv1.ControllerRevision) (*corev1.PodTemplateSpec, error) {
	if w.sidecars != nil {
		content, err := sidecar.Decode(o.Data.Raw)
		if err != nil {
			return nil, err
		}
		return content.Template()
	}
	var data struct {
		Spec struct {
			Template *corev1.PodTemplateSpec `json:"template"`
		} `json:"spec"`
	}
	if err := json.Unmarshal(o.Data.Raw, &data); err != nil {
		return nil, err
	}
	if data.Spec.Template == nil {
		return nil, errors.New("it holds no pod template")
	}
	return data.Spec.Template, nil
}

// change is what leads from one template of the workload to another.
func (w *workload) change(from, to *corev1.PodTemplateSpec) inplace.Change {
	// What a SidecarSet holds can be read as one, for it was one.
	change, err := adapters.Compare(w.kind.name, from, to)
	if err != nil {
		return inplace.Change{Misfits: []string{err.Error()}}
	}
	return change
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
	namespace, selector, label := w.namespace, w.label+"="+w.name, w.podRevision
	if w.sidecars != nil {
		namespace, selector, label = metav1.NamespaceAll, sidecar.LabelOf(w.name), sidecar.LabelOf(w.name)
	}
	list, err := m.Kube.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: selector})
	if apierrors.IsForbidden(err) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, explain(m, "list", "pods", "", err)
	}
	on = map[string]int{}
	for i := range list.Items {
		if p := &list.Items[i]; p.DeletionTimestamp == nil {
			on[p.Labels[label]]++
		}
	}
	return on, true, nil
}

// where the workload is, for people.
func (w *workload) where(server string) string {
	if w.namespace == "" {
		return "in " + server
	}
	return "in " + w.namespace + " of " + server
}
