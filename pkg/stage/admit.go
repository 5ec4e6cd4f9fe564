package stage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/go-multierror"
	"github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	kjson "sigs.k8s.io/json"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/client/clientset/versioned"
	"github.com/periplus-dev/periplus/pkg/fleet"
	"github.com/periplus-dev/periplus/pkg/guard"
)

// maxSpec is the greatest size of a stage's spec in bytes: what is admitted is kept in the run's status, next to everything else there.
const maxSpec = 64 << 10

// invalidError is what is wrong with a stage: trying again does not mend it.
type invalidError struct{ err error }

func (e *invalidError) Error() string { return e.err.Error() }
func (e *invalidError) Unwrap() error { return e.err }

func invalid(err error) error { return &invalidError{err} }

// oneLine renders several mistakes in one line, as a condition's message needs it.
func oneLine(errs []error) string {
	parts := make([]string, 0, len(errs))
	for _, e := range errs {
		parts = append(parts, e.Error())
	}
	if len(parts) == 1 {
		return parts[0]
	}
	return fmt.Sprintf("%d mistakes: %s", len(parts), strings.Join(parts, "; "))
}

func mistakes(list field.ErrorList) *multierror.Error {
	m := &multierror.Error{ErrorFormat: oneLine}
	for _, e := range list {
		m = multierror.Append(m, e)
	}
	m.ErrorFormat = oneLine
	return m
}

// admitter turns a CustomRun's spec into what is admitted.
type admitter struct {
	task   Task
	client versioned.Interface
	fleet  Fleet
}

// admit expands, decodes, defaults and validates the spec, resolves what it names, and compiles its guards. All mistakes that can be seen at
// once are reported at once, as an invalidError; any other error is worth another try.
func (a *admitter) admit(ctx context.Context, cr *v1beta1.CustomRun) (*v1alpha1.Admitted, error) {
	raw, err := a.rawSpec(ctx, cr)
	if err != nil {
		return nil, err
	}
	if len(raw) > maxSpec {
		return nil, invalid(fmt.Errorf("spec: is %d bytes long; the limit is %d", len(raw), maxSpec))
	}
	vals := valuesOf(cr)
	expanded, err := vals.expand(raw)
	if err != nil {
		return nil, invalid(flatten(err))
	}
	spec, err := decodeStrict(a.task, expanded)
	if err != nil {
		return nil, invalid(err)
	}
	spec.SetDefaults()
	p := field.NewPath("spec")
	errs := spec.Validate(p)

	out := &v1alpha1.Admitted{Kind: a.task.Kind(), Params: vals.paramMap()}
	// Names that can be no names are not asked for.
	if scope := a.task.Scope(spec); scope != nil && !namesNobody(errs) {
		more, err := a.resolve(ctx, cr.Namespace, scope, out, p)
		if err != nil {
			return nil, err
		}
		errs = append(errs, more...)
	}
	if len(errs) > 0 {
		return nil, invalid(mistakes(errs))
	}
	if out.Spec.Raw, err = json.Marshal(spec); err != nil {
		return nil, fmt.Errorf("encoding the admitted spec: %w", err)
	}
	return out, nil
}

// namesNobody says whether a name in the spec cannot be one.
func namesNobody(errs field.ErrorList) bool {
	for _, e := range errs {
		if strings.Contains(e.Detail, "RFC 1123") {
			return true
		}
	}
	return false
}

func flatten(err error) error {
	var m *multierror.Error
	if errors.As(err, &m) {
		m.ErrorFormat = oneLine
	}
	return err
}

// rawSpec is the embedded spec, or that of the stored stage which the run names in its own namespace.
func (a *admitter) rawSpec(ctx context.Context, cr *v1beta1.CustomRun) ([]byte, error) {
	switch {
	case cr.Spec.CustomSpec != nil:
		if len(cr.Spec.CustomSpec.Spec.Raw) == 0 {
			return []byte("{}"), nil
		}
		return cr.Spec.CustomSpec.Spec.Raw, nil
	case cr.Spec.CustomRef != nil && cr.Spec.CustomRef.Name == "":
		return nil, invalid(fmt.Errorf("taskRef.name: name a stored %s in namespace %s, or embed one by taskSpec", a.task.Kind(), cr.Namespace))
	case cr.Spec.CustomRef != nil:
		if why := validation.IsDNS1123Subdomain(cr.Spec.CustomRef.Name); len(why) > 0 {
			return nil, invalid(fmt.Errorf("taskRef.name: %q: %s", cr.Spec.CustomRef.Name, strings.Join(why, "; ")))
		}
		raw, err := a.client.StagesV1alpha1().RESTClient().Get().Namespace(cr.Namespace).
			Resource(resourceOf(a.task.Kind())).Name(cr.Spec.CustomRef.Name).DoRaw(ctx)
		if apierrors.IsNotFound(err) {
			return nil, invalid(fmt.Errorf("taskRef.name: there is no %s %q in namespace %s", a.task.Kind(), cr.Spec.CustomRef.Name, cr.Namespace))
		}
		if err != nil {
			return nil, fmt.Errorf("reading %s %s/%s: %w", a.task.Kind(), cr.Namespace, cr.Spec.CustomRef.Name, err)
		}
		var stored struct {
			Spec runtime.RawExtension `json:"spec"`
		}
		if err := json.Unmarshal(raw, &stored); err != nil {
			return nil, fmt.Errorf("decoding %s %s/%s: %w", a.task.Kind(), cr.Namespace, cr.Spec.CustomRef.Name, err)
		}
		return stored.Spec.Raw, nil
	}
	return nil, invalid(errors.New("neither taskRef nor taskSpec is given"))
}

// resourceOf is the plural that the API server knows a stage's kind by.
func resourceOf(kind string) string {
	k := strings.ToLower(kind)
	if base, ok := strings.CutSuffix(k, "y"); ok {
		return base + "ies"
	}
	return k + "s"
}

func decodeStrict(task Task, raw []byte) (Spec, error) {
	spec := task.NewSpec()
	strict, err := kjson.UnmarshalStrict(raw, spec)
	if err != nil {
		return nil, fmt.Errorf("spec: %w", err)
	}
	if len(strict) > 0 {
		m := &multierror.Error{ErrorFormat: oneLine}
		for _, e := range strict {
			m = multierror.Append(m, fmt.Errorf("spec: %w", e))
		}
		m.ErrorFormat = oneLine
		return nil, m
	}
	return spec, nil
}

// resolve reads what the scope names: target, members, guard sets. It asks the API server itself: a cache may not have yet what the
// user applied together with the run.
func (a *admitter) resolve(ctx context.Context, namespace string, scope *Scope, out *v1alpha1.Admitted, p *field.Path) (field.ErrorList, error) {
	var errs field.ErrorList
	sets := scope.GuardSets
	if scope.Target != "" {
		target, err := a.client.StagesV1alpha1().Targets(namespace).Get(ctx, scope.Target, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			errs = append(errs, field.NotFound(p.Child("target"), scope.Target))
		case err != nil:
			return nil, fmt.Errorf("reading Target %s/%s: %w", namespace, scope.Target, err)
		default:
			out.Target = &target.Spec
			sets = append(append([]string{}, target.Spec.GuardSets...), sets...)
		}
	}
	members, more, err := a.members(scope, p)
	if err != nil {
		return nil, err
	}
	errs = append(errs, more...)
	out.Members = members

	out.Guards = append(out.Guards, scope.Guards...)
	seen := map[string]bool{}
	for _, name := range sets {
		if seen[name] {
			continue
		}
		seen[name] = true
		set, err := a.client.StagesV1alpha1().GuardSets(namespace).Get(ctx, name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			errs = append(errs, field.NotFound(p.Child("guardSets"), name))
			continue
		case err != nil:
			return nil, fmt.Errorf("reading GuardSet %s/%s: %w", namespace, name, err)
		}
		for _, g := range set.Spec.Guards {
			g.SetDefaults()
			g.Name = name + "/" + g.Name
			errs = append(errs, g.Validate(p.Child("guardSets").Key(name))...)
			out.Guards = append(out.Guards, g)
		}
	}
	if _, list := guard.CompileAll(out.Guards, p.Child("guards"), guard.Limits{Params: append([]string{}, slices.Sorted(maps.Keys(out.Params))...)}); len(list) > 0 {
		errs = append(errs, list...)
	}
	return errs, nil
}

// members are those named, in that order, then those selected, by name.
func (a *admitter) members(scope *Scope, p *field.Path) ([]string, field.ErrorList, error) {
	var out []string
	var errs field.ErrorList
	have := map[string]bool{}
	for i, name := range scope.Members {
		at := scope.MemberPath(p, i)
		if _, err := a.fleet.Info(name); errors.Is(err, fleet.ErrUnknownMember) {
			errs = append(errs, field.NotFound(at, name))
			continue
		} else if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", at, err)
		}
		have[name] = true
		out = append(out, name)
	}
	if scope.MemberSelector != nil {
		sel, err := metav1.LabelSelectorAsSelector(scope.MemberSelector)
		if err != nil {
			return out, append(errs, field.Invalid(p.Child("memberSelector"), scope.MemberSelector, err.Error())), nil
		}
		infos, err := a.fleet.List(sel)
		if err != nil {
			return nil, nil, fmt.Errorf("listing members: %w", err)
		}
		for _, in := range infos {
			if !have[in.Name] {
				out = append(out, in.Name)
			}
		}
		if len(out) == 0 {
			errs = append(errs, field.Invalid(p.Child("memberSelector"), metav1.FormatLabelSelector(scope.MemberSelector), "selects no member"))
		}
	}
	return out, errs, nil
}
