package guard

import (
	"testing"
	"time"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

var t0 = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

func compiled(t testing.TB, g v1alpha1.Guard) *Program {
	t.Helper()
	p, err := Compile(g, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}
