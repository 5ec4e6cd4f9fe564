package stage_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clienttesting "k8s.io/client-go/testing"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/stage"
	"github.com/periplus-dev/periplus/pkg/workload"
	"github.com/periplus-dev/periplus/tasks/betabatch"
)

// Every write of a stage, to a deployment, the record and the run's status, fails once, before or after it landed, and the controller that made it is gone: what
// the next one finds is all there is.
func TestABetaBatchIsCarriedOnAfterACrashAtAnyWrite(t *testing.T) {
	for _, landed := range []bool{false, true} {
		for kill := 1; ; kill++ {
			s, c := newCafeSea(t, "m1")
			web := c.launch("m1", "dca:3", "dcb:3")
			n, killed := 0, false
			crash := func() bool {
				n++
				killed = killed || n == kill
				return n == kill
			}
			down := apierrors.NewInternalError(errors.New("the controller is killed"))
			onHub := func(tracker clienttesting.ObjectTracker) clienttesting.ReactionFunc {
				return func(action clienttesting.Action) (bool, runtime.Object, error) {
					create, isCreate := action.(clienttesting.CreateAction)
					update, isUpdate := action.(clienttesting.UpdateAction)
					if isUpdate && action.GetVerb() == "update" && crash() {
						if landed {
							return true, nil, errors.Join(tracker.Update(action.GetResource(), update.GetObject(), "shop"), down)
						}
						return true, nil, down
					}
					if isCreate && action.GetVerb() == "create" && crash() {
						if landed {
							return true, nil, errors.Join(tracker.Create(action.GetResource(), create.GetObject(), "shop"), down)
						}
						return true, nil, down
					}
					return false, nil, nil
				}
			}
			s.periplus.PrependReactor("*", "releases", onHub(s.periplus.Tracker()))
			c.fail = func(workload.Object, workload.Write) error {
				if !landed && crash() {
					return down
				}
				return nil
			}
			c.after = func() error {
				if landed && crash() {
					return down
				}
				return nil
			}
			v := s.sail(betabatch.Task{}, s.pipelineRun("web-1", "groups"), "groups", cafeGroups(`"batchSize":2,"confirm":{}`, "m1"))
			s.tekton.PrependReactor("update", "customruns", onHub(s.tekton.Tracker()))
			asked := map[string]bool{}
			for range 150 {
				cr := v.run()
				if cr.Status.CompletionTime != nil {
					break
				}
				before := killed
				_ = v.rec.ReconcileKind(context.Background(), cr.DeepCopy())
				if killed && !before {
					v.rec = stage.NewReconciler(s.frame, betabatch.Task{}, func(types.NamespacedName) {})
				}
				if raw := v.run().Status.ExtraFields.Raw; raw != nil {
					if q := v.status().Question; q != nil && len(q.Answers) == 0 && !asked[q.ID] {
						asked[q.ID] = true
						if most := 2 * len(asked); web.unit("dca").updated()+web.unit("dcb").updated() > most {
							t.Fatalf("killed at write %d (landed: %t) %s are updated before %s is answered", kill, landed, web.updated(), q.ID)
						}
						yes(v, q.ID)
					}
				}
				web.within(t, 2)()
				c.turn()
				s.clock.Step(time.Second)
			}
			if !killed {
				break // every write was killed once.
			}
			if cr := v.run(); !cr.IsSuccessful() || web.updated() != "dca 3, dcb 3" || len(asked) != 2 {
				t.Fatalf("killed at write %d (landed: %t) it ended as %+v with %s, asked %v\n%s", kill, landed, cr.Status.Conditions, web.updated(), asked, strings.Join(s.log.all(), "\n"))
			}
			rel := s.record()
			if len(rel.Status.Touched) != 1 || rel.Status.Touched[0].Previous.Revision != "rev-v1" || rel.Status.Touched[0].Revision != "rev-v2" ||
				rel.Status.Touched[0].Previous.Partitions["dca"] != *percent("100%") || web.ships[0].Lock == nil || web.ships[0].Lock.UID != rel.UID {
				t.Fatalf("killed at write %d (landed: %t) the record says %+v, the lock %+v", kill, landed, rel.Status.Touched, web.ships[0].Lock)
			}
			if rel.Status.Phase != v1alpha1.ReleaseRunning {
				t.Fatalf("killed at write %d (landed: %t) the release is %s", kill, landed, rel.Status.Phase)
			}
		}
	}
}
