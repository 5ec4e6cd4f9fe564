package stage_test

import (
	"context"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	appsv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	periplusfake "github.com/periplus-dev/periplus/pkg/client/clientset/versioned/fake"
	"github.com/periplus-dev/periplus/pkg/fleet"
	"github.com/periplus-dev/periplus/pkg/stage"
	"github.com/periplus-dev/periplus/pkg/workload"
)

// gangway leads to a member of fake clients.
type gangway struct {
	workload.Session
	clients fleet.Clients
}

func (g gangway) Do(ctx context.Context, _ string, fn func(context.Context, fleet.Clients) error) error {
	return fn(ctx, g.clients)
}

func TestHowAWorkloadChangesItsPodsIsReadFromTheWorkload(t *testing.T) {
	cafe := func(how appsv1alpha1.PodSetType, update appsv1alpha1.UpdateType) *appsv1alpha1.CafeDeployment {
		d := &appsv1alpha1.CafeDeployment{Spec: appsv1alpha1.CafeDeploymentSpec{PodSetType: how}}
		if update != "" {
			d.Spec.InPlace = &appsv1alpha1.CafeDeploymentInPlace{Type: update}
		}
		return d
	}
	set := func(update appsv1alpha1.UpdateType) *appsv1alpha1.InPlaceSet {
		return &appsv1alpha1.InPlaceSet{Spec: appsv1alpha1.InPlaceSetSpec{UpdateStrategy: appsv1alpha1.InPlaceSetUpdateStrategy{Type: update}}}
	}
	for name, tc := range map[string]struct {
		set  *appsv1alpha1.InPlaceSet
		cafe *appsv1alpha1.CafeDeployment
		want stage.Way
	}{
		"a set changes pods in place where it can":        {set: set(""), want: stage.Way{Type: appsv1alpha1.InPlaceIfPossible}},
		"a set that wants nothing else":                   {set: set(appsv1alpha1.InPlaceOnly), want: stage.Way{Type: appsv1alpha1.InPlaceOnly}},
		"a set that rebuilds":                             {set: set(appsv1alpha1.ReCreate), want: stage.Way{Type: appsv1alpha1.ReCreate, Because: "spec.updateStrategy.type: ReCreate"}},
		"a deployment changes pods in place where it can": {cafe: cafe("", ""), want: stage.Way{Type: appsv1alpha1.InPlaceIfPossible}},
		"a deployment that is told how":                   {cafe: cafe(appsv1alpha1.PodSetInPlaceSet, appsv1alpha1.ReCreate), want: stage.Way{Type: appsv1alpha1.ReCreate, Because: "spec.inPlace.type: ReCreate"}},
		"a deployment of ReplicaSets rebuilds":            {cafe: cafe(appsv1alpha1.PodSetReplicaSet, ""), want: stage.Way{Because: "spec.podSetType: ReplicaSet"}},
		"a deployment of StatefulSets rebuilds":           {cafe: cafe(appsv1alpha1.PodSetStatefulSet, ""), want: stage.Way{Because: "spec.podSetType: StatefulSet"}},
	} {
		t.Run(name, func(t *testing.T) {
			client, u := periplusfake.NewSimpleClientset(), &workload.Unit{Kind: "InPlaceSet", Namespace: "shop", Workload: "web"}
			var err error
			if tc.set != nil {
				tc.set.ObjectMeta = metav1.ObjectMeta{Name: "web", Namespace: "shop"}
				err = client.Tracker().Add(tc.set)
			} else {
				u.Kind, tc.cafe.ObjectMeta = "CafeDeployment", metav1.ObjectMeta{Name: "web", Namespace: "shop"}
				err = client.Tracker().Add(tc.cafe)
			}
			if err != nil {
				t.Fatal(err)
			}
			got, err := stage.UpdateWay(context.Background(), gangway{clients: fleet.Clients{Periplus: client}}, u)
			if err != nil || got != tc.want {
				t.Errorf("%v, got %+v, want %+v", err, got, tc.want)
			}
		})
	}
}
