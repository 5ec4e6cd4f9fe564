package spelling

import "testing"

func TestDistanceCountsLetters(t *testing.T) {
	for _, c := range []struct {
		from, to string
		want     int
	}{
		{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"bake", "bake", 0}, {"bakee", "bake", 1}, {"redy", "ready", 1}, {"kitten", "sitting", 3}, {"grün", "gron", 1},
	} {
		if got := Distance(c.from, c.to); got != c.want {
			t.Errorf("from %q to %q are %d letters, want %d", c.from, c.to, got, c.want)
		}
	}
}

func TestNearestIsWhatWasMeantOrNothing(t *testing.T) {
	known := []string{"members", "memberSelector", "pods", "bake"}
	for word, want := range map[string]string{"membrs": "members", "Pods": "pods", "bakee": "bake", "something": "", "": ""} {
		if got := Nearest(word, known); got != want {
			t.Errorf("%q is taken for %q, want %q", word, got, want)
		}
	}
}
