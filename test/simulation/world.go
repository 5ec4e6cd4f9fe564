package simulation

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"

	corev1 "k8s.io/api/core/v1"

	appsv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	stagesv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/plan"
	"github.com/periplus-dev/periplus/pkg/stage"
	"github.com/periplus-dev/periplus/test/simulation/store"
)

// Plant is a bug that a test puts in, to see that a rule's check finds it. It stands outside of what is tried.
type Plant struct {
	// Lies change what the caches of a kind of process ("hub", "member") believe of a resource, by "hub/pods".
	Lies map[string]func(runtime.Object)
	// Task stands in for a stage.
	Task func(stage.Task) stage.Task
	// Wire stands between a process and the API servers.
	Wire func(process string, next http.RoundTripper) http.RoundTripper
	// Story changes the story to one in which the bug matters.
	Story func(*story)
	// Apart has the controllers of InPlaceSets and SidecarSets not know what the other is taking.
	Apart bool
	// Alien has the controller of SidecarSets not know the workloads.
	Alien bool
	// AlwaysReachable has the hub take every member for reachable.
	AlwaysReachable bool
}

// rates are the chances of faults at each opportunity.
type rates struct {
	read, kill, lost, another float64
}

// World is one hub, three members of two units each, and all that is going on.
type World struct {
	seed    uint64
	rand    *rand.Rand
	clock   *clocktesting.FakeClock
	story   *story
	plant   Plant
	sites   *sites
	hub     *cluster
	hubUID  string
	members []*cluster
	procs   []*process
	tekton  *tekton
	rules   *rules

	// lastHand is the step at which a person last did something by the product's means; mended, whether what made a release fail is. lost is which release
	// held each member/workload when the hub lost its records.
	lastHand int
	mended   bool
	lost     map[string]string
	// faults may happen; began is the step at which the release did.
	faults      bool
	rates       rates
	step, began int
	acted       int
	// grown: somebody wanted more pods already.
	grown bool
	// given counts the answers to each question of a run, by its UID and the question; directed, the kills at each write site.
	given    map[string]int
	directed map[string]int
	reached  map[string]bool
	healAt   map[*cluster]time.Time
	dirty    bool
	buffer   []*informer
	open     open
	// isOver is what over said as of a version of the hub.
	isOver struct {
		at   uint64
		over bool
	}
	lines []string
	keep  bool
	// alone is nil in worlds with releases.
	alone *alone
	// meshers are users of SidecarSets. apps makes the application's workloads, where they are not there from the start.
	meshers *sidecarUsers
	apps    func()
}

var kinds = sync.OnceValues(func() ([]*store.Kind, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/tektoncd/pipeline").Output()
	if err != nil {
		return nil, fmt.Errorf("finding Tekton's kinds: %w", err)
	}
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return nil, fmt.Errorf("finding our kinds: %w", err)
	}
	crds := func(path ...string) string { return filepath.Join(append(path, "300-crds")...) }
	dir, tekton := strings.TrimSpace(string(root)), strings.TrimSpace(string(out))
	return store.LoadCRDs(crds(dir, "config", "hub"), crds(dir, "config", "member"),
		filepath.Join(crds(tekton, "config"), "300-customrun.yaml"), filepath.Join(crds(tekton, "config"), "300-pipelinerun.yaml"), filepath.Join(crds(tekton, "config"), "300-pipeline.yaml"))
})

// randOf is what decides all of a seed's run, its story first.
func randOf(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }

func newWorld(seed uint64, plant Plant, over *sites) *World {
	served, err := kinds()
	if err != nil {
		panic(err) // nothing can be simulated.
	}
	w := &World{
		seed: seed, rand: randOf(seed), clock: clocktesting.NewFakeClock(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)),
		plant: plant, sites: over, rates: rates{read: .001, kill: .002, lost: .003, another: .01},
		given: map[string]int{}, directed: map[string]int{}, reached: map[string]bool{}, healAt: map[*cluster]time.Time{},
	}
	w.story = tell(w.rand)
	if plant.Story != nil {
		plant.Story(w.story)
	}
	if w.story.convoy {
		w.rates.kill *= 4 // its sites are few, and each is chosen twice only.
	}
	cluster := func(n int, name string) *cluster {
		c := newCluster(name, store.New(store.Options{Clock: w.clock, Kinds: served, Seed: seed*1000 + uint64(n), Sparse: w.story.sparse}), w.clock.Now)
		_, err := c.admin.kube.CoreV1().Namespaces().Create(context.Background(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{})
		w.must("making a namespace", err)
		return c
	}
	w.hub = cluster(0, "hub")
	w.hubUID = hubUID(w.hub)
	for n, name := range w.story.members {
		w.members = append(w.members, cluster(n+1, name))
	}
	w.tekton = &tekton{c: w.hub, w: w, pipelines: map[string]*pipeline{}, ran: map[string]*pipeline{}}
	w.rules = newRules(w)
	w.meshers = &sidecarUsers{w: w}
	if w.story.alone != nil {
		w.procs = []*process{{w: w, name: w.members[0].name, home: w.members[0], start: startMember}}
		w.furnishAlone()
		if w.story.sidecars != nil {
			w.furnishSidecars()
		}
		return w
	}
	w.furnish()
	w.procs = []*process{{w: w, name: "hub", home: w.hub, start: startHub}}
	for _, c := range w.members {
		c.nodes.sick[imageSick], c.nodes.broken[imageBroken] = w.story.sickIn == "" || w.story.sickIn == c.name, true
		c.nodes.broken[imageNew] = slices.Contains(w.story.bad, c.name)
		c.dead = slices.Contains(w.story.dead, c.name)
		c.cut = c.dead
		w.procs = append(w.procs, &process{w: w, name: c.name, home: c, start: startMember})
	}
	if w.story.sidecars != nil {
		w.furnishSidecars()
	}
	return w
}

// furnish makes what a user has before his release.
func (w *World) furnish() {
	ctx := context.Background()
	stages := w.hub.admin.periplus.StagesV1alpha1()
	_, err := stages.GuardSets(namespace).Create(ctx, &stagesv1alpha1.GuardSet{
		ObjectMeta: metav1.ObjectMeta{Name: "health"}, Spec: stagesv1alpha1.GuardSetSpec{Guards: []stagesv1alpha1.Guard{
			{Name: guardRestarts, When: stagesv1alpha1.During, Expr: "updated.all(p, p.restarts == 0)", Interval: &metav1.Duration{Duration: 2 * time.Second}},
			{Name: guardThere, When: stagesv1alpha1.After, Expr: "updated.size() >= want && updated.all(p, p.available)", Interval: &metav1.Duration{Duration: 2 * time.Second}},
		}},
	}, metav1.CreateOptions{})
	w.must("storing guards", err)
	w.rule(ctx)
	onEnd, kind := stagesv1alpha1.OnEndLeave, "InPlaceSet"
	if w.story.cafe != nil {
		kind = "CafeDeployment"
	}
	if w.story.onEnd {
		onEnd = stagesv1alpha1.OnEndRollBack
	}
	_, err = stages.Targets(namespace).Create(ctx, &stagesv1alpha1.Target{
		ObjectMeta: metav1.ObjectMeta{Name: "web"}, Spec: stagesv1alpha1.TargetSpec{
			Workload:       stagesv1alpha1.WorkloadRef{APIVersion: "apps.periplus.dev/v1alpha1", Kind: kind, Selector: map[string]string{"app": "web"}},
			MaxUnavailable: ptr.To(intstr.FromInt32(w.story.limit)), OnEnd: onEnd,
		},
	}, metav1.CreateOptions{})
	w.must("storing a target", err)
	if w.story.cafe != nil {
		w.makesApps(func() { w.furnishCafes(ctx) })
		return
	}
	w.makesApps(func() { w.furnishSets(ctx) })
}

// furnishSets makes the sets of each member.
func (w *World) furnishSets(ctx context.Context) {
	one, held := intstr.FromInt32(1), plan.Held()
	for _, c := range w.members {
		for _, unit := range w.story.units() {
			labels := map[string]string{"app": "web", appsv1alpha1.LabelUnit: unit}
			_, err := c.admin.periplus.AppsV1alpha1().InPlaceSets(namespace).Create(ctx, &appsv1alpha1.InPlaceSet{
				ObjectMeta: metav1.ObjectMeta{Name: "web-" + unit, Labels: labels},
				Spec: appsv1alpha1.InPlaceSetSpec{
					Replicas: ptr.To(w.story.replicas[unit]), MinReadySeconds: 1, Selector: &metav1.LabelSelector{MatchLabels: labels},
					Template: corev1.PodTemplateSpec{
						ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: imageOld}}},
					},
					UpdateStrategy: appsv1alpha1.InPlaceSetUpdateStrategy{Partition: &held, MaxUnavailable: &one, GracePeriodSeconds: ptr.To(int32(2))},
				},
			}, metav1.CreateOptions{})
			w.must("making a set", err)
		}
	}
}

// rule makes the platform's policies.
func (w *World) rule(ctx context.Context) {
	stages := w.hub.admin.periplus.StagesV1alpha1()
	policy := func(name string, spec stagesv1alpha1.ReleasePolicySpec) {
		_, err := stages.ReleasePolicies().Create(ctx, &stagesv1alpha1.ReleasePolicy{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: spec}, metav1.CreateOptions{})
		w.must("storing policy "+name, err)
	}
	switch w.story.law {
	case lawOpen:
		policy("open", stagesv1alpha1.ReleasePolicySpec{})
	case lawPart:
		policy("part", stagesv1alpha1.ReleasePolicySpec{Members: stagesv1alpha1.Selection{Names: []string{"m1", "m2"}}})
	case lawDemands, lawLacking:
		_, err := w.hub.admin.kube.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "platform"}}, metav1.CreateOptions{})
		w.must("making a namespace", err)
		_, err = stages.GuardSets("platform").Create(ctx, &stagesv1alpha1.GuardSet{ObjectMeta: metav1.ObjectMeta{Name: "strict"}, Spec: stagesv1alpha1.GuardSetSpec{
			Guards: []stagesv1alpha1.Guard{{Name: guardRestarts, When: stagesv1alpha1.During, Expr: "updated.all(p, p.restarts == 0)", Interval: &metav1.Duration{Duration: 2 * time.Second}}},
		}}, metav1.CreateOptions{})
		w.must("storing guards", err)
		policy("careful", stagesv1alpha1.ReleasePolicySpec{Require: stagesv1alpha1.Demands{
			GuardSets: []stagesv1alpha1.GuardSetRef{{Namespace: "platform", Name: "strict"}},
			Confirms: []stagesv1alpha1.DemandedConfirm{{
				Approvers: stagesv1alpha1.Approvers{Users: []string{approver}}, ForbidInitiator: true, Members: stagesv1alpha1.Selection{Names: []string{"m2", "m3"}},
			}},
		}})
		policy("canaries", stagesv1alpha1.ReleasePolicySpec{
			Members: stagesv1alpha1.Selection{Names: []string{"m1"}}, Require: stagesv1alpha1.Demands{MinBake: &metav1.Duration{Duration: 3 * time.Second}},
		})
	}
}

func newCluster(name string, api *store.Store, now func() time.Time) *cluster {
	c := &cluster{name: name, api: api, admin: clientsFor(api.Config(nil)), checked: api.Version(), objects: map[*store.Object]runtime.Object{}}
	c.nodes = newNodes(c, now)
	return c
}

func (w *World) clusters() []*cluster { return append([]*cluster{w.hub}, w.members...) }

// lieOf is the lie that a test planted for what a process believes of a resource, or nil.
func (w *World) lieOf(process, resource string) func(runtime.Object) {
	if process != "hub" {
		process = "member"
	}
	return w.plant.Lies[process+"/"+resource]
}

func (w *World) chance(p float64) bool { return w.rand.Float64() < p }

func (w *World) logf(format string, args ...any) {
	if w.keep {
		w.lines = append(w.lines, fmt.Sprintf("%5d %s "+format, append([]any{w.step, w.clock.Now().UTC().Format("15:04:05.000")}, args...)...))
	}
}

// must stops a simulation whose own doing fails.
func (w *World) must(what string, err error) {
	if err != nil {
		panic(fmt.Errorf("%s: %w", what, err))
	}
}

// choose what breaks at a write. Besides what happens by chance, each run kills at the sites of its share: before the write at one
// opportunity, after it at the next, or the other way round.
func (w *World) choose(p *process, site string) fault {
	if !w.faults {
		return none
	}
	if n := w.directed[site]; n < 2 && inShare(site, w.seed) {
		w.directed[site]++
		if known()[site] {
			return []fault{killedBefore, killedAfter}[n] // what was killed before it is most likely tried again.
		}
		return []fault{killedBefore, killedAfter}[(uint64(n)+w.seed+w.seed/shares)%2] // #nosec G115 -- 0 or 1.
	}
	switch r := w.rand.Float64(); {
	case r < w.rates.kill/2:
		return killedBefore
	case r < w.rates.kill:
		return killedAfter
	case r < w.rates.kill+w.rates.lost/2:
		return lostBefore
	case r < w.rates.kill+w.rates.lost:
		return lostAfter
	case r < w.rates.kill+w.rates.lost+w.rates.another:
		return another
	}
	return none
}

// interfere has somebody else write to the object first.
func (w *World) interfere(c *cluster, r *store.Request) {
	if r.Verb == "create" || r.Name == "" {
		return
	}
	w.logf("  somebody else writes %s %s/%s first", r.Kind.Resource, c.name, r.Name)
	w.must("interfering", c.api.Annotate(r.Kind, r.Namespace, r.Name, "somebody", fmt.Sprint(w.step)))
	w.rules.follow(c)
}
