package intervene

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	pipelinev1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	stages "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/cli/hub"
	"github.com/periplus-dev/periplus/pkg/cli/screen"
)

// longestName of a run: Tekton writes it into a label of its stages.
const longestName = 63

// retry judges whether the release can be carried on, and makes the run that does.
func (c *command) retry(ctx context.Context, h *hub.Hub, d *decision) error {
	switch {
	case d.ref.Kind == "CustomRun":
		return fmt.Errorf("%s is a CustomRun that no pipeline made, and a retry is a run of the same pipeline: create another CustomRun", d.ref.Name)
	case d.carrier == nil || d.carrier.PipelineRun == nil:
		return fmt.Errorf("run %s is gone, and with it what a retry would do again: start a run anew", d.ref.Name)
	case !d.ended():
		if hops := d.runningHops(); len(hops) > 0 {
			return fmt.Errorf("run %s still goes on (%s): only a run that is over is retried; single members of ClusterHop %s are tried again with --member", d.name(), d.stands(), strings.Join(hops, ", "))
		}
		return fmt.Errorf("run %s still goes on (%s): only a run that is over is retried", d.name(), d.stands())
	case d.model.Verdict.State == screen.StateSucceeded:
		return fmt.Errorf("run %s succeeded: there is nothing to retry", d.name())
	case d.release == nil && !d.carrier.KnowsReleases():
		return d.notKnown()
	case d.release == nil:
		return fmt.Errorf("run %s has no release record, so it touched nothing that a retry could carry on: start a run anew", d.name())
	case d.release.Status.Phase == stages.ReleaseRollingBack || d.release.Status.Phase == stages.ReleaseRolledBack:
		return fmt.Errorf("release %s was taken back or is being so (%s): start a run anew", d.release.Name, d.stands())
	case !d.over():
		return fmt.Errorf("run %s has ended, and stages of it are still stopping (%s): retry it once they have", d.name(), d.stands())
	}
	name, err := c.nextName(ctx, h, d)
	if err != nil {
		return err
	}
	d.retry = again(d.carrier.PipelineRun, name)
	d.describeRetry()
	d.question = "Retry it?"
	return nil
}

// nextName is the root's name with the number of the retry. Two people who retry at once make runs of one name, and the second is refused.
func (c *command) nextName(ctx context.Context, h *hub.Hub, d *decision) (string, error) {
	n := 1
	for _, r := range d.release.Status.Runs {
		if r.Role == stages.RoleRetry {
			n++
		}
	}
	for ; ; n++ {
		suffix := fmt.Sprintf("-retry-%d", n)
		base := d.ref.Name
		if len(base)+len(suffix) > longestName {
			base = strings.TrimRight(base[:longestName-len(suffix)], "-.")
		}
		there, err := h.Tekton.TektonV1().PipelineRuns(h.Namespace).Get(ctx, base+suffix, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			return base + suffix, nil
		case err != nil:
			return "", h.Explain(hub.Request{Verb: "get", Resource: "pipelineruns.tekton.dev", Name: base + suffix}, err)
		case there.Annotations[stages.AnnotationRetryOf] == d.name() && !there.IsDone():
			return "", fmt.Errorf("%s retries %s already, and is about to join its release: %s get %s", there.Name, d.name(), c.program, there.Name)
		}
	}
}

// again is a run that does what old was to do: the same pipeline with the same params, and none of what Tekton or we wrote on old.
func again(old *pipelinev1.PipelineRun, name string) *pipelinev1.PipelineRun {
	pr := &pipelinev1.PipelineRun{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: old.Namespace, Labels: theirs(old.Labels), Annotations: theirs(old.Annotations),
		},
		Spec: *old.Spec.DeepCopy(),
	}
	pr.Spec.Status = "" // a cancel, most likely
	if pr.Annotations == nil {
		pr.Annotations = map[string]string{}
	}
	pr.Annotations[stages.AnnotationRetryOf] = old.Name
	return pr
}

// theirs keeps the labels or annotations that are the user's own.
func theirs(all map[string]string) map[string]string {
	var out map[string]string
	for k, v := range all {
		domain, _, _ := strings.Cut(k, "/")
		if strings.HasSuffix("."+domain, ".tekton.dev") || strings.HasSuffix("."+domain, ".periplus.dev") || k == corev1.LastAppliedConfigAnnotation {
			continue
		}
		if out == nil {
			out = map[string]string{}
		}
		out[k] = v
	}
	return out
}

// describeRetry says what is not done again, and where the release goes on.
func (d *decision) describeRetry() {
	done := map[string]bool{}
	var kept []string
	for _, s := range d.release.Status.Stages {
		if s.Carrier == "" {
			done[s.Name] = true
			kept = append(kept, fmt.Sprintf("%s (%s), done at %s", s.Name, s.Kind, s.Time.Format("2006-01-02 15:04")))
		}
	}
	var first, later []string
	for _, s := range d.model.Stages {
		switch ready := !slices.ContainsFunc(s.After, func(n string) bool { return !done[n] }); {
		case s.Finally || done[s.Name]:
		case ready:
			first = append(first, s.Name)
		default:
			later = append(later, s.Name)
		}
	}
	d.plan.Add("new run", d.retry.Name+", of the same pipeline with the same params")
	if len(kept) == 0 {
		kept = []string{"nothing: no stage is on record as done"}
	}
	d.plan.Add("kept", kept...)
	var on []string
	if len(first) > 0 {
		on = append(on, "at "+strings.Join(first, ", "))
	}
	if len(later) > 0 {
		on = append(on, "then "+strings.Join(later, ", "))
	}
	d.plan.Add("goes on", on...)
	if n := carried(d.release); n > 0 {
		d.plan.Add("members", fmt.Sprintf("%s that ClusterHops carried it to are not done again", counted(n, "stage")))
	}
	if p := d.standing().Paused; p != nil {
		d.plan.Warn("paused", "by "+said(p)+"; the retry ends the pause")
	}
}

// carried counts the stages of children that are on record as done.
func carried(release *stages.Release) int {
	n := 0
	for _, s := range release.Status.Stages {
		if s.Carrier != "" {
			n++
		}
	}
	return n
}

// startRetry makes the run. The intervention is on record by then.
func (c *command) startRetry(ctx context.Context, h *hub.Hub, d *decision, user string) error {
	pr := d.retry
	// Servers that stamp it write the same; the others want it written.
	pr.Annotations[stages.AnnotationInitiator] = user
	_, err := h.Tekton.TektonV1().PipelineRuns(h.Namespace).Create(ctx, pr, metav1.CreateOptions{})
	switch {
	case apierrors.IsAlreadyExists(err):
		return fmt.Errorf("somebody else made %s in the same moment; it is on record that you retried, and no second run was made: %s get %s", pr.Name, c.program, pr.Name)
	case err != nil:
		return errors.Join(fmt.Errorf("it is on record that you retried %s, but no run was made", d.ref.Name),
			h.Explain(hub.Request{Verb: "create", Resource: "pipelineruns.tekton.dev", Name: pr.Name}, err))
	}
	return nil
}
