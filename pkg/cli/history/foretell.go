package history

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	appsv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/cli/screen"
	"github.com/periplus-dev/periplus/pkg/plan"
	"github.com/periplus-dev/periplus/pkg/podtemplate"
)

// foretell says what happens once the template is written.
func foretell(p *screen.Plan, w *workload, all []revision, to *revision, on map[string]int) {
	change := w.change(w.template, to.template)
	p.Add("change", append(podtemplate.Words(change), change.Misfits...)...)
	if w.sidecars != nil {
		sidecarMoves(p, w.sidecars)
		w.reached(p, all, to, on, appsv1alpha1.InPlaceOnly, "")
		return
	}
	if w.set != nil {
		setMoves(p, w.set)
		w.reached(p, all, to, on, w.set.Spec.UpdateStrategy.Type, "")
		return
	}
	cafeMoves(p, w.cafe)
	because := ""
	if t := w.cafe.Spec.PodSetType; t != "" && t != appsv1alpha1.PodSetInPlaceSet {
		because = "spec.podSetType is " + string(t)
	}
	w.reached(p, all, to, on, ptr.Deref(w.cafe.Spec.InPlace, appsv1alpha1.CafeDeploymentInPlace{}).Type, because)
}

// setMoves says how far an InPlaceSet lets pods go.
func setMoves(p *screen.Plan, set *appsv1alpha1.InPlaceSet) {
	u := &set.Spec.UpdateStrategy
	replicas := ptr.Deref(set.Spec.Replicas, 1)
	hold, err := plan.Partition(u.Partition, replicas)
	switch {
	case err != nil:
		p.Warn("then", err.Error())
	case hold >= replicas:
		p.Add("then", fmt.Sprintf("held back on all %d pods (partition %s) until a release carries it", replicas, u.Partition))
	case hold > 0:
		p.Add("then", fmt.Sprintf("%d of %d pods go to it, at most %s unavailable; %d are held back (partition %s)", replicas-hold, replicas, orDefault(u.MaxUnavailable), hold, u.Partition))
	default:
		p.Add("then", fmt.Sprintf("all %d pods go to it at once, at most %s unavailable: no partition holds them back", replicas, orDefault(u.MaxUnavailable)))
	}
	if u.Paused {
		p.Warn("paused", "nothing moves until spec.updateStrategy.paused is taken away")
	}
}

// sidecarMoves says how far a SidecarSet lets pods go.
func sidecarMoves(p *screen.Plan, set *appsv1alpha1.SidecarSet) {
	u := &set.Spec.UpdateStrategy
	all := u.Partition != nil && u.Partition.String() == "100%"
	for _, v := range u.Partitions {
		all = all && v.String() == "100%"
	}
	limit := ptr.Deref(u.MaxUnavailable, intstr.FromString("10%"))
	switch {
	case u.Type == appsv1alpha1.SidecarOnNextCreate:
		p.Add("then", "running pods stay as they are (type OnNextCreate)")
	case all:
		p.Add("then", "held back on all pods (partition 100%) until a release carries it")
	default:
		p.Add("then", fmt.Sprintf("pods go to it as far as the partitions let them, at most %s unavailable", limit.String()))
	}
	if u.Paused {
		p.Warn("paused", "nothing moves until spec.updateStrategy.paused is taken away")
	}
}

// orDefault is a limit as it is, or as it is where nobody said.
func orDefault(v *intstr.IntOrString) string {
	if v == nil {
		return "25%"
	}
	return v.String()
}

// cafeMoves says how far a CafeDeployment lets pods go.
func cafeMoves(p *screen.Plan, d *appsv1alpha1.CafeDeployment) {
	s := &d.Spec.Strategy
	unavailable := orDefault(d.Spec.MaxUnavailable)
	switch {
	case s.Partitions != nil:
		var open []string
		for _, unit := range slices.Sorted(maps.Keys(s.Partitions)) {
			if v := s.Partitions[unit]; v.String() != "100%" {
				open = append(open, fmt.Sprintf("%s (partition %s)", unit, v.String()))
			}
		}
		if len(open) == 0 {
			p.Add("then", "held back in every unit (strategy.partitions at 100%) until a release carries it")
			break
		}
		p.Add("then", fmt.Sprintf("pods go to it in %s, at most %s of a unit unavailable; all else is held back", strings.Join(open, ", "), unavailable))
	default:
		how := "in groups: one pod in each unit first, then "
		if s.UpgradeType == appsv1alpha1.UpgradeBatch {
			how = "in groups: "
		}
		if s.BatchSize != nil {
			how += "batches of " + s.BatchSize.String() + " over all units"
		} else {
			how += "all that are left"
		}
		p.Add("then", fmt.Sprintf("all pods go to it, %s; at most %s of a unit unavailable", how, unavailable))
		if s.NeedWaitingForConfirm {
			p.Add("confirm", "waits after each group but the last until somebody sets the annotation "+appsv1alpha1.AnnotationConfirmed+" to \"true\"")
		}
	}
	if s.Pause {
		p.Warn("paused", "nothing moves until spec.strategy.pause is taken away")
	}
}

// reached says which pods change in place and which are rebuilt, by the revision that they are on.
func (w *workload) reached(p *screen.Plan, all []revision, to *revision, on map[string]int, how appsv1alpha1.UpdateType, because string) {
	if how == appsv1alpha1.ReCreate {
		because = "the update type is ReCreate"
	}
	for i := range all {
		r := &all[i]
		n := on[r.hash]
		if n == 0 || r.hash == to.hash {
			continue
		}
		change := w.change(r.template, to.template)
		switch {
		case because != "":
			p.Warn("rebuild", fmt.Sprintf("%d pods of revision %d get other IPs: %s", n, r.number, because))
		case change.Fits():
			p.Add("in place", fmt.Sprintf("%d pods of revision %d", n, r.number))
		case w.sidecars != nil:
			p.Warn("new pods", fmt.Sprintf("%d pods of revision %d get it when they are created anew, because of %s", n, r.number, strings.Join(change.Misfits, ", ")))
		case how == appsv1alpha1.InPlaceOnly:
			p.Warn("stuck", fmt.Sprintf("%d pods of revision %d: the update type is InPlaceOnly, and these do not fit in place: %s; nothing would move", n, r.number, strings.Join(change.Misfits, ", ")))
		default:
			p.Warn("rebuild", fmt.Sprintf("%d pods of revision %d get other IPs, because of %s", n, r.number, strings.Join(change.Misfits, ", ")))
		}
	}
}
