package stage_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	clienttesting "k8s.io/client-go/testing"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/stage"
	"github.com/periplus-dev/periplus/pkg/workload"
	"github.com/periplus-dev/periplus/tasks/partitionbump"
	"github.com/periplus-dev/periplus/tasks/rollback"
)

// lostHub is underWay, and then the hub loses its records and the run. It gives the release's name.
func lostHub(t *testing.T) (s *sea, lost string, first, second *ship) {
	t.Helper()
	s, pr, first, second := underWay(t)
	lost = s.record().Name
	s.loseRecords()
	if err := s.prs.Delete(pr); err != nil {
		t.Fatal(err)
	}
	return s, lost, first, second
}

// loseRecords has the hub forget its releases.
func (s *sea) loseRecords() {
	s.t.Helper()
	rel := s.record()
	if err := s.periplus.StagesV1alpha1().Releases("shop").Delete(context.Background(), rel.Name, metav1.DeleteOptions{}); err != nil {
		s.t.Fatal(err)
	}
	if err := s.releases.Delete(rel); err != nil {
		s.t.Fatal(err)
	}
}

// undo is a run of somebody's that takes a lost release back.
func (s *sea) undo(name, spec string) *voyage {
	return s.sail(rollback.Task{}, s.pipelineRun(name, name+"-back"), name+"-back", spec)
}

func fromMembers(release, more string) string {
	return `{"fromMembers":{"release":"` + release + `"}` + more + `}`
}

func TestAReleaseWhoseRecordIsLostGoesBackByWhatTheMembersKnow(t *testing.T) {
	s, lost, first, second := lostHub(t)
	before := len(s.log.all())
	v := s.undo("undo", fromMembers(lost, ""))
	v.until("Succeeded")
	for _, u := range []*ship{first, second} {
		if n := onRevision(u, "rev-v1"); n != 8 {
			t.Errorf("%d of 8 pods of %s are back", n, u.Ref())
		}
	}
	rel := s.record()
	if rel.Spec.Root.Name != "undo" || rel.Status.Phase != v1alpha1.ReleaseRolledBack || len(rel.Status.Touched) != 2 {
		t.Errorf("the new record is of %s, %s with %d entries", rel.Spec.Root.Name, rel.Status.Phase, len(rel.Status.Touched))
	}
	for _, u := range []*ship{first, second} {
		if u.Lock == nil || u.Lock.Release != rel.Name || u.Lock.UID != rel.UID || u.Lock.Previous.Revision != "rev-v1" || u.Lock.Previous.Partition.String() != "100%" {
			t.Errorf("the lock of %s is not taken over, with what was before: %+v", u.Ref(), u.Lock)
		}
	}
	var order []string
	for _, e := range s.log.all()[before:] {
		switch {
		case strings.HasPrefix(e, "record: m1/dca"):
			order = append(order, "record")
		case strings.HasPrefix(e, "m1/dca: lock"):
			order = append(order, "lock")
		case strings.HasPrefix(e, "m1/dca: template"):
			order = append(order, "template")
		}
	}
	if got := strings.Join(order, " "); !strings.HasPrefix(got, "record ") || strings.Index(got, "lock") > strings.Index(got, "template") {
		t.Errorf("the writes came in the order %q; want record, lock, template", got)
	}
	if v.result("members") != `["m2","m1"]` {
		t.Errorf("results: %v", v.run().Status.Results)
	}
}

func TestOfALostReleaseOnlyNamedMembersAreSearchedWhateverTheScope(t *testing.T) {
	for name, more := range map[string]string{"scope: Member": `,"scope":"Member","members":["m2"]`, "no scope": `,"members":["m2"]`} {
		t.Run(name, func(t *testing.T) {
			s, lost, first, second := lostHub(t)
			s.undo("undo", fromMembers(lost, more)).until("Succeeded")
			if a, b := onRevision(first, "rev-v1"), onRevision(second, "rev-v1"); a != 0 || b != 8 {
				t.Errorf("%d pods of m1 and %d of m2 are back; want 0 and 8", a, b)
			}
			if first.Lock.Release != lost {
				t.Errorf("the lock of m1, which nobody named, is now %+v", first.Lock)
			}
		})
	}
}

func TestOfALostReleaseNothingElseIsTaken(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(s *sea, first *ship)
	}{
		{"a workload that another release holds", func(_ *sea, first *ship) { first.Lock.Release = "another-0000" }},
		{"a workload whose lock is of another namespace's release", func(_ *sea, first *ship) { first.Lock.Namespace = "till" }},
		{"a workload that another hub's release of the name holds", func(_ *sea, first *ship) { first.Lock.Hub = "elsewhere" }},
		{"a workload that nobody holds", func(_ *sea, first *ship) { first.Lock = nil }},
		{"a workload of another namespace", func(_ *sea, first *ship) { first.Namespace = "till" }},
		{"a member that the namespace is not given", func(s *sea, _ *ship) {
			if err := s.periplus.StagesV1alpha1().ReleasePolicies().Delete(context.Background(), openPolicy, metav1.DeleteOptions{}); err != nil {
				s.t.Fatal(err)
			}
			s.policy("m2-only", `{"members":{"names":["m2"]}}`)
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, lost, first, second := lostHub(t)
			tc.change(s, first)
			version := first.ResourceVersion
			v := s.undo("undo", fromMembers(lost, ""))
			v.until("Succeeded")
			if first.ResourceVersion != version || onRevision(first, "rev-v1") != 0 {
				t.Errorf("it was written to; writes:\n%s", strings.Join(s.log.all(), "\n"))
			}
			if onRevision(second, "rev-v1") != 8 {
				t.Error("the other one is not back")
			}
		})
	}
}

func TestWhatTheHubHasARecordOfIsNotTakenFromMembers(t *testing.T) {
	s, _, first, second := underWay(t)
	rel := s.record()
	was := []string{first.ResourceVersion, second.ResourceVersion}
	for name, more := range map[string]string{"undo1": "", "undo2": `,"members":["m1"]`} {
		v := s.undo(name, fromMembers(rel.Name, more))
		v.until("InvalidSpec")
		if !strings.Contains(message(v), "this hub has the record of release "+rel.Name) {
			t.Error(message(v))
		}
	}
	// Locks may say whatever hub: a release that is there is there.
	for _, u := range []*ship{first, second} {
		u.Lock.Hub = "elsewhere"
	}
	rel.UID = "its-uid"
	if err := s.periplus.Tracker().Update(v1alpha1.SchemeGroupVersion.WithResource("releases"), rel, "shop"); err != nil {
		t.Fatal(err)
	}
	first.Lock.UID, second.Lock.UID = "its-uid", "its-uid"
	v := s.undo("undo3", `{"fromMembers":{"release":"`+rel.Name+`","hub":"elsewhere"}}`)
	v.until("InvalidSpec")
	if first.ResourceVersion != was[0] || second.ResourceVersion != was[1] {
		t.Error("workloads were written to")
	}
}

func TestAHubThatWasBuiltAnewTakesBackWhatTheOldOneLocked(t *testing.T) {
	s, lost, first, second := lostHub(t)
	for _, u := range []*ship{first, second} {
		u.Lock.Hub = "old-hub"
	}
	s.undo("undo", fromMembers(lost, "")).until("InvalidSpec")
	v := s.undo("again", `{"fromMembers":{"release":"`+lost+`","hub":"old-hub"}}`)
	v.until("Succeeded")
	if a, b := onRevision(first, "rev-v1"), onRevision(second, "rev-v1"); a != 8 || b != 8 {
		t.Errorf("%d and %d of 8 pods are back", a, b)
	}
	if first.Lock.Hub != "hub" {
		t.Errorf("the lock is still of hub %s", first.Lock.Hub)
	}
}

func TestANameThatNoLockGivesIsAMistake(t *testing.T) {
	s, _, _, _ := lostHub(t)
	v := s.undo("undo", fromMembers("web-2-typo", ""))
	v.until("InvalidSpec")
	if m := message(v); !strings.Contains(m, "no workload of namespace shop in m1, m2 carries a lock of release web-2-typo") {
		t.Error(m)
	}
	v.end()
	all, err := s.periplus.StagesV1alpha1().Releases("shop").List(context.Background(), metav1.ListOptions{})
	if err != nil || len(all.Items) != 0 {
		t.Errorf("%d records were made: %v", len(all.Items), err)
	}
}

func TestALostReleaseInAMemberThatIsGone(t *testing.T) {
	t.Run("the others go back, and the member is named", func(t *testing.T) {
		s, lost, _, second := lostHub(t)
		s.cables.cut["m1"] = true
		v := s.undo("undo", fromMembers(lost, ""))
		v.until("LeftBehind")
		v.end()
		if onRevision(second, "rev-v1") != 8 || !strings.Contains(message(v), "m1 cannot be reached") {
			t.Errorf("%d pods of m2 are back; %s", onRevision(second, "rev-v1"), message(v))
		}
		if rel := s.record(); rel.Status.Phase == v1alpha1.ReleaseRolledBack {
			t.Error("the record says that all is back, and nobody has looked into m1")
		}
	})
	t.Run("it is searched once it is back, where asked", func(t *testing.T) {
		s, lost, first, second := lostHub(t)
		s.cables.cut["m1"] = true
		v := s.undo("undo", fromMembers(lost, `,"onUnreachable":"Wait"`))
		v.until("MemberUnreachable")
		for range 20 {
			v.pass()
			s.ships.turn()
			s.clock.Step(time.Second)
		}
		if onRevision(second, "rev-v1") != 8 {
			t.Errorf("%d pods of the member that answers are back", onRevision(second, "rev-v1"))
		}
		s.cables.cut["m1"] = false
		v.until("Succeeded")
		if onRevision(first, "rev-v1") != 8 {
			t.Error("m1 is not back")
		}
	})
	t.Run("none answers: it waits only where asked", func(t *testing.T) {
		s, lost, first, _ := lostHub(t)
		s.cables.cut["m1"], s.cables.cut["m2"] = true, true
		s.undo("undo", fromMembers(lost, "")).until("LeftBehind")
		v := s.undo("wait", fromMembers(lost, `,"onUnreachable":"Wait"`))
		v.until("MemberUnreachable")
		s.cables.cut["m1"], s.cables.cut["m2"] = false, false
		v.until("Succeeded")
		if onRevision(first, "rev-v1") != 8 {
			t.Error("m1 is not back")
		}
	})
}

func TestALockThatCannotBeReadIsNamed(t *testing.T) {
	s, lost, first, second := lostHub(t)
	first.Lock, first.LockError = nil, errors.New("the annotation cannot be read")
	v := s.undo("undo", fromMembers(lost, ""))
	v.until("LeftBehind")
	v.end()
	if !strings.Contains(message(v), "m1/dca: the annotation cannot be read") || onRevision(second, "rev-v1") != 8 {
		t.Errorf("%s; %d pods of m2 are back", message(v), onRevision(second, "rev-v1"))
	}
}

// Every write that finds and takes over the lost release fails once, before or after it landed; the stage forgets what it had in hand.
func TestTakingOverALostReleaseIsCarriedOnAfterACrashAtAnyWrite(t *testing.T) {
	for _, landed := range []bool{false, true} {
		for kill := 1; ; kill++ {
			s, lost, first, second := lostHub(t)
			n, killed := 0, false
			crash := func() bool {
				n++
				killed = killed || n == kill
				return n == kill
			}
			down := errors.New("the controller is killed")
			hub := func(action clienttesting.Action) (bool, runtime.Object, error) {
				if action.GetVerb() != "create" && action.GetVerb() != "update" || !crash() {
					return false, nil, nil
				}
				if !landed {
					return true, nil, down
				}
				gvr := action.GetResource()
				var err error
				if action.GetVerb() == "create" {
					err = s.periplus.Tracker().Create(gvr, action.(clienttesting.CreateAction).GetObject(), "shop")
				} else {
					err = s.periplus.Tracker().Update(gvr, action.(clienttesting.UpdateAction).GetObject(), "shop")
				}
				return true, nil, errors.Join(err, down)
			}
			s.periplus.PrependReactor("*", "releases", hub)
			s.ships.fail = func(u *workload.Unit, w workload.Write) error {
				if !crash() {
					return nil
				}
				if at := s.ships.units[u.Ref()]; landed && w.Lock != nil {
					at.Lock = w.Lock
					at.bump()
				}
				return apierrors.NewInternalError(down)
			}
			v := s.undo("undo", fromMembers(lost, ""))
			for range 120 {
				cr := v.run()
				if cr.Status.CompletionTime != nil {
					break
				}
				before := killed
				_ = v.rec.ReconcileKind(context.Background(), cr.DeepCopy())
				if killed && !before {
					// What the killed controller would have written to its run's status did not land.
					if err := s.tekton.Tracker().Update(schema.GroupVersionResource{Group: "tekton.dev", Version: "v1beta1", Resource: "customruns"}, cr, "shop"); err != nil {
						t.Fatal(err)
					}
					v.rec = stage.NewReconciler(s.frame, rollback.Task{}, func(types.NamespacedName) {})
				}
				s.ships.turn()
				s.clock.Step(time.Second)
			}
			if !killed {
				break // every write was killed once.
			}
			if cr := v.run(); !cr.IsSuccessful() {
				t.Fatalf("killed at write %d (landed: %t) it ended as %+v", kill, landed, cr.Status.Conditions)
			}
			rel := s.record()
			for _, u := range []*ship{first, second} {
				if onRevision(u, "rev-v1") != 8 || u.Lock == nil || u.Lock.Release != rel.Name || u.Lock.Previous.Revision != "rev-v1" {
					t.Fatalf("killed at write %d (landed: %t): %d pods of %s are back, lock %+v", kill, landed, onRevision(u, "rev-v1"), u.Ref(), u.Lock)
				}
			}
			if rel.Status.Phase != v1alpha1.ReleaseRolledBack || len(rel.Status.Touched) != 2 {
				t.Fatalf("killed at write %d (landed: %t) the record says %+v", kill, landed, rel.Status)
			}
		}
	}
}

func TestARunThatTakesALostReleaseBackKeepsWhatItTouchedItself(t *testing.T) {
	s, lost, _, second := lostHub(t)
	third := s.ships.launch("m1", "dcb", 4)
	first := s.ships.units["m1/dca"]
	first.Lock = nil
	pr := s.pipelineRun("both", "bump", "back")
	s.sail(partitionbump.Task{}, pr, "bump", strings.Replace(bumpIn("strict", "m1"), `["dca"]`, `["dca","dcb"]`, 1)).until("Succeeded")
	s.sail(rollback.Task{}, pr, "back", fromMembers(lost, "")).until("Succeeded")
	if a, b := onRevision(third, "rev-v2"), onRevision(second, "rev-v1"); a != 4 || b != 8 {
		t.Errorf("%d of 4 pods that the run itself moved are still there, %d of 8 of the lost release are back", a, b)
	}
}
