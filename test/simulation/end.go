package simulation

import (
	"slices"

	"knative.dev/pkg/apis"

	stagesv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

// checkEnd is rule 6 and what users rely on once a release is over: locks are gone, partitions at rest, the record says what was moved.
func (w *World) checkEnd() {
	end := func(format string, args ...any) { w.rules.broken(0, format, args...) }
	for _, c := range w.members {
		for _, set := range c.sets() {
			if lockOf(set) != nil {
				end("%s in member %s is still locked by release %s", set.Name, c.name, lockOf(set).Release)
			}
			if p := set.Spec.UpdateStrategy.Partition; p == nil || p.String() != "100%" {
				end("the partition of %s in member %s is %v, not at rest", set.Name, c.name, p)
			}
			for _, pod := range unitOf(c, set) {
				if !w.rules.serves(pod, nil) && pod.Spec.Containers[0].Image != imageBroken {
					end("pod %s in member %s does not serve, and nothing is the matter with it", pod.Name, c.name)
				}
			}
		}
	}
	for _, rel := range w.hub.releases() {
		for key := range w.rules.moved[rel.UID] {
			if !slices.ContainsFunc(rel.Status.Touched, func(t stagesv1alpha1.Touched) bool { return t.Member+"/"+t.Workload == key }) {
				w.rules.broken(6, "%s was moved, and is not in the record of release %s", key, rel.Name)
			}
		}
	}
	succeeded := false
	for _, pr := range w.hub.pipelineRuns() {
		if pr.Name == "web" {
			succeeded = pr.Status.GetCondition(apis.ConditionSucceeded).IsTrue()
		}
	}
	switch {
	case succeeded && (w.story.sick || w.story.broken || w.story.reject):
		end("the release succeeded, and should not have: %s", w.story.name)
	case !succeeded && w.story.calm():
		end("the release did not succeed, and nothing was in its way: %s", w.outcome())
	}
	w.checkBack()
	if !succeeded || w.story.rival || w.story.act == actEditTemplate {
		return
	}
	for _, c := range w.members {
		for _, pod := range c.pods() {
			if pod.Status.ContainerStatuses[0].Image != w.story.image {
				end("the release succeeded, and pod %s in member %s runs %s", pod.Name, c.name, pod.Status.ContainerStatuses[0].Image)
			}
		}
	}
}

// checkBack is rule 6 for a release that says that it is taken back: the set that it touched is back, no more and no less.
func (w *World) checkBack() {
	if w.story.rival || w.story.act == actEditTemplate {
		return
	}
	for _, rel := range w.hub.releases() {
		if rel.Status.Phase != stagesv1alpha1.ReleaseRolledBack {
			continue
		}
		for _, c := range w.members {
			for _, set := range c.sets() {
				if image := set.Spec.Template.Spec.Containers[0].Image; image != imageOld {
					w.rules.broken(6, "release %s says that it is taken back, and %s in member %s wants %s", rel.Name, set.Name, c.name, image)
				}
				for _, pod := range unitOf(c, set) {
					if image := pod.Status.ContainerStatuses[0].Image; image != imageOld {
						w.rules.broken(6, "release %s says that it is taken back, and pod %s in member %s runs %s", rel.Name, pod.Name, c.name, image)
					}
				}
			}
		}
	}
}

// replay is rule 7 at rest: controllers that start anew, with nothing in memory, find nothing to write.
func (w *World) replay() {
	w.logf("every process starts anew")
	w.rules.resting = true
	for _, p := range w.procs {
		p.kill()
	}
	w.settle("after every process started anew")
}
