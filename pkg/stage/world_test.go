package stage_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	pipelinev1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	"github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	tektonfake "github.com/tektoncd/pipeline/pkg/client/clientset/versioned/fake"
	pipelinev1listers "github.com/tektoncd/pipeline/pkg/client/listers/pipeline/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	kubefake "k8s.io/client-go/kubernetes/fake"
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
	"github.com/periplus-dev/periplus/pkg/release"
	"github.com/periplus-dev/periplus/pkg/stage"
	"github.com/periplus-dev/periplus/pkg/workload"
	"github.com/periplus-dev/periplus/tasks/betabatch"
	"github.com/periplus-dev/periplus/tasks/canary"
	"github.com/periplus-dev/periplus/tasks/clusterhop"
	"github.com/periplus-dev/periplus/tasks/confirm"
	"github.com/periplus-dev/periplus/tasks/partitionbump"
	"github.com/periplus-dev/periplus/tasks/rollback"
)

// sea is a hub with fake API servers and members whose workloads are kept in memory. Time passes only when a test says so.
type sea struct {
	t        *testing.T
	clock    *clocktesting.FakeClock
	tekton   *tektonfake.Clientset
	periplus *periplusfake.Clientset
	prs      cache.Indexer
	answers  cache.Indexer
	releases cache.Indexer
	hands    cache.Indexer
	freezes  cache.Indexer
	ships    *ships
	cables   *cables
	members  *fleettest.Members
	kube     *kubefake.Clientset
	frame    *stage.Frame
	log      *journal
}

// journal is the order in which writes landed.
type journal struct {
	mu      sync.Mutex
	entries []string
}

func (j *journal) add(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.entries = append(j.entries, fmt.Sprintf(format, args...))
}

func (j *journal) all() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]string{}, j.entries...)
}

func (j *journal) has(part string) bool {
	for _, e := range j.all() {
		if strings.Contains(e, part) {
			return true
		}
	}
	return false
}

func newSea(t *testing.T, members ...string) *sea {
	t.Helper()
	s := &sea{
		t: t, clock: clocktesting.NewFakeClock(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)),
		tekton: tektonfake.NewSimpleClientset(), periplus: periplusfake.NewSimpleClientset(),
		prs:      cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc}),
		answers:  cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc}),
		releases: cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc}),
		hands:    cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc}),
		freezes:  cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{}),
		log:      &journal{},
		kube:     kubefake.NewClientset(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", Labels: map[string]string{"team": "web"}}}),
	}
	s.ships = &ships{log: s.log, clock: s.clock, units: map[string]*ship{}}
	clients := map[string]fleet.Clients{}
	for _, m := range members {
		clients[m] = fleet.Clients{}
	}
	opts, ms := fleettest.New(t, clients)
	opts.Clock = s.clock
	s.members = ms
	f := fleet.New(opts)
	t.Cleanup(f.Stop)
	s.cables = &cables{Fleet: stage.OverFleet(f), clock: s.clock, cut: map[string]bool{}}
	s.periplus.PrependReactor("update", "releases", s.journalRelease)
	s.tekton.PrependReactor("update", "customruns", reencode)
	var err error
	s.frame, err = stage.NewFrame(stage.Config{
		Tekton: s.tekton, Periplus: readable{s.periplus, s.periplus}, PipelineRuns: pipelinev1listers.NewPipelineRunLister(s.prs),
		Approvals: stageslisters.NewApprovalLister(s.answers), Releases: stageslisters.NewReleaseLister(s.releases),
		Interventions: stageslisters.NewInterventionLister(s.hands), Freezes: stageslisters.NewFreezeLister(s.freezes),
		Namespaces: s.kube.CoreV1().Namespaces(), Tasks: []stage.Task{betabatch.Task{}, canary.Task{}, confirm.Task{}, partitionbump.Task{}, clusterhop.Task{}, rollback.Task{}},
		Fleet: s.cables, Kinds: workload.Kinds{"InPlaceSet": s.ships}, Clock: s.clock,
		Records: &release.Records{Client: s.periplus}, Locks: &release.Locks{Hub: "hub", Client: s.periplus},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.store(&v1alpha1.ReleasePolicy{ObjectMeta: metav1.ObjectMeta{Name: openPolicy}})
	s.store(&v1alpha1.Target{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "shop"}, Spec: v1alpha1.TargetSpec{
		Workload: v1alpha1.WorkloadRef{APIVersion: "apps.periplus.dev/v1alpha1", Kind: "InPlaceSet", Selector: map[string]string{"app": "web"}},
	}})
	return s
}

// openPolicy gives every namespace every member, until a test takes it away.
const openPolicy = "everything-is-open"

func (s *sea) store(objs ...runtime.Object) {
	s.t.Helper()
	for _, o := range objs {
		if err := s.periplus.Tracker().Add(o); err != nil {
			s.t.Fatal(err)
		}
	}
}

// pipelineRun makes a PipelineRun of alice's with a child.
func (s *sea) pipelineRun(name string, children ...string) *pipelinev1.PipelineRun {
	s.t.Helper()
	pr := &pipelinev1.PipelineRun{ObjectMeta: metav1.ObjectMeta{
		Name: name, Namespace: "shop", UID: types.UID(name + "-uid-0000"), Annotations: map[string]string{v1alpha1.AnnotationInitiator: "alice"},
	}}
	pr.Status.PipelineSpec = &pipelinev1.PipelineSpec{} // Tekton has resolved it.
	for _, c := range children {
		pr.Status.ChildReferences = append(pr.Status.ChildReferences, pipelinev1.ChildStatusReference{
			TypeMeta: runtime.TypeMeta{Kind: "CustomRun", APIVersion: "tekton.dev/v1beta1"}, Name: c})
	}
	if err := s.prs.Add(pr); err != nil {
		s.t.Fatal(err)
	}
	return pr
}

// voyage is one CustomRun and the reconciler of its kind.
type voyage struct {
	*sea
	name string
	rec  *stage.Reconciler
}

// sail creates a CustomRun of a pipeline run.
func (s *sea) sail(task stage.Task, pr *pipelinev1.PipelineRun, name, spec string, change ...func(*v1beta1.CustomRun)) *voyage {
	s.t.Helper()
	cr := &v1beta1.CustomRun{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "shop", UID: types.UID(name + "-uid"), Generation: 1, Labels: map[string]string{
			"tekton.dev/pipelineTask": name, "tekton.dev/pipelineRun": pr.Name,
		}, OwnerReferences: []metav1.OwnerReference{{APIVersion: "tekton.dev/v1", Kind: "PipelineRun", Name: pr.Name, UID: pr.UID, Controller: ptr.To(true)}}},
		Spec: v1beta1.CustomRunSpec{CustomSpec: &v1beta1.EmbeddedCustomRunSpec{
			TypeMeta: runtime.TypeMeta{APIVersion: "stages.periplus.dev/v1alpha1", Kind: task.Kind()}, Spec: runtime.RawExtension{Raw: []byte(spec)},
		}},
	}
	for _, c := range change {
		c(cr)
	}
	if err := s.tekton.Tracker().Add(cr); err != nil {
		s.t.Fatal(err)
	}
	return &voyage{sea: s, name: name, rec: stage.NewReconciler(s.frame, task, func(types.NamespacedName) {})}
}

// run reads the CustomRun.
func (v *voyage) run() *v1beta1.CustomRun {
	v.t.Helper()
	cr, err := v.tekton.TektonV1beta1().CustomRuns("shop").Get(context.Background(), v.name, metav1.GetOptions{})
	if err != nil {
		v.t.Fatal(err)
	}
	return cr
}

// edit changes the CustomRun as a user would.
func (v *voyage) edit(change func(*v1beta1.CustomRun)) {
	v.t.Helper()
	cr := v.run()
	change(cr)
	if _, err := v.tekton.TektonV1beta1().CustomRuns("shop").Update(context.Background(), cr, metav1.UpdateOptions{}); err != nil {
		v.t.Fatal(err)
	}
}

// pass makes one reconcile.
func (v *voyage) pass() {
	v.t.Helper()
	err := v.rec.ReconcileKind(context.Background(), v.run())
	if ok, _ := controller.IsRequeueKey(err); err != nil && !ok {
		v.t.Fatalf("reconciling %s: %v", v.name, err)
	}
}

// until passes until the run's reason is one of those, in at most 40 passes of one second each.
func (v *voyage) until(reasons ...string) *v1beta1.CustomRun {
	v.t.Helper()
	for range 40 {
		v.pass()
		cr := v.run()
		if c := cr.Status.GetCondition(apis.ConditionSucceeded); c != nil {
			for _, r := range reasons {
				if c.Reason == r {
					return cr
				}
			}
		}
		v.ships.turn()
		v.clock.Step(time.Second)
	}
	cr := v.run()
	v.t.Fatalf("%s never came to %v; it is at %+v\nwrites:\n%s", v.name, reasons, cr.Status.GetCondition(apis.ConditionSucceeded), strings.Join(v.log.all(), "\n"))
	return nil
}

func (v *voyage) status() v1alpha1.RunStatus {
	v.t.Helper()
	var st v1alpha1.RunStatus
	if err := json.Unmarshal(v.run().Status.ExtraFields.Raw, &st); err != nil {
		v.t.Fatal(err)
	}
	return st
}

func (v *voyage) result(name string) string {
	v.t.Helper()
	for _, r := range v.run().Status.Results {
		if r.Name == name {
			return r.Value
		}
	}
	v.t.Fatalf("%s has no result %s: %v", v.name, name, v.run().Status.Results)
	return ""
}

// cables lead to the members, and can be cut.
type cables struct {
	stage.Fleet
	clock *clocktesting.FakeClock
	cut   map[string]bool
}

func (c *cables) Open(owner types.UID, member string, wake func()) (workload.Session, error) {
	s, err := c.Fleet.Open(owner, member, wake)
	if err != nil || !c.cut[member] {
		return s, err
	}
	return severed{s, c.clock.Now()}, nil
}

type severed struct {
	workload.Session
	since time.Time
}

func (s severed) Reachability() fleet.Reachability {
	return fleet.Reachability{State: fleet.Unreachable, Since: s.since, Message: "no answer"}
}

// ship is one unit's workload in memory, and a controller that does what an InPlaceSet's would, one pod at a turn.
type ship struct {
	workload.Unit
	images  map[string]string // template image by revision
	version int
	broken  bool // updated pods do not get up
	stopped bool // its controller is not running
}

// ships are the workloads of all members.
type ships struct {
	mu    sync.Mutex
	log   *journal
	clock *clocktesting.FakeClock
	units map[string]*ship
	gone  map[string]bool // members whose caches are not synced
	// forgotten is true where the history of revisions is lost.
	forgotten bool
	fail      func(u *workload.Unit, w workload.Write) error
}

var _ workload.Kind = (*ships)(nil)

// launch adds a unit with replicas pods on revision v1.
func (s *ships) launch(member, unit string, replicas int32) *ship {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := &ship{images: map[string]string{}}
	u.Unit = workload.Unit{
		Member: member, Name: unit, Kind: "InPlaceSet", Namespace: "shop", Workload: "web-" + unit, UID: types.UID(member + unit),
		ResourceVersion: "1", Observed: true, Replicas: replicas, Partition: ptr.To(plan.Held()), Revision: "rev-v1", UpdateRevision: "rev-v1",
		Template: &corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "shop/web:v1"}}}},
	}
	u.version = 1
	for i := range replicas {
		u.Pods = append(u.Pods, workload.Pod{Name: fmt.Sprintf("web-%s-%d", unit, i), Revision: "rev-v1", Ready: true, Available: true, Started: true, Updated: true, Phase: "Running"})
	}
	s.units[member+"/"+unit] = u
	return u
}

func (s *ships) Observe(_ workload.Session, member, namespace string, _ v1alpha1.WorkloadRef) ([]workload.Unit, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone[member] {
		return nil, false, nil
	}
	var out []workload.Unit
	for _, name := range []string{"dca", "dcb"} {
		if u, ok := s.units[member+"/"+name]; ok && u.Namespace == namespace {
			c := u.Unit
			c.Pods = append([]workload.Pod{}, u.Pods...)
			c.Template = u.Template.DeepCopy()
			out = append(out, c)
		}
	}
	if len(out) == 0 {
		return nil, true, fmt.Errorf("%w: InPlaceSet with labels app=web in namespace shop of member %s", workload.ErrNotFound, member)
	}
	return out, true, nil
}

func (s *ships) Template(_ context.Context, _ workload.Session, u *workload.Unit, revision string) (*corev1.PodTemplateSpec, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.forgotten {
		return nil, fmt.Errorf("%w: revision %s of %s", workload.ErrNotFound, revision, u.Workload)
	}
	out := u.Template.DeepCopy()
	out.Spec.Containers[0].Image = "shop/web:" + strings.TrimPrefix(revision, "rev-")
	return out, nil
}

func (s *ships) Get(context.Context, workload.Session, string, string, string) (workload.Object, error) {
	return workload.Object{}, errors.New("not needed here")
}

func (s *ships) Write(_ context.Context, _ workload.Session, o workload.Object, w workload.Write) error {
	u := o.First()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		if err := s.fail(u, w); err != nil {
			return err
		}
	}
	at := s.units[u.Member+"/"+u.Name]
	if at.ResourceVersion != u.ResourceVersion {
		return apierrors.NewConflict(schema.GroupResource{Resource: "inplacesets"}, u.Workload, errors.New("changed meanwhile"))
	}
	what := []string{}
	if w.Template != nil {
		at.Template = w.Template.DeepCopy()
		at.Observed = false
		what = append(what, "template "+w.Template.Spec.Containers[0].Image)
	}
	if p, ok := w.Partitions[u.Name]; ok {
		at.Partition = &p
		at.Observed = false
		what = append(what, "partition "+p.String())
	}
	if w.Lock != nil {
		at.Lock = w.Lock
		what = append(what, "lock")
	}
	if w.Unlock {
		at.Lock = nil
		what = append(what, "unlock")
	}
	at.bump()
	s.log.add("%s: %s", u.Ref(), strings.Join(what, ", "))
	return nil
}

func (u *ship) bump() {
	u.version++
	u.ResourceVersion = strconv.Itoa(u.version)
}

// turn lets every workload's controller make one move: observe, or bring one pod one step on.
func (s *ships) turn() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range s.units {
		if u.stopped {
			continue
		}
		u.turn()
	}
}

func (u *ship) turn() {
	if !u.Observed {
		u.Observed = true
		u.UpdateRevision = "rev-" + u.Template.Spec.Containers[0].Image[strings.Index(u.Template.Spec.Containers[0].Image, ":")+1:]
		u.bump()
		for i := range u.Pods {
			u.Pods[i].Started = u.Pods[i].Revision == u.UpdateRevision
			u.Pods[i].Updated = u.Pods[i].Started
		}
		return
	}
	hold, err := plan.Partition(u.Partition, u.Replicas)
	if err != nil {
		panic(err)
	}
	updated := int32(0)
	for i := range u.Pods {
		p := &u.Pods[i]
		if p.Started && !p.Available && !u.broken {
			p.Updated, p.Ready, p.Available = true, true, true
			return
		}
		if p.Started {
			updated++
		}
	}
	if updated >= u.Replicas-hold || u.Paused {
		return
	}
	for i := range u.Pods {
		p := &u.Pods[i]
		if !p.Started {
			p.Started, p.Updated, p.Ready, p.Available, p.Revision = true, false, false, false, u.UpdateRevision
			if u.broken {
				p.Reason, p.Message, p.Failing = "ImagePullBackOff", "container app: back-off pulling image", true
			}
			return
		}
	}
}

// updated counts pods on the update revision.
func (u *ship) updated() int {
	n := 0
	for _, p := range u.Pods {
		if p.Started && u.UpdateRevision != "rev-v1" {
			n++
		}
	}
	return n
}

// journalRelease notes when a record lands, and lets the fake go on.
func (s *sea) journalRelease(action clienttesting.Action) (bool, runtime.Object, error) {
	u, ok := action.(clienttesting.UpdateAction)
	if !ok {
		return false, nil, nil
	}
	if rel, ok := u.GetObject().(*v1alpha1.Release); ok {
		for _, t := range rel.Status.Touched {
			s.log.add("record: %s/%s touched, revision %q", t.Member, t.Unit, t.Revision)
		}
	}
	return false, nil, nil
}

// reencode stores the status of a run as an API server does, with sorted keys.
func reencode(action clienttesting.Action) (bool, runtime.Object, error) {
	if u, ok := action.(clienttesting.UpdateAction); ok {
		if cr, ok := u.GetObject().(*v1beta1.CustomRun); ok && len(cr.Status.ExtraFields.Raw) > 0 {
			var doc any
			if err := json.Unmarshal(cr.Status.ExtraFields.Raw, &doc); err != nil {
				return true, nil, err
			}
			raw, err := json.Marshal(doc)
			if err != nil {
				return true, nil, err
			}
			cr.Status.ExtraFields.Raw = raw
		}
	}
	return false, nil, nil
}

// countVersions gives every update of a CustomRun a higher version, as an API server does.
func countVersions() clienttesting.ReactionFunc {
	n := 100
	return func(action clienttesting.Action) (bool, runtime.Object, error) {
		if u, ok := action.(clienttesting.UpdateAction); ok {
			if cr, ok := u.GetObject().(*v1beta1.CustomRun); ok {
				n++
				cr.ResourceVersion = strconv.Itoa(n)
			}
		}
		return false, nil, nil
	}
}

// refuse has the API server find updates of releases invalid.
func (s *sea) refuse(resource string, when func(*v1alpha1.Release) bool) {
	s.periplus.PrependReactor("update", resource, func(action clienttesting.Action) (bool, runtime.Object, error) {
		rel, ok := action.(clienttesting.UpdateAction).GetObject().(*v1alpha1.Release)
		if !ok || !when(rel) {
			return false, nil, nil
		}
		return true, nil, apierrors.NewInvalid(schema.GroupKind{Kind: "Release"}, rel.Name, nil)
	})
}
