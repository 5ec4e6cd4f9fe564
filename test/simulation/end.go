package simulation

import (
	"slices"

	"knative.dev/pkg/apis"

	stagesv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

// checkEnd is rule 6 and what users rely on once a release is over: locks are gone, partitions at rest, the record says what was moved.
func (w *World) checkEnd() {
	end := func(format string, args ...any) { w.rules.broken(0, format, args...) }
	w.checkLost()
	for _, c := range w.members {
		for _, l := range w.loads(c) {
			if l.lock != nil {
				end("%s in member %s is still locked by release %s", l.name, c.name, l.lock.Release)
			}
			if !l.resting {
				end("the partition of %s in member %s is %s, not at rest", l.name, c.name, l.says)
			}
		}
		for _, set := range c.sets() {
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
	if !w.story.convoy {
		w.checkOutcome()
	}
	w.checkBack()
}

// checkOutcome is what people get: a release succeeds where nothing is in its way, and only then; and then all pods are on its image.
func (w *World) checkOutcome() {
	end := func(format string, args ...any) { w.rules.broken(0, format, args...) }
	succeeded := false
	for _, pr := range w.hub.pipelineRuns() {
		if pr.Name == "web" || pr.Name == "web-retry-1" {
			succeeded = pr.Status.GetCondition(apis.ConditionSucceeded).IsTrue() // the retry is the later name.
		}
	}
	skips, retried := false, false
	for _, h := range w.story.hands {
		skips, retried = skips || h.does == doSkip || h.does == doSkipMember, retried || w.mended
	}
	switch {
	case succeeded && w.story.hopeless() && !skips:
		end("the release succeeded, and should not have: %s", w.story.name)
	case !succeeded && w.story.calm():
		end("the release did not succeed, and nothing was in its way: %s", w.outcome())
	case !succeeded && retried && w.story.quiet():
		end("the release was retried, and did not succeed, and nothing was in its way: %s", w.outcome())
	}
	if w.story.law == lawLacking && len(w.rules.moved) > 0 {
		w.rules.broken(5, "a run that lacks what policies demand moved something")
	}
	if !succeeded || w.story.rival || w.story.act == actEditTemplate || skips {
		return
	}
	for _, rel := range w.hub.releases() {
		if rel.Status.Phase != stagesv1alpha1.ReleaseSucceeded {
			return // it was taken back after its end, in part or whole; checkBack looks at that.
		}
	}
	for _, c := range w.members {
		for _, pod := range c.pods() {
			if pod.Status.ContainerStatuses[0].Image != w.story.image {
				end("the release succeeded, and pod %s in member %s runs %s", pod.Name, c.name, pod.Status.ContainerStatuses[0].Image)
			}
		}
	}
}

// wantedBack says whether the release is to be taken back: by a person, or because it ended without its finally.
func (w *World) wantedBack(rel *stagesv1alpha1.Release) bool {
	ended := rel.Status.Phase == stagesv1alpha1.ReleaseFailed
	return (w.story.onEnd && ended) || w.said(carriersOf(rel), "", stagesv1alpha1.ActionRollback)
}

// checkLost is rule 6 for a hub that lost its records: all that the lost release held is back as it was.
func (w *World) checkLost() {
	for _, c := range w.members {
		for _, l := range w.loads(c) {
			if of := w.lost[c.name+"/"+l.name]; of != "" && l.image != imageOld {
				w.rules.broken(6, "release %s, whose record was lost, held %s in member %s, which was not taken back: it wants %s", of, l.name, c.name, l.image)
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
			if w.wantedBack(rel) && len(rel.Status.Touched) > 0 && w.story.quiet() {
				w.rules.broken(6, "release %s was to be taken back, and is %s: %s", rel.Name, rel.Status.Phase, rel.Status.Message)
			}
			continue
		}
		for _, c := range w.members {
			for _, l := range w.loads(c) {
				if l.image != imageOld {
					w.rules.broken(6, "release %s says that it is taken back, and %s in member %s wants %s", rel.Name, l.name, c.name, l.image)
				}
			}
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
