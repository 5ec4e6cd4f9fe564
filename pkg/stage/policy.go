package stage

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/guard"
	"github.com/periplus-dev/periplus/pkg/policy"
	"github.com/periplus-dev/periplus/pkg/workload"
)

// Namespaces reads a namespace of the hub as the API server has it.
type Namespaces interface {
	Get(ctx context.Context, name string, opts metav1.GetOptions) (*corev1.Namespace, error)
}

// policies opens the book of the run's namespace, once in an admission. It asks the API server itself: what was given or demanded a moment ago counts, as
// does a policy that was applied together with the run.
func (a *admitter) policies(ctx context.Context) (*policy.Book, error) {
	if a.book != nil {
		return a.book, nil
	}
	ns, err := a.namespaces.Get(ctx, a.run.Namespace, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("reading namespace %s: %w", a.run.Namespace, err)
	}
	all, err := a.client.StagesV1alpha1().ReleasePolicies().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("listing ReleasePolicies: %w", err)
	}
	a.book = policy.For(all.Items, policy.Object{Name: ns.Name, Labels: ns.Labels})
	return a.book, nil
}

// object is a member as policies select it.
func (a *admitter) object(member string) (policy.Object, error) {
	info, err := a.fleet.Info(member)
	if err != nil {
		return policy.Object{}, fmt.Errorf("reading the labels of member %s: %w", member, err)
	}
	return policy.Object{Name: member, Labels: info.Labels}, nil
}

// refusal says why the runs of the namespace may do nothing in a member; empty where they may.
func (a *admitter) refusal(ctx context.Context, member string) (string, error) {
	book, err := a.policies(ctx)
	if err != nil {
		return "", err
	}
	m, err := a.object(member)
	if err != nil {
		return "", err
	}
	t := book.Member(m)
	return t.Refusal(a.run.Namespace), nil
}

// forbidden is a refusal by policy.
func forbidden(at *field.Path, why string) *field.Error {
	e := field.Forbidden(at, why)
	e.Origin = policyOrigin
	return e
}

// policyOrigin marks a refusal by policy among mistakes.
const policyOrigin = "ReleasePolicy"

// reasonFor is the condition's reason for what is wrong with a stage: that of policies where nothing else is.
func reasonFor(errs field.ErrorList) string {
	for _, e := range errs {
		if e.Origin != policyOrigin {
			return ReasonInvalid
		}
	}
	return ReasonForbidden
}

// given keeps, of the members that a selector matches, those that the namespace is given; the others are left out, and named.
func (a *admitter) given(ctx context.Context, selected []string) (members, leftOut []string, err error) {
	for _, m := range selected {
		why, err := a.refusal(ctx, m)
		switch {
		case err != nil:
			return nil, nil, err
		case why == "":
			members = append(members, m)
		default:
			leftOut = append(leftOut, m)
		}
	}
	return members, leftOut, nil
}

// termsOf are the terms of the members that a stage was admitted to.
func (a *admitter) termsOf(ctx context.Context, members []string) ([]policy.Terms, error) {
	book, err := a.policies(ctx)
	if err != nil {
		return nil, err
	}
	var out []policy.Terms
	for _, name := range members {
		m, err := a.object(name)
		if err != nil {
			return nil, err
		}
		out = append(out, book.Member(m))
	}
	return out, nil
}

// notGiven refuses a target of a kind that the stage does not move, and one that does not stand in the run's namespace, in each member where no policy gives it.
func (a *admitter) notGiven(ctx context.Context, scope *Scope, out *v1alpha1.Admitted, p *field.Path) (field.ErrorList, error) {
	if out.Target == nil {
		return nil, nil
	}
	kind := out.Target.Workload.Kind
	if len(scope.Workloads) > 0 && !slices.Contains(scope.Workloads, kind) {
		return field.ErrorList{field.Invalid(p.Child("target"), scope.Target, fmt.Sprintf("its workload is a %s; a %s moves a %s", kind, a.task.Kind(), strings.Join(scope.Workloads, " or ")))}, nil
	}
	if kind != workload.KindSidecarSet {
		return nil, nil
	}
	terms, err := a.termsOf(ctx, out.Members)
	if err != nil {
		return nil, err
	}
	var errs field.ErrorList
	for i := range terms {
		if why := terms[i].RefusesSidecarSet(out.Target.Workload.Name, a.run.Namespace); why != "" {
			errs = append(errs, forbidden(p.Child("target").Key(scope.Target), why))
		}
	}
	return errs, nil
}

// demand adds to a stage that moves something what policies have it keep to while it runs: guards, each judged in the members where it is demanded, and
// windows.
func (a *admitter) demand(ctx context.Context, out *v1alpha1.Admitted, p *field.Path) (field.ErrorList, error) {
	terms, err := a.termsOf(ctx, out.Members)
	if err != nil {
		return nil, err
	}
	d := v1alpha1.AdmittedDemands{GuardMembers: map[string][]string{}}
	sets := map[v1alpha1.GuardSetRef]policy.GuardSet{}
	in := map[v1alpha1.GuardSetRef][]string{}
	for i := range terms {
		for _, g := range terms[i].GuardSets {
			if _, known := sets[g.GuardSetRef]; !known {
				sets[g.GuardSetRef] = g
			}
			in[g.GuardSetRef] = append(in[g.GuardSetRef], terms[i].Member.Name)
		}
		for _, w := range terms[i].Windows {
			if !slices.ContainsFunc(d.Windows, func(x v1alpha1.DemandedWindows) bool { return x.Policy == w.Policy }) {
				d.Windows = append(d.Windows, v1alpha1.DemandedWindows{Policy: w.Policy, Windows: w.Windows, TimeZone: w.TimeZone})
			}
		}
	}
	var errs field.ErrorList
	for _, ref := range slices.SortedFunc(maps.Keys(sets), func(x, y v1alpha1.GuardSetRef) int {
		return strings.Compare(x.Namespace+"/"+x.Name, y.Namespace+"/"+y.Name)
	}) {
		guards, more, err := a.demandedGuards(ctx, sets[ref], in[ref], p)
		if err != nil {
			return nil, err
		}
		errs = append(errs, more...)
		for _, g := range guards {
			d.GuardMembers[g.Name] = in[ref]
		}
		out.Guards = append(out.Guards, guards...)
	}
	if len(d.GuardMembers)+len(d.Windows) > 0 {
		out.Demands = &d
	}
	return errs, nil
}

// demandedGuards reads a GuardSet of the platform's. Its guards know no params: those are the run's own words.
func (a *admitter) demandedGuards(ctx context.Context, want policy.GuardSet, members []string, p *field.Path) ([]v1alpha1.Guard, field.ErrorList, error) {
	by := want.Policies[0]
	what := fmt.Sprintf("ReleasePolicy %q demands GuardSet %s/%s", by, want.Namespace, want.Name)
	set, err := a.client.StagesV1alpha1().GuardSets(want.Namespace).Get(ctx, want.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, field.ErrorList{forbidden(p, what+", which is not there: those who keep the policy must make it")}, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("reading GuardSet %s/%s, which ReleasePolicy %q demands: %w", want.Namespace, want.Name, by, err)
	}
	within := field.NewPath("guards")
	guards := set.Spec.DeepCopy().Guards
	for i := range guards {
		guards[i].SetDefaults()
	}
	wrong := v1alpha1.ValidateGuards(guards, within)
	for i := range guards {
		guards[i].Name = guardName(by, want.Name, guards[i].Name)
	}
	_, more := guard.CompileAll(guards, within, guard.Limits{Params: []string{}})
	if len(more) == 0 {
		// What the platform's guards ask needs nobody's leave.
		if more, err = a.measurable(ctx, guards, members, true, within); err != nil {
			return nil, nil, err
		}
	}
	var errs field.ErrorList
	for _, e := range append(wrong, more...) {
		errs = append(errs, forbidden(p, fmt.Sprintf("%s, in which something is wrong that those who keep it must mend: %v", what, brief(e))))
	}
	return guards, errs, nil
}

// guardName tells a demanded guard from those of the stage and its guard sets, whose names have one "/" at most.
func guardName(by, set, name string) string {
	return "policy/" + bounded(by) + "/" + bounded(set) + "/" + name
}

// bounded cuts a name that is too long to stand in others, and keeps it apart from those that begin alike.
func bounded(name string) string {
	const most = 63
	if len(name) <= most {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return fmt.Sprintf("%s~%x", name[:most-9], sum[:4])
}

// demanded says whether a guard is a policy's.
func (r *Run) demanded(guardName string) bool {
	return r.Admitted.Demands != nil && len(r.Admitted.Demands.GuardMembers[guardName]) > 0
}

// judgedIn says whether a guard is judged in a member.
func (r *Run) judgedIn(guardName, member string) bool {
	return !r.demanded(guardName) || slices.Contains(r.Admitted.Demands.GuardMembers[guardName], member)
}

// onBehalf finds for whom the run was started. Who says so and is believed by no policy is refused: else he would get round everything that
// depends on who started a run.
func (a *admitter) onBehalf(ctx context.Context, out *v1alpha1.Admitted) (field.ErrorList, error) {
	var errs field.ErrorList
	for _, c := range a.run.carriers {
		who, account := c.run.Annotations[v1alpha1.AnnotationOnBehalfOf], c.run.Annotations[v1alpha1.AnnotationInitiator]
		if who == "" {
			continue
		}
		book, err := a.policies(ctx)
		if err != nil {
			return nil, err
		}
		if book.Believes(account) == "" {
			said := "it is not known who says so"
			if account != "" {
				said = fmt.Sprintf("no ReleasePolicy for namespace %q believes %q", a.run.Namespace, account)
			}
			errs = append(errs, forbidden(field.NewPath("metadata", "annotations").Key(v1alpha1.AnnotationOnBehalfOf), fmt.Sprintf(
				"PipelineRun %s was started on behalf of %q, and %s (spec.onBehalfOf); start it in your own name, without the annotation", c.run.Name, shorten(who, maxQuoted), said)))
			continue
		}
		if account == a.run.Initiator {
			out.OnBehalfOf, out.Account = who, account
		}
	}
	return errs, nil
}
