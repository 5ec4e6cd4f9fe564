package stage

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"knative.dev/pkg/apis"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

// statusOf reads what the stage keeps in a run's status; a run that has not begun has an empty one.
func statusOf(cr *v1beta1.CustomRun) (*v1alpha1.RunStatus, error) {
	st := &v1alpha1.RunStatus{}
	if len(cr.Status.ExtraFields.Raw) == 0 {
		return st, nil
	}
	if err := json.Unmarshal(cr.Status.ExtraFields.Raw, st); err != nil {
		return nil, fmt.Errorf("status.extraFields of CustomRun %s/%s: %w", cr.Namespace, cr.Name, err)
	}
	return st, nil
}

// ReleaseOf is the name of the release that a stage belongs to, as its status says; empty where it says none.
func ReleaseOf(cr *v1beta1.CustomRun) string {
	st, err := statusOf(cr)
	if err != nil {
		return ""
	}
	return st.Release
}

func storeStatus(cr *v1beta1.CustomRun, st *v1alpha1.RunStatus) error {
	raw, err := encode(fitting(st))
	if err != nil {
		return err
	}
	cr.Status.ExtraFields.Raw = raw
	return nil
}

// encode writes a status as the API server writes it back, with sorted keys: else what was read would never equal what is to be written.
func encode(st *v1alpha1.RunStatus) ([]byte, error) {
	raw, err := json.Marshal(st)
	if err != nil {
		return nil, fmt.Errorf("encoding status.extraFields: %w", err)
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var doc any
	if err := dec.Decode(&doc); err != nil {
		return nil, fmt.Errorf("encoding status.extraFields: %w", err)
	}
	if raw, err = json.Marshal(doc); err != nil {
		return nil, fmt.Errorf("encoding status.extraFields: %w", err)
	}
	return raw, nil
}

// setCondition sets the one condition there is. Its transition time moves with its status only.
func setCondition(cr *v1beta1.CustomRun, at time.Time, status corev1.ConditionStatus, reason, message string) {
	now := apis.VolatileTime{Inner: metav1.NewTime(at)}
	if old := cr.Status.GetCondition(apis.ConditionSucceeded); old != nil && old.Status == status {
		now = old.LastTransitionTime
	}
	cr.Status.Conditions = []apis.Condition{{
		Type: apis.ConditionSucceeded, Status: status, Reason: reason, Message: strings.ReplaceAll(message, "\n", " "), LastTransitionTime: now,
	}}
	cr.Status.ObservedGeneration = cr.Generation
}

func setRunning(cr *v1beta1.CustomRun, at time.Time, reason, message string) {
	setCondition(cr, at, corev1.ConditionUnknown, reason, message)
}

func setOutcome(cr *v1beta1.CustomRun, at time.Time, o v1alpha1.Outcome) {
	status := corev1.ConditionFalse
	if o.Succeeded {
		status = corev1.ConditionTrue
	}
	setCondition(cr, at, status, o.Reason, o.Message)
}

func setResults(cr *v1beta1.CustomRun, results map[string]string) {
	cr.Status.Results = nil
	for _, k := range slices.Sorted(maps.Keys(results)) {
		cr.Status.Results = append(cr.Status.Results, v1beta1.CustomRunResult{Name: k, Value: results[k]})
	}
}

// behind says whether a run as the cache has it is older than what this process wrote last.
func (f *Frame) behind(cr *v1beta1.CustomRun) bool {
	last, ok := f.written.get(cr.UID)
	if !ok || last.resourceVersion == cr.ResourceVersion {
		return false
	}
	order, err := resourceversion.CompareResourceVersion(cr.ResourceVersion, last.resourceVersion)
	return err == nil && order < 0
}

// writeStatus writes the status where it changed, against the version that was read. A change of nothing but samples that bear out what is known waits
// until the last write is StatusEvery ago: later says when. The passes until then judge the same samples again.
func (r *Reconciler) writeStatus(ctx context.Context, before, after *v1beta1.CustomRun) (later time.Time, err error) {
	if equality.Semantic.DeepEqual(before.Status, after.Status) {
		return time.Time{}, nil
	}
	if last, ok := r.written.get(after.UID); ok && before.Status.StartTime != nil && sameForNow(before, after) {
		if next := last.at.Add(r.StatusEvery); r.Clock.Now().Before(next) {
			return next, nil
		}
	}
	out, err := r.Tekton.TektonV1beta1().CustomRuns(after.Namespace).UpdateStatus(ctx, after, metav1.UpdateOptions{})
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return r.Clock.Now().Add(time.Second), nil // decided on an old version: the event of the new one, or a second, brings us back.
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("writing the status of CustomRun %s/%s: %w", after.Namespace, after.Name, err)
	}
	r.written.put(after.UID, writtenStatus{resourceVersion: out.ResourceVersion, at: r.Clock.Now()})
	r.announce(ctx, before, after)
	return time.Time{}, nil
}

// sameForNow says whether two statuses differ in nothing that a person must see at once or that a restart needs.
func sameForNow(before, after *v1beta1.CustomRun) bool {
	if after.Status.CompletionTime != nil || len(before.Status.RetriesStatus) != len(after.Status.RetriesStatus) {
		return false
	}
	b, errB := statusOf(before)
	a, errA := statusOf(after)
	if errB != nil || errA != nil {
		return false
	}
	if counted(b.Guards, a.Guards) {
		return false
	}
	for _, st := range []*v1alpha1.RunStatus{a, b} {
		// Baselines are those of before the first move, whose write has them.
		st.Members, st.Best, st.Hop, st.Baselines = nil, nil, nil, nil
		if st.Waiting != nil {
			st.Waiting.For = ""
		}
		for i := range st.Guards {
			g := &st.Guards[i]
			// A sample and its time are held back together: after a crash it is taken again.
			g.Value, g.Message, g.LastSample, g.Metrics = "", "", nil, nil
			g.Samples, g.Failures, g.ConsecutiveErrors, g.Passes = 0, 0, 0, 0
		}
	}
	return equality.Semantic.DeepEqual(a, b)
}

// counted says whether a guard counted what its limits go by: a sample that was false or could not be judged, while it has not failed for good, or one that ended a row of
// true ones. The next pass may see other pods and judge the same sample otherwise, and what was false has to count all the same.
func counted(before, after []v1alpha1.GuardStatus) bool {
	if len(before) != len(after) {
		return true
	}
	for i := range after {
		b, a := &before[i], &after[i]
		failed := b.Verdict == v1alpha1.VerdictFail && a.Verdict == v1alpha1.VerdictFail
		if !failed && (a.Failures != b.Failures || a.ConsecutiveErrors != b.ConsecutiveErrors) || a.Passes < b.Passes {
			return true
		}
	}
	return false
}

// JSONList is a result of several strings: a JSON array, which reaches the next task as an array.
func JSONList(items []string) string {
	raw, err := json.Marshal(items)
	if err != nil {
		return "[]"
	}
	return string(raw)
}
