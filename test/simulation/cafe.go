package simulation

import (
	"context"
	"fmt"
	"math/rand/v2"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"

	appsv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	stagesv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/plan"
	"github.com/periplus-dev/periplus/pkg/reconciler/cafedeployment"
)

// cafeStory has the application of a release in one CafeDeployment in each member, instead of an InPlaceSet for each unit.
type cafeStory struct {
	// own: before the release the deployment goes by its own groups, instead of by partitions that hold all back.
	own bool
	// beta and size are the groups of stage BetaBatch; where confirms is set it asks people between them.
	beta     bool
	size     int
	confirms bool
	// grows is how many pods more somebody wants in each member; after growsAfter steps of the release.
	grows      int32
	growsAfter int
}

// tellCafe has the application of a story in CafeDeployments.
func tellCafe(r *rand.Rand, s *story) {
	s.cafe = &cafeStory{own: r.IntN(2) == 0, beta: r.IntN(3) > 0, size: 1 + r.IntN(4), confirms: r.IntN(2) == 0}
	s.name += ", of a CafeDeployment"
	if r.IntN(3) == 0 {
		s.cafe.grows, s.cafe.growsAfter = 1+r.Int32N(2), r.IntN(1500)
	}
	s.replicas = map[string]int32{}
	units := []string{"dca", "dcb", "dcc"}[:2+r.IntN(2)]
	total := int32(len(units)) + r.Int32N(4) // #nosec G115 -- two or three units.
	for i := range total {
		s.replicas[units[i%int32(len(units))]]++ // #nosec G115 -- as the controller shares them.
	}
}

// upgradeType of stage BetaBatch.
func (c *cafeStory) upgradeType() appsv1alpha1.UpgradeType {
	if c.beta {
		return appsv1alpha1.UpgradeBeta
	}
	return appsv1alpha1.UpgradeBatch
}

// betaBatch is the stage that takes the change to the last members.
func (s *story) betaBatch(image string) task {
	more := fmt.Sprintf(`"upgradeType":%q,"batchSize":%d`, s.cafe.upgradeType(), s.cafe.size)
	if s.cafe.confirms {
		more += fmt.Sprintf(`,"confirm":{"approvers":{"users":[%q]},"forbidInitiator":true}`, approver)
	}
	return task{name: "fleet", kind: "BetaBatch", spec: moving(image, `"m2","m3"`, more), timeout: hour, image: image, members: []string{"m2", "m3"}, confirms: s.cafe.confirms}
}

// cafe is the CafeDeployment that a member has before the release.
func (s *story) cafeDeployment() *appsv1alpha1.CafeDeployment {
	labels := map[string]string{"app": "web"}
	total := int32(0)
	for _, n := range s.replicas {
		total += n
	}
	d := &appsv1alpha1.CafeDeployment{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Labels: labels},
		Spec: appsv1alpha1.CafeDeploymentSpec{
			Replicas: &total, MinReadySeconds: 1, Selector: &metav1.LabelSelector{MatchLabels: labels}, MaxUnavailable: ptr.To(intstr.FromInt32(1)),
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: imageOld}}}},
			InPlace:  &appsv1alpha1.CafeDeploymentInPlace{GracePeriodSeconds: ptr.To(int32(2))},
			Strategy: appsv1alpha1.CafeDeploymentStrategy{UpgradeType: appsv1alpha1.UpgradeBeta, BatchSize: ptr.To(intstr.FromInt32(2))},
			Topology: appsv1alpha1.CafeDeploymentTopology{UnitType: appsv1alpha1.UnitZone, NodeLabelKey: "topology.kubernetes.io/zone", Values: s.units()},
		},
	}
	if !s.cafe.own {
		d.Spec.Strategy.Partitions = map[string]intstr.IntOrString{}
		for _, unit := range s.units() {
			d.Spec.Strategy.Partitions[unit] = plan.Held()
		}
	}
	return d
}

// furnishCafes makes the deployment of each member.
func (w *World) furnishCafes(ctx context.Context) {
	for _, c := range w.members {
		_, err := c.admin.periplus.AppsV1alpha1().CafeDeployments(namespace).Create(ctx, w.story.cafeDeployment(), metav1.CreateOptions{})
		w.must("making a deployment", err)
	}
}

// grow has somebody want more pods in the middle of a release.
func (w *World) grow(ctx context.Context) error {
	w.grown = true
	for _, c := range w.members {
		d := c.cafes()[0].DeepCopy()
		*d.Spec.Replicas += w.story.cafe.grows
		if _, err := c.admin.periplus.AppsV1alpha1().CafeDeployments(namespace).Update(ctx, d, metav1.UpdateOptions{}); ignoreGone(err) != nil {
			return err
		}
	}
	return nil
}

// startCafes makes the second controller of cmd/workloads. It looks at InPlaceSets and their pods through the first one's informers.
func startCafes(p *process, c clients, sets, pods *informer) *cafedeployment.Parts {
	q := p.newQueue("CafeDeployment")
	parts := &cafedeployment.Parts{
		Kube: c.kube, Periplus: c.periplus,
		Deployments: p.inform(appsv1alpha1.SchemeGroupVersion.Group, "cafedeployments", ""), InPlaceSets: sets,
		ReplicaSets: p.inform("apps", "replicasets", cafedeployment.Selector), StatefulSets: p.inform("apps", "statefulsets", cafedeployment.Selector),
		Revisions: p.inform("apps", "controllerrevisions", cafedeployment.Selector),
		Pods:      []cache.SharedIndexInformer{pods, p.inform("", "pods", cafedeployment.Selector)},
		Clock:     p.w.clock, Recorder: quiet{}, Enqueue: q.add, EnqueueAfter: q.addAfter,
	}
	q.reconcile = cafedeployment.Wire(*parts)
	return parts
}

// hasCafes says whether there are CafeDeployments in the world.
func (s *story) hasCafes() bool { return s.cafe != nil || s.alone != nil && s.alone.cafe != nil }

func (c *cluster) cafes() []*appsv1alpha1.CafeDeployment {
	return all[*appsv1alpha1.CafeDeployment](c, "apps.periplus.dev", "cafedeployments")
}

// load is what a release locks and moves as one.
type load struct {
	name, image string
	lock        *stagesv1alpha1.Lock
	// resting: the partitions of all units keep all pods where they are, or the deployment goes by its own groups and is where its template is.
	resting bool
	says    string
}

// loads are what the releases of a world move in a member.
func (w *World) loads(c *cluster) []load {
	var out []load
	for _, d := range c.cafes() {
		l := load{name: d.Name, image: d.Spec.Template.Spec.Containers[0].Image, lock: lockOf(d), resting: true, says: fmt.Sprint(d.Spec.Strategy.Partitions)}
		for _, unit := range d.Spec.Topology.Values {
			p, ok := d.Spec.Strategy.Partitions[unit]
			l.resting = l.resting && (ok && p.String() == "100%" || d.Spec.Strategy.Partitions == nil && d.Status.CurrentRevision == d.Status.UpdateRevision)
		}
		out = append(out, l)
	}
	if len(out) > 0 {
		return out
	}
	for _, set := range c.sets() {
		p := set.Spec.UpdateStrategy.Partition
		out = append(out, load{set.Name, set.Spec.Template.Spec.Containers[0].Image, lockOf(set), p != nil && p.String() == "100%", fmt.Sprint(p)})
	}
	return out
}
