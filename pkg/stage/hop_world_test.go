package stage_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	pipelinev1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	"github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"
	"knative.dev/pkg/apis"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	stageslisters "github.com/periplus-dev/periplus/pkg/client/listers/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/fleet"
	"github.com/periplus-dev/periplus/tasks/clusterhop"
)

// convoy is a hop over many members; Tekton is played by the test.
type convoy struct {
	*voyage
	hands cache.Indexer
	// blind keeps new PipelineRuns and changes of them from the cache.
	blind bool
	most  int
}

// newConvoy makes members m1, m2, … and a Pipeline that takes one of them.
func newConvoy(t *testing.T, members int, spec string, change ...func(*v1beta1.CustomRun)) *convoy {
	t.Helper()
	var names []string
	for i := range members {
		names = append(names, fmt.Sprintf("m%d", i+1))
	}
	s := newSea(t, names...)
	s.answersReach(names)
	s.tekton.PrependReactor("create", "pipelineruns", func(a clienttesting.Action) (bool, runtime.Object, error) {
		pr := a.(clienttesting.CreateAction).GetObject().(*pipelinev1.PipelineRun)
		pr.UID, pr.CreationTimestamp = types.UID(fmt.Sprintf("%s-uid-%d", pr.Name, s.clock.Now().Unix())), metav1.NewTime(s.clock.Now().Truncate(time.Second))
		s.log.add("made %s", pr.Name)
		return false, nil, nil
	})
	s.pipeline("web-one", "member")
	c := &convoy{hands: cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})}
	s.frame.Interventions = stageslisters.NewInterventionLister(c.hands)
	c.voyage = s.sail(clusterhop.Task{}, s.pipelineRun("web-1", "web-hop"), "web-hop", spec, append([]func(*v1beta1.CustomRun){noTimeout}, change...)...)
	return c
}

func noTimeout(cr *v1beta1.CustomRun) { cr.Spec.Timeout = &metav1.Duration{} }

// answersReach waits until the fleet has heard of all members.
func (s *sea) answersReach(names []string) {
	s.t.Helper()
	for _, m := range names {
		if _, err := s.frame.Fleet.Open("lookout", m, func() {}); err != nil {
			s.t.Fatal(err)
		}
		s.awaitReach(m, fleet.Reachable)
	}
}

func (s *sea) awaitReach(member string, want fleet.State) {
	s.t.Helper()
	end := time.Now().Add(20 * time.Second)
	for time.Now().Before(end) {
		in, err := s.frame.Fleet.Info(member)
		if err != nil {
			s.t.Fatal(err)
		}
		if in.Reachability.State == want {
			return
		}
		if want == fleet.Unreachable {
			s.clock.Step(time.Second)
		}
		time.Sleep(time.Millisecond) // the heart is checked in the background.
	}
	s.t.Fatalf("member %s never was %s", member, want)
}

func (s *sea) pipeline(name string, params ...string) {
	s.t.Helper()
	p := &pipelinev1.Pipeline{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "shop"}}
	for _, prm := range params {
		p.Spec.Params = append(p.Spec.Params, pipelinev1.ParamSpec{Name: prm, Type: "string"})
	}
	if err := s.tekton.Tracker().Add(p); err != nil {
		s.t.Fatal(err)
	}
}

// children are the runs that hops made, by name.
func (s *sea) children() map[string]*pipelinev1.PipelineRun {
	s.t.Helper()
	all, err := s.tekton.TektonV1().PipelineRuns("shop").List(context.Background(), metav1.ListOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	out := map[string]*pipelinev1.PipelineRun{}
	for i := range all.Items {
		if pr := &all.Items[i]; pr.Annotations[v1alpha1.AnnotationParent] != "" {
			out[pr.Name] = pr
		}
	}
	return out
}

// notice brings the caches up to date.
func (c *convoy) notice() {
	c.t.Helper()
	rels, err := c.periplus.StagesV1alpha1().Releases("shop").List(context.Background(), metav1.ListOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	for i := range rels.Items {
		_ = c.releases.Update(&rels.Items[i])
	}
	if c.blind {
		return
	}
	have := c.children()
	for _, obj := range c.prs.List() {
		if pr := obj.(*pipelinev1.PipelineRun); pr.Annotations[v1alpha1.AnnotationParent] != "" && have[pr.Name] == nil {
			_ = c.prs.Delete(pr)
		}
	}
	for _, pr := range have {
		_ = c.prs.Update(pr)
	}
}

// finish ends a child as Tekton would.
func (c *convoy) finish(name string, ok bool, reason string) {
	c.t.Helper()
	pr, err := c.tekton.TektonV1().PipelineRuns("shop").Get(context.Background(), name, metav1.GetOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	status := corev1.ConditionFalse
	if ok {
		status = corev1.ConditionTrue
	}
	at := metav1.NewTime(c.clock.Now().Truncate(time.Second))
	pr.Status.CompletionTime = &at
	pr.Status.SetCondition(&apis.Condition{Type: apis.ConditionSucceeded, Status: status, Reason: reason, LastTransitionTime: apis.VolatileTime{Inner: at}})
	if _, err := c.tekton.TektonV1().PipelineRuns("shop").UpdateStatus(context.Background(), pr, metav1.UpdateOptions{}); err != nil {
		c.t.Fatal(err)
	}
	c.log.add("ended %s", name)
}

// running are the names of the children that are on.
func (c *convoy) running() []string {
	var out []string
	for name, pr := range c.children() {
		if !pr.IsDone() {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// settle passes with current caches until nothing changes any more.
func (c *convoy) settle() {
	c.t.Helper()
	for range 20 {
		before := len(c.children())
		was := string(c.run().Status.ExtraFields.Raw)
		c.notice()
		c.pass()
		c.notice()
		c.most = max(c.most, len(c.running()))
		if before == len(c.children()) && was == string(c.run().Status.ExtraFields.Raw) {
			return
		}
		c.clock.Step(time.Second)
	}
}

// sailOn lets every child that runs end well, until the hop has ended or nothing runs.
func (c *convoy) sailOn(fail ...string) {
	c.t.Helper()
	for range 1000 {
		c.settle()
		running := c.running()
		if len(running) == 0 || c.run().Status.CompletionTime != nil {
			return
		}
		bad := slices.ContainsFunc(fail, func(m string) bool { return running[0] == m })
		reason := "Succeeded"
		if bad {
			reason = "Failed"
		}
		c.finish(running[0], !bad, reason)
	}
}

func (c *convoy) intervene(action v1alpha1.Action, member, why string) {
	c.t.Helper()
	in := &v1alpha1.Intervention{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%s-%s-%d", strings.ToLower(string(action)), member, c.clock.Now().Unix()), Namespace: "shop",
			CreationTimestamp: metav1.NewTime(c.clock.Now().Truncate(time.Second))},
		Spec: v1alpha1.InterventionSpec{Action: action, Member: member, Message: why, User: "alice", StageRef: &v1alpha1.RunRef{Name: c.name, UID: c.run().UID}},
	}
	if err := c.hands.Add(in); err != nil {
		c.t.Fatal(err)
	}
}

func (c *convoy) want(reason string, members, failed, skipped string) {
	c.t.Helper()
	cr := c.run()
	if cond := cr.Status.GetCondition(apis.ConditionSucceeded); cond.Reason != reason {
		c.t.Fatalf("the hop is at %s: %s; want %s\n%s", cond.Reason, cond.Message, reason, strings.Join(c.log.all(), "\n"))
	}
	for name, want := range map[string]string{"members": members, "failed": failed, "skipped": skipped} {
		if got := c.result(name); got != want {
			c.t.Errorf("result %s is %s; want %s", name, got, want)
		}
	}
}

func (c *convoy) message() string {
	return c.run().Status.GetCondition(apis.ConditionSucceeded).Message
}

func (c *convoy) childNames() string {
	return strings.Join(slices.Sorted(maps.Keys(c.children())), " ")
}

func (c *convoy) recEnqueue() func(types.NamespacedName) { return func(types.NamespacedName) {} }

func (s *sea) pipelineRunNamed(name string) *pipelinev1.PipelineRun {
	s.t.Helper()
	obj, ok, err := s.prs.GetByKey("shop/" + name)
	if err != nil || !ok {
		s.t.Fatalf("no PipelineRun %s: %v", name, err)
	}
	return obj.(*pipelinev1.PipelineRun)
}
