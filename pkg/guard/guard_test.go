package guard

import (
	"testing"
	"time"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

// Judge judges a guard without metrics on an input of its own.
func Judge(p *Program, prev v1alpha1.GuardStatus, at Moment, in Input) (v1alpha1.GuardStatus, time.Time) {
	j := p.Judge(prev, at, NewView(&in, at.Now), Answers{})
	return j.Status, j.WakeAt
}

var t0 = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

func compiled(t testing.TB, g v1alpha1.Guard) *Program {
	t.Helper()
	p, err := Compile(g, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}
