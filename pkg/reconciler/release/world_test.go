package release

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	pipelinev1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	"github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	tektonfake "github.com/tektoncd/pipeline/pkg/client/clientset/versioned/fake"
	pipelinev1listers "github.com/tektoncd/pipeline/pkg/client/listers/pipeline/v1"
	pipelinev1beta1listers "github.com/tektoncd/pipeline/pkg/client/listers/pipeline/v1beta1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"knative.dev/pkg/apis"
	"knative.dev/pkg/controller"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	periplusfake "github.com/periplus-dev/periplus/pkg/client/clientset/versioned/fake"
	stageslisters "github.com/periplus-dev/periplus/pkg/client/listers/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/fleet"
	"github.com/periplus-dev/periplus/pkg/fleet/fleettest"
	"github.com/periplus-dev/periplus/pkg/plan"
	record "github.com/periplus-dev/periplus/pkg/release"
	"github.com/periplus-dev/periplus/pkg/stage"
	"github.com/periplus-dev/periplus/pkg/workload"
)

const (
	ns   = "shop"
	root = "web-1"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// quay is a hub of fakes with the closer on it, and workloads in memory. Time passes only when a test says so. Caches are what the API has at the beginning of
// a pass.
type quay struct {
	t        *testing.T
	clock    *clocktesting.FakeClock
	tekton   *tektonfake.Clientset
	periplus *periplusfake.Clientset
	caches   map[string]cache.Indexer
	docks    *docks
	closer   *closer
}

func newQuay(t *testing.T) *quay {
	t.Helper()
	q := &quay{t: t, clock: clocktesting.NewFakeClock(noon), tekton: tektonfake.NewSimpleClientset(), periplus: periplusfake.NewSimpleClientset(), caches: map[string]cache.Indexer{}}
	for _, name := range []string{"releases", "pipelineruns", "customruns", "interventions", "approvals"} {
		q.caches[name] = cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
	}
	q.tekton.PrependReactor("create", "customruns", func(action clienttesting.Action) (bool, runtime.Object, error) {
		if cr, ok := action.(clienttesting.CreateAction).GetObject().(*v1beta1.CustomRun); ok {
			cr.UID = types.UID(cr.Name + "-uid")
		}
		return false, nil, nil
	})
	q.docks = &docks{sets: map[string]*workload.Unit{}, silent: map[string]bool{}}
	opts, _ := fleettest.New(t, map[string]fleet.Clients{"m1": {}, "m2": {}})
	opts.Clock = q.clock
	f := fleet.New(opts)
	t.Cleanup(f.Stop)
	q.closer = &closer{
		releases: stageslisters.NewReleaseLister(q.caches["releases"]), pipelineRuns: pipelinev1listers.NewPipelineRunLister(q.caches["pipelineruns"]),
		customRuns: pipelinev1beta1listers.NewCustomRunLister(q.caches["customruns"]), interventions: stageslisters.NewInterventionLister(q.caches["interventions"]),
		approvals: stageslisters.NewApprovalLister(q.caches["approvals"]), client: q.periplus, tekton: q.tekton, fleet: stage.OverFleet(f),
		kinds: workload.Kinds{"InPlaceSet": q.docks}, records: &record.Records{Client: q.periplus}, locks: &record.Locks{Hub: "hub", Client: q.periplus},
		clock: q.clock, enqueue: func(types.NamespacedName) {}, retention: DefaultRetention,
	}
	return q
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// list gives what the API has, by resource.
func (q *quay) list(resource string) []any {
	q.t.Helper()
	ctx, opts := context.Background(), metav1.ListOptions{}
	var out []any
	switch stages, tekton := q.periplus.StagesV1alpha1(), q.tekton; resource {
	case "releases":
		for _, o := range must(stages.Releases(ns).List(ctx, opts))(q.t).Items {
			out = append(out, &o)
		}
	case "interventions":
		for _, o := range must(stages.Interventions(ns).List(ctx, opts))(q.t).Items {
			out = append(out, &o)
		}
	case "approvals":
		for _, o := range must(stages.Approvals(ns).List(ctx, opts))(q.t).Items {
			out = append(out, &o)
		}
	case "pipelineruns":
		for _, o := range must(tekton.TektonV1().PipelineRuns(ns).List(ctx, opts))(q.t).Items {
			out = append(out, &o)
		}
	case "customruns":
		for _, o := range must(tekton.TektonV1beta1().CustomRuns(ns).List(ctx, opts))(q.t).Items {
			out = append(out, &o)
		}
	}
	return out
}

// pass makes one pass over the release, with caches that are up to date. It gives when the next one is asked for, zero where none is.
func (q *quay) pass() time.Duration {
	q.t.Helper()
	after, err := q.try()
	if err != nil {
		q.t.Fatal(err)
	}
	return after
}

func (q *quay) try() (time.Duration, error) {
	q.t.Helper()
	for name, c := range q.caches {
		if err := c.Replace(q.list(name), ""); err != nil {
			q.t.Fatal(err)
		}
	}
	err := q.closer.reconcile(context.Background(), types.NamespacedName{Namespace: ns, Name: relName})
	if ok, after := controller.IsRequeueKey(err); ok {
		return after, nil
	}
	return 0, err
}

// settle makes passes until nothing is written any more.
func (q *quay) settle() {
	q.t.Helper()
	for range 20 {
		n := q.writes()
		q.pass()
		if q.writes() == n {
			return
		}
	}
	q.t.Fatal("it never settled")
}

// writes counts what was written so far.
func (q *quay) writes() int {
	n := q.docks.writes
	for _, a := range append(q.periplus.Actions(), q.tekton.Actions()...) {
		if v := a.GetVerb(); v != "get" && v != "list" && v != "watch" {
			n++
		}
	}
	return n
}

// relName is the name of the release that the stories are about.
var relName = record.Name(v1alpha1.RootRef{Name: root, UID: root + "-uid"})

// store puts objects into the API.
func (q *quay) store(objs ...runtime.Object) {
	q.t.Helper()
	for _, o := range objs {
		var err error
		switch o.(type) {
		case *pipelinev1.PipelineRun, *v1beta1.CustomRun:
			err = q.tekton.Tracker().Add(o)
		default:
			err = q.periplus.Tracker().Add(o)
		}
		if err != nil {
			q.t.Fatal(err)
		}
	}
}

// release stores the release, running, which has touched dca of m1 and of m2, each with its lock on.
func (q *quay) release(change ...func(*v1alpha1.Release)) {
	q.t.Helper()
	rel := &v1alpha1.Release{
		ObjectMeta: metav1.ObjectMeta{Name: relName, Namespace: ns, UID: "rel-uid", CreationTimestamp: metav1.NewTime(noon.Add(-time.Hour))},
		Spec:       v1alpha1.ReleaseSpec{Root: v1alpha1.RootRef{Kind: "PipelineRun", Name: root, UID: root + "-uid"}, Initiator: "alice"},
		Status: v1alpha1.ReleaseStatus{Phase: v1alpha1.ReleaseRunning, Runs: []v1alpha1.ReleaseRun{
			{Kind: "PipelineRun", Name: root, UID: root + "-uid", Role: v1alpha1.RoleRoot, Since: metav1.NewTime(noon.Add(-time.Hour))},
		}},
	}
	for i, m := range []string{"m1", "m2"} {
		rel.Status.Touched = append(rel.Status.Touched, v1alpha1.Touched{
			Member: m, Kind: "InPlaceSet", Workload: "web-dca", Unit: "dca", UID: types.UID(m + "-set"), Time: metav1.NewTime(noon.Add(time.Duration(i-60) * time.Minute)),
			Previous: v1alpha1.Previous{Revision: "v1"}, Revision: "v2", Target: "web",
		})
	}
	for _, c := range change {
		c(rel)
	}
	q.store(rel)
	for _, m := range []string{"m1", "m2"} {
		u := &workload.Unit{Member: m, Name: "dca", Kind: "InPlaceSet", Namespace: ns, Workload: "web-dca", UID: types.UID(m + "-set"), ResourceVersion: "1", Partition: ptr.To(plan.PartitionFor(1, 4))}
		u.Lock = q.closer.locks.For(rel, workload.Object{Units: []*workload.Unit{u}}, metav1.NewTime(noon))
		q.docks.sets[m] = u
	}
}

// record reads the release, nil where it is gone.
func (q *quay) record() *v1alpha1.Release {
	q.t.Helper()
	rel, err := q.periplus.StagesV1alpha1().Releases(ns).Get(context.Background(), relName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return must(rel, err)(q.t)
}

// edit changes the record as a stage would.
func (q *quay) edit(change func(*v1alpha1.ReleaseStatus)) {
	q.t.Helper()
	rel := q.record()
	change(&rel.Status)
	must(q.periplus.StagesV1alpha1().Releases(ns).UpdateStatus(context.Background(), rel, metav1.UpdateOptions{}))(q.t)
}

// pipelineRun stores a PipelineRun that goes on.
func (q *quay) pipelineRun(name string, change ...func(*pipelinev1.PipelineRun)) {
	q.t.Helper()
	pr := &pipelinev1.PipelineRun{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: ns, UID: types.UID(name + "-uid")}}
	pr.Status.SetCondition(&apis.Condition{Type: apis.ConditionSucceeded, Status: corev1.ConditionUnknown, Reason: "Running"})
	for _, c := range change {
		c(pr)
	}
	q.store(pr)
}

// ends has a PipelineRun be over.
func (q *quay) ends(name string, status corev1.ConditionStatus, reason string) {
	q.t.Helper()
	api := q.tekton.TektonV1().PipelineRuns(ns)
	pr := must(api.Get(context.Background(), name, metav1.GetOptions{}))(q.t)
	pr.Status.SetCondition(&apis.Condition{Type: apis.ConditionSucceeded, Status: status, Reason: reason, Message: "as the test says"})
	must(api.UpdateStatus(context.Background(), pr, metav1.UpdateOptions{}))(q.t)
}

// stage stores a stage of a run, begun and not over.
func (q *quay) stage(run, name string) {
	q.t.Helper()
	cr := &v1beta1.CustomRun{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: ns, UID: types.UID(name + "-uid"), Finalizers: []string{stage.FinalizerName},
		OwnerReferences: []metav1.OwnerReference{{APIVersion: "tekton.dev/v1", Kind: "PipelineRun", Name: run, UID: types.UID(run + "-uid")}}}}
	cr.Status.StartTime = &metav1.Time{Time: noon}
	q.store(cr)
}

// customRun changes a CustomRun.
func (q *quay) customRun(name string, change func(*v1beta1.CustomRun)) {
	q.t.Helper()
	api := q.tekton.TektonV1beta1().CustomRuns(ns)
	cr := must(api.Get(context.Background(), name, metav1.GetOptions{}))(q.t)
	change(cr)
	must(api.UpdateStatus(context.Background(), cr, metav1.UpdateOptions{}))(q.t)
}

// over ends a CustomRun.
func (q *quay) over(name string, status corev1.ConditionStatus, reason string) {
	q.t.Helper()
	q.customRun(name, func(cr *v1beta1.CustomRun) {
		cr.Status.CompletionTime = &metav1.Time{Time: q.clock.Now()}
		cr.Status.SetCondition(&apis.Condition{Type: apis.ConditionSucceeded, Status: status, Reason: reason, Message: "as the test says"})
	})
}

// intervene stores what carol did to a run.
func (q *quay) intervene(name string, action v1alpha1.Action, run string) {
	q.store(&v1alpha1.Intervention{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: ns, UID: types.UID(name + "-0000-uid"), CreationTimestamp: metav1.NewTime(q.clock.Now())},
		Spec:       v1alpha1.InterventionSpec{RunRef: v1alpha1.RootRef{Kind: "PipelineRun", Name: run, UID: types.UID(run + "-uid")}, Action: action, Message: "sick", User: "carol"},
	})
}

// rollbacks are the runs that were made to take the release back.
func (q *quay) rollbacks() []*v1beta1.CustomRun {
	var out []*v1beta1.CustomRun
	for _, o := range q.list("customruns") {
		if cr := o.(*v1beta1.CustomRun); stage.Ours(cr, "Rollback") {
			out = append(out, cr)
		}
	}
	return out
}

// begins has the record say that a run takes the release back, as the run's first step does.
func (q *quay) begins(run *v1beta1.CustomRun, change ...func(*v1alpha1.RollbackRecord)) {
	q.t.Helper()
	q.edit(func(st *v1alpha1.ReleaseStatus) {
		st.Phase, st.Released = v1alpha1.ReleaseRollingBack, false
		st.Rollback = &v1alpha1.RollbackRecord{Run: &v1alpha1.RunRef{Name: run.Name, UID: run.UID}, Scope: v1alpha1.RollbackRelease, Since: metav1.NewTime(q.clock.Now())}
		for _, c := range change {
			c(st.Rollback)
		}
	})
}

// goesBack has a rollback be done: what it covers is back.
func (q *quay) goesBack(members ...string) {
	q.t.Helper()
	at := metav1.NewTime(q.clock.Now())
	q.edit(func(st *v1alpha1.ReleaseStatus) {
		st.Phase = v1alpha1.ReleaseRolledBack
		for i := range st.Touched {
			for _, m := range members {
				if st.Touched[i].Member == m {
					st.Touched[i].Back = &at
				}
			}
			if st.Touched[i].Back == nil {
				st.Phase = v1alpha1.ReleaseRunning
			}
		}
		st.Rollback.CompletionTime, st.Rollback.Message = &at, fmt.Sprintf("%d members are back", len(members))
	})
}

// locked are the members whose workload carries a lock.
func (q *quay) locked() string {
	out := ""
	for _, m := range []string{"m1", "m2"} {
		if q.docks.sets[m].Lock != nil {
			out += m + " "
		}
	}
	return out
}

// docks are the workloads, one in each member.
type docks struct {
	sets   map[string]*workload.Unit
	second map[string]*workload.Unit // another unit of the same workload
	silent map[string]bool           // members that do not answer
	fail   error                     // of the next write
	writes int
}

var _ workload.Kind = (*docks)(nil)

func (d *docks) Observe(workload.Session, string, string, v1alpha1.WorkloadRef) ([]workload.Unit, bool, error) {
	return nil, false, errors.New("the closer watches nothing")
}

func (d *docks) Template(context.Context, workload.Session, *workload.Unit, string) (*corev1.PodTemplateSpec, error) {
	return nil, errors.New("the closer changes no template")
}

func (d *docks) Get(_ context.Context, _ workload.Session, member, _, name string) (workload.Object, error) {
	if d.silent[member] {
		return workload.Object{}, &fleet.UnreachableError{Member: member, Since: noon, Err: errors.New("no answer")}
	}
	u, there := d.sets[member]
	if !there || u.Workload != name {
		return workload.Object{}, fmt.Errorf("%w: %s", workload.ErrNotFound, name)
	}
	c := *u
	out := workload.Object{Units: []*workload.Unit{&c}}
	if other := d.second[member]; other != nil {
		c := *other
		out.Units = append(out.Units, &c)
	}
	return out, nil
}

func (d *docks) Write(_ context.Context, _ workload.Session, o workload.Object, w workload.Write) error {
	u := o.First()
	if err := d.fail; err != nil {
		d.fail = nil
		return err
	}
	at := d.sets[u.Member]
	if at.ResourceVersion != u.ResourceVersion {
		return apierrors.NewConflict(schema.GroupResource{Resource: "inplacesets"}, u.Workload, errors.New("changed meanwhile"))
	}
	d.writes++
	for _, x := range []*workload.Unit{at, d.second[u.Member]} {
		if x == nil {
			continue
		}
		if p, ok := w.Partitions[x.Name]; ok {
			x.Partition = &p
		}
	}
	if w.Unlock {
		at.Lock = nil
	}
	n, _ := strconv.Atoi(at.ResourceVersion)
	at.ResourceVersion = strconv.Itoa(n + 1)
	return nil
}
