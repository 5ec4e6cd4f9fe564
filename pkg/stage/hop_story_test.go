package stage_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	pipelinev1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	"github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clienttesting "k8s.io/client-go/testing"
	"knative.dev/pkg/apis"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/fleet"
	"github.com/periplus-dev/periplus/pkg/stage"
	"github.com/periplus-dev/periplus/tasks/canary"
	"github.com/periplus-dev/periplus/tasks/clusterhop"
)

func hopOver(waves string, more ...string) string {
	return `{"pipelineRef":{"name":"web-one"},"waves":[` + waves + `]` + strings.Join(append([]string{""}, more...), ",") + `}`
}

const everyone = `{"memberSelector":{}}`

func TestAHopCarriesAPipelineOverTwelveMembersInWaves(t *testing.T) {
	c := newConvoy(t, 12, hopOver(`{"name":"first","members":["m3"]},{"members":["m1","m2"],"maxParallel":2},`+everyone, `"maxParallel":3`))
	c.settle()
	if got := c.childNames(); got != "web-hop-m3" {
		t.Fatalf("the first wave began %s", got)
	}
	c.finish("web-hop-m3", true, "Succeeded")
	c.settle()
	if got := c.running(); !slices.Equal(got, []string{"web-hop-m1", "web-hop-m2"}) {
		t.Fatalf("the second wave began %v", got)
	}
	c.finish("web-hop-m2", true, "Succeeded")
	c.settle()
	if got := c.running(); !slices.Equal(got, []string{"web-hop-m1"}) {
		t.Fatalf("the third wave began before the second was over: %v", got)
	}
	c.sailOn()
	c.want("Succeeded", `["m3","m1","m2","m10","m11","m12","m4","m5","m6","m7","m8","m9"]`, "[]", "[]")
	if c.most > 3 {
		t.Errorf("%d members were worked on at once; at most 3 may be", c.most)
	}
}

func TestAChildBelongsToTheReleaseOfItsRoot(t *testing.T) {
	c := newConvoy(t, 1, hopOver(everyone, `"params":[{"name":"image","value":"v2"}]`), func(cr *v1beta1.CustomRun) {
		cr.Spec.ServiceAccountName, cr.Labels["tekton.dev/memberOf"] = "releaser", "tasks"
	})
	c.pipeline("none")
	p, _ := c.tekton.TektonV1().Pipelines("shop").Get(context.Background(), "web-one", metav1.GetOptions{})
	p.Spec.Params = append(p.Spec.Params, pipelinev1.ParamSpec{Name: "image", Type: "string"})
	if _, err := c.tekton.TektonV1().Pipelines("shop").Update(context.Background(), p, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	c.settle()
	pr := c.children()["web-hop-m1"]
	if pr == nil {
		t.Fatalf("no child was made: %s", c.message())
	}
	rel := c.status().Release
	for key, want := range map[string]string{
		v1alpha1.AnnotationRelease: rel, v1alpha1.AnnotationParent: "web-hop/web-hop-uid", v1alpha1.AnnotationInitiator: "alice",
		v1alpha1.AnnotationCarrier: "web-hop/m1", v1alpha1.AnnotationAttempt: "1",
	} {
		if pr.Annotations[key] != want {
			t.Errorf("annotation %s is %q; want %q", key, pr.Annotations[key], want)
		}
	}
	for key := range pr.Labels {
		if strings.HasPrefix(key, "tekton.dev/") {
			t.Errorf("the child has Tekton's label %s", key)
		}
	}
	if len(pr.OwnerReferences) > 0 || pr.Spec.Timeouts.Pipeline.Duration != 0 || pr.Spec.TaskRunTemplate.ServiceAccountName != "releaser" {
		t.Errorf("owners %v, timeouts %v, service account %q", pr.OwnerReferences, pr.Spec.Timeouts, pr.Spec.TaskRunTemplate.ServiceAccountName)
	}
	if ps := pr.Spec.Params; len(ps) != 2 || ps[0].Name != "member" || ps[0].Value.StringVal != "m1" || ps[1].Value.StringVal != "v2" {
		t.Errorf("params %v", ps)
	}

	c.ships.launch("m1", "dca", 4)
	v := c.sail(canary.Task{}, pr, "canary", oneCanary)
	v.until("Succeeded")
	if st := v.status(); st.Release != rel || st.Carrier != "web-hop/m1" {
		t.Errorf("the child's stage is of release %q, carried as %q; want %q, web-hop/m1", st.Release, st.Carrier, rel)
	}
	record, err := c.periplus.StagesV1alpha1().Releases("shop").Get(context.Background(), rel, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(record.Status.Touched) != 1 || len(record.Status.Runs) != 1 || record.Status.Runs[0].Role != v1alpha1.RoleChild || record.Status.Runs[0].UID != pr.UID {
		t.Errorf("the record has touched %v and runs %+v", record.Status.Touched, record.Status.Runs)
	}
}

func TestAStageOfARunThatOnlySaysItIsAChildDoesNothing(t *testing.T) {
	c := newConvoy(t, 1, hopOver(everyone))
	c.settle()
	c.ships.launch("m1", "dca", 4)
	liar := &pipelinev1.PipelineRun{ObjectMeta: metav1.ObjectMeta{Name: "liar", Namespace: "shop", UID: "liar-uid", Annotations: c.children()["web-hop-m1"].Annotations}}
	if err := c.prs.Add(liar); err != nil {
		t.Fatal(err)
	}
	v := c.sail(canary.Task{}, liar, "canary", oneCanary)
	for range 10 {
		v.pass()
		c.clock.Step(time.Second)
	}
	if m := v.run().Status.GetCondition(apis.ConditionSucceeded).Message; !strings.Contains(m, "does not know it") {
		t.Errorf("the stage says %q", m)
	}
	if c.log.has("m1/dca") {
		t.Error("the stage moved something")
	}
}

func TestAStageWhoseChildRunIsDeletedStillHoldsBackWhatItMoved(t *testing.T) {
	c := newConvoy(t, 1, hopOver(everyone))
	c.settle()
	dca := c.ships.launch("m1", "dca", 4)
	dca.broken = true
	pr := c.children()["web-hop-m1"]
	v := c.sail(canary.Task{}, pr, "canary", strings.Replace(oneCanary, `"pods":1`, `"pods":3`, 1))
	for range 30 {
		if dca.updated() > 0 {
			break
		}
		v.pass()
		c.ships.turn()
		c.clock.Step(time.Second)
	}
	_ = c.prs.Delete(pr)
	if err := c.tekton.TektonV1().PipelineRuns("shop").Delete(context.Background(), pr.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	cr := v.run()
	now := metav1.NewTime(c.clock.Now())
	cr.DeletionTimestamp = &now
	before := len(c.log.all())
	if err := v.rec.FinalizeKind(context.Background(), cr); err != nil && !strings.Contains(err.Error(), "requeue") {
		t.Fatal(err)
	}
	if all := c.log.all(); len(all) == before || !strings.Contains(strings.Join(all[before:], "\n"), "m1/dca: partition") {
		t.Errorf("nothing was held back; writes:\n%s", strings.Join(all, "\n"))
	}
}

func TestTooManyFailuresBeginNobodyFurtherAndLetTheOthersFinish(t *testing.T) {
	c := newConvoy(t, 6, hopOver(everyone, `"maxParallel":3`, `"maxFailures":1`))
	c.settle()
	c.finish("web-hop-m1", false, "Failed")
	c.settle()
	if got := strings.Join(c.running(), " "); got != "web-hop-m2 web-hop-m3 web-hop-m4" {
		t.Fatalf("after a failure that is borne %s run", got)
	}
	c.finish("web-hop-m3", false, "Failed")
	c.settle()
	if got := strings.Join(c.running(), " "); got != "web-hop-m2 web-hop-m4" || !strings.Contains(c.message(), "nobody further is begun; waits for m2, m4") {
		t.Fatalf("after one too many %s run: %s", got, c.message())
	}
	for _, name := range c.running() {
		if c.children()[name].Spec.Status != "" {
			t.Errorf("%s was told to end", name)
		}
	}
	c.finish("web-hop-m2", true, "Succeeded")
	c.finish("web-hop-m4", true, "Succeeded")
	c.settle()
	c.want("MembersFailed", "[]", `["m1","m3"]`, "[]")
	if !strings.Contains(c.message(), "2 of 6 members failed, and at most 1 may: m1 (PipelineRun web-hop-m1: Failed)") {
		t.Errorf("it says %q", c.message())
	}
}

func TestACancelledHopEndsItsChildrenAndWaitsForThem(t *testing.T) {
	c := newConvoy(t, 4, hopOver(everyone, `"maxParallel":2`))
	c.settle()
	c.finish("web-hop-m1", true, "Succeeded")
	c.settle()
	c.edit(func(cr *v1beta1.CustomRun) {
		cr.Spec.Status, cr.Spec.StatusMessage = v1beta1.CustomRunSpecStatusCancelled, "stop it"
	})
	c.settle()
	for _, name := range []string{"web-hop-m2", "web-hop-m3"} {
		if got := c.children()[name].Spec.Status; got != pipelinev1.PipelineRunSpecStatusCancelledRunFinally {
			t.Errorf("%s was told %q", name, got)
		}
	}
	if c.run().Status.CompletionTime != nil {
		t.Fatal("the hop ended before its children")
	}
	if !strings.Contains(c.message(), "waits for web-hop-m2, web-hop-m3") {
		t.Errorf("it says %q", c.message())
	}
	c.finish("web-hop-m2", false, "Cancelled")
	c.finish("web-hop-m3", false, "Cancelled")
	c.settle()
	c.want("CustomRunCancelled", `["m1"]`, "[]", "[]")
	if got := c.childNames(); got != "web-hop-m1 web-hop-m2 web-hop-m3" {
		t.Errorf("children are %s", got)
	}
}

func TestAHopThatEndsNamesTheChildrenThatWillNotEnd(t *testing.T) {
	c := newConvoy(t, 2, hopOver(everyone), func(cr *v1beta1.CustomRun) { cr.Spec.Timeout = &metav1.Duration{Duration: time.Hour} })
	c.settle()
	c.clock.Step(time.Hour)
	c.settle()
	if c.run().Status.CompletionTime != nil || !strings.Contains(c.message(), "waits for web-hop-m1") {
		t.Fatalf("it says %q", c.message())
	}
	c.clock.Step(16 * time.Minute)
	c.settle()
	c.want("CustomRunTimedOut", "[]", "[]", "[]")
	if !strings.Contains(c.message(), "still running after 15m0s: web-hop-m1") {
		t.Errorf("it says %q", c.message())
	}
}

func TestADeletedHopTellsItsChildrenToEnd(t *testing.T) {
	c := newConvoy(t, 2, hopOver(everyone, `"maxParallel":2`))
	c.settle()
	cr := c.run()
	now := metav1.NewTime(c.clock.Now())
	cr.DeletionTimestamp = &now
	if err := c.rec.FinalizeKind(context.Background(), cr); err != nil {
		t.Fatal(err)
	}
	for name, pr := range c.children() {
		if !pr.IsGracefullyCancelled() {
			t.Errorf("%s was not told to end", name)
		}
	}
}

func TestAChildThatSomebodyCancelsFails(t *testing.T) {
	c := newConvoy(t, 2, hopOver(everyone, `"maxFailures":"50%"`))
	c.sailOn("web-hop-m1")
	c.want("Succeeded", `["m2"]`, `["m1"]`, "[]")
}

func TestAChildThatIsDeletedFails(t *testing.T) {
	c := newConvoy(t, 2, hopOver(everyone))
	c.settle()
	if err := c.tekton.TektonV1().PipelineRuns("shop").Delete(context.Background(), "web-hop-m1", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	c.settle()
	c.want("MembersFailed", "[]", `["m1"]`, "[]")
	if got := c.childNames(); got != "" {
		t.Errorf("%s was made again", got)
	}
}

func TestAHopThatIsKilledBetweenMakingAChildAndSayingSoFindsItAgain(t *testing.T) {
	for name, blind := range map[string]bool{"in the cache": false, "on the API server, the cache being behind": true} {
		t.Run(name, func(t *testing.T) {
			c := newConvoy(t, 4, hopOver(everyone, `"maxParallel":2`))
			boom := true
			c.tekton.PrependReactor("update", "customruns", func(a clienttesting.Action) (bool, runtime.Object, error) {
				return boom && a.GetSubresource() == "status" && c.log.has("made "), nil, errBoom
			})
			for range 6 {
				c.pass()
				c.notice()
				c.blind = blind && len(c.children()) > 0
				c.clock.Step(time.Second)
			}
			if got := c.childNames(); got != "web-hop-m1 web-hop-m2" {
				t.Fatalf("while nothing can be kept %s were made", got)
			}
			boom, c.rec = false, stage.NewReconciler(c.frame, clusterhop.Task{}, c.recEnqueue())
			c.settle()
			c.blind = false
			c.sailOn()
			c.want("Succeeded", `["m1","m2","m3","m4"]`, "[]", "[]")
			if c.most > 2 {
				t.Errorf("%d members were worked on at once", c.most)
			}
		})
	}
}

func TestAChildThatTheRecordMissedIsEnteredLater(t *testing.T) {
	c := newConvoy(t, 2, hopOver(everyone))
	lost := 0
	c.periplus.PrependReactor("update", "releases", func(a clienttesting.Action) (bool, runtime.Object, error) {
		rel := a.(clienttesting.UpdateAction).GetObject().(*v1alpha1.Release)
		if lost > 0 || len(rel.Status.Runs) == 0 {
			return false, nil, nil
		}
		lost++
		return true, nil, apierrors.NewConflict(schema.GroupResource{Resource: "releases"}, rel.Name, errBoom)
	})
	c.settle()
	c.settle()
	rel, err := c.periplus.StagesV1alpha1().Releases("shop").Get(context.Background(), c.status().Release, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if lost != 1 || len(rel.Status.Runs) != 1 || rel.Status.Runs[0].Name != "web-hop-m1" {
		t.Errorf("after %d conflicts the record knows %+v", lost, rel.Status.Runs)
	}
}

func TestARunOfTheSameNameIsNotTakenOver(t *testing.T) {
	c := newConvoy(t, 2, hopOver(everyone, `"maxFailures":1`))
	other := &pipelinev1.PipelineRun{ObjectMeta: metav1.ObjectMeta{Name: "web-hop-m1", Namespace: "shop", UID: "other", Annotations: map[string]string{
		v1alpha1.AnnotationParent: "web-hop/of-another", v1alpha1.AnnotationRelease: "another", v1alpha1.AnnotationCarrier: "web-hop/m1"}}}
	if err := c.tekton.Tracker().Add(other); err != nil {
		t.Fatal(err)
	}
	c.settle()
	c.finish("web-hop-m2", true, "Succeeded")
	c.settle()
	c.want("Succeeded", `["m2"]`, `["m1"]`, "[]")
	if got := c.status().Hop.Failed[0].Message; !strings.Contains(got, "exists and was not made for this release and member") {
		t.Errorf("the member failed because %q", got)
	}
}

func TestMembersThatJoinOrLeaveAreReportedAndNotChased(t *testing.T) {
	c := newConvoy(t, 3, hopOver(everyone))
	c.settle()
	c.members.Add(t, "m9", fleet.Clients{})
	m3, _, _ := c.members.Indexer.GetByKey("m3")
	_ = c.members.Indexer.Delete(m3)
	c.sailOn()
	c.want("Succeeded", `["m1","m2"]`, "[]", `["m3"]`)
	if st := c.status().Hop; !slices.Equal(st.Joined, []string{"m9"}) || !slices.Equal(st.Left, []string{"m3"}) || st.Skipped[0].Message != "left the fleet since the hop began" {
		t.Errorf("the status says joined %v, left %v, skipped %v", st.Joined, st.Left, st.Skipped)
	}
	if !strings.Contains(c.message(), "joined since it began and left out: m9") {
		t.Errorf("it says %q", c.message())
	}
}

func TestAMemberThatDoesNotAnswerHoldsTheHop(t *testing.T) {
	c := newConvoy(t, 3, hopOver(`{"members":["m1","m2","m3"]}`, `"maxParallel":3`))
	c.members.Connection("m2").SetDown(errBoom)
	c.awaitReach("m2", fleet.Unreachable)
	c.settle()
	if got := c.childNames(); got != "web-hop-m1" {
		t.Fatalf("began %s", got)
	}
	c.finish("web-hop-m1", true, "Succeeded")
	c.settle()
	if cond := c.run().Status.GetCondition(apis.ConditionSucceeded); cond.Reason != stage.ReasonUnreachable || !strings.Contains(cond.Message, "m2 (cannot be reached since") {
		t.Errorf("it is at %s: %s", cond.Reason, cond.Message)
	}
	c.members.Connection("m2").SetDown(nil)
	awaitBack(c, "m2")
	c.sailOn()
	c.want("Succeeded", `["m1","m2","m3"]`, "[]", "[]")
}

func awaitBack(c *convoy, member string) {
	for range 60 {
		c.clock.Step(time.Second)
	}
	c.awaitReach(member, fleet.Reachable)
}

func TestAMemberThatDoesNotAnswerIsSkippedWhereThatIsAsked(t *testing.T) {
	c := newConvoy(t, 3, hopOver(everyone, `"onUnreachable":"Skip"`))
	c.members.Connection("m2").SetDown(errBoom)
	c.awaitReach("m2", fleet.Unreachable)
	c.sailOn()
	c.want("Succeeded", `["m1","m3"]`, "[]", `["m2"]`)
}

func TestAHopIsSilentAfterEachMemberAndPausesBetweenWaves(t *testing.T) {
	c := newConvoy(t, 3, hopOver(`{"members":["m1","m2"]},{"members":["m3"]}`, `"silentPeriod":"10m"`, `"wavePause":"1h"`))
	c.settle()
	c.finish("web-hop-m1", true, "Succeeded")
	c.settle()
	if r := c.run().Status.GetCondition(apis.ConditionSucceeded).Reason; r != stage.ReasonSilentPeriod || len(c.children()) != 1 {
		t.Fatalf("it is at %s with %s", r, c.childNames())
	}
	c.clock.Step(10 * time.Minute)
	c.settle()
	c.finish("web-hop-m2", true, "Succeeded")
	c.clock.Step(11 * time.Minute)
	c.settle()
	if r := c.run().Status.GetCondition(apis.ConditionSucceeded).Reason; r != stage.ReasonWavePause || len(c.children()) != 2 {
		t.Fatalf("it is at %s with %s", r, c.childNames())
	}
	c.clock.Step(time.Hour)
	c.settle()
	if got := c.childNames(); got != "web-hop-m1 web-hop-m2 web-hop-m3" {
		t.Fatalf("children are %s: %s", got, c.message())
	}
}

func TestGuardsOfAHopAreJudgedBeforeAndAfterEachMember(t *testing.T) {
	spec := hopOver(`{"members":["m1","m2","m3"]}`, `"target":"web"`, `"maxFailures":2`, `"guards":[{"name":"small","when":"Before","expr":"pods.size() < 5"},{"name":"up","expr":"pods.all(p, p.ready)","deadline":"1m"}]`)
	c := newConvoy(t, 3, spec)
	c.ships.launch("m1", "dca", 5)
	sick := c.ships.launch("m2", "dca", 2)
	c.ships.launch("m3", "dca", 2)
	c.settle()
	if got := c.childNames(); got != "web-hop-m2" {
		t.Fatalf("began %s: %s", got, c.message())
	}
	sick.Pods[0].Ready = false
	c.finish("web-hop-m2", true, "Succeeded")
	c.settle()
	if got := c.childNames(); got != "web-hop-m2" {
		t.Fatalf("went on past a guard that is not true: %s", got)
	}
	c.clock.Step(2 * time.Minute)
	c.settle()
	c.sailOn()
	c.want("Succeeded", `["m3"]`, `["m1","m2"]`, "[]")
	st := c.status()
	if len(st.Guards) != 0 {
		t.Errorf("verdicts stay in the status: %v", st.Guards)
	}
	rel, _ := c.periplus.StagesV1alpha1().Releases("shop").Get(context.Background(), st.Release, metav1.GetOptions{})
	seen := map[string]v1alpha1.Verdict{}
	for _, v := range rel.Status.Verdicts {
		seen[v.Run+" "+v.Guard] = v.Verdict
	}
	if seen["web-hop/m2 up"] != v1alpha1.VerdictFail || seen["web-hop/m3 up"] != v1alpha1.VerdictPass || seen["web-hop/m1 small"] != v1alpha1.VerdictFail {
		t.Errorf("the record has verdicts %v", seen)
	}
}

func TestAPersonHasAFailedMemberTriedAgain(t *testing.T) {
	c := newConvoy(t, 3, hopOver(everyone, `"maxFailures":1`))
	c.settle()
	c.finish("web-hop-m1", false, "Failed")
	c.settle()
	c.clock.Step(5 * time.Second)
	c.intervene(v1alpha1.ActionRetry, "m1", "the network is mended")
	c.finish("web-hop-m2", true, "Succeeded")
	c.settle()
	if got := strings.Join(c.running(), " "); got != "web-hop-m1-r2" {
		t.Fatalf("%s run: %s", got, c.message())
	}
	c.clock.Step(time.Minute)
	c.finish("web-hop-m1-r2", false, "Failed")
	c.sailOn()
	c.want("Succeeded", `["m2","m3"]`, `["m1"]`, "[]")
	if got := c.childNames(); got != "web-hop-m1 web-hop-m1-r2 web-hop-m2 web-hop-m3" {
		t.Errorf("one retry made %s", got)
	}
}

func TestAPersonSkipsMembers(t *testing.T) {
	c := newConvoy(t, 4, hopOver(everyone, `"maxFailures":1`))
	c.settle()
	c.intervene(v1alpha1.ActionSkip, "m1", "being rebuilt")
	c.intervene(v1alpha1.ActionSkip, "m3", "not today")
	c.settle()
	if !c.children()["web-hop-m1"].IsGracefullyCancelled() {
		t.Fatal("the run of a member that is skipped was not told to end")
	}
	if got := c.childNames(); got != "web-hop-m1" {
		t.Fatalf("began %s before the run of the skipped member was over", got)
	}
	c.finish("web-hop-m1", false, "Cancelled")
	c.sailOn()
	c.want("Succeeded", `["m2","m4"]`, "[]", `["m1","m3"]`)
	if got := c.status().Hop.Skipped[0].Message; got != "skipped by alice: being rebuilt" {
		t.Errorf("m1 was skipped because %q", got)
	}
}

func TestASecondAttemptTriesOnlyThoseThatFailed(t *testing.T) {
	c := newConvoy(t, 3, hopOver(everyone), func(cr *v1beta1.CustomRun) { cr.Spec.Retries = 1 })
	c.sailOn("web-hop-m2")
	c.want("Succeeded", `["m1","m2","m3"]`, "[]", "[]")
	if got := c.childNames(); got != "web-hop-m1 web-hop-m2 web-hop-m2-r2 web-hop-m3" {
		t.Errorf("children are %s", got)
	}
}

func TestAMemberWhoseGuardFailedIsNotDoneInTheNextAttempt(t *testing.T) {
	spec := hopOver(`{"members":["m1","m2"]}`, `"target":"web"`, `"guards":[{"name":"up","expr":"pods.all(p, p.ready)","deadline":"1m"}]`)
	c := newConvoy(t, 2, spec, func(cr *v1beta1.CustomRun) { cr.Spec.Retries = 1 })
	c.ships.launch("m1", "dca", 2)
	sick := c.ships.launch("m2", "dca", 2)
	sick.Pods[0].Ready = false
	c.sailOn()
	c.clock.Step(2 * time.Minute)
	c.settle()
	if got := c.status().Attempt; got != 2 {
		t.Fatalf("attempt %d: %s", got, c.message())
	}
	c.settle()
	if h := c.status().Hop; h.Done != 1 || len(h.Working) != 1 || c.run().Status.CompletionTime != nil {
		t.Fatalf("the second attempt has %+v", h)
	}
	sick.Pods[0].Ready = true
	c.settle()
	c.want("Succeeded", `["m1","m2"]`, "[]", "[]")
	if got := c.childNames(); got != "web-hop-m1 web-hop-m2" {
		t.Errorf("what succeeded was run again: %s", got)
	}
}

func TestAHopThatIsRunAgainJoinsWhatWasDone(t *testing.T) {
	c := newConvoy(t, 3, hopOver(everyone))
	c.sailOn("web-hop-m2")
	c.want("MembersFailed", `["m1"]`, `["m2"]`, "[]")
	// The retry is a child of the same release in all but name: here its hop is told the root's run as its owner.
	again := c.sail(clusterhop.Task{}, c.pipelineRunNamed("web-1"), "web-2-hop", hopOver(everyone), noTimeout, func(cr *v1beta1.CustomRun) { cr.Labels["tekton.dev/pipelineTask"] = "web-hop" })
	c.voyage = again
	c.sailOn()
	c.want("Succeeded", `["m1","m2","m3"]`, "[]", "[]")
	if got := c.childNames(); got != "web-2-hop-m2 web-2-hop-m3 web-hop-m1 web-hop-m2" {
		t.Errorf("children are %s", got)
	}
}

func TestAPipelineThatIsChangedMidwayBeginsNobodyFurther(t *testing.T) {
	c := newConvoy(t, 3, hopOver(everyone))
	c.settle()
	p, _ := c.tekton.TektonV1().Pipelines("shop").Get(context.Background(), "web-one", metav1.GetOptions{})
	p.Spec.Description = "another"
	if _, err := c.tekton.TektonV1().Pipelines("shop").Update(context.Background(), p, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	c.sailOn()
	c.want("ChangedBySomebodyElse", `["m1"]`, "[]", "[]")
}

func TestAHopThatCannotBeCarriedIsRefusedBeforeAnythingBegins(t *testing.T) {
	for name, tc := range map[string]struct{ spec, want string }{
		"a Pipeline that is not there":       {`{"pipelineRef":{"name":"nope"},"waves":[{"members":["m1"]}]}`, `there is no Pipeline "nope"`},
		"a Pipeline that takes no member":    {hopOver(everyone, `"memberParam":"cluster"`), "spec.memberParam: Pipeline web-one takes no param cluster; it takes member"},
		"a param that the Pipeline does not": {hopOver(everyone, `"params":[{"name":"imgae","value":"x"}]`), "spec.params[0].name: Pipeline web-one takes no param imgae"},
		"a member that is not there":         {hopOver(`{"members":["m7"]}`), "spec.waves[0].members[0]"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newConvoy(t, 1, tc.spec)
			c.settle()
			c.clock.Step(6 * time.Second) // what is missing may come with the run, but not for long.
			c.settle()
			c.want("InvalidSpec", "[]", "[]", "[]")
			if !strings.Contains(c.message(), tc.want) {
				t.Errorf("it says %q; want %q", c.message(), tc.want)
			}
		})
	}
}

func TestAPipelineThatIsCarriedCarriesNoOther(t *testing.T) {
	c := newConvoy(t, 1, hopOver(everyone))
	c.settle()
	inner := c.sail(clusterhop.Task{}, c.children()["web-hop-m1"], "inner", hopOver(everyone), noTimeout)
	inner.until("InvalidSpec")
}

func TestTheStatusOfThreeHundredMembersStaysSmall(t *testing.T) {
	for name, fail := range map[string]bool{"that go well": false, "that all fail": true} {
		t.Run(name, func(t *testing.T) {
			c := newConvoy(t, 0, hopOver(everyone, `"maxParallel":100`, `"maxFailures":"100%"`))
			var names []string
			for i := range 300 {
				names = append(names, fmt.Sprintf("production-europe-west-cluster-%03d", i))
				c.members.Add(t, names[i], fleet.Clients{})
			}
			c.answersReach(names)
			most := 0
			for range 20 {
				c.settle()
				most = max(most, len(c.run().Status.ExtraFields.Raw))
				running := c.running()
				if len(running) == 0 {
					break
				}
				for _, r := range running {
					c.finish(r, !fail, "Tasks Completed: 17 (Failed: 1, Cancelled 0), Skipped: 3")
				}
			}
			if n := len(c.children()); n != 300 || c.run().Status.CompletionTime == nil {
				t.Fatalf("%d children: %s", n, c.message())
			}
			if c.most > 100 {
				t.Errorf("%d members were worked on at once", c.most)
			}
			var results int
			for _, r := range c.run().Status.Results {
				results += len(r.Value)
			}
			t.Logf("status at most %d bytes, results %d", most, results)
			if most+results >= 64<<10 {
				t.Errorf("the status is %d bytes long with results of %d", most, results)
			}
		})
	}
}

func TestNobodyFurtherIsBegunWhileAHopIsToldToStandStill(t *testing.T) {
	c := newConvoy(t, 3, hopOver(everyone))
	c.settle()
	c.finish("web-hop-m1", true, "Succeeded")
	if err := c.freezes.Add(&v1alpha1.Freeze{ObjectMeta: metav1.ObjectMeta{Name: "sale"}, Spec: v1alpha1.FreezeSpec{Message: "sale", User: "gus", Members: []string{"m2"}}}); err != nil {
		t.Fatal(err)
	}
	c.settle()
	if got := c.running(); len(got) != 0 || !strings.Contains(c.message(), "freeze sale") || !strings.Contains(c.message(), "1 of 3 members done") {
		t.Fatalf("frozen in m2, and %v runs: %s", got, c.message())
	}
	if err := c.freezes.Delete(&v1alpha1.Freeze{ObjectMeta: metav1.ObjectMeta{Name: "sale"}}); err != nil {
		t.Fatal(err)
	}
	c.settle()
	if got := c.running(); !slices.Equal(got, []string{"web-hop-m2"}) {
		t.Fatalf("after the freeze %v runs: %s", got, c.message())
	}
	pause := &v1alpha1.Intervention{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "pause"}, Spec: v1alpha1.InterventionSpec{
		RunRef: v1alpha1.RootRef{Kind: "PipelineRun", Name: "web-1", UID: "web-1-uid-0000"}, Action: v1alpha1.ActionPause, Message: "lunch", User: "fay"}}
	if err := c.hands.Add(pause); err != nil {
		t.Fatal(err)
	}
	c.finish("web-hop-m2", true, "Succeeded")
	c.settle()
	if got := c.running(); len(got) != 0 || !strings.Contains(c.message(), "paused by fay") {
		t.Fatalf("paused, and %v runs: %s", got, c.message())
	}
}
