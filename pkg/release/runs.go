package release

import (
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

// MaxRuns is how many runs a Release can name.
const MaxRuns = 1000

// AddRun enters a run that carries the release. It says whether that is new.
func AddRun(st *v1alpha1.ReleaseStatus, run v1alpha1.ReleaseRun) bool {
	if HasRun(st, run.UID) || len(st.Runs) >= MaxRuns {
		return false
	}
	st.Runs = append(st.Runs, run)
	return true
}

// maxStages is how many stages that succeeded a Release can tell of.
const maxStages = 500

// SetStage enters a stage that succeeded, in place of one of its name. It says whether that changes anything. Beyond 500 the oldest of children are dropped.
func SetStage(st *v1alpha1.ReleaseStatus, s v1alpha1.StageRecord) bool {
	for i := range st.Stages {
		if old := &st.Stages[i]; old.Name == s.Name && old.Carrier == s.Carrier {
			if old.UID == s.UID && old.SpecHash == s.SpecHash {
				return false
			}
			*old = s
			return true
		}
	}
	if len(st.Stages) >= maxStages {
		at := slices.IndexFunc(st.Stages, func(x v1alpha1.StageRecord) bool { return x.Carrier != "" })
		if at < 0 {
			return false
		}
		st.Stages = slices.Delete(st.Stages, at, at+1)
	}
	st.Stages = append(st.Stages, s)
	return true
}

// HasRun says whether a run carries the release.
func HasRun(st *v1alpha1.ReleaseStatus, uid types.UID) bool {
	return slices.ContainsFunc(st.Runs, func(r v1alpha1.ReleaseRun) bool { return r.UID == uid })
}
