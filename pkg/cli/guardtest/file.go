package guardtest

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	stages "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/guard"
	"github.com/periplus-dev/periplus/pkg/spelling"
)

// kindGuardSet is the one kind of object that a file may hold.
const kindGuardSet = "GuardSet"

// file is what was read: guards, and where each of them stands.
type file struct {
	name   string
	guards []stages.Guard
	// at is the place of each guard, such as "document 2: spec.guards[1]"; empty where the file is one guard.
	at []string
}

// readFile reads guards: one, a list of them, a GuardSet, or several of these as YAML documents. References to params are replaced by their values.
func readFile(name string, r io.Reader, params map[string]string) (*file, error) {
	f := &file{name: name}
	var docs []any
	reader := utilyaml.NewYAMLReader(bufio.NewReader(r))
	for {
		raw, err := reader.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", name, err)
		}
		asJSON, err := yaml.YAMLToJSONStrict(raw)
		if err != nil {
			return nil, fmt.Errorf("%s: document %d: %w", name, len(docs)+1, err)
		}
		var doc any
		if err := json.Unmarshal(asJSON, &doc); err != nil {
			return nil, fmt.Errorf("%s: document %d: %w", name, len(docs)+1, err)
		}
		if doc != nil {
			docs = append(docs, doc)
		}
	}
	var errs []error
	for i, doc := range docs {
		at := ""
		if len(docs) > 1 {
			at = fmt.Sprintf("document %d: ", i+1)
		}
		if err := f.take(doc, at, "", params); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) > 0 {
		return nil, f.wrong(errs)
	}
	if len(f.guards) == 0 {
		return nil, fmt.Errorf("%s holds no guard", name)
	}
	return f, nil
}

// take reads a document, or an item of one, that stands at doc and path.
func (f *file) take(node any, doc, path string, params map[string]string) error {
	x := &reading{params: params}
	switch n := x.expand(node, path).(type) {
	case []any:
		var errs []error
		for i, item := range n {
			errs = append(errs, f.takeGuard(x, item, doc, fmt.Sprintf("%s[%d]", path, i)))
		}
		return errors.Join(append(errs, x.said(doc))...)
	case map[string]any:
		switch kind, _ := n["kind"].(string); {
		case kind == kindGuardSet:
			return f.takeSet(x, n, doc, path)
		case strings.HasSuffix(kind, "List"):
			items, _ := n["items"].([]any)
			var errs []error
			for i, item := range items {
				errs = append(errs, f.take(item, doc, fmt.Sprintf("%sitems[%d]", dotted(path), i), params))
			}
			return errors.Join(errs...)
		case kind != "":
			return fmt.Errorf("%skind: a %s holds no guards that can be tested: write a guard, a list of guards, or a GuardSet", doc, kind)
		}
		return errors.Join(f.takeGuard(x, n, doc, path), x.said(doc))
	}
	return fmt.Errorf("%sis neither a guard, nor a list of guards, nor a GuardSet", doc)
}

func (f *file) takeSet(x *reading, node any, doc, path string) error {
	var set stages.GuardSet
	wrong := decode(node, &set, doc, dotted(path))
	if want := stages.SchemeGroupVersion.String(); wrong == nil && set.APIVersion != want {
		wrong = fmt.Errorf("%sapiVersion: is %q, and must be %s", doc, set.APIVersion, want)
	}
	if err := x.said(doc); err != nil || wrong != nil {
		return errors.Join(err, wrong)
	}
	for i := range set.Spec.Guards {
		f.guards = append(f.guards, set.Spec.Guards[i])
		f.at = append(f.at, fmt.Sprintf("%s%sspec.guards[%d]", doc, dotted(path), i))
	}
	return nil
}

func (f *file) takeGuard(x *reading, node any, doc, path string) error {
	if _, ok := node.(map[string]any); !ok {
		return fmt.Errorf("%s%s: is not a guard", doc, path)
	}
	var g stages.Guard
	if len(x.errs) > 0 {
		return nil // what was said of it already would be said again in other words.
	}
	if err := decode(node, &g, doc, dotted(path)); err != nil {
		return err
	}
	f.guards, f.at = append(f.guards, g), append(f.at, doc+path)
	return nil
}

func dotted(path string) string {
	if path == "" {
		return ""
	}
	return path + "."
}

var unknownField = regexp.MustCompile(`^unknown field "(.*)"$`)

// decode reads a node strictly.
func decode(node, into any, doc, path string) error {
	raw, err := json.Marshal(node)
	if err != nil {
		return err
	}
	strict, err := kjson.UnmarshalStrict(raw, into)
	if err != nil {
		return fmt.Errorf("%s%s%w", doc, path, err)
	}
	var errs []error
	for _, e := range strict {
		m := unknownField.FindStringSubmatch(e.Error())
		if m == nil {
			errs = append(errs, fmt.Errorf("%s%s%w", doc, path, e))
			continue
		}
		what := "there is no such field"
		if near := spelling.Nearest(m[1][strings.LastIndex(m[1], ".")+1:], guardFields); near != "" {
			what += "; did you mean " + near + "?"
		}
		errs = append(errs, fmt.Errorf("%s%s%s: %s", doc, path, m[1], what))
	}
	return errors.Join(errs...)
}

// guardFields are the names of all fields of a guard and of what it holds.
var guardFields = fieldsOf(reflect.TypeFor[stages.Guard]())

func fieldsOf(t reflect.Type) []string {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || !strings.HasPrefix(t.PkgPath(), "github.com/periplus-dev/") {
		return nil
	}
	var names []string
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		names = append(append(names, name), fieldsOf(t.Field(i).Type)...)
	}
	return names
}

// reading is the expansion of a document.
type reading struct {
	params map[string]string
	errs   []error
}

var (
	paramRef  = regexp.MustCompile(`\$\(params\.([^()\s]+)\)`)
	durations = []string{"interval", "for", "initialDelay", "deadline", "window", "step"}
)

// expand puts params in the place of references, and says which field is no duration: what decodes durations does not.
func (x *reading) expand(node any, path string) any {
	switch n := node.(type) {
	case string:
		return paramRef.ReplaceAllStringFunc(n, func(ref string) string {
			name := paramRef.FindStringSubmatch(ref)[1]
			val, known := x.params[name]
			if !known {
				x.errs = append(x.errs, fmt.Errorf("%s: %s is not known: give it by --param %s=…", path, ref, name))
			}
			return val
		})
	case []any:
		out := make([]any, len(n))
		for i := range n {
			out[i] = x.expand(n[i], fmt.Sprintf("%s[%d]", path, i))
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(n))
		for k, v := range n {
			at := dotted(path) + k
			before := len(x.errs)
			out[k] = x.expand(v, at)
			if _, object := v.(map[string]any); object || len(x.errs) > before || !slices.Contains(durations, k) {
				continue
			}
			if s, ok := out[k].(string); !ok || !isDuration(s) {
				x.errs = append(x.errs, fmt.Errorf("%s: %v: must be a duration such as 90s or 5m", at, v))
			}
		}
		return out
	}
	return node
}

func isDuration(s string) bool {
	_, err := time.ParseDuration(s)
	return err == nil
}

func (x *reading) said(doc string) error {
	var errs []error
	for _, e := range x.errs {
		errs = append(errs, fmt.Errorf("%s%w", doc, e))
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}

// asked are the guards as a Check takes them, with what would keep the hub from admitting them.
func (f *file) asked(params []string) ([]stages.Guard, error) {
	at := field.NewPath("spec", "guards")
	guards := make([]stages.Guard, len(f.guards))
	for i := range f.guards {
		guards[i] = *f.guards[i].DeepCopy()
		guards[i].SetDefaults()
	}
	errs := stages.ValidateGuards(guards, at)
	for i := range guards {
		g := &guards[i]
		// Judged once, and for whoever reads it: nothing is borne, and nothing goes on without it.
		g.When, g.For, g.Deadline, g.InitialDelay, g.DryRun = stages.Before, nil, nil, nil, false
	}
	_, more := guard.CompileAll(guards, at, guard.Limits{Params: append([]string{}, params...)})
	if errs = append(errs, more...); len(errs) == 0 {
		return guards, nil
	}
	said := make([]error, 0, len(errs))
	for _, e := range errs {
		said = append(said, errors.New(f.located(e.Error())))
	}
	return nil, f.wrong(said)
}

var guardOfCheck = regexp.MustCompile(`\bspec\.guards\[(\d+)\]\.?`)

// located writes of a message of the Check's where in the file the guards that it means stand.
func (f *file) located(message string) string {
	return guardOfCheck.ReplaceAllStringFunc(message, func(path string) string {
		i, err := strconv.Atoi(guardOfCheck.FindStringSubmatch(path)[1])
		if err != nil || i >= len(f.at) {
			return path
		}
		if at := f.at[i]; at != "" && !strings.HasSuffix(at, ": ") && strings.HasSuffix(path, ".") {
			return at + "."
		}
		return f.at[i]
	})
}

// wrong is all that is wrong with the file, a line for each where there are several.
func (f *file) wrong(errs []error) error {
	lines := strings.Split(errors.Join(errs...).Error(), "\n")
	if len(lines) == 1 {
		return fmt.Errorf("%s: %s", f.name, lines[0])
	}
	return fmt.Errorf("%s:\n  %s", f.name, strings.Join(lines, "\n  "))
}
