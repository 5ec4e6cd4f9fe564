package screen

import (
	"strings"
	"testing"

	stages "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

func TestSamplesAreDrawnAsBars(t *testing.T) {
	for _, tc := range []struct {
		name   string
		values string
		scale  []string
		most   int
		ascii  bool
		want   string
	}{
		{name: "none", values: "", want: ""},
		{name: "one stands in the middle", values: "0.01", want: "▄"},
		{name: "all the same stand in the middle", values: "3 3 3", want: "▄▄▄"},
		{name: "from the least to the greatest", values: "0 1 2 3 4 5 6 7", want: "▁▂▃▄▅▆▇█"},
		{name: "the least need not be 0", values: "100 101 102", want: "▁▅█"},
		{name: "a gap where there was no number", values: "0 - 1 NaN nonsense 1", want: "▁·█··█"},
		{name: "nothing but gaps", values: "- -", want: "··"},
		{name: "negative numbers", values: "-1 0 1", want: "▁▅█"},
		{name: "what is infinite does not flatten the others", values: "0 +Inf 1 -Inf 2", want: "▁█▅▁█"},
		{name: "nothing but the infinite", values: "+Inf -Inf", want: "█▁"},
		{name: "numbers as far apart as there are", values: "-1.7e308 0 1.7e308", want: "▁▅█"},
		{name: "the baseline is in the scale", values: "0.02 0.02", scale: []string{"0.01"}, want: "██"},
		{name: "no baseline", values: "1 2", scale: []string{""}, want: "▁█"},
		{name: "the newest where there is too little room", values: "9 0 1 2", most: 3, want: "▁▅█"},
		{name: "no room", values: "1 2", most: -1, want: ""},
		{name: "in ASCII", values: "0 1 2 3 4 5 6 7 -", ascii: true, want: "_.-~=+*#?"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g, most := unicodeGlyphs, tc.most
			if tc.ascii {
				g = asciiGlyphs
			}
			if most == 0 {
				most = mostBars
			}
			if got := spark(strings.Fields(tc.values), tc.scale, g, most); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestSamplesSayFromWhereToWhereTheyGo(t *testing.T) {
	for _, tc := range []struct {
		name string
		m    stages.MetricStatus
		want string
	}{
		{"not sampled", stages.MetricStatus{}, ""},
		{"from the least to the greatest", stages.MetricStatus{Recent: []string{"0.01", "-", "0.05"}}, "▁·█ 0.01..0.05"},
		{"all the same", stages.MetricStatus{Recent: []string{"0", "0"}}, "▄▄ 0"},
		{"never a number", stages.MetricStatus{Recent: []string{"-"}}, "·"},
		{"with the baseline", stages.MetricStatus{Recent: []string{"0.05"}, Baseline: "0.01"}, "█ 0.05 (baseline 0.01)"},
		{"the infinite has no place in it", stages.MetricStatus{Recent: []string{"1", "+Inf", "3"}}, "▁██ 1..3"},
	} {
		if got := samples(tc.m, unicodeGlyphs, mostBars); got != tc.want {
			t.Errorf("%s: got %q, want %q", tc.name, got, tc.want)
		}
	}
}
