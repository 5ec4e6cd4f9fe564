package hub

import (
	"fmt"
	"strings"
	"testing"
)

func TestGroupsFitIntoAnObjectThatRecordsAPerson(t *testing.T) {
	var many []string
	for i := range 400 {
		many = append(many, fmt.Sprintf("g%03d", i))
	}
	many = append(many, strings.Repeat("x", 300), "sre")
	got := RecordedGroups(many, []string{"sre"})
	if len(got) != mostGroups || got[0] != "sre" {
		t.Errorf("got %d groups from %s on, want %d from sre on", len(got), got[0], mostGroups)
	}
}
