package run

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/periplus-dev/periplus/pkg/cli/hub"
	"github.com/periplus-dev/periplus/pkg/cli/screen"
	"github.com/periplus-dev/periplus/pkg/spelling"
)

// NotFoundError says that there is no run of a name, and which there are.
type NotFoundError struct {
	Name, Namespace string
	// Similar names of runs, the most similar first; where none is similar, Newest are the newest runs.
	Similar, Newest []string
}

func (e *NotFoundError) Error() string {
	head := fmt.Sprintf("there is no run %s in namespace %s", e.Name, e.Namespace)
	switch {
	case len(e.Similar) > 0:
		return head + "; did you mean " + strings.Join(e.Similar, " or ") + "?"
	case len(e.Newest) > 0:
		return head + "; the newest are " + strings.Join(e.Newest, ", ") + "; another namespace is given with -n"
	}
	return head + ", nor any other; another namespace is given with -n"
}

func notFound(ctx context.Context, h *hub.Hub, name string) error {
	e := &NotFoundError{Name: name, Namespace: h.Namespace}
	names, err := Names(ctx, h)
	if err != nil {
		return e // that it is not there is known; what else is there is a courtesy.
	}
	e.Similar = similar(name, names)
	e.Newest = names[:min(5, len(names))]
	return e
}

// Names lists the runs of the namespace, newest first: PipelineRuns, and the CustomRuns of ours that no pipeline made.
func Names(ctx context.Context, h *hub.Hub) ([]string, error) {
	prs, err := h.Tekton.TektonV1().PipelineRuns(h.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, h.Explain(hub.Request{Verb: "list", Resource: pipelineRuns}, err)
	}
	customs, err := h.Tekton.TektonV1beta1().CustomRuns(h.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, h.Explain(hub.Request{Verb: "list", Resource: customRuns}, err)
	}
	var all []metav1.ObjectMeta
	for _, pr := range prs.Items {
		all = append(all, pr.ObjectMeta)
	}
	for i := range customs.Items {
		if c := &customs.Items[i]; screen.Ours(c) && !c.HasPipelineRunOwnerReference() {
			all = append(all, c.ObjectMeta)
		}
	}
	slices.SortStableFunc(all, func(a, b metav1.ObjectMeta) int {
		return cmp.Or(b.CreationTimestamp.Compare(a.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	var names []string
	for _, m := range all {
		names = append(names, m.Name)
	}
	return names, nil
}

// similar gives up to three names that a person may have meant: those that hold what was typed, or are few letters away from it.
func similar(name string, names []string) []string {
	type near struct {
		name     string
		distance int
	}
	var found []near
	for _, n := range names {
		d := spelling.Distance(name, n)
		if strings.Contains(n, name) || strings.Contains(name, n) {
			d = min(d, 1)
		}
		if d <= max(1, len(name)/4) {
			found = append(found, near{n, d})
		}
	}
	slices.SortStableFunc(found, func(a, b near) int { return a.distance - b.distance })
	var out []string
	for _, f := range found[:min(3, len(found))] {
		out = append(out, f.name)
	}
	return out
}
