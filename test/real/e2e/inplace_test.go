//go:build e2ereal

package e2e

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func TestAReleaseChangesTheContainersOfTheVeryPods(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	sets := s.sets(2, "v1")
	before := map[*set][]corev1.Pod{}
	for _, set := range sets {
		set.serves("v1")
		before[set] = set.pods()
		for _, p := range before[set] {
			if p.Spec.NodeName != member+"-"+set.unit+"-0" {
				t.Errorf("pod %s of unit %s is on node %s", p.Name, set.unit, p.Spec.NodeName)
			}
		}
	}
	for _, set := range sets {
		set.setImage("v2")
	}
	for _, set := range sets {
		set.awaitAvailable()
		set.serves("v2")
		set.same(before[set])
		if got := restarts(set.pods()) - restarts(before[set]); got != 2 {
			t.Errorf("%d restarts of 2 containers", got)
		}
	}
}

func TestTheSameDigestUnderANewTagCompletes(t *testing.T) {
	t.Parallel()
	s := newSite(t).set("web", "dca", 2, "v2")
	s.awaitAvailable()
	before := s.pods()
	// Forth, back, and from another digest: the runtime reports whichever tag it likes each time.
	for _, tag := range []string{"v2-same1", "v2", "v1", "v2-same1"} {
		s.setImage(tag)
		s.awaitAvailable()
	}
	s.serves("v2")
	s.same(before)
	if got := restarts(s.pods()) - restarts(before); got != 8 {
		t.Errorf("%d restarts of 2 containers in 4 changes", got)
	}
}

func TestABadImageIsTakenBackBeforeTheKubeletActs(t *testing.T) {
	t.Parallel()
	s := newSite(t).set("web", "dca", 2, "v1")
	s.awaitAvailable()
	before := s.pods()
	s.setImage("bad1")
	s.eventually("a pod was told to run the bad image", func() (bool, string) {
		for _, p := range s.pods() {
			if p.Spec.Containers[0].Image == image+"bad1" {
				return true, ""
			}
		}
		return false, "none was"
	})
	s.setImage("v1")
	s.awaitAvailable()
	s.serves("v1")
	s.same(before)
}

func TestABadImageIsTakenBackAfterTheKubeletActed(t *testing.T) {
	t.Parallel()
	s := newSite(t).set("web", "dcb", 2, "v1")
	s.awaitAvailable()
	before := s.pods()
	s.setImage("bad1")
	s.awaitWaiting("ImagePullBackOff")
	s.setImage("v1")
	s.awaitAvailable()
	s.serves("v1")
	s.same(before)
}

func TestACrashLoopOfTheOldImageDoesNotKeepTheNewOneOut(t *testing.T) {
	t.Parallel()
	s := newSite(t).set("web", "dcb", 2, "crash1")
	s.awaitWaiting("CrashLoopBackOff")
	before := s.pods()
	s.setImage("v2")
	s.awaitAvailable()
	s.serves("v2")
	s.same(before)
}
