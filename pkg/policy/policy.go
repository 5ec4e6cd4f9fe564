package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

// Object is a namespace or a member as policies select it.
type Object struct {
	Name   string
	Labels map[string]string
}

// Book is what the policies say of one namespace.
type Book struct {
	namespace Object
	policies  []v1alpha1.ReleasePolicy
	broken    map[string]error
}

// For opens the book of a namespace. Policies are taken in the order of their names, so that all that is said of them is always said alike.
func For(policies []v1alpha1.ReleasePolicy, namespace Object) *Book {
	b := &Book{namespace: namespace, broken: map[string]error{}}
	for i := range policies {
		p := policies[i].DeepCopy()
		p.Spec.SetDefaults()
		if errs := p.Spec.Validate(field.NewPath("spec")); len(errs) > 0 {
			b.broken[p.Name] = errs.ToAggregate()
		}
		if mayMatch(p.Spec.Namespaces, namespace) {
			b.policies = append(b.policies, *p)
		}
	}
	slices.SortFunc(b.policies, func(x, y v1alpha1.ReleasePolicy) int { return cmp.Compare(x.Name, y.Name) })
	return b
}

// Broken are the policies that cannot be read whole, with why, wherever they apply. They give nothing and believe nobody.
func (b *Book) Broken() map[string]error { return b.broken }

// Foresees says whether a run of the namespace can lack something that shows before it moves anything: a member that is not given, a yes, or
// canaries that bake.
func (b *Book) Foresees() bool {
	everything := false
	for i := range b.policies {
		p := &b.policies[i]
		if b.broken[p.Name] != nil || len(p.Spec.Require.Confirms) > 0 || p.Spec.Require.MinBake != nil {
			return true
		}
		everything = everything || len(p.Spec.Members.Names) == 0 && p.Spec.Members.Selector == nil
	}
	return !everything
}

// Lends says whether the guards of the namespace's runs may ask a metric source.
func (b *Book) Lends(source Object) bool {
	return slices.ContainsFunc(b.policies, func(p v1alpha1.ReleasePolicy) bool {
		return b.broken[p.Name] == nil && mayMatch(p.Spec.MetricSources, source)
	})
}

// Terms are those on which the runs of a namespace may move something in a member.
type Terms struct {
	Member Object
	// Given are the policies that give the member, by name. Where there are none the member is not given.
	Given []string
	// Unread are policies that demand something here which cannot be read, with why: nothing moves until they are mended.
	Unread []Unread
	// SidecarSets that may be released in the member, by name; "*" for all.
	SidecarSets []string
	// GuardSets, each once.
	GuardSets []GuardSet
	Confirms  []Confirm
	Windows   []Windows
	// Bake is the longest that is demanded, 0 where none is, and BakePolicy who demands it.
	Bake       time.Duration
	BakePolicy string
}

// Unread is a policy whose demands are not known.
type Unread struct {
	Policy string
	Err    error
}

// GuardSet is judged because of policies, at least one.
type GuardSet struct {
	v1alpha1.GuardSetRef
	Policies []string
}

// Confirm is a yes that a policy demands.
type Confirm struct {
	Policy string
	v1alpha1.DemandedConfirm
}

// Windows are those of one policy, any of which must be open.
type Windows struct {
	Policy   string
	Windows  []v1alpha1.TimeWindow
	TimeZone string
}

// Member returns the terms of a member.
func (b *Book) Member(m Object) Terms {
	t := Terms{Member: m}
	for i := range b.policies {
		p := &b.policies[i]
		if !mayMatch(p.Spec.Members, m) {
			continue
		}
		if err := b.broken[p.Name]; err != nil {
			if demands(&p.Spec.Require) {
				t.Unread = append(t.Unread, Unread{p.Name, err})
			}
			continue
		}
		t.Given = append(t.Given, p.Name)
		t.add(p)
	}
	return t
}

// add takes over what a policy demands that can be read.
func (t *Terms) add(p *v1alpha1.ReleasePolicy) {
	t.SidecarSets = append(t.SidecarSets, p.Spec.SidecarSets...)
	r := &p.Spec.Require
	for _, ref := range r.GuardSets {
		at := slices.IndexFunc(t.GuardSets, func(g GuardSet) bool { return g.GuardSetRef == ref })
		if at < 0 {
			t.GuardSets = append(t.GuardSets, GuardSet{GuardSetRef: ref, Policies: []string{p.Name}})
			continue
		}
		t.GuardSets[at].Policies = append(t.GuardSets[at].Policies, p.Name)
	}
	for _, c := range r.Confirms {
		if mayMatch(c.Members, t.Member) {
			t.Confirms = append(t.Confirms, Confirm{p.Name, c})
		}
	}
	if len(r.Windows) > 0 {
		t.Windows = append(t.Windows, Windows{p.Name, r.Windows, r.TimeZone})
	}
	if r.MinBake != nil && r.MinBake.Duration > t.Bake {
		t.Bake, t.BakePolicy = r.MinBake.Duration, p.Name
	}
}

// Refusal says why nothing moves in the member, whatever a run has; empty where something may.
func (t *Terms) Refusal(namespace string) string {
	if len(t.Unread) > 0 {
		u := t.Unread[0]
		return fmt.Sprintf("what ReleasePolicy %q demands of namespace %q in member %q cannot be read, so nothing moves there until whoever keeps it mends it: %v",
			u.Policy, namespace, t.Member.Name, u.Err)
	}
	if len(t.Given) == 0 {
		return fmt.Sprintf("no ReleasePolicy gives member %q to namespace %q; those who keep ReleasePolicies (ClusterRole periplus-platform) can give it",
			t.Member.Name, namespace)
	}
	return ""
}

// AllSidecarSets is the name by which a policy gives all SidecarSets.
const AllSidecarSets = "*"

// RefusesSidecarSet says why the runs of the namespace may not release a SidecarSet in the member; empty where they may.
func (t *Terms) RefusesSidecarSet(name, namespace string) string {
	if slices.Contains(t.SidecarSets, AllSidecarSets) || name != "" && slices.Contains(t.SidecarSets, name) {
		return ""
	}
	if name == "" {
		return fmt.Sprintf("SidecarSets are chosen by labels, and no ReleasePolicy gives all of them in member %q to namespace %q (spec.sidecarSets: [%q]); name one in workload.name", t.Member.Name, namespace, AllSidecarSets)
	}
	return fmt.Sprintf("no ReleasePolicy gives SidecarSet %q in member %q to namespace %q (spec.sidecarSets); those who keep ReleasePolicies (ClusterRole periplus-platform) can give it",
		name, t.Member.Name, namespace)
}

// Believes says which policy believes a user who starts runs in the namespace for somebody else; empty where none does.
func (b *Book) Believes(user string) string {
	for i := range b.policies {
		if p := &b.policies[i]; b.broken[p.Name] == nil && user != "" && slices.Contains(p.Spec.OnBehalfOf, user) {
			return p.Name
		}
	}
	return ""
}

// mayMatch says whether a selection matches an object, or could if its selector could be read.
func mayMatch(s v1alpha1.Selection, o Object) bool {
	if len(s.Names) == 0 && s.Selector == nil {
		return true
	}
	if slices.Contains(s.Names, o.Name) {
		return true
	}
	if s.Selector == nil {
		return false
	}
	sel, err := metav1.LabelSelectorAsSelector(s.Selector)
	return err != nil || sel.Matches(labels.Set(o.Labels))
}

func demands(d *v1alpha1.Demands) bool {
	return len(d.GuardSets)+len(d.Confirms)+len(d.Windows) > 0 || d.MinBake != nil
}

// Words say what a demanded yes is.
func (c *Confirm) Words() string {
	var of []string
	if len(c.Approvers.Users) > 0 {
		of = append(of, strings.Join(c.Approvers.Users, ", "))
	}
	if len(c.Approvers.Groups) > 0 {
		of = append(of, "group "+strings.Join(c.Approvers.Groups, ", "))
	}
	words := fmt.Sprintf("%d of %s must say yes", c.Required, strings.Join(of, " or "))
	if c.ForbidInitiator {
		words += ", not counting who started the run"
	}
	return words
}
