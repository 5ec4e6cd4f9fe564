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

// HasRun says whether a run carries the release.
func HasRun(st *v1alpha1.ReleaseStatus, uid types.UID) bool {
	return slices.ContainsFunc(st.Runs, func(r v1alpha1.ReleaseRun) bool { return r.UID == uid })
}
