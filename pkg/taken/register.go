package taken

import (
	"context"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/inplace"
)

// By is who takes a pod: a set, by its kind and name.
type By struct {
	Kind string
	types.NamespacedName
}

// View says whether somebody is taking a pod, other than who is named; nobody has an empty name.
type View func(pod types.UID, but By) bool

// Register has the pods that are being taken out of service. It is safe for concurrent use.
type Register struct {
	mu sync.Mutex
	// pods may be taken by two at once: then one of their writes fails, and only they know whose.
	pods map[types.UID][]taking
	// many is how many pods each takes.
	many  map[By]int
	freed map[string]func(sets []types.NamespacedName)
}

type taking struct {
	by By
	// version of the pod that was decided on.
	version string
	// set is the InPlaceSet that the pod belongs to; zero where it belongs to none.
	set types.NamespacedName
}

// New returns an empty Register.
func New() *Register {
	return &Register{pods: map[types.UID][]taking{}, many: map[By]int{}, freed: map[string]func([]types.NamespacedName){}}
}

type key struct{}

// NewContext returns a context in which controllers find one Register that they share.
func NewContext(ctx context.Context) context.Context { return context.WithValue(ctx, key{}, New()) }

// From returns the Register of a context, or a new one where there is none.
func From(ctx context.Context) *Register {
	if r, ok := ctx.Value(key{}).(*Register); ok {
		return r
	}
	return New()
}

// OnFreed has tell called when another kind gives back what it did not take after all, with the InPlaceSets of the pods. Call it before the Register is used.
func (r *Register) OnFreed(kind string, tell func(sets []types.NamespacedName)) { r.freed[kind] = tell }

// Decide gives do what is being taken, and notes the pods that do returns in addition, as they were when it decided. Nobody else decides meanwhile.
func (r *Register) Decide(by By, do func(View) []*corev1.Pod) {
	r.mu.Lock()
	defer r.mu.Unlock()
	view := func(uid types.UID, but By) bool {
		return slices.ContainsFunc(r.pods[uid], func(t taking) bool { return t.by != but })
	}
	for _, pod := range do(view) {
		r.drop(pod.UID, func(t taking) bool { return t.by == by })
		t := taking{by: by, version: pod.ResourceVersion}
		if name := pod.Labels[v1alpha1.LabelInPlaceSet]; name != "" {
			t.set = types.NamespacedName{Namespace: pod.Namespace, Name: name}
		}
		r.pods[pod.UID] = append(r.pods[pod.UID], t)
		r.many[by]++
	}
}

// Takes says whether somebody is taking pods.
func (r *Register) Takes(by By) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.many[by] > 0
}

// Keep only those pods that are still being taken, and say whether others were given back.
func (r *Register) Keep(by By, still func(types.UID) bool) bool {
	sets, some := r.keep(by, still)
	if !some {
		return false
	}
	for kind, tell := range r.freed {
		if kind != by.Kind {
			tell(sets)
		}
	}
	return true
}

func (r *Register) keep(by By, still func(types.UID) bool) (sets []types.NamespacedName, some bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for uid, takings := range r.pods {
		i := slices.IndexFunc(takings, func(t taking) bool { return t.by == by })
		if i < 0 || still(uid) {
			continue
		}
		some = true
		if set := takings[i].set; set.Name != "" {
			sets = append(sets, set)
		}
		r.drop(uid, func(t taking) bool { return t.by == by })
	}
	return sets, some
}

// Seen takes what a watch shows of a pod. It is being taken no more once that is later than what was decided on, and out of service.
func (r *Register) Seen(pod *corev1.Pod) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.pods[pod.UID]) > 0 && !Healthy(pod) {
		r.drop(pod.UID, func(t taking) bool { return later(pod.ResourceVersion, t.version) })
	}
}

// Gone takes a pod that is there no more.
func (r *Register) Gone(pod types.UID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.drop(pod, func(taking) bool { return true })
}

func (r *Register) drop(uid types.UID, which func(taking) bool) {
	left := slices.DeleteFunc(r.pods[uid], func(t taking) bool {
		if !which(t) {
			return false
		}
		if r.many[t.by]--; r.many[t.by] == 0 {
			delete(r.many, t.by)
		}
		return true
	})
	if r.pods[uid] = left; len(left) == 0 {
		delete(r.pods, uid)
	}
}

// later says whether version a may be after b. Versions that cannot be compared are.
func later(a, b string) bool {
	n, err := resourceversion.CompareResourceVersion(a, b)
	return err != nil || n > 0
}

// Healthy says whether a disruption budget counts on a pod, now and after what we wrote last: it is ready, nobody deletes it, we are not taking it out of service, and
// no sidecar of it is being changed while it serves.
func Healthy(pod *corev1.Pod) bool {
	if pod.DeletionTimestamp != nil || !inplace.Ready(pod) || inplace.ClosedFor(pod) != "" {
		return false
	}
	return pod.Labels[v1alpha1.LabelSidecars] == "" || !inplace.UpdateInProgress(pod)
}
