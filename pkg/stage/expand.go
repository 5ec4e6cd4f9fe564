package stage

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/periplus-dev/periplus/pkg/spelling"
)

// expander puts values in the place of references in a JSON document, and makes of it what a Go type can be decoded from: a param is text, and
// where the type wants a number or a yes or no, the text of a reference that stands alone is read as such. Whatever does not fit the type is
// reported with its field and replaced by something that does, so that all else can be looked at.
type expander struct {
	vals *values
	errs field.ErrorList
	// brought is how many bytes references brought in. Beyond maxSpec nothing is brought any more.
	brought int
}

var (
	durationType    = reflect.TypeFor[metav1.Duration]()
	countType       = reflect.TypeFor[intstr.IntOrString]()
	opaqueType      = reflect.TypeFor[runtime.RawExtension]()
	unmarshalerType = reflect.TypeFor[json.Unmarshaler]()
)

// expand gives a node as the type wants it; t is nil where any JSON will do.
func (x *expander) expand(node any, t reflect.Type, at *field.Path) any {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == opaqueType {
		t = nil
	}
	switch n := node.(type) {
	case nil:
		return nil
	case string:
		return x.text(n, t, at)
	case []any:
		if t == nil || t.Kind() == reflect.Slice {
			return x.list(n, t, at)
		}
	case map[string]any:
		switch {
		case t == nil || t.Kind() == reflect.Map:
			return x.mapping(n, t, at)
		case t.Kind() == reflect.Struct && !decodesItself(t):
			return x.object(n, t, at)
		}
	}
	if t == nil || fitsNumber(node, t) || decodes(node, t) {
		return node
	}
	return x.wrong(node, t, at)
}

// text expands a string and reads it as the type wants it.
func (x *expander) text(s string, t reflect.Type, at *field.Path) any {
	full, alone, ok := x.references(s, at)
	if !ok && t != nil {
		return standIn(t)
	}
	return x.take(full, alone, t, at)
}

// take reads a text as the type wants it; alone is true where all of it came from a param.
func (x *expander) take(full string, alone bool, t reflect.Type, at *field.Path) any {
	switch {
	case t == nil, t.Kind() == reflect.String && !decodesItself(t):
		return full
	case t == durationType:
		if _, err := time.ParseDuration(full); err == nil {
			return full
		}
	case t == countType:
		if n, err := strconv.ParseInt(full, 10, 32); err == nil {
			return n
		}
		return full // a percentage, or what validation refuses.
	case decodesItself(t):
		if decodes(full, t) {
			return full
		}
	case alone:
		if v, ok := parse(full, t); ok {
			return v
		}
	}
	return x.wrong(full, t, at)
}

// parse reads the value of a param as a number, or as a yes or no.
func parse(s string, t reflect.Type) (any, bool) {
	switch {
	case t.Kind() == reflect.Bool:
		return s == "true", s == "true" || s == "false"
	case t.Kind() >= reflect.Int && t.Kind() <= reflect.Int64:
		n, err := strconv.ParseInt(s, 10, t.Bits())
		return n, err == nil
	case t.Kind() == reflect.Float32 || t.Kind() == reflect.Float64:
		n, err := strconv.ParseFloat(s, t.Bits())
		return n, err == nil && !math.IsNaN(n) && !math.IsInf(n, 0)
	}
	return nil, false
}

func (x *expander) list(items []any, t reflect.Type, at *field.Path) any {
	var elem reflect.Type
	if t != nil {
		elem = t.Elem()
	}
	out := make([]any, 0, len(items))
	for _, item := range items {
		several, ok := x.vals.star(item)
		if !ok {
			out = append(out, x.expand(item, elem, at.Index(len(out))))
			continue
		}
		for _, s := range several {
			if !x.bring(s) {
				break
			}
			out = append(out, x.take(s, true, elem, at.Index(len(out))))
		}
	}
	return out
}

func (x *expander) mapping(m map[string]any, t reflect.Type, at *field.Path) any {
	var elem reflect.Type
	if t != nil {
		elem = t.Elem()
	}
	out := make(map[string]any, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		here := at.Key(k)
		if t == nil {
			here = at.Child(k)
		}
		key, _, ok := x.references(k, here)
		if _, twice := out[key]; twice && ok {
			x.errs = append(x.errs, field.Duplicate(here, key))
		}
		out[key] = x.expand(m[k], elem, here)
	}
	return out
}

func (x *expander) object(m map[string]any, t reflect.Type, at *field.Path) any {
	fields := fieldsOf(t)
	out := make(map[string]any, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		ft, ok := fields[k]
		if !ok {
			known := slices.Sorted(maps.Keys(fields))
			what := fmt.Sprintf("there is no such field; there are %s", strings.Join(known, ", "))
			if near := spelling.Nearest(k, known); near != "" {
				what = fmt.Sprintf("there is no such field; did you mean %s?", near)
			}
			x.errs = append(x.errs, field.Forbidden(at.Child(k), what))
			continue
		}
		out[k] = x.expand(m[k], ft, at.Child(k))
	}
	return out
}

// references replaces what it knows. alone is true where the text is one reference and nothing else; ok is false where one is not known.
func (x *expander) references(s string, at *field.Path) (full string, alone, ok bool) {
	ok = true
	full = reference.ReplaceAllStringFunc(s, func(ref string) string {
		name := ref[2 : len(ref)-1]
		if isReserved(name) {
			return ref
		}
		val, known := x.vals.scalars[name]
		if !known {
			ok = false
			x.errs = append(x.errs, field.Invalid(at, ref, x.vals.unknown(name)))
			return ref
		}
		if !x.bring(val) {
			return ""
		}
		alone = ref == s
		return val
	})
	return full, alone, ok
}

// bring notes that a value is brought in; it returns false where that is too much.
func (x *expander) bring(val string) bool {
	if x.brought <= maxSpec {
		x.brought += len(val)
	}
	return x.brought <= maxSpec
}

// wrong reports a value that does not fit its field.
func (x *expander) wrong(v any, t reflect.Type, at *field.Path) any {
	what := "must be " + wanted(t)
	if reflect.TypeOf(v).Kind() != reflect.String && t.Kind() == reflect.String {
		what += ": put it in quotes"
	}
	x.errs = append(x.errs, field.Invalid(at, v, what))
	return standIn(t)
}

func wanted(t reflect.Type) string {
	switch {
	case t == durationType:
		return "a duration such as 90s or 5m"
	case t == countType:
		return "a whole number, or a percentage such as 25%"
	case decodesItself(t):
		return "a " + t.Name()
	}
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Slice:
		return "a list"
	case reflect.Map, reflect.Struct:
		return "an object"
	}
	return "a whole number"
}

// standIn is a value of the type, in the place of one that is known to be wrong.
func standIn(t reflect.Type) any {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t == durationType:
		return "1s"
	case t == countType:
		return 1
	case t == opaqueType, decodesItself(t):
		return nil
	}
	switch t.Kind() {
	case reflect.String:
		return ""
	case reflect.Bool:
		return false
	case reflect.Slice:
		return []any{standIn(t.Elem())} // there is something.
	case reflect.Map, reflect.Struct:
		return map[string]any{}
	}
	return 0
}

// fitsNumber says whether a number, or a yes or no, can stand where the type is wanted.
func fitsNumber(node any, t reflect.Type) bool {
	switch n := node.(type) {
	case bool:
		return t.Kind() == reflect.Bool
	case int64:
		switch {
		case t == countType:
			return n == int64(int32(n))
		case t.Kind() >= reflect.Int && t.Kind() <= reflect.Int64:
			return !reflect.Zero(t).OverflowInt(n)
		}
		return t.Kind() == reflect.Float32 || t.Kind() == reflect.Float64
	case float64:
		return t.Kind() == reflect.Float32 || t.Kind() == reflect.Float64
	}
	return false
}

// decodesItself says whether a type has a form of its own in JSON.
func decodesItself(t reflect.Type) bool { return reflect.PointerTo(t).Implements(unmarshalerType) }

// decodes says whether a type with a form of its own takes the value.
func decodes(v any, t reflect.Type) bool {
	if !decodesItself(t) || t == durationType || t == countType {
		return false
	}
	raw, err := json.Marshal(v)
	return err == nil && json.Unmarshal(raw, reflect.New(t).Interface()) == nil
}

// fieldsOf are a struct's fields by their names in JSON, those of embedded structs among them.
func fieldsOf(t reflect.Type) map[string]reflect.Type {
	out := map[string]reflect.Type{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			maps.Copy(out, fieldsOf(f.Type))
		case f.IsExported() && name != "" && name != "-":
			out[name] = f.Type
		}
	}
	return out
}
