package stage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	appsv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/fleet"
	"github.com/periplus-dev/periplus/pkg/inplace"
	"github.com/periplus-dev/periplus/pkg/podtemplate"
	"github.com/periplus-dev/periplus/pkg/workload"
)

// maxDiffs is how many bytes of differences a plan holds: it has to fit into one object of the API server.
const maxDiffs = 512 << 10

// Way is how a workload changes its pods.
type Way struct {
	// Type of update; empty where the kind of pod set rebuilds every pod.
	Type appsv1alpha1.UpdateType
	// Because says what of the workload has every pod rebuilt, such as "podSetType: ReplicaSet"; or, where pods are Never rebuilt for a change, wait for it.
	Because string
	// Never is true where pods are other people's, and what does not fit in place waits until these create them anew.
	Never bool
}

// UpdateWay reads how a workload changes its pods from the workload itself.
func UpdateWay(ctx context.Context, s workload.Session, u *workload.Unit) (Way, error) {
	var way Way
	err := s.Do(ctx, fmt.Sprintf("reading %s %s", u.Kind, u.Workload), func(ctx context.Context, c fleet.Clients) error {
		switch u.Kind {
		case "InPlaceSet":
			set, err := c.Periplus.AppsV1alpha1().InPlaceSets(u.Namespace).Get(ctx, u.Workload, metav1.GetOptions{})
			if err != nil {
				return err
			}
			way = wayOf(set.Spec.UpdateStrategy.Type, "spec.updateStrategy.type")
		case "CafeDeployment":
			d, err := c.Periplus.AppsV1alpha1().CafeDeployments(u.Namespace).Get(ctx, u.Workload, metav1.GetOptions{})
			if err != nil {
				return err
			}
			if t := d.Spec.PodSetType; t != "" && t != appsv1alpha1.PodSetInPlaceSet {
				way = Way{Because: "spec.podSetType: " + string(t)}
				return nil
			}
			way = wayOf(ptr.Deref(d.Spec.InPlace, appsv1alpha1.CafeDeploymentInPlace{}).Type, "spec.inPlace.type")
		case workload.KindSidecarSet:
			set, err := c.Periplus.AppsV1alpha1().SidecarSets().Get(ctx, u.Workload, metav1.GetOptions{})
			if err != nil {
				return err
			}
			way = Way{Never: true}
			if set.Spec.UpdateStrategy.Type == appsv1alpha1.SidecarOnNextCreate {
				way.Because = "spec.updateStrategy.type: OnNextCreate"
			}
		default:
			return fmt.Errorf("it is not known how a %s changes its pods", u.Kind)
		}
		return nil
	})
	return way, err
}

func wayOf(t appsv1alpha1.UpdateType, at string) Way {
	if t == "" {
		t = appsv1alpha1.InPlaceIfPossible
	}
	way := Way{Type: t}
	if t == appsv1alpha1.ReCreate {
		way.Because = at + ": ReCreate"
	}
	return way
}

// templateBefore is what pods of a unit that are held back are made of; known is false where the history does not say so any more, and the template as it is stands in.
func (p *planning) templateBefore(ctx context.Context, w *World, u *workload.Unit) (template *corev1.PodTemplateSpec, known bool, err error) {
	if u.Revision == "" || u.Revision == u.UpdateRevision {
		return u.Template, true, nil
	}
	template, err = w.kinds[u.Kind].Template(ctx, w.sessions[u.Member], u, u.Revision)
	if errors.Is(err, workload.ErrNotFound) {
		return u.Template, false, nil
	}
	return template, true, err
}

// change says how the pods of a unit get the new template; leaves is true where the stage leaves those that running pods cannot get.
func (p *planning) change(ctx context.Context, w *World, u *workload.Unit, from, to *corev1.PodTemplateSpec, leaves bool, s *v1alpha1.PlannedStage) error {
	c := v1alpha1.PlannedChange{Members: []string{u.Member}, Kind: u.Kind, Workload: u.Workload, Units: []string{u.Name}, How: v1alpha1.ChangeNone}
	if !equality.Semantic.DeepEqual(from, to) {
		read := p.Ways
		if read == nil {
			read = UpdateWay
		}
		way, err := read(ctx, w.sessions[u.Member], u)
		var gone *fleet.UnreachableError
		switch {
		case err == nil:
		case errors.As(err, &gone), apierrors.IsNotFound(err), apierrors.IsForbidden(err):
			p.wrong(s.Name, "spec.members", err.Error())
			return nil
		default:
			return err
		}
		diff, err := workload.Compare(u.Kind, from, to)
		if err != nil {
			p.wrong(s.Name, "spec.change", fmt.Sprintf("%s: %v", u.Ref(), err))
			return nil
		}
		p.fit(&c, u, way, diff, leaves, s)
		if p.plan.Spec.Diff {
			if c.Diff, err = podtemplate.Diff(from, to, "revision "+u.Revision, "this run"); err != nil {
				return err
			}
		}
	}
	s.Changes = append(s.Changes, c)
	return nil
}

// fit says whether a change is made in place.
func (p *planning) fit(c *v1alpha1.PlannedChange, u *workload.Unit, way Way, diff inplace.Change, leaves bool, s *v1alpha1.PlannedStage) {
	c.What = podtemplate.Words(diff)
	switch {
	case way.Never && (way.Because != "" || !diff.Fits()):
		c.How, c.Because = v1alpha1.ChangeNextCreation, diff.Misfits
		if way.Because != "" {
			c.Because = []string{way.Because}
		}
		if !leaves {
			p.wrong(s.Name, "spec.change", fmt.Sprintf("%s: %s %s: running pods cannot get it: %s; a SidecarUpgrade with onWaitingForCreation: Leave holds it ready for new ones",
				u.Ref(), u.Kind, u.Workload, strings.Join(c.Because, ", ")))
		}
	case way.Because != "":
		c.How, c.Because = v1alpha1.ChangeRebuild, []string{way.Because}
	case diff.Fits():
		c.How = v1alpha1.ChangeInPlace
	case way.Type == appsv1alpha1.InPlaceOnly:
		c.How, c.Because = v1alpha1.ChangeRebuild, diff.Misfits
		p.wrong(s.Name, "spec.change", fmt.Sprintf("%s: %s %s changes pods in place only (InPlaceOnly), and these cannot: %s", u.Ref(), u.Kind, u.Workload, strings.Join(diff.Misfits, ", ")))
	default:
		c.How, c.Because = v1alpha1.ChangeRebuild, diff.Misfits
	}
}

// folded tells changes that are the same but for the unit, and then those that are the same but for the member, once.
func folded(all []v1alpha1.PlannedChange) []v1alpha1.PlannedChange {
	byUnit := fold(all, func(x, y *v1alpha1.PlannedChange) bool { return slices.Equal(x.Members, y.Members) },
		func(x, y *v1alpha1.PlannedChange) { x.Units = append(x.Units, y.Units...) })
	return fold(byUnit, func(x, y *v1alpha1.PlannedChange) bool { return slices.Equal(x.Units, y.Units) },
		func(x, y *v1alpha1.PlannedChange) { x.Members = append(x.Members, y.Members...) })
}

func fold(all []v1alpha1.PlannedChange, same func(x, y *v1alpha1.PlannedChange) bool, add func(x, y *v1alpha1.PlannedChange)) []v1alpha1.PlannedChange {
	var out []v1alpha1.PlannedChange
	for i := range all {
		y := &all[i]
		at := slices.IndexFunc(out, func(x v1alpha1.PlannedChange) bool {
			return x.Kind == y.Kind && x.Workload == y.Workload && x.How == y.How && x.Diff == y.Diff && slices.Equal(x.What, y.What) &&
				slices.Equal(x.Because, y.Because) && same(&x, y)
		})
		if at < 0 {
			out = append(out, *y.DeepCopy())
			continue
		}
		add(&out[at], y)
	}
	return out
}

// withinRoom leaves out differences beyond maxDiffs.
func (p *planning) withinRoom(changes []v1alpha1.PlannedChange, s *v1alpha1.PlannedStage) {
	for i := range changes {
		c := &changes[i]
		if p.diffs += len(c.Diff); p.diffs > maxDiffs && c.Diff != "" {
			p.diffs -= len(c.Diff)
			c.Diff = ""
			s.Notes = append(s.Notes, fmt.Sprintf("%s %s in %s: how its template changes has no room in the plan; plan fewer members at once to see it", c.Kind, c.Workload, strings.Join(c.Members, ", ")))
		}
	}
}
