package freeze_test

import (
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/freeze"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func at(t time.Time) *metav1.Time { m := metav1.NewTime(t); return &m }

func TestWhatAFreezeStops(t *testing.T) {
	prod := map[string]string{"ring": "prod"}
	ofProd := &metav1.LabelSelector{MatchLabels: prod}
	shop1 := freeze.Move{Namespace: "shop", Member: "m1", Labels: prod}
	for _, c := range []struct {
		name  string
		spec  v1alpha1.FreezeSpec
		move  freeze.Move
		stops bool
	}{
		{"a freeze without scope stops everything", v1alpha1.FreezeSpec{}, shop1, true},
		{"and what has no member", v1alpha1.FreezeSpec{}, freeze.Move{Namespace: "shop"}, true},
		{"a freeze of a member stops there", v1alpha1.FreezeSpec{Members: []string{"m1", "m2"}}, shop1, true},
		{"and not elsewhere", v1alpha1.FreezeSpec{Members: []string{"m2"}}, shop1, false},
		{"and not what has no member", v1alpha1.FreezeSpec{Members: []string{"m1"}}, freeze.Move{Namespace: "shop"}, false},
		{"a freeze of a namespace stops its runs", v1alpha1.FreezeSpec{Namespaces: []string{"shop"}}, shop1, true},
		{"what of them has no member as well", v1alpha1.FreezeSpec{Namespaces: []string{"shop"}}, freeze.Move{Namespace: "shop"}, true},
		{"and no other namespace's", v1alpha1.FreezeSpec{Namespaces: []string{"bank"}}, shop1, false},
		{"member and namespace must both match", v1alpha1.FreezeSpec{Namespaces: []string{"shop"}, Members: []string{"m1"}}, shop1, true},
		{"the member alone is not enough", v1alpha1.FreezeSpec{Namespaces: []string{"bank"}, Members: []string{"m1"}}, shop1, false},
		{"the namespace alone is not enough", v1alpha1.FreezeSpec{Namespaces: []string{"shop"}, Members: []string{"m2"}}, shop1, false},
		{"a freeze of labels stops members that have them", v1alpha1.FreezeSpec{MemberSelector: ofProd}, shop1, true},
		{"and none that have not", v1alpha1.FreezeSpec{MemberSelector: ofProd}, freeze.Move{Namespace: "shop", Member: "m1"}, false},
		{"a selector of nothing selects every member", v1alpha1.FreezeSpec{MemberSelector: &metav1.LabelSelector{}}, freeze.Move{Namespace: "shop", Member: "m1"}, true},
		{"a selector that cannot be read stops every member", v1alpha1.FreezeSpec{MemberSelector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Like"}}}}, shop1, true},
		{"rollbacks are stopped where nothing is said", v1alpha1.FreezeSpec{}, freeze.Move{Namespace: "shop", Member: "m1", Rollback: true}, true},
		{"rollbacks go on where they may", v1alpha1.FreezeSpec{Rollbacks: v1alpha1.RollbacksAllow}, freeze.Move{Namespace: "shop", Member: "m1", Rollback: true}, false},
		{"and what is none does not", v1alpha1.FreezeSpec{Rollbacks: v1alpha1.RollbacksAllow}, shop1, true},
		{"a freeze that was lifted stops nothing", v1alpha1.FreezeSpec{Lifted: &v1alpha1.Lifting{Message: "mended"}}, shop1, false},
		{"a freeze that ran out stops nothing", v1alpha1.FreezeSpec{Until: at(noon)}, shop1, false},
		{"a freeze that has a second left stops", v1alpha1.FreezeSpec{Until: at(noon.Add(time.Second))}, shop1, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &v1alpha1.Freeze{Spec: c.spec}
			if got := len(freeze.Stopping([]*v1alpha1.Freeze{f}, noon, c.move)) > 0; got != c.stops {
				t.Errorf("stops %v", got)
			}
		})
	}
}

func TestOfSeveralFreezesTheOldestIsNamedFirstAndTheFirstToRunOutSaysWhenToLookAgain(t *testing.T) {
	make := func(name string, age time.Duration, spec v1alpha1.FreezeSpec) *v1alpha1.Freeze {
		return &v1alpha1.Freeze{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.NewTime(noon.Add(-age))}, Spec: spec}
	}
	all := []*v1alpha1.Freeze{
		make("new", time.Minute, v1alpha1.FreezeSpec{Message: "new", Until: at(noon.Add(time.Hour))}),
		make("over", 3*time.Hour, v1alpha1.FreezeSpec{Message: "over", Until: at(noon.Add(-time.Hour))}),
		make("old-b", time.Hour, v1alpha1.FreezeSpec{Message: "b"}),
		make("old-a", time.Hour, v1alpha1.FreezeSpec{Message: "the cables\nare cut", User: "fay", Until: at(noon.Add(2 * time.Hour))}),
	}
	got := freeze.Stopping(all, noon, freeze.Move{Namespace: "bank", Member: "m1"}, freeze.Move{Namespace: "shop"})
	names := []string{}
	for _, f := range got {
		names = append(names, f.Name)
	}
	if want := []string{"old-a", "old-b", "new"}; !slices.Equal(names, want) {
		t.Errorf("%v, want %v", names, want)
	}
	if u := freeze.Until(got); !u.Equal(noon.Add(time.Hour)) {
		t.Errorf("look again at %s", u)
	}
	if d, want := freeze.Describe(got), "freeze old-a (fay: the cables are cut; until 2026-11-21 14:00 UTC), and 2 more"; d != want {
		t.Errorf("%s, want %s", d, want)
	}
	if !freeze.Until(got[1:2]).IsZero() || freeze.Describe(nil) != "" {
		t.Error("what does not run out has no time, and no freeze no words")
	}
}
