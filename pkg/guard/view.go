package guard

import (
	"slices"
	"time"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

// View is one member at one moment, as expressions see it. Variables are made when they are first asked for, and shared by the guards that
// are judged on the same input; it belongs to one goroutine.
type View struct {
	in  *Input
	now time.Time
	// elapsed is set for each guard: it depends on what the guard counts from. So are metrics, by the names of their variables.
	elapsed time.Duration
	metrics map[string]ref.Val
	// budget is what loops may still cost; see metered.
	budget uint64
	// taps are the values of the parts of the expression that was evaluated last, nil where one was not reached.
	taps [maxParts]ref.Val

	rows    []podRow
	made    map[string]ref.Val
	updated int
	stable  int
	regexes map[string]string
}

// NewView looks at an input at a moment. The input must not change while the view is in use.
func NewView(in *Input, now time.Time) *View {
	v := &View{in: in, now: now, made: make(map[string]ref.Val, len(variables))}
	for i := range in.Pods {
		if in.Pods[i].Updated {
			v.updated++
		} else if !in.Pods[i].Moving {
			v.stable++
		}
	}
	return v
}

// Input returns what the view looks at.
func (v *View) Input() *Input { return v.in }

// ResolveName implements cel.Activation.
func (v *View) ResolveName(name string) (any, bool) {
	switch name {
	case varElapsed:
		return types.Duration{Duration: v.elapsed}, true
	case varNow:
		return types.Timestamp{Time: v.now}, true
	case varWant:
		return types.Int(v.in.Want), true
	}
	if val, ok := v.made[name]; ok {
		return val, true
	}
	if val, ok := v.metrics[name]; ok {
		return val, true
	}
	val := v.make(name)
	if val == nil {
		return nil, false
	}
	v.made[name] = val
	return val, true
}

// Parent implements cel.Activation.
func (v *View) Parent() cel.Activation { return nil }

func (v *View) make(name string) ref.Val {
	switch name {
	case varPods:
		return v.podList(len(v.in.Pods), func(*Pod) bool { return true })
	case varUpdated:
		return v.podList(v.updated, func(p *Pod) bool { return p.Updated })
	case varStable:
		return v.podList(v.stable, func(p *Pod) bool { return !p.Updated && !p.Moving })
	case varUnits:
		rows := make([]value[Unit], len(v.in.Units))
		list := make([]ref.Val, len(rows))
		for i := range rows {
			rows[i] = value[Unit]{of: &v.in.Units[i], typ: unitType}
			list[i] = &rows[i]
		}
		return types.NewRefValList(types.DefaultTypeAdapter, list)
	case varWorkload:
		return &value[Workload]{of: &v.in.Workload, typ: workloadType}
	case varMember:
		labels := types.NewStringStringMap(types.DefaultTypeAdapter, v.in.MemberLabels)
		return &value[memberRow]{of: &memberRow{name: v.in.Member, labels: labels}, typ: memberType}
	case varParams:
		return types.NewStringStringMap(types.DefaultTypeAdapter, v.in.Params)
	}
	return nil
}

func (v *View) podList(n int, belongs func(*Pod) bool) ref.Val {
	if v.rows == nil {
		v.rows = make([]podRow, len(v.in.Pods))
		for i := range v.rows {
			p := &v.in.Pods[i]
			v.rows[i] = podRow{Pod: p, age: max(0, v.now.Sub(p.Created))}
		}
	}
	vals := make([]value[podRow], 0, n)
	list := make([]ref.Val, 0, n)
	for i := range v.rows {
		if belongs(v.rows[i].Pod) {
			vals = append(vals, value[podRow]{of: &v.rows[i], typ: podType})
			list = append(list, &vals[len(vals)-1])
		}
	}
	return types.NewRefValList(types.DefaultTypeAdapter, list)
}

// observed are the variables that say something about the workload in the member.
var observed = []string{varUpdated, varStable, varPods, varUnits, varWorkload, varWant}

// missing says why an expression with these names has nothing to be judged on: an empty list would make all(…) true of nothing. The verdict
// is empty where there is something. Without stable pods there is something to judge: at the end of a rollout there are none. Zero pods are
// taken for what is wanted only where the workload itself is seen.
func (v *View) missing(uses names, when v1alpha1.GuardWhen) (v1alpha1.Verdict, string) {
	in := v.in
	if in.Missing != "" {
		return v1alpha1.VerdictInconclusive, in.Missing
	}
	if len(in.Units) == 0 && slices.ContainsFunc(observed, func(name string) bool { return uses[name] }) {
		return v1alpha1.VerdictInconclusive, "no unit of the workload is seen"
	}
	noneUpdated := uses[varUpdated] && v.updated == 0
	nonePods := uses[varPods] && len(in.Pods) == 0
	switch {
	case noneUpdated && (in.Want != 0 || when == v1alpha1.Before):
		return v1alpha1.VerdictInconclusive, "no pod has observed the new revision"
	case nonePods && in.Workload.Replicas != 0:
		return v1alpha1.VerdictInconclusive, "no pod is seen"
	case noneUpdated:
		return v1alpha1.VerdictNotApplicable, "no pod has observed the new revision, and none is wanted in this step"
	case nonePods:
		return v1alpha1.VerdictNotApplicable, "the workload has no pods, and wants none"
	}
	return "", ""
}
