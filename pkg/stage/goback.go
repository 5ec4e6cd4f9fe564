package stage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/release"
	"github.com/periplus-dev/periplus/pkg/workload"
)

// GoBack takes back what a release touched: each workload to the revision that it was on before, under the limits that the release had. The newest
// come first in every pass, and none waits for another: what is in trouble keeps nothing else on a sick revision.
type GoBack struct {
	Spec *v1alpha1.RollbackSpec
}

// backState is what a way back needs to go on after a crash, beside what it observes.
type backState struct {
	// Cleared once the Before guards have passed, Moved when the first move was made, Settled when everything was first seen to be back.
	Cleared bool         `json:"cleared,omitempty"`
	Moved   *metav1.Time `json:"moved,omitempty"`
	Settled *metav1.Time `json:"settled,omitempty"`
	// Gone is since when members that do not answer are all that is waited for.
	Gone *metav1.Time `json:"gone,omitempty"`
	// Searched are members whose locks were read, and Unread workloads there whose lock cannot be: of a rollback that takes the record from members.
	Searched []string `json:"searched,omitempty"`
	Unread   []string `json:"unread,omitempty"`
}

// goneGrace is how long a member that does not answer is waited for before it is left behind (onUnreachable: Skip): one answer that got lost does not make it gone.
const goneGrace = 15 * time.Second

// goingBack is one pass.
type goingBack struct {
	*GoBack
	run   *Run
	state backState
	// entries that go back, newest first.
	entries []v1alpha1.Touched
	world   *World
	objects map[touchKey]workload.Object
	// left are workloads that cannot go back, or are none of the release's any more, each with the reason; gone are members that do not answer; open is what is
	// waited for, and wait the reason where it is none of the pods'.
	left map[touchKey]string
	gone []string
	open []string
	wait string
}

// touchKey names an entry of a release: workloads of two targets can stand for units of one name.
type touchKey struct{ member, kind, workload string }

func keyOfEntry(t *v1alpha1.Touched) touchKey { return touchKey{t.Member, t.Kind, t.Workload} }

func keyOfUnit(u *workload.Unit) touchKey { return touchKey{u.Member, u.Kind, u.Workload} }

// Step makes one pass.
func (g *GoBack) Step(ctx context.Context, run *Run) (Outcome, error) {
	p := &goingBack{GoBack: g, run: run, left: map[touchKey]string{}}
	if err := run.LoadState(&p.state); err != nil {
		p.state = backState{}
	}
	for _, link := range []func(context.Context) (*Outcome, error){
		p.find,     // the release, and what it touched
		p.begin,    // in the record: everything else of the release stands still from here
		p.look,     // at what was touched
		p.still,    // pauses and freezes
		p.clear,    // Before guards
		p.lock,     // what the release had let go of
		p.template, // that of the revision before
		p.during,   // During guards
		p.advance,  // partitions, under the limit
		p.settle,   // all pods back and available
		p.after,    // After guards
		p.finish,   // in the record: it is back
	} {
		out, err := link(ctx)
		if serr := run.SaveState(p.state); serr != nil {
			return Outcome{}, serr
		}
		if err != nil {
			if out, err := run.passing(err); err == nil {
				return p.timed(out), nil
			}
			return Outcome{}, err
		}
		if out != nil {
			return p.timed(*out), nil
		}
	}
	return Outcome{}, errors.New("a rollback that is neither done nor waits")
}

func (p *goingBack) timed(o Outcome) Outcome {
	if p.world == nil || (o.Reason == ReasonUnreachable && p.Spec.OnUnreachable == v1alpha1.UnreachableWait) {
		return o
	}
	return p.run.inTime(o, p.world, p.Spec.ProgressDeadline.Duration)
}

func (p *goingBack) find(ctx context.Context) (*Outcome, error) {
	p.run.Release = nil // what was touched last may not be in the cache yet.
	if err := p.run.SeeRelease(ctx); err != nil {
		return nil, err
	}
	if p.Spec.FromMembers != nil {
		if out, err := p.search(ctx); out != nil || err != nil {
			return out, err
		}
	}
	rel := p.run.Release
	if rel == nil && p.Spec.Release != "" {
		out := Fail(ReasonInvalid, fmt.Sprintf("spec.release: there is no Release %s in namespace %s", p.Spec.Release, p.run.Namespace))
		return &out, nil
	}
	if rel == nil && p.Spec.FromMembers != nil {
		out := p.nothingFound()
		return &out, nil
	}
	if rel == nil {
		out := Done("nothing was touched: nothing goes back", nil)
		return &out, nil
	}
	// Who pauses the release pauses its way back, whichever run that is.
	p.run.hands = append(p.run.hands, rel.Spec.Root.UID)
	for _, r := range rel.Status.Runs {
		if r.Role != v1alpha1.RoleChild {
			p.run.hands = append(p.run.hands, r.UID)
		}
	}
	for _, t := range slices.Backward(rel.Status.Touched) {
		if p.goesBack(&t) {
			p.entries = append(p.entries, t)
		}
	}
	slices.SortStableFunc(p.entries, func(x, y v1alpha1.Touched) int { return y.Time.Compare(x.Time.Time) })
	if len(p.entries) == 0 && p.Spec.FromMembers != nil {
		out := p.nothingFound()
		return &out, nil
	}
	if len(p.entries) == 0 {
		out := Done(fmt.Sprintf("release %s touched nothing here: nothing goes back", rel.Name), nil)
		return &out, nil
	}
	return nil, nil
}

// goesBack says whether what an entry tells of is taken back.
func (p *goingBack) goesBack(t *v1alpha1.Touched) bool {
	if p.Spec.FromMembers != nil {
		return t.Target == "" // what the run touched itself, by its targets, is another release's.
	}
	return p.Spec.Scope != v1alpha1.RollbackMember || slices.Contains(p.Spec.Members, t.Member)
}

// begin says in the record that the release goes back, so that everything else of it stands still. A rollback of the same release that is under way is waited for.
func (p *goingBack) begin(ctx context.Context) (*Outcome, error) {
	mine := func(b *v1alpha1.RollbackRecord) bool { return b != nil && b.Run != nil && b.Run.UID == p.run.UID }
	rel := p.run.Release
	if mine(rel.Status.Rollback) && release.GoingBack(rel) != nil {
		return nil, nil
	}
	if b := release.GoingBack(rel); b != nil && b.Run != nil {
		other, err := p.run.frame.Tekton.TektonV1beta1().CustomRuns(p.run.Namespace).Get(ctx, b.Run.Name, metav1.GetOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			return nil, fmt.Errorf("reading the rollback %s that is under way: %w", b.Run.Name, err)
		}
		if err == nil && other.UID == b.Run.UID && other.Status.CompletionTime == nil {
			out := Wait(ReasonGoingBack, fmt.Sprintf("release %s is being taken back by %s; waits for it", rel.Name, b.Run.Name)).WakeAt(p.run.LockRecheck())
			return &out, nil
		}
	}
	var members []string
	if p.Spec.Scope == v1alpha1.RollbackMember {
		members = p.Spec.Members
	}
	seen := rel.Status.Rollback
	err := p.run.record(ctx, func(st *v1alpha1.ReleaseStatus) bool {
		if !mine(st.Rollback) && !equality.Semantic.DeepEqual(st.Rollback, seen) {
			return false // another rollback was first: the next pass waits for it.
		}
		st.Phase, st.Released, st.Message = v1alpha1.ReleaseRollingBack, false, "going back"
		st.Rollback = &v1alpha1.RollbackRecord{
			Run: &v1alpha1.RunRef{Name: p.run.Name, UID: p.run.UID}, Initiator: p.run.Initiator, Scope: p.Spec.Scope, Members: members, Since: p.run.Stamp(),
		}
		return true
	})
	if err == nil && !mine(p.run.Release.Status.Rollback) {
		out := Wait(ReasonGoingBack, "another rollback of release "+rel.Name+" was first; waits for it").WakeAt(p.run.Now.Add(time.Second))
		return &out, nil
	}
	return nil, err
}

// finish writes in the record what is back. The release is rolled back once all that it touched is.
func (p *goingBack) finish(ctx context.Context) (*Outcome, error) {
	back := map[touchKey]string{}
	var waiting []string
	err := p.each(func(t *v1alpha1.Touched, o workload.Object) error {
		back[keyOfEntry(t)] = t.Previous.Revision
		for _, u := range o.Units {
			if n := u.WaitingOn[t.Revision]; n > 0 && t.Revision != t.Previous.Revision {
				waiting = append(waiting, fmt.Sprintf("%s: %d pods keep revision %s until they are created anew: %s", u.Ref(), n, t.Revision, u.WaitingFor))
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	missed := slices.Concat(p.gone, p.state.Unread, waiting)
	for i := range p.entries {
		if t := &p.entries[i]; p.left[keyOfEntry(t)] != "" {
			missed = append(missed, release.Place(t)+": "+p.left[keyOfEntry(t)])
		}
	}
	message := fmt.Sprintf("%d of %d workloads are back", len(back), len(p.entries))
	if len(missed) > 0 {
		message += "; not back: " + strings.Join(missed, "; ")
	}
	message += p.notLookedAt()
	err = p.run.record(ctx, func(st *v1alpha1.ReleaseStatus) bool {
		if st.Rollback == nil || st.Rollback.Run == nil || st.Rollback.Run.UID != p.run.UID {
			return false
		}
		at := p.run.Stamp()
		for i := range st.Touched {
			t := &st.Touched[i]
			if _, ok := back[keyOfEntry(t)]; ok && t.Back == nil {
				t.Back = &at
			}
		}
		st.Rollback.CompletionTime, st.Rollback.Message, st.Message = &at, shorten(message, 1000), shorten(message, 1000)
		st.Phase = v1alpha1.ReleaseRunning // whether the run is over is for the Release controller to see.
		if len(missed) == 0 && !slices.ContainsFunc(st.Touched, func(t v1alpha1.Touched) bool { return t.Back == nil }) {
			st.Phase = v1alpha1.ReleaseRolledBack
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	results := map[string]string{"members": JSONList(membersBack(p.entries, back)), "revision": revisionsBack(p.entries, back)}
	if len(missed) > 0 {
		out := Fail(ReasonLeftBehind, message)
		out.Results = results
		return &out, nil
	}
	out := Done(message, results)
	return &out, nil
}

func membersBack(entries []v1alpha1.Touched, back map[touchKey]string) []string {
	members := []string{}
	for i := range entries {
		t := &entries[i]
		if _, ok := back[keyOfEntry(t)]; ok && !slices.Contains(members, t.Member) {
			members = append(members, t.Member)
		}
	}
	return members
}

// revisionsBack is the one revision that everything went back to, or each unit's.
func revisionsBack(entries []v1alpha1.Touched, back map[touchKey]string) string {
	var all, revisions []string
	for i := range entries {
		t := &entries[i]
		if rev, ok := back[keyOfEntry(t)]; ok {
			all, revisions = append(all, release.Place(t)+"="+rev), append(revisions, rev)
		}
	}
	slices.Sort(revisions)
	if revisions = slices.Compact(revisions); len(revisions) == 1 {
		return revisions[0]
	}
	slices.Sort(all)
	return strings.Join(all, ",")
}

// Patience is how long a rollback that nobody asked for by hand waits at the most: the Release controller gives its runs this timeout.
const Patience = 24 * time.Hour
