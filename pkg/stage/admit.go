package stage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	tektonclient "github.com/tektoncd/pipeline/pkg/client/clientset/versioned"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	kjson "sigs.k8s.io/json"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/client/clientset/versioned"
	"github.com/periplus-dev/periplus/pkg/guard"
	"github.com/periplus-dev/periplus/pkg/policy"
)

// maxSpec is the greatest size in bytes of a stage's spec, as it was written and as it is admitted with its params and guards: that is kept in the
// run's status, next to everything else there.
const maxSpec = 64 << 10

// admitter turns a CustomRun's spec into what is admitted.
type admitter struct {
	task   Task
	client versioned.Interface
	fleet  Fleet
	// What follows is what policies are judged by: the run that is admitted, and what there is beside it.
	run        *Run
	tasks      map[string]Task
	tekton     tektonclient.Interface
	namespaces Namespaces
	book       *policy.Book
	// sources answer the guards' queries; nil where the hub has none.
	sources Sources
	// ahead is true where the run has not begun: what must have happened before a stage is let through is not looked for yet.
	ahead bool
	// stored are specs of stored stages that were read; nil where each is read anew.
	stored map[string][]byte
}

// admit expands, decodes, defaults and validates the spec, resolves what it names, and compiles its guards. All mistakes are reported at once, as
// an invalidError, but for those that are only there because of another one; any other error is worth another try.
func (a *admitter) admit(ctx context.Context, cr *v1beta1.CustomRun) (*v1alpha1.Admitted, error) {
	raw, err := a.rawSpec(ctx, cr)
	if err != nil {
		return nil, err
	}
	if len(raw) > maxSpec {
		return nil, invalid(fmt.Errorf("spec: is %d bytes long; the limit is %d", len(raw), maxSpec))
	}
	p := field.NewPath("spec")
	vals := valuesOf(cr)
	spec, errs, err := a.read(raw, &vals, p)
	if err != nil {
		return nil, invalid(err)
	}
	spec.SetDefaults()
	errs = append(errs, withoutFollowing(spec.Validate(p), errs)...)

	out := &v1alpha1.Admitted{Kind: a.task.Kind(), Params: vals.paramMap()}
	more, err := a.onBehalf(ctx, out)
	if err != nil {
		return nil, err
	}
	errs = append(errs, more...)
	if scope := a.task.Scope(spec); scope != nil {
		more, err := a.resolve(ctx, cr.Namespace, scope, out, p)
		if err != nil {
			return nil, err
		}
		errs = append(errs, withoutFollowing(more, errs)...)
		if len(errs) == 0 && scope.Moves && !scope.Back {
			if errs, err = a.unmet(ctx, scope, spec, out, p); err != nil {
				return nil, err
			}
		}
	}
	if len(errs) == 0 && out.Kind == confirmKind {
		if errs, err = a.unaskable(ctx, p); err != nil {
			return nil, err
		}
	}
	if len(errs) > 0 {
		return nil, &invalidError{err: mistakes(errs), reason: reasonFor(errs)}
	}
	if out.Spec.Raw, err = json.Marshal(spec); err != nil {
		return nil, fmt.Errorf("encoding the admitted spec: %w", err)
	}
	return out, fits(out)
}

// fits says whether what was admitted can be kept.
func fits(out *v1alpha1.Admitted) error {
	size := func(v any) int {
		raw, err := json.Marshal(v)
		if err != nil {
			return maxSpec + 1
		}
		return len(raw)
	}
	if n := size(out); n > maxSpec {
		return invalid(fmt.Errorf("spec: is %d bytes long as it is admitted (expanded %d, params %d, guards with those of guard sets %d); the limit is %d",
			n, len(out.Spec.Raw), size(out.Params), size(out.Guards), maxSpec))
	}
	return nil
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
		key := a.task.Kind() + "/" + cr.Spec.CustomRef.Name
		if raw, ok := a.stored[key]; ok {
			return raw, nil
		}
		raw, err := a.client.StagesV1alpha1().RESTClient().Get().Namespace(cr.Namespace).
			Resource(resourceOf(a.task.Kind())).Name(cr.Spec.CustomRef.Name).DoRaw(ctx)
		if apierrors.IsNotFound(err) {
			missing := field.NotFound(field.NewPath("taskRef", "name"), cr.Spec.CustomRef.Name)
			missing.Detail = fmt.Sprintf("there is no such %s in namespace %s", a.task.Kind(), cr.Namespace)
			return nil, invalid(mistakes(field.ErrorList{missing}))
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
		if a.stored != nil {
			a.stored[key] = stored.Spec.Raw
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
	if strings.HasSuffix(k, "ch") {
		return k + "es"
	}
	return k + "s"
}

func decodeStrict(task Task, raw []byte) (Spec, error) {
	spec := task.NewSpec()
	strict, err := kjson.UnmarshalStrict(raw, spec)
	if err = errors.Join(append(strict, err)...); err != nil {
		return nil, fmt.Errorf("spec: %w", err)
	}
	return spec, nil
}

// read makes a spec of what the user wrote, with all that is wrong with its form. The error is of what is no spec at all.
func (a *admitter) read(raw []byte, vals *values, p *field.Path) (Spec, field.ErrorList, error) {
	var doc any
	strict, err := kjson.UnmarshalStrict(raw, &doc, kjson.DisallowDuplicateFields)
	if err != nil {
		return nil, nil, fmt.Errorf("spec: is not JSON: %w", err)
	}
	if _, ok := doc.(map[string]any); !ok {
		return nil, nil, errors.New("spec: must be an object")
	}
	x := expander{vals: vals}
	expanded, err := json.Marshal(x.expand(doc, reflect.TypeOf(a.task.NewSpec()), p))
	if err != nil {
		return nil, nil, fmt.Errorf("spec: encoding it with its params: %w", err)
	}
	if x.brought > maxSpec {
		return nil, nil, fmt.Errorf("spec: its params make it more than %d bytes long; the limit is %d", x.brought, maxSpec)
	}
	for _, e := range strict {
		x.errs = append(x.errs, &field.Error{Type: field.ErrorTypeForbidden, Field: "", Detail: e.Error()})
	}
	spec, err := decodeStrict(a.task, expanded)
	return spec, x.errs, err
}

// resolve reads what the scope names: target, members, guard sets. It asks the API server itself: a cache may not have yet what the
// user applied together with the run. What can be no name is not asked for; the spec's validation says so.
func (a *admitter) resolve(ctx context.Context, namespace string, scope *Scope, out *v1alpha1.Admitted, p *field.Path) (field.ErrorList, error) {
	target, errs, err := a.target(ctx, namespace, scope, p)
	if err != nil {
		return nil, err
	}
	out.Target = target
	members, more, err := a.choose(ctx, scope, out, p)
	if err != nil {
		return nil, err
	}
	errs = append(errs, more...)
	out.Members = members

	limits := guard.Limits{Params: append([]string{}, slices.Sorted(maps.Keys(out.Params))...)}
	compile := func(guards []v1alpha1.Guard, at *field.Path) error {
		for i := range guards {
			if scope.Once {
				guards[i].When, guards[i].For, guards[i].Deadline = v1alpha1.Before, nil, nil
			}
		}
		_, list := guard.CompileAll(guards, at, limits)
		errs = append(errs, list...)
		out.Guards = append(out.Guards, guards...)
		if len(list) > 0 {
			return nil
		}
		list, err := a.measurable(ctx, guards, members, false, at)
		errs = append(errs, list...)
		return err
	}
	if err := compile(slices.Clone(scope.Guards), p.Child("guards")); err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	ask := func(names []string, at *field.Path) error {
		for i, name := range names {
			if seen[name] || !nameable(name) {
				continue
			}
			seen[name] = true
			set, err := a.client.StagesV1alpha1().GuardSets(namespace).Get(ctx, name, metav1.GetOptions{})
			if apierrors.IsNotFound(err) {
				errs = append(errs, field.NotFound(at.Index(i), name))
				continue
			}
			if err != nil {
				return fmt.Errorf("reading GuardSet %s/%s: %w", namespace, name, err)
			}
			within := at.Key(name).Child("guards")
			guards := set.Spec.DeepCopy().Guards
			for i := range guards {
				guards[i].SetDefaults()
			}
			wrong := v1alpha1.ValidateGuards(guards, within)
			errs = append(errs, wrong...)
			for i := range guards {
				guards[i].Name = name + "/" + guards[i].Name
			}
			if err := compile(guards, within); err != nil {
				return err
			}
		}
		return nil
	}
	more, err = a.notGiven(ctx, scope, out, p)
	if err != nil {
		return nil, err
	}
	errs = append(errs, more...)
	if scope.Moves && !scope.Back {
		more, err := a.demand(ctx, out, p)
		if err != nil {
			return nil, err
		}
		errs = append(errs, more...)
	}
	if target != nil {
		if err := ask(target.GuardSets, p.Child("target").Key(scope.Target).Child("guardSets")); err != nil {
			return nil, err
		}
	}
	return errs, ask(scope.GuardSets, p.Child("guardSets"))
}

// nameable says whether the API server could know an object by this name.
func nameable(name string) bool { return len(validation.IsDNS1123Subdomain(name)) == 0 }

// target reads the Target that a stage names.
func (a *admitter) target(ctx context.Context, namespace string, scope *Scope, p *field.Path) (*v1alpha1.TargetSpec, field.ErrorList, error) {
	if !nameable(scope.Target) {
		return nil, nil, nil
	}
	target, err := a.client.StagesV1alpha1().Targets(namespace).Get(ctx, scope.Target, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, field.ErrorList{field.NotFound(p.Child("target"), scope.Target)}, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("reading Target %s/%s: %w", namespace, scope.Target, err)
	}
	return &target.Spec, nil, nil
}
