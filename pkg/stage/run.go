package stage

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	pipelinev1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	"github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/guard"
	"github.com/periplus-dev/periplus/pkg/release"
	"github.com/periplus-dev/periplus/pkg/workload"
)

// Run is one attempt of one stage, as a task sees it.
type Run struct {
	Namespace string
	Name      string
	UID       types.UID
	// Task is the pipeline task's name, or the run's own where no pipeline made it.
	Task string
	// Root run that carries the release, and its Release.
	Root    v1alpha1.RootRef
	Release *v1alpha1.Release
	// Initiator who created the root run, or for whom Account did, where a ReleasePolicy believes that account; empty where it is not known.
	Initiator string
	// Carrier is <pipeline task of the ClusterHop>/<member> where this is a stage of a child that a ClusterHop made.
	Carrier string
	Account string

	Spec     Spec
	Admitted *v1alpha1.Admitted
	// Status is kept between steps.
	Status *v1alpha1.RunStatus
	// Now is the time of this step. Started is when this attempt began.
	Now     time.Time
	Started time.Time
	Timeout time.Duration

	// Approvals in the run's namespace that name this run.
	Approvals []*v1alpha1.Approval

	frame  *Frame
	guards *guard.Set
	// asking is true once a guard was judged that waits for its sources' first answer.
	asking bool
	wake   func()
	wakeAt time.Time
	// carriers are the runs that carry the release of this stage, its own PipelineRun first.
	carriers []carrier
	// moves is true where the stage moves workloads, back where it takes a release back, and then of is that release's name where it is not the root run's.
	moves bool
	back  bool
	of    string
	// hands are the UIDs of the runs that interventions may name to mean this one: its own PipelineRun's and the root's.
	hands []types.UID
	// pipelineRun that made the stage, nil where none did, it is gone or it is a child's. retries is true where it carries on a release that another began.
	pipelineRun *pipelinev1.PipelineRun
	retries     bool
	// joined is when the run that the stage belongs to was created.
	joined time.Time
	// serviceAccount that tasks of the pipeline run as.
	serviceAccount string
}

// joinedAfter says whether the stage belongs to a run that was made after a time: a retry, and not one of those that stood by meanwhile.
func (r *Run) joinedAfter(at time.Time) bool { return r.joined.After(at) }

// Deadline is when the attempt times out; zero where it never does.
func (r *Run) Deadline() time.Time {
	if r.Timeout == 0 {
		return time.Time{}
	}
	return r.Started.Add(r.Timeout)
}

// LockRecheck is when to look again whether a workload that another release holds is free, should no event say so.
func (r *Run) LockRecheck() time.Time { return r.Now.Add(r.frame.LockRecheck) }

// LoadState reads the stage's own state; into stays as it is where there is none. After an error into may be half filled: start over with an empty one.
func (r *Run) LoadState(into any) error {
	if r.Status.State == nil || len(r.Status.State.Raw) == 0 {
		return nil
	}
	if err := json.Unmarshal(r.Status.State.Raw, into); err != nil {
		return fmt.Errorf("status.extraFields.state of %s/%s cannot be read: %w", r.Namespace, r.Name, err)
	}
	return nil
}

// SaveState keeps the stage's own state for the next step.
func (r *Run) SaveState(state any) error {
	raw, err := json.Marshal(state)
	if err != nil {
		return fmt.Errorf("encoding the state of %s/%s: %w", r.Namespace, r.Name, err)
	}
	r.Status.State = &runtime.RawExtension{Raw: raw}
	return nil
}

// Stamp is now as the API keeps times, in whole seconds, rounded up: what must last so long from here does not end early.
func (r *Run) Stamp() metav1.Time {
	return metav1.NewTime(r.Now.Add(time.Second - 1).Truncate(time.Second))
}

// OpenRelease makes sure that the release's record exists, and reads it as the API server has it, before anything is locked or moved.
func (r *Run) OpenRelease(ctx context.Context) error {
	hash := ""
	if r.pipelineRun != nil {
		var err error
		if hash, err = r.frame.contentHash(ctx, r.pipelineRun); err != nil {
			return err
		}
	}
	rel, err := r.frame.Records.Open(ctx, r.Namespace, v1alpha1.ReleaseSpec{Root: r.Root, Initiator: r.Initiator, ContentHash: hash})
	if err != nil {
		return err
	}
	r.Release = rel
	r.Status.Release = rel.Name
	return nil
}

// record changes the release's record.
func (r *Run) record(ctx context.Context, change func(*v1alpha1.ReleaseStatus) bool) error {
	rel, err := r.frame.Records.Update(ctx, r.Namespace, r.Release.Name, change)
	if err != nil {
		return err
	}
	r.Release = rel
	return nil
}

// Touched returns the record's entry for a unit, or nil.
func (r *Run) Touched(u *workload.Unit) *v1alpha1.Touched {
	if r.Release == nil {
		return nil
	}
	return release.Find(&r.Release.Status, u.Member, u.Kind, u.Workload)
}

// taskName is the pipeline task's name, or the run's own.
func taskName(cr *v1beta1.CustomRun) string {
	if t := cr.Labels["tekton.dev/pipelineTask"]; t != "" {
		return t
	}
	return cr.Name
}

// LockedByAnother says which release other than this run's holds a unit, or nil.
func (r *Run) LockedByAnother(ctx context.Context, u *workload.Unit) (*release.HeldError, error) {
	rel := r.Release
	if rel == nil {
		rel = &v1alpha1.Release{}
	}
	err := r.frame.Locks.Check(ctx, rel, u)
	if held, ok := release.IsHeld(err); ok {
		return held, nil
	}
	return nil, err
}

// recall reads the record from the API server before a run ends: the status may not say yet that there is one, and the cache not yet what
// was touched, where a crash came between.
func (r *Run) recall(ctx context.Context) error {
	if r.Admitted == nil || (r.Admitted.Target == nil && !r.back) {
		return nil
	}
	r.Release = nil
	return r.SeeRelease(ctx)
}

// SeeRelease reads the record of this run's release if there is one, and makes none.
func (r *Run) SeeRelease(ctx context.Context) error {
	if r.Release != nil {
		return nil
	}
	var rel *v1alpha1.Release
	var err error
	if r.of != "" {
		rel, err = r.frame.Records.Read(ctx, r.Namespace, r.of)
	} else {
		rel, err = r.frame.Records.See(ctx, r.Namespace, r.Root)
	}
	if err != nil || rel == nil {
		return err
	}
	r.Release, r.Status.Release = rel, rel.Name
	return nil
}
