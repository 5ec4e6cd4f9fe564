package act

import (
	"slices"
	"strings"

	"github.com/periplus-dev/periplus/pkg/spelling"
)

// Meant ends a sentence about a name that is not known.
func Meant(name string, known []string) string {
	if near := spelling.Nearest(name, known); near != "" {
		return "; did you mean " + near + "?"
	}
	if len(known) == 0 {
		return ""
	}
	known = slices.Clone(known)
	slices.Sort(known)
	known = slices.Compact(known)
	return "; there are " + strings.Join(known[:min(12, len(known))], ", ")
}
