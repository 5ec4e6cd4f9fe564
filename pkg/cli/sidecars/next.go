package sidecars

import (
	"slices"
	"strings"

	apps "github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/cli/screen"
)

// templateHash is the label by which a Deployment tells its ReplicaSets apart; it is the end of their names.
const templateHash = "pod-template-hash"

// podOf is a missed pod with its labels.
type podOf struct {
	screen.MissedPod
	labels map[string]string
}

// next is what a person can type so that pods are created anew, workload by workload. A pod that was left out with a reason would be left out again, so it is no part of it.
func next(pods []podOf, flags string) []screen.NextStep {
	steps := map[string]*screen.NextStep{}
	seen := map[string]bool{}
	for i := range pods {
		pod := &pods[i]
		id := pod.Namespace + "/" + pod.Name
		if pod.Why != "" || pod.Owner == "" || seen[id] {
			continue
		}
		seen[id] = true
		workload, restarts := workloadOf(pod)
		key := pod.Namespace + " " + workload
		step := steps[key]
		if step == nil {
			step = &screen.NextStep{Namespace: pod.Namespace, Workload: workload, Restarts: restarts}
			steps[key] = step
		}
		step.Pods++
		if restarts {
			step.Command = kubectl(flags, pod.Namespace, "rollout restart "+strings.ToLower(workload))
		} else if command := kubectl(flags, pod.Namespace, "delete pod "+pod.Name); step.Command == "" || command < step.Command {
			step.Command = command
		}
	}
	out := make([]screen.NextStep, 0, len(steps))
	for _, step := range steps {
		out = append(out, *step)
	}
	slices.SortFunc(out, func(a, b screen.NextStep) int {
		return strings.Compare(a.Namespace+"\x00"+a.Workload, b.Namespace+"\x00"+b.Workload)
	})
	return out
}

func kubectl(flags, namespace, rest string) string {
	out := "kubectl "
	if flags != "" {
		out += flags + " "
	}
	return out + "-n " + namespace + " " + rest
}

// workloadOf a pod, and whether kubectl can restart it as a whole. Pods of a CafeDeployment are not: it would take the template back.
func workloadOf(pod *podOf) (workload string, restarts bool) {
	kind, name, _ := strings.Cut(pod.Owner, "/")
	if _, ours := pod.labels[apps.LabelCafeDeployment]; ours {
		return pod.Owner, false
	}
	switch kind {
	case "ReplicaSet":
		if deployment, ok := strings.CutSuffix(name, "-"+pod.labels[templateHash]); ok && pod.labels[templateHash] != "" {
			return "Deployment/" + deployment, true
		}
	case "StatefulSet", "DaemonSet":
		return pod.Owner, true
	}
	return pod.Owner, false
}
