package overlay

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
)

func pod(name, uid, version string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(uid), ResourceVersion: version}}
}

// story is a Store with the informer's cache beside it.
type story struct {
	t     *testing.T
	clock *clocktesting.FakeClock
	store *Store[*corev1.Pod]
	cache []*corev1.Pod
}

func newStory(t *testing.T) *story {
	c := clocktesting.NewFakeClock(time.Unix(1000, 0))
	return &story{t: t, clock: c, store: New(c, func(*corev1.Pod) string { return "g" })}
}

// informs the informer of a pod.
func (s *story) informs(p *corev1.Pod) {
	s.loses(p.Name)
	s.cache = append(s.cache, p)
	s.store.Observed(p)
}

func (s *story) loses(name string) {
	for i, p := range s.cache {
		if p.Name == name {
			s.cache = append(s.cache[:i:i], s.cache[i+1:]...)
			return
		}
	}
}

// removes a pod from the informer, with the event.
func (s *story) removes(p *corev1.Pod) {
	s.loses(p.Name)
	s.store.Removed(p)
}

func (s *story) writes(answer *corev1.Pod, meanwhile ...func()) {
	_, err := s.store.Write("g", answer.Name, func() (*corev1.Pod, error) {
		for _, m := range meanwhile {
			m()
		}
		return answer, nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *story) deletes(p *corev1.Pod, meanwhile ...func()) {
	err := s.store.Delete("g", p.DeepCopy(), func() error {
		for _, m := range meanwhile {
			m()
		}
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

// sees says what is read, as name/uid@version, with a cross for what is on its way out.
func (s *story) sees(want string) {
	s.t.Helper()
	var got []string
	for _, p := range s.store.Over("g", s.cache) {
		text := fmt.Sprintf("%s/%s@%s", p.Name, p.UID, p.ResourceVersion)
		if p.DeletionTimestamp != nil {
			text += "†"
		}
		got = append(got, text)
	}
	if strings.Join(got, " ") != want {
		s.t.Errorf("reads %q; want %q", strings.Join(got, " "), want)
	}
}

// forgot says that nothing is kept beyond the informer.
func (s *story) forgot() {
	s.t.Helper()
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	if len(s.store.groups) != 0 {
		s.t.Errorf("something is still remembered: %+v", s.store.groups["g"])
	}
}

func TestStore(t *testing.T) {
	gone := func(p *corev1.Pod) *corev1.Pod {
		now := metav1.Now()
		p.DeletionTimestamp = &now
		return p
	}
	for name, tell := range map[string]func(*story){
		"a change is read before the informer has it, and forgotten after": func(s *story) {
			s.informs(pod("a", "1", "5"))
			s.writes(pod("a", "1", "7"))
			s.sees("a/1@7")
			s.informs(pod("a", "1", "6"))
			s.sees("a/1@7")
			s.informs(pod("a", "1", "7"))
			s.sees("a/1@7")
			s.forgot()
		},
		"versions are numbers and not words": func(s *story) {
			s.informs(pod("a", "1", "9"))
			s.writes(pod("a", "1", "10"))
			s.sees("a/1@10")
		},
		"a create is read before the informer has it": func(s *story) {
			s.writes(pod("a", "1", "5"))
			s.sees("a/1@5")
			s.informs(pod("a", "1", "5"))
			s.sees("a/1@5")
			s.forgot()
		},
		"a create whose event comes before its answer leaves nothing": func(s *story) {
			s.writes(pod("a", "1", "5"), func() { s.informs(pod("a", "1", "5")) })
			s.forgot()
		},
		"a create that is deleted before its answer comes leaves no ghost": func(s *story) {
			s.writes(pod("a", "1", "5"), func() { s.informs(pod("a", "1", "5")) }, func() { s.removes(pod("a", "1", "6")) })
			s.sees("")
			s.forgot()
		},
		"a pod that goes after it was changed leaves no ghost": func(s *story) {
			s.informs(pod("a", "1", "5"))
			s.writes(pod("a", "1", "7"))
			s.removes(pod("a", "1", "8"))
			s.sees("")
			s.forgot()
		},
		"a delete is read before the informer has it": func(s *story) {
			s.informs(pod("a", "1", "5"))
			s.deletes(pod("a", "1", "5"))
			s.sees("a/1@5†")
			s.informs(gone(pod("a", "1", "6")))
			s.sees("a/1@6†")
			s.forgot()
		},
		"a delete that is over at once leaves nothing": func(s *story) {
			s.informs(pod("a", "1", "5"))
			s.deletes(pod("a", "1", "5"), func() { s.removes(pod("a", "1", "6")) })
			s.sees("")
			s.forgot()
		},
		"a new pod of an old name is read before the old one's end is": func(s *story) {
			s.informs(pod("a", "1", "5"))
			s.writes(pod("a", "2", "9"))
			s.sees("a/2@9")
			s.removes(pod("a", "1", "8"))
			s.sees("a/2@9")
			s.informs(pod("a", "2", "9"))
			s.forgot()
		},
		"a refused write leaves nothing": func(s *story) {
			s.informs(pod("a", "1", "5"))
			_, err := s.store.Write("g", "a", func() (*corev1.Pod, error) {
				return nil, apierrors.NewConflict(schema.GroupResource{Resource: "pods"}, "a", errors.New("changed"))
			})
			if !apierrors.IsConflict(err) {
				s.t.Errorf("Write returns %v; want the conflict", err)
			}
			s.forgot()
		},
		"a write without an answer is in doubt until it is settled": func(s *story) {
			s.informs(pod("a", "1", "5"))
			_, _ = s.store.Write("g", "a", func() (*corev1.Pod, error) { return nil, errors.New("connection reset") })
			if d := s.store.Doubtful("g"); len(d) != 1 || d[0] != "a" {
				s.t.Fatalf("in doubt: %v; want a", d)
			}
			landed := pod("a", "1", "7")
			s.store.Settle("g", "a", &landed)
			s.sees("a/1@7")
			if d := s.store.Doubtful("g"); len(d) != 0 {
				s.t.Errorf("in doubt after it was settled: %v", d)
			}
			s.informs(pod("a", "1", "7"))
			s.forgot()
		},
		"a write without an answer that made nothing is settled, too": func(s *story) {
			_, _ = s.store.Write("g", "a", func() (*corev1.Pod, error) { return nil, errors.New("connection reset") })
			s.store.Settle("g", "a", nil)
			s.sees("")
			s.forgot()
		},
		"a server error leaves the write in doubt": func(s *story) {
			_, _ = s.store.Write("g", "a", func() (*corev1.Pod, error) { return nil, apierrors.NewInternalError(errors.New("etcd")) })
			if d := s.store.Doubtful("g"); len(d) != 1 {
				s.t.Errorf("in doubt: %v; want a", d)
			}
		},
		"what the informer does not catch up with is asked about, and never freezes anything": func(s *story) {
			s.writes(pod("a", "1", "5"))
			if d := s.store.Doubtful("g"); len(d) != 0 {
				s.t.Errorf("in doubt at once: %v", d)
			}
			s.clock.Step(DoubtAfter + time.Second)
			if d := s.store.Doubtful("g"); len(d) != 1 {
				s.t.Fatalf("in doubt after %s: %v; want a", DoubtAfter, d)
			}
			s.store.Settle("g", "a", nil)
			s.sees("")
			s.forgot()
		},
		"what the API server no longer has is not read from a lagging informer": func(s *story) {
			s.informs(pod("a", "1", "5"))
			s.writes(pod("a", "1", "7"))
			s.store.Settle("g", "a", nil)
			s.sees("")
			s.removes(pod("a", "1", "8"))
			s.forgot()
		},
		"other pods are read as the informer has them": func(s *story) {
			s.informs(pod("a", "1", "5"))
			s.informs(pod("b", "2", "6"))
			s.writes(pod("b", "2", "8"))
			s.sees("a/1@5 b/2@8")
		},
		"a group that is over is forgotten": func(s *story) {
			s.writes(pod("a", "1", "5"))
			s.store.Forget("g")
			s.forgot()
		},
	} {
		t.Run(name, func(t *testing.T) { tell(newStory(t)) })
	}
}
