package stage

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/go-multierror"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// How much of what is wrong a condition's message can hold, in bytes: of a value that somebody wrote, of what is said of it, and of all together.
const (
	maxQuoted   = 80
	maxDetail   = 400
	maxMistakes = 1800
)

// invalidError is what is wrong with a stage: trying again does not mend it.
type invalidError struct {
	err error
	// reason of the condition; ReasonInvalid where empty.
	reason string
}

func (e *invalidError) Error() string { return e.err.Error() }
func (e *invalidError) Unwrap() error { return e.err }

// Reason of the condition that the stage ends with.
func (e *invalidError) Reason() string {
	if e.reason == "" {
		return ReasonInvalid
	}
	return e.reason
}

func invalid(err error) error { return &invalidError{err: err} }

// onlyMissing says whether nothing is wrong but that what is named is not there.
func onlyMissing(e *invalidError) bool {
	var m *multierror.Error
	if !errors.As(e.err, &m) {
		return false
	}
	for _, one := range m.Errors {
		var f *field.Error
		if !errors.As(one, &f) || f.Type != field.ErrorTypeNotFound {
			return false
		}
	}
	return len(m.Errors) > 0
}

// mistakes are several in one error, whose text is one line.
func mistakes(list field.ErrorList) *multierror.Error {
	m := &multierror.Error{ErrorFormat: oneLine}
	for _, e := range list {
		m.Errors = append(m.Errors, brief(e))
	}
	return m
}

// oneLine renders several mistakes in one line, as a condition's message needs it: as many as there is place for.
func oneLine(errs []error) string {
	var b strings.Builder
	if len(errs) > 1 {
		fmt.Fprintf(&b, "%d mistakes: ", len(errs))
	}
	for i, e := range errs {
		text := strings.Join(strings.Fields(e.Error()), " ")
		if i > 0 && b.Len()+len(text) > maxMistakes {
			fmt.Fprintf(&b, "; and %d more", len(errs)-i)
			break
		}
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(text)
	}
	return b.String()
}

// brief is a mistake with as much of the value as it takes to know it again.
func brief(e *field.Error) error {
	c := *e
	c.Detail = shorten(e.Detail, maxDetail)
	switch v := e.BadValue.(type) {
	case nil, field.OmitValueType:
	case string:
		c.BadValue = shorten(v, maxQuoted)
	default:
		if raw, err := json.Marshal(v); err == nil && len(raw) > maxQuoted {
			c.BadValue = shorten(string(raw), maxQuoted)
		}
	}
	if c.Field == "" { // it says itself where it is.
		return fmt.Errorf("spec: %s", c.Detail)
	}
	return &c
}

// shorten cuts a text to at most n bytes, between two letters.
func shorten(s string, n int) string {
	if len(s) <= n {
		return s
	}
	n -= len("…")
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

// withoutFollowing leaves out the mistakes that are only there because of earlier ones: of a field that is already known to be wrong, of what is
// in it, and of what it is in.
func withoutFollowing(list, earlier field.ErrorList) field.ErrorList {
	var out field.ErrorList
	for _, e := range list {
		follows := false
		for _, was := range earlier {
			follows = follows || was.Field != "" && (within(e.Field, was.Field) || within(was.Field, e.Field))
		}
		if !follows {
			out = append(out, e)
		}
	}
	return out
}

// within says whether a field is another one or part of it.
func within(f, of string) bool {
	rest, ok := strings.CutPrefix(f, of)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}
