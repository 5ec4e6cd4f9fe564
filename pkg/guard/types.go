package guard

import (
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
)

// podRow is a pod with what depends on the moment.
type podRow struct {
	*Pod
	age time.Duration
}

// memberRow is what `member` is.
type memberRow struct {
	name   string
	labels ref.Val
}

var podType = object("Pod",
	str("name", func(p *podRow) string { return p.Name }),
	str("namespace", func(p *podRow) string { return p.Namespace }),
	str("member", func(p *podRow) string { return p.Member }),
	str("unit", func(p *podRow) string { return p.Unit }),
	str("node", func(p *podRow) string { return p.Node }),
	str("revision", func(p *podRow) string { return p.Revision }),
	boolean("ready", func(p *podRow) bool { return p.Ready }),
	boolean("available", func(p *podRow) bool { return p.Available }),
	integer("restarts", func(p *podRow) int64 { return p.Restarts }),
	fieldOf[podRow]{fieldAge, types.DurationType, func(p *podRow) ref.Val { return types.Duration{Duration: p.age} }},
	str("phase", func(p *podRow) string { return p.Phase }),
	str("reason", func(p *podRow) string { return p.Reason }),
)

// fieldAge is the one field of a pod that changes by the passing of time alone.
const fieldAge = "age"

var unitType = object("Unit",
	str("name", func(u *Unit) string { return u.Name }),
	str("member", func(u *Unit) string { return u.Member }),
	integer("replicas", func(u *Unit) int64 { return u.Replicas }),
	integer("updated", func(u *Unit) int64 { return u.Updated }),
	integer("updatedReady", func(u *Unit) int64 { return u.UpdatedReady }),
	integer("updatedAvailable", func(u *Unit) int64 { return u.UpdatedAvailable }),
	integer("ready", func(u *Unit) int64 { return u.Ready }),
	integer("available", func(u *Unit) int64 { return u.Available }),
	integer("want", func(u *Unit) int64 { return u.Want }),
)

var workloadType = object("Workload",
	str("kind", func(w *Workload) string { return w.Kind }),
	str("name", func(w *Workload) string { return w.Name }),
	integer("replicas", func(w *Workload) int64 { return w.Replicas }),
	integer("updated", func(w *Workload) int64 { return w.Updated }),
	integer("updatedReady", func(w *Workload) int64 { return w.UpdatedReady }),
	integer("updatedAvailable", func(w *Workload) int64 { return w.UpdatedAvailable }),
	integer("ready", func(w *Workload) int64 { return w.Ready }),
	integer("available", func(w *Workload) int64 { return w.Available }),
	integer("want", func(w *Workload) int64 { return w.Want }),
)

var memberType = object("Member",
	str("name", func(m *memberRow) string { return m.name }),
	fieldOf[memberRow]{"labels", types.NewMapType(types.StringType, types.StringType), func(m *memberRow) ref.Val { return m.labels }},
)

var objectTypes = []*objectType{podType, unitType, workloadType, memberType}

// objectType is a type of objects that expressions can select fields of.
type objectType struct {
	typ    *types.Type
	names  []string
	fields map[string]*types.FieldType
}

type fieldOf[T any] struct {
	name string
	typ  *types.Type
	get  func(*T) ref.Val
}

func str[T any](name string, get func(*T) string) fieldOf[T] {
	return fieldOf[T]{name, types.StringType, func(v *T) ref.Val { return types.String(get(v)) }}
}

func boolean[T any](name string, get func(*T) bool) fieldOf[T] {
	return fieldOf[T]{name, types.BoolType, func(v *T) ref.Val { return types.Bool(get(v)) }}
}

func integer[T any](name string, get func(*T) int64) fieldOf[T] {
	return fieldOf[T]{name, types.IntType, func(v *T) ref.Val { return types.Int(get(v)) }}
}

// object declares a type whose values are *T. Its fields are resolved when an expression is compiled, so that reading one is a call of get.
func object[T any](name string, fields ...fieldOf[T]) *objectType {
	o := &objectType{typ: types.NewObjectType(name), fields: make(map[string]*types.FieldType, len(fields))}
	for _, f := range fields {
		o.names = append(o.names, f.name)
		o.fields[f.name] = &types.FieldType{
			Type:  f.typ,
			IsSet: func(any) bool { return true },
			GetFrom: func(target any) (any, error) {
				v, ok := target.(*T)
				if !ok {
					return nil, fmt.Errorf("reading field %s of a %s: it is a %T", f.name, name, target)
				}
				return f.get(v), nil
			},
		}
	}
	return o
}

// value is an object as CEL sees it.
type value[T any] struct {
	of  *T
	typ *objectType
}

// Value implements ref.Val; fields are read from it.
func (v *value[T]) Value() any { return v.of }

// Type implements ref.Val.
func (v *value[T]) Type() ref.Type { return v.typ.typ }

// ConvertToNative implements ref.Val.
func (v *value[T]) ConvertToNative(t reflect.Type) (any, error) {
	return nil, fmt.Errorf("a %s cannot be converted to %s", v.typ.typ.TypeName(), t)
}

// ConvertToType implements ref.Val.
func (v *value[T]) ConvertToType(t ref.Type) ref.Val {
	switch t {
	case v.typ.typ:
		return v
	case types.TypeType:
		return v.typ.typ
	}
	return types.NewErr("a %s cannot be converted to %s", v.typ.typ.TypeName(), t.TypeName())
}

// Equal implements ref.Val.
func (v *value[T]) Equal(other ref.Val) ref.Val {
	o, ok := other.(*value[T])
	return types.Bool(ok && (v.of == o.of || reflect.DeepEqual(v.of, o.of)))
}

// Get implements traits.Indexer, for expressions that hide the type from the checker by dyn().
func (v *value[T]) Get(index ref.Val) ref.Val {
	name, ok := index.(types.String)
	f := v.typ.fields[string(name)]
	if !ok || f == nil {
		return types.NewErr("a %s has no field %v", v.typ.typ.TypeName(), index.Value())
	}
	got, err := f.GetFrom(v.of)
	if err != nil {
		return types.WrapErr(err)
	}
	return got.(ref.Val)
}

// IsSet implements traits.FieldTester.
func (v *value[T]) IsSet(index ref.Val) ref.Val {
	name, ok := index.(types.String)
	return types.Bool(ok && v.typ.fields[string(name)] != nil)
}

// provider adds our object types to CEL's own.
type provider struct {
	*types.Registry
	objects map[string]*objectType
}

func newProvider() (*provider, error) {
	base, err := types.NewRegistry()
	if err != nil {
		return nil, err
	}
	p := &provider{Registry: base, objects: map[string]*objectType{}}
	for _, o := range objectTypes {
		p.objects[o.typ.TypeName()] = o
	}
	return p, nil
}

// FindIdent implements types.Provider.
func (p *provider) FindIdent(name string) (ref.Val, bool) {
	if o, ok := p.objects[name]; ok {
		return o.typ, true
	}
	return p.Registry.FindIdent(name)
}

// FindStructType implements types.Provider.
func (p *provider) FindStructType(name string) (*types.Type, bool) {
	if o, ok := p.objects[name]; ok {
		return types.NewTypeTypeWithParam(o.typ), true
	}
	return p.Registry.FindStructType(name)
}

// FindStructFieldNames implements types.Provider.
func (p *provider) FindStructFieldNames(name string) ([]string, bool) {
	if o, ok := p.objects[name]; ok {
		return slices.Clone(o.names), true
	}
	return p.Registry.FindStructFieldNames(name)
}

// FindStructFieldType implements types.Provider.
func (p *provider) FindStructFieldType(name, fieldName string) (*types.FieldType, bool) {
	if o, ok := p.objects[name]; ok {
		f, ok := o.fields[fieldName]
		return f, ok
	}
	return p.Registry.FindStructFieldType(name, fieldName)
}
