package source

import (
	"context"
	"time"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/guard"
)

// Source answers queries with numbers.
type Source interface {
	// Check says what is wrong with a query before anything is asked, with line and column where the language has them; nil where nothing is. References in
	// it are replaced already, maybe by examples. What looks back farther than the window is wrong; with a range, farther than a step at each value.
	Check(query string, window time.Duration, ranged *v1alpha1.MetricRange) error
	// Ask returns the series that the query has now, none where it has no data. An error says what went wrong and what can be done about it,
	// in one line that names no secret. The context bounds the time.
	Ask(ctx context.Context, q Question) ([]guard.Series, error)
}

// Question is one query about one member.
type Question struct {
	// Namespace of the run that asks.
	Namespace string
	// Member that it asks about, with its labels.
	Member       string
	MemberLabels map[string]string
	// Query with its references replaced.
	Query string
	// Window that the query looks back, and Range where its values all over the window are made one number.
	Window time.Duration
	Range  *v1alpha1.MetricRange
	// Seen is what the controllers saw of the target in the member when the question was asked. It is read only.
	Seen *guard.Input
	// Baseline is true where the question is about all pods of the target, before the first move.
	Baseline bool
}

// Terms are how a source is asked about a member.
type Terms struct {
	// Timeout of one question.
	Timeout time.Duration
	// Lag is how late what happens can be asked for.
	Lag time.Duration
}

// Book finds sources by their names.
type Book interface {
	// Find returns the source that the name has for a member. Its error says why there is none: no such source, a Secret
	// that is missing, an address that is no URL. ErrUnknown where there is no source of that name,
	// an UnavailableError where that could not be found out just now.
	// The context bounds the time.
	Find(ctx context.Context, name, member string, labels map[string]string) (Source, error)
	// Terms are those on which a source is asked, as far as that is known without asking anybody; zero where there is no such source.
	Terms(name string) Terms
}

// Observer is told what each pass of a stage saw of its target in one member. It keeps nothing of the input itself.
type Observer interface {
	Observe(at time.Time, namespace string, in *guard.Input)
}
