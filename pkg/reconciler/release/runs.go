package release

import (
	"encoding/json"
	"fmt"

	"github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/stage"
)

// runsOf returns the UIDs of the runs that carry a release, and whether one that a ClusterHop made is still on: the release is not over before they
// are, however its root ended.
func (c *closer) runsOf(rel *v1alpha1.Release) (carriers map[types.UID]bool, running bool, err error) {
	carriers = map[types.UID]bool{rel.Spec.Root.UID: true}
	for _, run := range rel.Status.Runs {
		carriers[run.UID] = true
	}
	all, err := c.pipelineRuns.PipelineRuns(rel.Namespace).List(labels.Everything())
	if err != nil {
		return nil, false, fmt.Errorf("listing the runs of release %s/%s: %w", rel.Namespace, rel.Name, err)
	}
	for _, pr := range all {
		if pr.Annotations[v1alpha1.AnnotationRelease] == rel.Name && carriers[pr.UID] && !pr.IsDone() {
			running = true
		}
	}
	return carriers, running, nil
}

// releaseOf is the release that a stage's status names where its owner does not tell: that of a child, or one that takes back what another run moved. It only
// says what to look at.
func releaseOf(cr *v1beta1.CustomRun) string {
	back := stage.Ours(cr, "Rollback")
	var st v1alpha1.RunStatus
	if len(cr.Status.ExtraFields.Raw) == 0 || json.Unmarshal(cr.Status.ExtraFields.Raw, &st) != nil || (st.Carrier == "" && !back) || st.Release == "" {
		if back {
			return cr.Annotations[v1alpha1.AnnotationRelease] // one that we made, and that has not begun.
		}
		return ""
	}
	return st.Release
}
