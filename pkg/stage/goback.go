package stage

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/plan"
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
}

// goingBack is one pass.
type goingBack struct {
	*GoBack
	run   *Run
	state backState
	// entries that go back, newest first.
	entries []v1alpha1.Touched
	world   *World
	// left are units that cannot go back, or are none of the release's any more, each with the reason; gone are members that do not answer; open is what is
	// waited for, and wait the reason where it is none of the pods'.
	left map[string]string
	gone []string
	open []string
	wait string
}

// Step makes one pass.
func (g *GoBack) Step(ctx context.Context, run *Run) (Outcome, error) {
	p := &goingBack{GoBack: g, run: run, left: map[string]string{}}
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
	rel := p.run.Release
	if rel == nil && p.Spec.Release != "" {
		out := Fail(ReasonInvalid, fmt.Sprintf("spec.release: there is no Release %s in namespace %s", p.Spec.Release, p.run.Namespace))
		return &out, nil
	}
	if rel == nil {
		out := Done("nothing was touched: nothing goes back", nil)
		return &out, nil
	}
	for _, t := range slices.Backward(rel.Status.Touched) {
		if p.Spec.Scope != v1alpha1.RollbackMember || slices.Contains(p.Spec.Members, t.Member) {
			p.entries = append(p.entries, t)
		}
	}
	slices.SortStableFunc(p.entries, func(x, y v1alpha1.Touched) int { return y.Time.Compare(x.Time.Time) })
	if len(p.entries) == 0 {
		out := Done(fmt.Sprintf("release %s touched nothing here: nothing goes back", rel.Name), nil)
		return &out, nil
	}
	return nil, nil
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
	return nil, p.run.record(ctx, func(st *v1alpha1.ReleaseStatus) bool {
		st.Phase, st.Released, st.Message = v1alpha1.ReleaseRollingBack, false, "going back"
		st.Rollback = &v1alpha1.RollbackRecord{
			Run: &v1alpha1.RunRef{Name: p.run.Name, UID: p.run.UID}, Initiator: p.run.Initiator, Scope: p.Spec.Scope, Members: members, Since: p.run.Stamp(),
		}
		return true
	})
}

// observeTouched looks at workloads that were touched.
func (r *Run) observeTouched(entries []v1alpha1.Touched) (*World, error) {
	var members []string
	refs := map[string][]v1alpha1.WorkloadRef{}
	for _, t := range entries {
		if !slices.Contains(members, t.Member) {
			members = append(members, t.Member)
		}
		refs[t.Member] = append(refs[t.Member], v1alpha1.WorkloadRef{APIVersion: "apps.periplus.dev/v1alpha1", Kind: t.Kind, Name: t.Workload})
	}
	return r.observe(members, refs)
}

func (p *goingBack) look(context.Context) (*Outcome, error) {
	var err error
	if p.world, err = p.run.observeTouched(p.entries); err != nil {
		return nil, err
	}
	p.run.Progress(p.world, membersOf(p.world), func(u *workload.Unit) int32 { return u.Replicas })
	for _, m := range p.world.Missing {
		switch {
		case m.Reason == ReasonConnecting:
			p.open, p.wait = append(p.open, m.Message), ReasonConnecting
		case m.Unreachable:
			p.gone = append(p.gone, m.Message)
		}
	}
	for _, t := range p.entries {
		u := p.unit(t)
		hidden := slices.ContainsFunc(p.world.Missing, func(m Missing) bool { return m.Member == t.Member && !m.NotFound })
		switch {
		case u == nil && !hidden:
			p.left[t.Member+"/"+t.Unit] = fmt.Sprintf("%s %s is not there any more", t.Kind, t.Workload)
		case u == nil:
		case u.UID != t.UID:
			p.left[u.Ref()] = fmt.Sprintf("%s %s was deleted and made anew since: it is left as it is", u.Kind, u.Workload)
		case t.Previous.Revision == "":
			p.left[u.Ref()] = fmt.Sprintf("it is not known which revision %s %s was on", u.Kind, u.Workload)
		case u.Observed && t.Revision != "" && u.UpdateRevision != t.Revision && u.UpdateRevision != t.Previous.Revision:
			p.left[u.Ref()] = fmt.Sprintf("%s %s was changed by somebody else since, to revision %s: it is left as it is", u.Kind, u.Workload, u.UpdateRevision)
		}
	}
	return nil, nil
}

func (p *goingBack) unit(t v1alpha1.Touched) *workload.Unit {
	for i := range p.world.Units {
		if u := &p.world.Units[i]; u.Member == t.Member && u.Kind == t.Kind && u.Workload == t.Workload {
			return u
		}
	}
	return nil
}

// each does something to every unit that goes back, newest first, whatever becomes of the others.
func (p *goingBack) each(do func(t *v1alpha1.Touched, u *workload.Unit) error) error {
	var errs []error
	for i := range p.entries {
		t := &p.entries[i]
		u := p.unit(*t)
		if u == nil || p.left[u.Ref()] != "" {
			continue
		}
		if err := do(t, u); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (p *goingBack) members() []string { return membersOf(p.world) }

func (p *goingBack) still(ctx context.Context) (*Outcome, error) {
	stop, err := p.run.StandStill(p.members())
	if err != nil || stop == nil {
		return nil, err
	}
	if _, _, err := p.run.haltIn(ctx, p.world); err != nil {
		return nil, err
	}
	stop.Message += "; the way back stands still"
	return stop, nil
}

func (p *goingBack) judging() Judging {
	j := Judging{World: p.world, Members: p.members(), Step: 1, Want: func(u *workload.Unit) int32 { return u.Replicas }}
	if p.state.Moved != nil {
		j.FirstMoved = p.state.Moved.Time
	}
	if p.state.Settled != nil {
		j.Moved = p.state.Settled.Time
	}
	return j
}

func (p *goingBack) clear(context.Context) (*Outcome, error) {
	if p.state.Cleared {
		return nil, nil
	}
	sum, wake := p.run.Judge(v1alpha1.Before, p.judging())
	if out := GuardOutcome(sum, p.Spec.OnGuardFailure, wake); out != nil {
		return out, nil
	}
	p.state.Cleared = true
	return nil, nil
}

// lock takes the locks that the release has let go of, each by itself: what is free goes back, whatever holds the others.
func (p *goingBack) lock(ctx context.Context) (*Outcome, error) {
	locks := p.run.frame.Locks
	return nil, p.each(func(t *v1alpha1.Touched, u *workload.Unit) error {
		if locks.Mine(p.run.Release, u.Lock) {
			return nil
		}
		err := locks.Check(ctx, p.run.Release, u)
		if held, ok := release.IsHeld(err); ok {
			p.left[u.Ref()] = held.Error()
			return nil
		}
		if err != nil {
			return err
		}
		lock := locks.For(p.run.Release, u, p.run.Stamp())
		lock.Previous = t.Previous
		p.open, p.wait = append(p.open, u.Ref()+": taking the lock"), ReasonPreparing
		return p.run.write(ctx, p.world, u, workload.Write{What: "taking the lock", Lock: lock})
	})
}

// template writes that of the revision before, with every pod held where it is.
func (p *goingBack) template(ctx context.Context) (*Outcome, error) {
	return nil, p.each(func(t *v1alpha1.Touched, u *workload.Unit) error {
		switch {
		case !p.run.frame.Locks.Mine(p.run.Release, u.Lock):
			return nil
		case !u.Observed:
			p.open = append(p.open, fmt.Sprintf("%s: the controller of %s %s is to observe it", u.Ref(), u.Kind, u.Workload))
			return nil
		case u.UpdateRevision == t.Previous.Revision:
			return nil
		}
		template, err := p.world.kinds[u.Kind].Template(ctx, p.world.sessions[u.Member], u, t.Previous.Revision)
		if errors.Is(err, workload.ErrNotFound) {
			p.left[u.Ref()] = err.Error()
			return nil
		}
		if err != nil {
			return err
		}
		p.begun()
		p.open = append(p.open, u.Ref()+": wrote the template of revision "+t.Previous.Revision)
		return p.run.write(ctx, p.world, u, workload.Write{What: "writing the template of revision " + t.Previous.Revision + ", held back", Template: template, Partition: ptr.To(plan.Held())})
	})
}

func (p *goingBack) begun() {
	if p.state.Moved == nil {
		at := p.run.Stamp()
		p.state.Moved = &at
	}
}

func (p *goingBack) during(context.Context) (*Outcome, error) {
	if p.state.Moved == nil {
		return nil, nil
	}
	sum, wake := p.run.Judge(v1alpha1.During, p.judging())
	p.run.wakeAt = earlier(p.run.wakeAt, wake)
	if out := GuardOutcome(sum, p.Spec.OnGuardFailure, wake); out != nil && Stops(sum) && len(sum.Failed) > 0 {
		return out, nil
	}
	return nil, nil
}

// there says whether a unit's template is that of the revision before, as its controller has seen it.
func (p *goingBack) there(t *v1alpha1.Touched, u *workload.Unit) bool {
	return u.Observed && u.UpdateRevision == t.Previous.Revision && p.run.frame.Locks.Mine(p.run.Release, u.Lock)
}

func (p *goingBack) advance(ctx context.Context) (*Outcome, error) {
	return nil, p.each(func(t *v1alpha1.Touched, u *workload.Unit) error {
		if !p.there(t, u) {
			return nil
		}
		limit := int32(-1)
		if t.MaxUnavailable != nil {
			n, err := plan.MaxUnavailable(t.MaxUnavailable, u.Replicas)
			if err != nil {
				return fmt.Errorf("maxUnavailable that %s was touched under: %w", u.Ref(), err)
			}
			limit = n
		}
		next, move := plan.Advance(u.PlanState(), u.Replicas, limit)
		if !move {
			return nil
		}
		p.begun()
		partition := plan.PartitionFor(next, u.Replicas)
		p.open = append(p.open, fmt.Sprintf("%s: lets %d of %d pods be on revision %s", u.Ref(), next, u.Replicas, t.Previous.Revision))
		return p.run.write(ctx, p.world, u, workload.Write{What: fmt.Sprintf("letting %d pods go back", next), Partition: &partition})
	})
}

// settle waits until every pod of what can go back is on the revision before and available.
func (p *goingBack) settle(context.Context) (*Outcome, error) {
	err := p.each(func(t *v1alpha1.Touched, u *workload.Unit) error {
		c := u.Count()
		for i := range u.Pods {
			p.run.wakeAt = earlier(p.run.wakeAt, u.Pods[i].AvailableAt)
		}
		if !p.there(t, u) || c.UpdatedAvailable >= u.Replicas {
			return nil
		}
		what := fmt.Sprintf("%s: %d of %d pods back, %d available", u.Ref(), c.Updated, u.Replicas, c.UpdatedAvailable)
		if f := u.Failing(); f != nil {
			what += "; " + troubleOf(f)
		}
		p.open = append(p.open, what)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(p.open) > 0 {
		reason := ReasonUpdatingPods
		if p.wait != "" {
			reason = p.wait
		}
		out := Wait(reason, cutTo(strings.Join(p.open, "; "), 900))
		return &out, nil
	}
	if len(p.gone) > 0 && p.Spec.OnUnreachable == v1alpha1.UnreachableWait {
		out := Wait(ReasonUnreachable, "the others are back; "+strings.Join(p.gone, "; "))
		return &out, nil
	}
	if p.state.Settled == nil {
		at := p.run.Stamp()
		p.state.Settled = &at
	}
	return nil, nil
}

func (p *goingBack) after(context.Context) (*Outcome, error) {
	p.begun()
	for _, when := range []v1alpha1.GuardWhen{v1alpha1.During, v1alpha1.After} {
		sum, wake := p.run.Judge(when, p.judging())
		if out := GuardOutcome(sum, p.Spec.OnGuardFailure, wake); out != nil {
			return out, nil
		}
	}
	return nil, nil
}

// finish writes in the record what is back. The release is rolled back once all that it touched is.
func (p *goingBack) finish(ctx context.Context) (*Outcome, error) {
	back := map[string]string{}
	err := p.each(func(t *v1alpha1.Touched, u *workload.Unit) error {
		back[u.Ref()] = t.Previous.Revision
		return nil
	})
	if err != nil {
		return nil, err
	}
	missed := slices.Clone(p.gone)
	for _, ref := range slices.Sorted(maps.Keys(p.left)) {
		missed = append(missed, ref+": "+p.left[ref])
	}
	message := fmt.Sprintf("%d of %d workloads are back", len(back), len(p.entries))
	if len(missed) > 0 {
		message += "; not back: " + strings.Join(missed, "; ")
	}
	err = p.run.record(ctx, func(st *v1alpha1.ReleaseStatus) bool {
		at := p.run.Stamp()
		for i := range st.Touched {
			t := &st.Touched[i]
			if _, ok := back[t.Member+"/"+t.Unit]; ok && t.Back == nil {
				t.Back = &at
			}
		}
		st.Rollback.CompletionTime, st.Rollback.Message, st.Message = &at, cutTo(message, 1000), cutTo(message, 1000)
		st.Phase = v1alpha1.ReleaseRunning // whether the run is over is for the Release controller to see.
		if !slices.ContainsFunc(st.Touched, func(t v1alpha1.Touched) bool { return t.Back == nil }) {
			st.Phase = v1alpha1.ReleaseRolledBack
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	results := map[string]string{"members": JSONList(membersBack(p.entries, back)), "revision": revisionsBack(back)}
	if len(missed) > 0 {
		out := Fail(ReasonLeftBehind, message)
		out.Results = results
		return &out, nil
	}
	out := Done(message, results)
	return &out, nil
}

func membersBack(entries []v1alpha1.Touched, back map[string]string) []string {
	members := []string{}
	for _, t := range entries {
		if _, ok := back[t.Member+"/"+t.Unit]; ok && !slices.Contains(members, t.Member) {
			members = append(members, t.Member)
		}
	}
	return members
}

// revisionsBack is the one revision that everything went back to, or each unit's.
func revisionsBack(back map[string]string) string {
	var all []string
	same := map[string]bool{}
	for ref, rev := range back {
		all = append(all, ref+"="+rev)
		same[rev] = true
	}
	if len(same) == 1 {
		for rev := range same {
			return rev
		}
	}
	slices.Sort(all)
	return strings.Join(all, ",")
}

// Patience is how long a rollback that nobody asked for by hand waits at the most: the Release controller gives its runs this timeout.
const Patience = 24 * time.Hour
