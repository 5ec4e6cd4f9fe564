package v1alpha1_test

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

type spec interface {
	Validate(p *field.Path) field.ErrorList
}

// TestWhatIsWrongIsSaidWithItsField decodes a spec, sets its defaults, and wants every mistake named, and no other.
func TestWhatIsWrongIsSaidWithItsField(t *testing.T) {
	kinds := map[string]func() spec{
		"Rollback":      func() spec { return &v1alpha1.RollbackSpec{} },
		"Soak":          func() spec { return &v1alpha1.SoakSpec{} },
		"Check":         func() spec { return &v1alpha1.CheckSpec{} },
		"Window":        func() spec { return &v1alpha1.WindowSpec{} },
		"Freeze":        func() spec { return &v1alpha1.FreezeSpec{} },
		"Intervention":  func() spec { return &v1alpha1.InterventionSpec{} },
		"ReleasePolicy": func() spec { return &v1alpha1.ReleasePolicySpec{} },
		"ClusterHop":    func() spec { return &v1alpha1.ClusterHopSpec{} },
	}
	for _, c := range []struct {
		name, kind, spec string
		// wrong are the mistakes: a field, and words after a colon.
		wrong []string
	}{
		{name: "a rollback needs to say nothing", kind: "Rollback", spec: "{}"},
		{name: "a rollback of members names them", kind: "Rollback", spec: "{scope: Member, members: [m1]}"},
		{name: "a rollback of no members is refused", kind: "Rollback", spec: "{scope: Member}", wrong: []string{"spec.members: name at least one"}},
		{name: "a rollback of the release names no members", kind: "Rollback", spec: "{members: [m1]}", wrong: []string{"spec.members: scope: Member only"}},
		{name: "a record comes from one place", kind: "Rollback", spec: "{release: a, fromMembers: {release: b}}", wrong: []string{"spec.fromMembers: leave out release"}},
		{name: "a rollback does not hold at a member that does not answer", kind: "Rollback", spec: "{onUnreachable: Hold}", wrong: []string{`spec.onUnreachable: "Skip", "Wait"`}},

		{name: "a soak is a time", kind: "Soak", spec: "{duration: 10m}"},
		{name: "a soak of no time is refused", kind: "Soak", spec: "{}", wrong: []string{"spec.duration: longer than 0"}},
		{name: "guards of a soak need pods to be judged on", kind: "Soak", spec: "{duration: 1m, guards: [{name: a, expr: 'true'}]}", wrong: []string{"spec.target: name one"}},
		{name: "members of a soak need a target", kind: "Soak", spec: "{duration: 1m, members: [m1]}", wrong: []string{"spec.target: looked at"}},
		{name: "a soak of a target needs members", kind: "Soak", spec: "{duration: 1m, target: web}", wrong: []string{"spec.members: memberSelector"}},

		{name: "a check looks at a target in members", kind: "Check", spec: "{target: web, memberSelector: {matchLabels: {ring: one}}}"},
		{name: "a check without a target or members is refused", kind: "Check", spec: "{}", wrong: []string{"spec.target: name a Target", "spec.members: memberSelector"}},
		{name: "a guard of a check is judged once and not for a time", kind: "Check", spec: "{target: web, members: [m1], guards: [{name: a, expr: 'true', when: After}]}",
			wrong: []string{`spec.guards[0].when: "Before"`}},

		{name: "a window without windows waits for freezes only", kind: "Window", spec: "{members: [m1]}"},
		{name: "a window opens as cron says, in a zone", kind: "Window", spec: "{timeZone: Europe/Berlin, windows: [{schedule: '0 9 * * MON-THU', duration: 8h}]}"},
		{name: "a schedule of four fields is refused", kind: "Window", spec: "{windows: [{schedule: '0 9 * *', duration: 8h}]}", wrong: []string{"spec.windows[0].schedule: has 4"}},
		{name: "a schedule with seconds is refused", kind: "Window", spec: "{windows: [{schedule: '0 0 9 * * *', duration: 8h}]}", wrong: []string{"spec.windows[0].schedule: has 6"}},
		{name: "a schedule with a zone of its own is refused", kind: "Window", spec: "{windows: [{schedule: 'TZ=UTC 0 9 * * *', duration: 8h}]}", wrong: []string{"spec.windows[0].schedule: timeZone"}},
		{name: "a schedule that is nothing but a zone is refused", kind: "Window", spec: "{windows: [{schedule: 'TZ=UTC', duration: 8h}]}", wrong: []string{"spec.windows[0].schedule: timeZone"}},
		{name: "an interval is no schedule", kind: "Window", spec: "{windows: [{schedule: '@every 1h', duration: 8h}]}", wrong: []string{"spec.windows[0].schedule: five fields"}},
		{name: "an hour that no day has is refused", kind: "Window", spec: "{windows: [{schedule: '0 24 * * *', duration: 8h}]}", wrong: []string{"spec.windows[0].schedule: no cron schedule"}},
		{name: "a day that never comes is refused", kind: "Window", spec: "{windows: [{schedule: '0 0 30 2 *', duration: 8h}]}", wrong: []string{"spec.windows[0].schedule: never comes"}},
		{name: "a window of no length, and one of a month, are refused", kind: "Window",
			spec:  "{windows: [{schedule: '0 9 * * *'}, {schedule: '0 9 * * *', duration: 720h}]}",
			wrong: []string{"spec.windows[0].duration: 1m to 168h", "spec.windows[1].duration: 1m to 168h"}},
		{name: "a zone that is nowhere is refused", kind: "Window", spec: "{timeZone: Europe/Atlantis}", wrong: []string{"spec.timeZone: IANA"}},
		{name: "the zone of whatever machine it is is refused", kind: "Window", spec: "{timeZone: Local}", wrong: []string{"spec.timeZone: depends on the machine"}},

		{name: "a freeze of everything says why", kind: "Freeze", spec: "{message: the cables are cut}"},
		{name: "a freeze that does not say why is refused", kind: "Freeze", spec: "{message: ' '}", wrong: []string{"spec.message: say why"}},
		{name: "a freeze by names and labels is refused", kind: "Freeze", spec: "{message: m, members: [m1], memberSelector: {}}", wrong: []string{"spec.memberSelector: not both"}},
		{name: "a freeze of a namespace that can be none is refused", kind: "Freeze", spec: "{message: m, namespaces: [a/b]}", wrong: []string{"spec.namespaces[0]: RFC 1123"}},
		{name: "a lifting that does not say why is refused", kind: "Freeze", spec: "{message: m, lifted: {user: bob}}", wrong: []string{"spec.lifted.message: say why"}},

		{name: "a pause names a run", kind: "Intervention", spec: "{runRef: {kind: PipelineRun, name: web-1, uid: u}, action: Pause, message: lunch}"},
		{name: "a skip names the stage", kind: "Intervention", spec: "{runRef: {kind: PipelineRun, name: web-1, uid: u}, action: Skip, stageRef: {name: web-1-soak, uid: s}, message: m}"},
		{name: "a skip of nothing is refused", kind: "Intervention", spec: "{runRef: {kind: PipelineRun, name: web-1, uid: u}, action: Skip, message: m}", wrong: []string{"spec.stageRef: is skipped"}},
		{name: "a pause of one stage is refused", kind: "Intervention", spec: "{runRef: {kind: PipelineRun, name: web-1, uid: u}, action: Pause, stageRef: {name: a, uid: b}, message: m}",
			wrong: []string{"spec.stageRef: goes with action: Skip"}},
		{name: "an intervention in any run of the name is refused", kind: "Intervention", spec: "{runRef: {kind: PipelineRun, name: web-1}, action: Abort, message: m}", wrong: []string{"spec.runRef.uid: very run"}},
		{name: "an intervention that says nothing is refused", kind: "Intervention", spec: "{}",
			wrong: []string{"spec.runRef.name: name the run", "spec.runRef.uid: very run", "spec.runRef.kind: PipelineRun", "spec.action: what is to be done", "spec.message: say why"}},

		{name: "a policy that says nothing gives all members to all namespaces", kind: "ReleasePolicy", spec: "{}"},
		{name: "a policy demands", kind: "ReleasePolicy",
			spec: "{namespaces: {names: [shop]}, members: {selector: {matchLabels: {ring: prod}}}, require: {guardSets: [{namespace: platform, name: health}], " +
				"confirms: [{approvers: {groups: [sre]}, members: {names: [m1]}}], windows: [{schedule: '0 9 * * *', duration: 8h}], minBake: 5m}}"},
		{name: "a demanded yes of anybody is refused", kind: "ReleasePolicy", spec: "{require: {confirms: [{}]}}", wrong: []string{"spec.require.confirms[0].approvers: name users or groups"}},
		{name: "more yeses than there are people are refused", kind: "ReleasePolicy", spec: "{require: {confirms: [{approvers: {users: [bob]}, required: 2}]}}",
			wrong: []string{"spec.require.confirms[0].required: never be reached"}},
		{name: "a demanded window in no zone is refused", kind: "ReleasePolicy", spec: "{require: {timeZone: Here}}", wrong: []string{"spec.require.timeZone: IANA"}},
		{name: "a smallest bake of less than nothing is refused", kind: "ReleasePolicy", spec: "{require: {minBake: -1m}}", wrong: []string{"spec.require.minBake: negative"}},
		{name: "labels that cannot be any are refused", kind: "ReleasePolicy", spec: "{namespaces: {selector: {matchLabels: {'a b': c}}}}", wrong: []string{"spec.namespaces.selector.matchLabels: name part"}},

		{name: "a gate has two sides", kind: "ClusterHop", spec: "{target: web, from: [m1], to: [m2], silentPeriod: 1m}"},
		{name: "a carrier has waves", kind: "ClusterHop", spec: "{pipelineRef: {name: web}, params: [{name: image, value: v2}], waves: [{members: [m1]}, {memberSelector: {}}], " +
			"orderBy: {importance: Ascending}, maxFailures: 10%}"},
		{name: "a hop that says nothing is taken for a gate", kind: "ClusterHop", spec: "{}", wrong: []string{"spec.target: name a Target", "spec.from: at least one", "spec.to: at least one"}},
		{name: "a gate with waves is refused", kind: "ClusterHop", spec: "{target: web, from: [m1], to: [m2], waves: [{members: [m1]}], maxFailures: 1}",
			wrong: []string{"spec.waves: pipelineRef only", "spec.maxFailures: pipelineRef only"}},
		{name: "a carrier with sides is refused", kind: "ClusterHop", spec: "{pipelineRef: {name: web}, waves: [{members: [m1]}], from: [m1]}", wrong: []string{"spec.from: stand in waves"}},
		{name: "a carrier without waves is refused", kind: "ClusterHop", spec: "{pipelineRef: {name: web}}", wrong: []string{"spec.waves: at least one wave"}},
		{name: "a wave of nobody is refused", kind: "ClusterHop", spec: "{pipelineRef: {name: web}, waves: [{}]}", wrong: []string{"spec.waves[0].members: memberSelector"}},
		{name: "a member in two waves is refused", kind: "ClusterHop", spec: "{pipelineRef: {name: web}, waves: [{members: [m1]}, {members: [m2, m1]}]}", wrong: []string{"spec.waves[1].members[1]: Duplicate"}},
		{name: "the member's param is the hop's to give", kind: "ClusterHop", spec: "{pipelineRef: {name: web}, waves: [{members: [m1]}], params: [{name: member, value: m9}]}",
			wrong: []string{"spec.params[0].name: memberParam"}},
		{name: "guards of a carrier need pods to be judged on", kind: "ClusterHop", spec: "{pipelineRef: {name: web}, waves: [{members: [m1]}], guardSets: [health]}", wrong: []string{"spec.target: name one"}},
		{name: "two orders are refused", kind: "ClusterHop", spec: "{pipelineRef: {name: web}, waves: [{members: [m1]}], orderBy: {label: ring, importance: Descending}}", wrong: []string{"spec.orderBy: exactly one"}},
		{name: "more failures than there are members are refused", kind: "ClusterHop", spec: "{pipelineRef: {name: web}, waves: [{members: [m1]}], maxFailures: 101%}", wrong: []string{"spec.maxFailures: 0% to 100%"}},
		{name: "a carrier does not wait for one member while it goes on with others", kind: "ClusterHop", spec: "{pipelineRef: {name: web}, waves: [{members: [m1]}], onUnreachable: Wait}",
			wrong: []string{`spec.onUnreachable: "Hold", "Skip"`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := kinds[c.kind]()
			if err := yaml.UnmarshalStrict([]byte(c.spec), s); err != nil {
				t.Fatal(err)
			}
			if d, ok := s.(interface{ SetDefaults() }); ok {
				d.SetDefaults()
			}
			errs := s.Validate(field.NewPath("spec"))
			if len(errs) != len(c.wrong) {
				t.Fatalf("%d mistakes, and %d expected: %v", len(errs), len(c.wrong), errs)
			}
			for i, w := range c.wrong {
				at, words, _ := strings.Cut(w, ": ")
				if errs[i].Field != at || !strings.Contains(errs[i].Error(), words) {
					t.Errorf("mistake %d must be at %s and say %q, and is: %v", i+1, at, words, errs[i])
				}
			}
		})
	}
}

// FuzzSchedule: a schedule that is accepted has a time at which it comes, and none makes the parser panic.
func FuzzSchedule(f *testing.F) {
	for _, s := range []string{"0 9 * * MON-THU", "TZ=UTC", "CRON_TZ=UTC 0 9 * * *", "@every 1h", "*/0 * * * *", "0 0 30 2 *", "? ? ? ? ?", "0-59/999999999999 * * * *"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if _, err := v1alpha1.ParseSchedule(s); err == nil && len(strings.Fields(s)) != 5 {
			t.Errorf("%q was accepted", s)
		}
	})
}
