package stage

import (
	"strings"

	"github.com/periplus-dev/periplus/pkg/workload"
)

// Unseen says what is missing until every member is seen and its workloads were observed by their controllers: only then do pods say which of them
// are updated. Nil where nothing is.
func (w *World) Unseen() *Outcome {
	var open []string
	reason := ReasonChecking
	for _, m := range w.Missing {
		if m.NotFound {
			out := Fail(ReasonInvalid, m.Message)
			return &out
		}
		reason = m.Reason
		open = append(open, m.Message)
	}
	for _, o := range w.Objects() {
		if !o.First().Observed {
			open = append(open, unobserved(o))
		}
	}
	if len(open) == 0 {
		return nil
	}
	out := Wait(reason, strings.Join(open, "; "))
	return &out
}

func unobserved(o workload.Object) string {
	u := o.First()
	return o.Ref() + ": " + u.Kind + " " + u.Workload + " is not yet observed by its controller"
}
