package screen

import (
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	stages "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

// lasting says a duration as people do: 42s, 3m12s, 2h05m, 3d4h. Less than nothing is 0s.
func lasting(d time.Duration) string {
	d = max(0, d).Truncate(time.Second)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%dh", int(d.Hours())/24, int(d.Hours())%24)
}

// Lasting says a duration as the screen does.
func Lasting(d time.Duration) string { return lasting(d) }

// remaining says what is left of a time: whole minutes from ten on, rounded down, so that nobody comes late by it.
func remaining(d time.Duration) string {
	if d >= 10*time.Minute && d < time.Hour {
		return fmt.Sprintf("%dm", int(d.Minutes()))
	}
	return lasting(d)
}

// clock gives the time of day, with the day where it is not today's.
func clock(t, now time.Time, layout string) string {
	t = t.In(now.Location())
	if t.Year() != now.Year() {
		return t.Format("2006-01-02 " + layout)
	}
	if t.YearDay() != now.YearDay() {
		return t.Format("Jan 2 " + layout)
	}
	return t.Format(layout)
}

const (
	minutes = "15:04"
	seconds = "15:04:05"
)

// until gives a limit, with a countdown where wanted.
func until(t metav1.Time, now time.Time, countdown bool) string {
	out := "until " + clock(t.Time, now, minutes)
	left := t.Sub(now)
	switch {
	case !countdown:
		return out
	case left < 0:
		return out + " (over since " + lasting(-left) + ")"
	}
	return out + " (in " + remaining(left) + ")"
}

// between gives how long something took, or takes until now.
func between(started, finished *metav1.Time, now time.Time) (time.Duration, bool) {
	switch {
	case started == nil:
		return 0, false
	case finished == nil:
		return now.Sub(started.Time), true
	}
	return finished.Sub(started.Time), true
}

// Wants says whose answers a question still needs, and what for.
func Wants(q stages.Question) string {
	yes, _ := count(&q)
	required := max(1, q.Required)
	left := max(0, required-yes)
	var b strings.Builder
	fmt.Fprintf(&b, "wants %d", left)
	if yes > 0 {
		b.WriteString(" more")
	}
	switch names := slices.Concat(q.Approvers.Groups, q.Approvers.Users); {
	case len(names) > 0:
		b.WriteString(" of " + list(names, "or"))
	case left == 1:
		b.WriteString(" person")
	default:
		b.WriteString(" people")
	}
	switch {
	case q.ForbidInitiator && q.Initiator != "":
		b.WriteString(", not " + q.Initiator + ",")
	case q.ForbidInitiator:
		b.WriteString(", not who started the run,")
	}
	b.WriteString(" to approve")
	if q.About != "" {
		b.WriteString(" " + oneLine(q.About))
	}
	if q.Message != "" {
		b.WriteString(` "` + oneLine(q.Message) + `"`)
	}
	return b.String()
}

// soFar says how many people said yes, once one did.
func soFar(q stages.Question) string {
	yes, _ := count(&q)
	if yes == 0 {
		return ""
	}
	return fmt.Sprintf(" (%d of %d said yes)", yes, max(1, q.Required))
}

// list joins names as in a sentence.
func list(names []string, and string) string {
	switch len(names) {
	case 0:
		return ""
	case 1:
		return names[0]
	}
	return strings.Join(names[:len(names)-1], ", ") + " " + and + " " + names[len(names)-1]
}

// plural gives "1 pod", "2 pods".
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// ofTotal says the place of a count that may be one of several, such as a step or an attempt.
func ofTotal(word string, n, total int) string {
	if total <= 1 || n < 1 {
		return ""
	}
	return fmt.Sprintf("%s %d of %d", word, n, total)
}

func timeOf(t metav1.Time) *metav1.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
