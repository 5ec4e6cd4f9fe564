package prometheus

import (
	"fmt"
	"strings"

	"github.com/periplus-dev/periplus/pkg/guard/source"
)

// References that the value of a matcher can have.
const (
	refMember    = "member.name"
	refLabel     = "member.labels."
	refNamespace = "namespace"
)

// expand replaces the references in a matcher's value. A reference to a label that the member does not have is an error: empty would match what has no such label.
func expand(matcher, value string, q source.Question) (string, error) {
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(value, "$(")
		out.WriteString(before)
		if !found {
			return out.String(), nil
		}
		ref, after, closed := strings.Cut(rest, ")")
		if !closed {
			return "", fmt.Errorf("matcher %s of the source: $( without )", matcher)
		}
		v, err := refer(ref, q)
		if err != nil {
			return "", fmt.Errorf("matcher %s of the source: %w", matcher, err)
		}
		out.WriteString(v)
		value = after
	}
}

func refer(ref string, q source.Question) (string, error) {
	key, ofLabel := strings.CutPrefix(ref, refLabel)
	var v string
	switch {
	case ofLabel:
		if v = q.MemberLabels[key]; v == "" {
			return "", fmt.Errorf("member %s has no label %s: set it on the Member", q.Member, key)
		}
	case ref == refMember:
		v = q.Member
	case ref == refNamespace:
		v = q.Namespace
	default:
		return "", fmt.Errorf("$(%s) is not known here: use $(member.name), $(member.labels.KEY) or $(namespace)", ref)
	}
	if v == "" {
		return "", fmt.Errorf("$(%s) is empty here", ref)
	}
	return v, nil
}
