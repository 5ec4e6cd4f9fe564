package stage_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/plan"
	"github.com/periplus-dev/periplus/pkg/workload"
)

// flotilla is one CafeDeployment in memory: ships that sail under one order, which is written as a whole.
type flotilla struct {
	ships   []*ship
	version int
}

// flotillas are the CafeDeployments of all members.
type flotillas struct {
	mu  sync.Mutex
	log *journal
	all map[string]*flotilla
	// fail may keep a write from landing.
	fail func(o workload.Object, w workload.Write) error
	// after fails a write that has landed.
	after func() error
}

var _ workload.Kind = (*flotillas)(nil)

// newCafeSea is a sea whose target web is CafeDeployment web.
func newCafeSea(t *testing.T, members ...string) (*sea, *flotillas) {
	t.Helper()
	s := newSea(t, members...)
	c := &flotillas{log: s.log, all: map[string]*flotilla{}}
	s.frame.Kinds["CafeDeployment"] = c
	s.store(&v1alpha1.Target{ObjectMeta: metav1.ObjectMeta{Name: "cafe", Namespace: "shop"}, Spec: v1alpha1.TargetSpec{
		Workload: v1alpha1.WorkloadRef{APIVersion: "apps.periplus.dev/v1alpha1", Kind: "CafeDeployment", Name: "web"}, MaxUnavailable: percent("50%"),
	}})
	return s, c
}

// launch adds a CafeDeployment web to a member, with units such as dca:5, all on v1 and at rest.
func (c *flotillas) launch(member string, units ...string) *flotilla {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := &flotilla{version: 1}
	for _, name := range units {
		name, n, _ := strings.Cut(name, ":")
		var replicas int32
		if _, err := fmt.Sscan(n, &replicas); err != nil {
			panic(err)
		}
		u := &ship{images: map[string]string{}, version: 1}
		u.Unit = workload.Unit{
			Member: member, Name: name, Kind: "CafeDeployment", Namespace: "shop", Workload: "web", Shared: true, UID: types.UID(member + "-web"),
			ResourceVersion: "1", Observed: true, Replicas: replicas, Partition: ptr.To(plan.Held()), Revision: "rev-v1", UpdateRevision: "rev-v1",
			Template: &corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "shop/web:v1"}}}},
		}
		for i := range replicas {
			u.Pods = append(u.Pods, workload.Pod{Name: fmt.Sprintf("web-%s-%d", name, i), Revision: "rev-v1", Ready: true, Available: true, Started: true, Updated: true, Phase: "Running"})
		}
		out.ships = append(out.ships, u)
	}
	c.all[member] = out
	return out
}

func (d *flotilla) unit(name string) *ship {
	for _, u := range d.ships {
		if u.Name == name {
			return u
		}
	}
	panic("no unit " + name)
}

// change is one by somebody, to all of the deployment.
func (d *flotilla) change(to func(u *ship)) {
	d.version++
	for _, u := range d.ships {
		to(u)
		u.ResourceVersion = fmt.Sprint(d.version)
	}
}

// updated are the pods on the update revision by unit, such as "dca 1, dcb 0".
func (d *flotilla) updated() string {
	var out []string
	for _, u := range d.ships {
		out = append(out, fmt.Sprintf("%s %d", u.Name, u.updated()))
	}
	return strings.Join(out, ", ")
}

func (d *flotilla) partitions() string {
	var out []string
	for _, u := range d.ships {
		out = append(out, u.Name+" "+u.Partition.String())
	}
	return strings.Join(out, ", ")
}

// scale has a unit keep so many pods; new ones are as old ones are.
func (d *flotilla) scale(unit string, replicas int32) {
	d.change(func(u *ship) {
		if u.Name != unit {
			return
		}
		for i := int32(len(u.Pods)); i < replicas; i++ { // #nosec G115 -- a few pods.
			u.Pods = append(u.Pods, workload.Pod{Name: fmt.Sprintf("web-%s-%d", unit, i), Revision: "rev-v1", Ready: true, Available: true, Phase: "Running"})
		}
		u.Replicas, u.Pods = replicas, u.Pods[:replicas]
	})
}

func (c *flotillas) Observe(_ workload.Session, member, namespace string, ref v1alpha1.WorkloadRef) ([]workload.Unit, bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d, ok := c.all[member]
	if !ok || namespace != "shop" {
		return nil, true, fmt.Errorf("%w: CafeDeployment %s in namespace %s of member %s", workload.ErrNotFound, ref.Name, namespace, member)
	}
	return d.seen(), true, nil
}

func (d *flotilla) seen() []workload.Unit {
	var out []workload.Unit
	for _, u := range d.ships {
		x := u.Unit
		x.Pods, x.Template = slices.Clone(u.Pods), u.Template.DeepCopy()
		out = append(out, x)
	}
	return out
}

func (c *flotillas) Template(_ context.Context, _ workload.Session, u *workload.Unit, revision string) (*corev1.PodTemplateSpec, error) {
	out := u.Template.DeepCopy()
	out.Spec.Containers[0].Image = "shop/web:" + strings.TrimPrefix(revision, "rev-")
	return out, nil
}

func (c *flotillas) Get(context.Context, workload.Session, string, string, string) (workload.Object, error) {
	return workload.Object{}, errors.New("not needed here")
}

// Write writes the whole object, as the adapter does.
func (c *flotillas) Write(_ context.Context, _ workload.Session, o workload.Object, w workload.Write) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fail != nil {
		if err := c.fail(o, w); err != nil {
			return err
		}
	}
	d := c.all[o.First().Member]
	if fmt.Sprint(d.version) != o.First().ResourceVersion {
		return apierrors.NewConflict(schema.GroupResource{Resource: "cafedeployments"}, "web", errors.New("changed meanwhile"))
	}
	var what []string
	for _, name := range slices.Sorted(maps.Keys(w.Partitions)) {
		p := w.Partitions[name]
		what = append(what, name+" "+p.String())
	}
	d.change(func(u *ship) {
		if w.Template != nil {
			u.Template = w.Template.DeepCopy()
		}
		if w.Template != nil || len(w.Partitions) > 0 {
			u.Observed = false
		}
		if len(w.Partitions) > 0 {
			if p, ok := w.Partitions[u.Name]; ok {
				u.Partition = &p
			} else if u.Own {
				u.Partition = ptr.To(plan.Held())
			}
			u.Own = false
		}
		if w.Lock != nil {
			u.Lock = w.Lock
		}
		if w.Unlock {
			u.Lock = nil
		}
	})
	if w.Template != nil {
		what = append(what, "template "+w.Template.Spec.Containers[0].Image)
	}
	if w.Lock != nil {
		what = append(what, "lock")
	}
	if w.Unlock {
		what = append(what, "unlock")
	}
	c.log.add("%s: %s", o.Ref(), strings.Join(what, ", "))
	if c.after != nil {
		return c.after()
	}
	return nil
}

// turn lets every deployment's controller make one move in each unit.
func (c *flotillas) turn() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range c.all {
		saw := false
		for _, u := range d.ships {
			if u.stopped {
				continue
			}
			saw = saw || !u.Observed
			u.turn()
		}
		if saw {
			d.version++
		}
		for _, u := range d.ships {
			u.ResourceVersion = fmt.Sprint(d.version)
		}
	}
}

// sailUntil passes until the condition holds, in at most most passes of one second each. watch looks at each of them.
func (c *flotillas) sailUntil(v *voyage, most int, holds func() bool, watch ...func()) {
	v.t.Helper()
	for range most {
		v.pass()
		if holds() {
			return
		}
		c.turn()
		v.ships.turn()
		v.clock.Step(time.Second)
		for _, w := range watch {
			w()
		}
	}
	v.t.Fatalf("%s never came there; it is at %s: %s\nwrites:\n%s", v.name, v.reason(), v.message(), strings.Join(v.log.all(), "\n"))
}

// ends passes until the run is over for a reason.
func (c *flotillas) ends(v *voyage, reason string, watch ...func()) {
	v.t.Helper()
	c.sailUntil(v, 200, func() bool { return v.run().Status.CompletionTime != nil }, watch...)
	if v.reason() != reason {
		v.t.Fatalf("%s ended with %s: %s", v.name, v.reason(), v.message())
	}
}

// asks passes until the run asks a question of this ID.
func (c *flotillas) asks(v *voyage, id string) *v1alpha1.Question {
	v.t.Helper()
	c.sailUntil(v, 100, func() bool {
		q := v.status().Question
		return v.reason() == "AwaitingApproval" && q != nil && q.ID == id
	})
	return v.status().Question
}

// says answers a question of the run.
func (v *voyage) saysTo(id, user string, d v1alpha1.Decision, message string) {
	v.answer(id+"-by-"+user, v1alpha1.ApprovalSpec{RunRef: v1alpha1.RunRef{Name: v.name, UID: v.run().UID}, Question: id, Decision: d, User: user, Message: message})
}

// within fails the test once fewer pods of a unit are available than its limit lets.
func (d *flotilla) within(t *testing.T, most int32) func() {
	return func() {
		t.Helper()
		for _, u := range d.ships {
			if n := int32(u.available()); n < u.Replicas-most { // #nosec G115 -- a few pods.
				t.Fatalf("%d of %d pods of %s are available; %d may be missing", n, u.Replicas, u.Ref(), most)
			}
		}
	}
}

func number(n int32) *intstr.IntOrString { return ptr.To(intstr.FromInt32(n)) }
