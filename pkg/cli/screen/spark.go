package screen

import (
	"math"
	"strconv"
	"strings"

	stages "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

// spark draws numbers as they stand in a metric's status, oldest first, in at most so many columns: the newest, where there are more. What is no number is a
// gap. The lowest bar is the least of the numbers and of those in scale, the highest the greatest; where all are the same they stand in the middle. What is infinite is as low or as high as it gets.
func spark(values []string, scale []string, g glyphs, most int) string {
	values = values[max(0, len(values)-max(0, most)):]
	low, high, _ := extent(append(append([]string(nil), values...), scale...))
	var b strings.Builder
	for _, v := range values {
		f, ok := number(v)
		top := len(g.bars) - 1
		switch {
		case !ok:
			b.WriteString(g.noBar)
		case math.IsInf(f, -1):
			b.WriteString(g.bars[0])
		case math.IsInf(f, 1):
			b.WriteString(g.bars[top])
		case low == high:
			b.WriteString(g.bars[top/2])
		default:
			// Halves first: the difference of two large numbers can be too large for a number.
			share := (f/2 - low/2) / (high/2 - low/2)
			b.WriteString(g.bars[min(top, max(0, int(math.Round(share*float64(top)))))])
		}
	}
	return b.String()
}

// number reads what a status holds; false for what is not there and for NaN.
func number(s string) (float64, bool) {
	f, err := strconv.ParseFloat(s, 64)
	return f, (err == nil || math.IsInf(f, 0)) && !math.IsNaN(f)
}

// extent gives the least and the greatest of the finite numbers; ok is false where there is none.
func extent(values []string) (low, high float64, ok bool) {
	for _, v := range values {
		f, is := number(v)
		if !is || math.IsInf(f, 0) {
			continue
		}
		if !ok {
			low, high, ok = f, f, true
		}
		low, high = min(low, f), max(high, f)
	}
	return low, high, ok
}

// betweenSamples says from where to where samples go: "0.01..0.05", or the one number that all of them are.
func betweenSamples(values []string) string {
	low, high, ok := extent(values)
	switch {
	case !ok:
		return ""
	case low == high:
		return short4(low)
	}
	return short4(low) + ".." + short4(high)
}

func short4(f float64) string { return strconv.FormatFloat(f, 'g', 4, 64) }

// samples are the last samples of a metric: their bars, from where to where they go, and the baseline, which is in the bars' scale.
func samples(m stages.MetricStatus, g glyphs, most int) string {
	if len(m.Recent) == 0 {
		return ""
	}
	recent := m.Recent[max(0, len(m.Recent)-max(0, most)):]
	words := []string{spark(recent, []string{m.Baseline}, g, most)}
	if b := betweenSamples(recent); b != "" {
		words = append(words, b)
	}
	if m.Baseline != "" {
		words = append(words, "(baseline "+m.Baseline+")")
	}
	return strings.Join(words, " ")
}
