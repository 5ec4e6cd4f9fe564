//go:build integration

package admission

import (
	"context"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
)

// TestSchemas creates objects and, where a later form is given, changes them into it. The server must refuse the last with the words, or take
// all where there are none. No policy is at work here but the one that stands in for a rule of InPlaceSet's schema.
func TestSchemas(t *testing.T) {
	const (
		workload = "{apiVersion: apps.periplus.dev/v1alpha1, kind: InPlaceSet, name: web}"
		touched  = "{member: m1, kind: InPlaceSet, workload: web, uid: u, time: '2026-01-01T00:00:00Z', previous: {revision: r1, partition: 100%}}"
	)
	set := func(spec string) string { return "selector: {matchLabels: {app: web}}, " + spec }
	const pods = "template: {metadata: {labels: {app: web}}, spec: {containers: [{name: app, image: web}]}}"
	for _, c := range []struct {
		name, kind string
		// spec, and status if it starts with it; then what it becomes.
		object, then string
		refused      []string
	}{
		{name: "a target names a workload", kind: "Target", object: "spec: {workload: " + workload + ", maxUnavailable: 25%}"},
		{name: "a target selects workloads", kind: "Target", object: "spec: {workload: {apiVersion: apps.periplus.dev/v1alpha1, kind: InPlaceSet, selector: {app: web}}}"},
		{name: "a target by name and selector is refused", kind: "Target",
			object:  "spec: {workload: {apiVersion: apps.periplus.dev/v1alpha1, kind: InPlaceSet, name: web, selector: {app: web}}}",
			refused: []string{"spec.workload", "exactly one of name and selector"}},
		{name: "a target by neither name nor selector is refused", kind: "Target",
			object: "spec: {workload: {apiVersion: apps.periplus.dev/v1alpha1, kind: InPlaceSet}}", refused: []string{"spec.workload", "exactly one of name and selector"}},
		{name: "a target of a kind that no adapter knows is refused", kind: "Target",
			object: "spec: {workload: {apiVersion: apps.periplus.dev/v1alpha1, kind: DaemonSet, name: web}}", refused: []string{"spec.workload.kind", "InPlaceSet"}},
		{name: "a target that lets nothing be unavailable is refused", kind: "Target", object: "spec: {workload: " + workload + ", maxUnavailable: 0%}",
			refused: []string{"spec.maxUnavailable", "1% to 100%"}},
		{name: "a target that lets 0 pods be unavailable is refused", kind: "Target", object: "spec: {workload: " + workload + ", maxUnavailable: 0}",
			refused: []string{"spec.maxUnavailable", "1 or more"}},

		{name: "a target is a SidecarSet", kind: "Target", object: "spec: {workload: {apiVersion: apps.periplus.dev/v1alpha1, kind: SidecarSet, name: mesh}}"},

		{name: "sidecars go unit after unit", kind: "SidecarUpgrade", object: "spec: {target: mesh, members: [m1], order: [dca, dcb], by: 25%, bake: 30s, confirm: {approvers: {groups: [sre]}}, onWaitingForCreation: Leave, onUnreachable: Skip}"},
		{name: "sidecars are made of params", kind: "SidecarUpgrade", object: "spec: {target: $(params.t), members: ['$(params.m)'], by: $(params.n), maxUnavailable: $(params.x), bake: $(params.b)}"},
		{name: "sidecars in no member are refused", kind: "SidecarUpgrade", object: "spec: {target: mesh}", refused: []string{"spec", "memberSelector"}},
		{name: "sidecars by no pods are refused", kind: "SidecarUpgrade", object: "spec: {target: mesh, members: [m1], by: 0}", refused: []string{"spec.by", "1 or more"}},
		{name: "sidecars that do something else about waiting pods are refused", kind: "SidecarUpgrade", object: "spec: {target: mesh, members: [m1], onWaitingForCreation: Evict}",
			refused: []string{"spec.onWaitingForCreation", `"Fail", "Leave"`}},
		{name: "one unit twice is refused", kind: "SidecarUpgrade", object: "spec: {target: mesh, members: [m1], order: [dca, dca]}", refused: []string{"spec.order[1]"}},
		{name: "a canary says how many pods", kind: "Canary", object: "spec: {target: web, members: [m1], pods: 1, bake: 1m}"},
		{name: "a canary without a number of pods is refused", kind: "Canary", object: "spec: {target: web, members: [m1]}", refused: []string{"spec.pods"}},
		{name: "a canary without a target is refused", kind: "Canary", object: "spec: {members: [m1], pods: 1}", refused: []string{"spec.target"}},
		{name: "an outcome that does not exist is refused with those that do", kind: "Canary", object: "spec: {target: web, pods: 1, onGuardFailure: Shrug}",
			refused: []string{"spec.onGuardFailure", `"Hold", "Fail"`}},
		{name: "a bump of a unit without a name is refused", kind: "PartitionBump", object: "spec: {target: web, steps: [{updated: 50%}]}", refused: []string{"spec.steps[0].unit"}},
		{name: "a canary of no pods is refused", kind: "Canary", object: "spec: {target: web, members: [m1], pods: 0}", refused: []string{"spec.pods", "1 or more"}},
		{name: "a canary of more than all pods is refused", kind: "Canary", object: "spec: {target: web, members: [m1], pods: 101%}", refused: []string{"spec.pods", "1% to 100%"}},
		{name: "a canary of no share of the pods is refused", kind: "Canary", object: "spec: {target: web, members: [m1], pods: 0%}", refused: []string{"spec.pods", "1% to 100%"}},
		{name: "a canary of some pods is refused", kind: "Canary", object: "spec: {target: web, members: [m1], pods: some}", refused: []string{"spec.pods", "1% to 100%"}},
		{name: "a canary in no member is refused", kind: "Canary", object: "spec: {target: web, pods: 1}", refused: []string{"spec", "memberSelector"}},
		{name: "a canary selects members", kind: "Canary", object: "spec: {target: web, pods: 100%, memberSelector: {matchLabels: {ring: '1'}}, bake: 1h30m, progressDeadline: 0.5h}"},
		{name: "a canary is made of params", kind: "Canary", object: "spec: {target: $(params.t), members: ['$(params.ms[*])'], pods: $(params.n), bake: $(params.bake), progressDeadline: $(params.d), " +
			"guards: [{name: a, expr: 'true', interval: $(params.i), for: $(params.f), initialDelay: $(params.y), deadline: $(params.z)}]}"},
		{name: "a share by a param", kind: "Canary", object: "spec: {target: web, members: [m1], pods: $(params.n)%}"},
		{name: "a bake of less than no time is refused", kind: "Canary", object: "spec: {target: web, members: [m1], pods: 1, bake: -1m}", refused: []string{"spec.bake", "not negative"}},
		{name: "an empty bake is refused", kind: "Canary", object: "spec: {target: web, members: [m1], pods: 1, bake: ''}", refused: []string{"spec.bake", "duration such as"}},
		{name: "a bake of no unit of time is refused", kind: "Canary", object: "spec: {target: web, members: [m1], pods: 1, bake: '30'}", refused: []string{"spec.bake", "duration such as"}},
		{name: "a progress deadline of no time is refused", kind: "Canary", object: "spec: {target: web, members: [m1], pods: 1, progressDeadline: 0s}", refused: []string{"spec.progressDeadline", "longer than 0"}},
		{name: "a guard judged all the time is refused", kind: "Canary", object: "spec: {target: web, members: [m1], pods: 1, guards: [{name: a, expr: 'true', interval: 10ms}]}",
			refused: []string{"spec.guards[0].interval", "1s or longer"}},
		{name: "a bump takes steps", kind: "PartitionBump", object: "spec: {target: web, members: [m1], steps: [{unit: dca, updated: 50%}, {unit: dca, updated: $(params.n)}]}"},
		{name: "a bump takes units in order", kind: "PartitionBump", object: "spec: {target: web, members: [m1], order: ['$(params.units[*])'], by: $(params.by)}"},
		{name: "a bump by both steps and order is refused", kind: "PartitionBump", object: "spec: {target: web, members: [m1], steps: [{unit: dca, updated: 50%}], order: [dca]}",
			refused: []string{"spec", "exactly one of steps and order"}},
		{name: "a bump by neither is refused", kind: "PartitionBump", object: "spec: {target: web, members: [m1], steps: []}", refused: []string{"spec", "exactly one of steps and order"}},
		{name: "steps that go by so many are refused", kind: "PartitionBump", object: "spec: {target: web, members: [m1], steps: [{unit: dca, updated: 50%}], by: 1}", refused: []string{"by: goes with order only"}},
		{name: "an order by less than no pods is refused", kind: "PartitionBump", object: "spec: {target: web, members: [m1], order: [dca], by: -1}", refused: []string{"spec.by", "1 or more"}},
		{name: "a step to no pods is refused", kind: "PartitionBump", object: "spec: {target: web, members: [m1], steps: [{unit: dca, updated: 0}]}", refused: []string{"spec.steps[0].updated", "1 or more"}},
		{name: "groups of a size", kind: "BetaBatch", object: "spec: {target: web, members: [m1], batchSize: 4, upTo: 60%, bake: 1m, confirm: {approvers: {groups: [sre]}}, onUnreachable: Skip}"},
		{name: "groups by a list", kind: "BetaBatch", object: "spec: {target: web, members: [m1, m2], batches: [1, 2, 2, 2, 3], upgradeType: Beta, maxUnavailable: 25%}"},
		{name: "groups are made of params", kind: "BetaBatch", object: "spec: {target: $(params.t), members: ['$(params.ms[*])'], batchSize: $(params.n)%, upTo: $(params.u), bake: $(params.bake), maxUnavailable: $(params.x)}"},
		{name: "groups of both a size and a list are refused", kind: "BetaBatch", object: "spec: {target: web, members: [m1], batchSize: 4, batches: [1]}", refused: []string{"spec", "exactly one of batchSize and batches"}},
		{name: "groups of no size are refused", kind: "BetaBatch", object: "spec: {target: web, members: [m1]}", refused: []string{"spec", "exactly one of batchSize and batches"}},
		{name: "groups of no pods are refused", kind: "BetaBatch", object: "spec: {target: web, members: [m1], batchSize: 0}", refused: []string{"spec.batchSize", "1 or more"}},
		{name: "a group of the list of no pods is refused", kind: "BetaBatch", object: "spec: {target: web, members: [m1], batches: [1, 0]}", refused: []string{"spec.batches[1]"}},
		{name: "groups up to more than all are refused", kind: "BetaBatch", object: "spec: {target: web, members: [m1], batchSize: 1, upTo: 120%}", refused: []string{"spec.upTo", "1% to 100%"}},
		{name: "groups that begin otherwise than is known are refused", kind: "BetaBatch", object: "spec: {target: web, members: [m1], batchSize: 1, upgradeType: Alpha}", refused: []string{"spec.upgradeType"}},
		{name: "groups that wait for a member for ever are refused", kind: "BetaBatch", object: "spec: {target: web, members: [m1], batchSize: 1, onUnreachable: Wait}", refused: []string{"spec.onUnreachable"}},
		{name: "a hop is silent for a time", kind: "ClusterHop", object: "spec: {target: web, from: [m1], to: [m2], silentPeriod: 1m30s}"},
		{name: "a hop to where it comes from is refused", kind: "ClusterHop", object: "spec: {target: web, from: [m1, m2], to: [m3, m2]}", refused: []string{"to: a member is in from as well"}},
		{name: "a silence of less than no time is refused", kind: "ClusterHop", object: "spec: {target: web, from: [m1], to: [m2], silentPeriod: -1s}", refused: []string{"spec.silentPeriod", "not negative"}},
		{name: "a confirm by more than there are is refused", kind: "Confirm", object: "spec: {required: 2, approvers: {users: [alice]}}", refused: []string{"required", "never be reached"}},
		{name: "a confirm by some of a list that is not known yet", kind: "Confirm", object: "spec: {required: 2, approvers: {users: ['$(params.sre[*])']}}"},
		{name: "a hop from nowhere is refused", kind: "ClusterHop", object: "spec: {target: web, from: [], to: [m2]}", refused: []string{"spec.from"}},
		{name: "a hop is a gate", kind: "ClusterHop", object: "spec: {target: web, from: [m1], to: [m2], silentPeriod: 5m}"},
		{name: "a hop is a carrier", kind: "ClusterHop", object: "spec: {pipelineRef: {name: web}, params: [{name: image, value: v2}], waves: [{members: [m1]}, {memberSelector: {}}], maxFailures: 10%}"},
		{name: "a hop that is neither is refused", kind: "ClusterHop", object: "spec: {target: web}", refused: []string{"spec", "from and to (a gate)"}},
		{name: "a hop that is both is refused", kind: "ClusterHop", object: "spec: {target: web, from: [m1], to: [m2], pipelineRef: {name: web}, waves: [{members: [m1]}]}",
			refused: []string{"spec", "from and to (a gate)"}},
		{name: "a gate with waves is refused", kind: "ClusterHop", object: "spec: {target: web, from: [m1], to: [m2], waves: [{members: [m1]}]}", refused: []string{"waves: go with pipelineRef"}},
		{name: "a gate with failures is refused", kind: "ClusterHop", object: "spec: {target: web, from: [m1], to: [m2], maxFailures: 1}", refused: []string{"go with pipelineRef only"}},
		{name: "a wave of nobody is refused", kind: "ClusterHop", object: "spec: {pipelineRef: {name: web}, waves: [{}]}", refused: []string{"spec.waves[0]", "name members"}},
		{name: "a carrier whose guards have no pods to be judged on is refused", kind: "ClusterHop", object: "spec: {pipelineRef: {name: web}, waves: [{members: [m1]}], guardSets: [a]}",
			refused: []string{"target: guards are judged"}},
		{name: "two orders are refused", kind: "ClusterHop", object: "spec: {pipelineRef: {name: web}, waves: [{members: [m1]}], orderBy: {label: a, importance: Ascending}}",
			refused: []string{"spec.orderBy", "exactly one"}},

		{name: "a rollback needs to say nothing", kind: "Rollback", object: "spec: {}"},
		{name: "a rollback of members names them", kind: "Rollback", object: "spec: {scope: Member, members: [$(params.member)]}"},
		{name: "a rollback of no members is refused", kind: "Rollback", object: "spec: {scope: Member}", refused: []string{"members: go with scope: Member"}},
		{name: "a rollback of the release names no members", kind: "Rollback", object: "spec: {members: [m1]}", refused: []string{"members: go with scope: Member"}},
		{name: "a rollback by two records is refused", kind: "Rollback", object: "spec: {release: a, fromMembers: {release: b}}", refused: []string{"fromMembers", "leave out release"}},
		{name: "a soak is a time", kind: "Soak", object: "spec: {duration: 10m}"},
		{name: "a soak of no time is refused", kind: "Soak", object: "spec: {}", refused: []string{"spec.duration"}},
		{name: "guards of a soak need a target", kind: "Soak", object: "spec: {duration: 10m, guardSets: [a]}", refused: []string{"target: guards are judged"}},
		{name: "a check needs a target", kind: "Check", object: "spec: {members: [m1]}", refused: []string{"spec.target"}},
		{name: "a window opens by cron", kind: "Window", object: "spec: {timeZone: Europe/Berlin, windows: [{schedule: '0 9 * * MON-THU', duration: 8h}]}"},
		{name: "a window that opens in a zone of its own is refused", kind: "Window", object: "spec: {windows: [{schedule: 'TZ=UTC 0 9 * * *', duration: 8h}]}", refused: []string{"spec.windows[0].schedule"}},
		{name: "a window that opens every so often is refused", kind: "Window", object: "spec: {windows: [{schedule: '@every 1h', duration: 8h}]}", refused: []string{"spec.windows[0].schedule"}},
		{name: "a window with seconds is refused", kind: "Window", object: "spec: {windows: [{schedule: '0 0 9 * * *', duration: 8h}]}", refused: []string{"spec.windows[0].schedule"}},

		{name: "a freeze without a reason is refused", kind: "Freeze", object: "spec: {user: admin}", refused: []string{"spec.message"}},
		{name: "a freeze by names and labels is refused", kind: "Freeze", object: "spec: {message: m, user: admin, members: [m1], memberSelector: {}}", refused: []string{"members or memberSelector, not both"}},
		{name: "a freeze is lifted", kind: "Freeze", object: "spec: {message: m, user: admin, groups: ['system:masters'], members: [m1]}", then: "spec: {message: m, user: admin, groups: ['system:masters'], members: [m1], lifted: {message: ok, user: admin}}"},
		{name: "a freeze that shrinks is refused", kind: "Freeze", object: "spec: {message: m, user: admin}", then: "spec: {message: m, user: admin, members: [m1]}", refused: []string{"members: never change"}},
		{name: "a freeze of other namespaces is refused", kind: "Freeze", object: "spec: {message: m, user: admin, namespaces: [a]}", then: "spec: {message: m, user: admin, namespaces: [b]}",
			refused: []string{"namespaces: never change"}},
		{name: "a freeze of other labels is refused", kind: "Freeze", object: "spec: {message: m, user: admin, memberSelector: {matchLabels: {a: b}}}",
			then: "spec: {message: m, user: admin, memberSelector: {matchLabels: {a: c}}}", refused: []string{"memberSelector: never changes"}},
		{name: "a freeze that ends sooner is refused", kind: "Freeze", object: "spec: {message: m, user: admin}", then: "spec: {message: m, user: admin, until: '2026-01-01T00:00:00Z'}", refused: []string{"until: never changes"}},
		{name: "a freeze that comes to allow rollbacks is refused", kind: "Freeze", object: "spec: {message: m, user: admin}", then: "spec: {message: m, user: admin, rollbacks: Allow}", refused: []string{"rollbacks: never changes"}},
		{name: "a freeze of another's is refused", kind: "Freeze", object: "spec: {message: m, user: admin}", then: "spec: {message: other, user: bob}", refused: []string{"message: never changes", "user: never changes"}},

		{name: "a skip names its stage", kind: "Intervention", object: "spec: {runRef: {kind: PipelineRun, name: r, uid: u}, action: Skip, stageRef: {name: s, uid: v}, message: m, user: admin}"},
		{name: "a skip of nothing is refused", kind: "Intervention", object: "spec: {runRef: {kind: PipelineRun, name: r, uid: u}, action: Skip, message: m, user: admin}", refused: []string{"stageRef: goes with action: Skip"}},
		{name: "a pause of one stage is refused", kind: "Intervention", object: "spec: {runRef: {kind: PipelineRun, name: r, uid: u}, action: Pause, stageRef: {name: s, uid: v}, message: m, user: admin}",
			refused: []string{"stageRef: goes with action: Skip"}},
		{name: "an intervention in any run of the name is refused", kind: "Intervention", object: "spec: {runRef: {kind: PipelineRun, name: r, uid: ''}, action: Pause, message: m, user: admin}", refused: []string{"very run"}},
		{name: "an intervention without a reason is refused", kind: "Intervention", object: "spec: {runRef: {kind: PipelineRun, name: r, uid: u}, action: Pause, message: '', user: admin}", refused: []string{"spec.message"}},
		{name: "an action that does not exist is refused", kind: "Intervention", object: "spec: {runRef: {kind: PipelineRun, name: r, uid: u}, action: Sink, message: m, user: admin}", refused: []string{"spec.action", "Rollback"}},
		{name: "an intervention that is edited is refused", kind: "Intervention", object: "spec: {runRef: {kind: PipelineRun, name: r, uid: u}, action: Pause, message: m, user: admin}",
			then: "spec: {runRef: {kind: PipelineRun, name: r, uid: u}, action: Resume, message: m, user: admin}", refused: []string{"never changes"}},

		{name: "a policy gives and demands", kind: "ReleasePolicy", object: "spec: {namespaces: {names: [shop]}, members: {selector: {matchLabels: {ring: prod}}}, require: {guardSets: [{namespace: platform, name: health}], " +
			"confirms: [{approvers: {groups: [sre]}}], windows: [{schedule: '0 9 * * *', duration: 8h}], minBake: 5m}, onBehalfOf: ['system:serviceaccount:ci:releaser']}"},
		{name: "a demanded yes of anybody is refused", kind: "ReleasePolicy", object: "spec: {require: {confirms: [{approvers: {}}]}}", refused: []string{"spec.require.confirms[0].approvers", "no demand"}},
		{name: "a target says what becomes of it at the end", kind: "Target", object: "spec: {workload: " + workload + ", onEnd: RollBack}"},
		{name: "a confirm that less than nobody must give is refused", kind: "Confirm", object: "spec: {required: -1}", refused: []string{"spec.required"}},
		{name: "two guards of one name are refused", kind: "GuardSet", object: "spec: {guards: [{name: a, expr: 'true'}, {name: a, expr: 'false'}]}",
			refused: []string{"spec.guards[1]", "Duplicate"}},
		{name: "a guard at no known time is refused", kind: "GuardSet", object: "spec: {guards: [{name: a, expr: 'true', when: Sometimes}]}", refused: []string{"spec.guards[0].when"}},

		{name: "a guard with a name that is too long is refused", kind: "GuardSet", object: "spec: {guards: [{name: " + strings.Repeat("g", 64) + ", expr: 'true'}]}", refused: []string{"spec.guards[0].name", "63"}},
		{name: "a guard that is named like one of a set's is refused", kind: "GuardSet", object: "spec: {guards: [{name: a/b, expr: 'true'}]}", refused: []string{"spec.guards[0].name", "guard set's name"}},
		{name: "a guard that must be true for a time and is judged before it is refused", kind: "GuardSet", object: "spec: {guards: [{name: a, expr: 'true', when: Before, for: 1m}]}",
			refused: []string{"spec.guards[0]", "After only"}},
		{name: "a guard that must pass within no time is refused", kind: "GuardSet", object: "spec: {guards: [{name: a, expr: 'true', deadline: 0s}]}", refused: []string{"spec.guards[0].deadline", "longer than 0"}},
		{name: "a guard with a rhythm of its own", kind: "GuardSet", object: "spec: {guards: [{name: a, expr: 'true', interval: 1s, for: 2m, initialDelay: '0', deadline: 1h}]}"},

		{name: "an answer that is neither yes nor no is refused", kind: "Approval", object: "spec: {runRef: {name: r, uid: u}, question: q, decision: Maybe, user: admin}",
			refused: []string{"spec.decision", `"Approve", "Reject"`}},
		{name: "an answer to a run of any UID is refused", kind: "Approval", object: "spec: {runRef: {name: r}, question: q, decision: Approve, user: admin}",
			refused: []string{"spec.runRef.uid"}},
		{name: "an answer that is edited is refused", kind: "Approval", object: "spec: {runRef: {name: r, uid: u}, question: q, decision: Reject, user: admin}",
			then: "spec: {runRef: {name: r, uid: u}, question: q, decision: Approve, user: admin}", refused: []string{"spec", "never changes"}},

		{name: "a record whose spec changes is refused", kind: "Release", object: "spec: {root: {kind: PipelineRun, name: web, uid: u}, initiator: alice}",
			then: "spec: {root: {kind: PipelineRun, name: web, uid: u}, initiator: bob}", refused: []string{"spec", "never changes"}},
		{name: "a record of a root that is no run is refused", kind: "Release", object: "spec: {root: {kind: Pod, name: web, uid: u}}", refused: []string{"spec.root.kind"}},
		{name: "what was touched learns its revision", kind: "Release", object: "status: {touched: [" + touched + "]}",
			then: "status: {touched: [" + strings.Replace(touched, "{member", "{revision: r2, member", 1) + "]}"},
		{name: "what was touched and is taken off the record is refused", kind: "Release", object: "status: {touched: [" + touched + "]}",
			then: "status: {touched: []}", refused: []string{"status.touched", "not taken away"}},
		{name: "a record whose touched list is dropped whole is refused", kind: "Release", object: "status: {touched: [" + touched + "]}",
			then: "status: {phase: Running}", refused: []string{"status.touched", "not taken away"}},
		{name: "a previous state that changes is refused", kind: "Release", object: "status: {touched: [" + touched + "]}",
			then: "status: {touched: [" + strings.Replace(touched, "r1", "r0", 1) + "]}", refused: []string{"status.touched", "previous", "never changes"}},
		{name: "a previous partition that changes is refused", kind: "Release", object: "status: {touched: [" + touched + "]}",
			then: "status: {touched: [" + strings.Replace(touched, "100%", "50%", 1) + "]}", refused: []string{"status.touched", "previous", "never changes"}},
		{name: "a time of touching that changes is refused", kind: "Release", object: "status: {touched: [" + touched + "]}",
			then: "status: {touched: [" + strings.Replace(touched, "2026", "2027", 1) + "]}", refused: []string{"status.touched", "time", "never changes"}},
		{name: "a revision that changes once it is known is refused", kind: "Release",
			object:  "status: {touched: [" + strings.Replace(touched, "{member", "{revision: r2, member", 1) + "]}",
			then:    "status: {touched: [" + strings.Replace(touched, "{member", "{revision: r3, member", 1) + "]}",
			refused: []string{"status.touched", "revision", "never changes once it is set"}},

		{name: "what was touched learns its limit", kind: "Release", object: "status: {touched: [" + touched + "]}",
			then: "status: {touched: [" + strings.Replace(touched, "{member", "{target: web, maxUnavailable: 25%, onEnd: RollBack, member", 1) + "]}"},
		{name: "a limit that changes once it is known is refused", kind: "Release", object: "status: {touched: [" + strings.Replace(touched, "{member", "{maxUnavailable: 25%, member", 1) + "]}",
			then: "status: {touched: [" + strings.Replace(touched, "{member", "{maxUnavailable: 50%, member", 1) + "]}", refused: []string{"status.touched.maxUnavailable", "never changes"}},
		{name: "a limit that is taken away is refused", kind: "Release", object: "status: {touched: [" + strings.Replace(touched, "{member", "{maxUnavailable: 2, member", 1) + "]}",
			then: "status: {touched: [" + touched + "]}", refused: []string{"status.touched.maxUnavailable", "never changes"}},
		{name: "an end that changes once it is known is refused", kind: "Release", object: "status: {touched: [" + strings.Replace(touched, "{member", "{onEnd: RollBack, member", 1) + "]}",
			then: "status: {touched: [" + strings.Replace(touched, "{member", "{onEnd: Leave, member", 1) + "]}", refused: []string{"status.touched.onEnd", "never changes"}},
		{name: "a run that is taken off the record is refused", kind: "Release",
			object: "status: {runs: [{kind: PipelineRun, name: web, uid: a, role: Root, since: '2026-01-01T00:00:00Z'}]}", then: "status: {runs: []}", refused: []string{"status.runs", "not taken away"}},
		{name: "runs that are dropped whole are refused", kind: "Release",
			object: "status: {runs: [{kind: PipelineRun, name: web, uid: a, role: Root, since: '2026-01-01T00:00:00Z'}]}", then: "status: {phase: Running}", refused: []string{"status.runs", "not taken away"}},
		{name: "stages of one name in two children are two", kind: "Release", object: "status: {stages: [" +
			"{name: canary, kind: Canary, run: a, uid: a, time: '2026-01-01T00:00:00Z'}, {carrier: hop/m1, name: canary, kind: Canary, run: b, uid: b, time: '2026-01-01T00:00:00Z'}]}"},
		{name: "stages of one name in one run are refused", kind: "Release", object: "status: {stages: [" +
			"{name: canary, kind: Canary, run: a, uid: a, time: '2026-01-01T00:00:00Z'}, {name: canary, kind: Canary, run: b, uid: b, time: '2026-01-01T00:00:00Z'}]}", refused: []string{"status.stages[1]", "Duplicate"}},

		{name: "a member without a kubeconfig is refused", kind: "Member", object: "spec: {importance: 1}", refused: []string{"spec.kubeconfigSecretRef"}},
		{name: "a member is reached by a Secret's key", kind: "Member", object: "spec: {kubeconfigSecretRef: {namespace: periplus-system, name: m1}}"},
		{name: "a metric source with all that it can have", kind: "MetricSource", object: "spec: {timeout: 10s, lag: 1m30s, prometheus: {address: 'https://prom.example.com/tenant', basicAuth: {username: me, password: {name: prom, key: password}}, " +
			"tls: {ca: {name: prom, key: ca}, certificate: {name: prom, key: tls.crt}, privateKey: {name: prom, key: tls.key}}, matchers: {cluster: $(member.name)}}, " +
			"members: [{names: [m1], prometheus: {address: 'http://m1:9090', bearerToken: {name: prom, key: token}}}, {selector: {}, prometheus: {address: 'http://rest:9090'}}]}"},
		{name: "a metric source without a server is refused", kind: "MetricSource", object: "spec: {timeout: 10s}", refused: []string{"spec.prometheus"}},
		{name: "credentials in an address are refused", kind: "MetricSource", object: "spec: {prometheus: {address: 'http://me:pw@prom:9090'}}", refused: []string{"spec.prometheus.address", "without user, query and fragment"}},
		{name: "a query in an address is refused", kind: "MetricSource", object: "spec: {prometheus: {address: 'http://prom:9090?token=a'}}", refused: []string{"spec.prometheus.address"}},
		{name: "two ways to say who asks are refused", kind: "MetricSource", object: "spec: {prometheus: {address: 'http://prom:9090', bearerToken: {name: a, key: b}, basicAuth: {username: me, password: {name: a, key: b}}}}",
			refused: []string{"bearerToken and basicAuth exclude each other"}},
		{name: "a certificate without its key is refused", kind: "MetricSource", object: "spec: {prometheus: {address: 'https://prom', tls: {certificate: {name: a, key: b}}}}", refused: []string{"certificate and privateKey go together"}},
		{name: "a matcher of a metric's name is refused", kind: "MetricSource", object: "spec: {prometheus: {address: 'https://prom', matchers: {__name__: up}}}", refused: []string{"spec.prometheus.matchers", "not __name__"}},
		{name: "a matcher of no label is refused", kind: "MetricSource", object: "spec: {prometheus: {address: 'https://prom', matchers: {a-b: up}}}", refused: []string{"spec.prometheus.matchers", "names of labels"}},
		{name: "numbers of members that nothing chooses are refused", kind: "MetricSource", object: "spec: {prometheus: {address: 'https://prom'}, members: [{prometheus: {address: 'https://m1'}}]}", refused: []string{"spec.members[0]", "name members"}},
		{name: "a timeout of a minute is refused", kind: "MetricSource", object: "spec: {timeout: 1m, prometheus: {address: 'https://prom'}}", refused: []string{"spec.timeout", "from 1s to 30s"}},
		{name: "a lag of two hours is refused", kind: "MetricSource", object: "spec: {lag: 2h, prometheus: {address: 'https://prom'}}", refused: []string{"spec.lag", "from 0s to 1h"}},

		{name: "a set is at rest with all pods held back", kind: "InPlaceSet", object: "spec: {" + set(pods) + ", updateStrategy: {partition: 100%}}"},
		{name: "a partition above all pods is refused", kind: "InPlaceSet", object: "spec: {" + set(pods) + ", updateStrategy: {partition: 101%}}",
			refused: []string{"spec.updateStrategy.partition", "0% to 100%"}},
		{name: "a partition below no pods is refused", kind: "InPlaceSet", object: "spec: {" + set(pods) + ", updateStrategy: {partition: -1}}",
			refused: []string{"spec.updateStrategy.partition", "0 or more"}},
		{name: "a partition in words is refused", kind: "InPlaceSet", object: "spec: {" + set(pods) + ", updateStrategy: {partition: half}}",
			refused: []string{"spec.updateStrategy.partition", "0% to 100%"}},
		{name: "a set that may never be unavailable is refused", kind: "InPlaceSet", object: "spec: {" + set(pods) + ", updateStrategy: {maxUnavailable: 0}}",
			refused: []string{"spec.updateStrategy.maxUnavailable", "only where maxSurge is more"}},
		{name: "a selector that changes is refused", kind: "InPlaceSet", object: "spec: {" + set(pods) + "}",
			then:    "spec: {selector: {matchLabels: {app: shop}}, template: {metadata: {labels: {app: shop}}, spec: {containers: [{name: app, image: web}]}}}",
			refused: []string{"spec.selector", "cannot be changed"}},
		{name: "pods that the set does not select are refused", kind: "InPlaceSet",
			object:  "spec: {" + set("template: {metadata: {labels: {app: shop}}, spec: {containers: [{name: app, image: web}]}}") + "}",
			refused: []string{"spec.template.metadata.labels", "app=web is missing"}},
		{name: "pods without labels are refused", kind: "InPlaceSet", object: "spec: {" + set("template: {spec: {containers: [{name: app, image: web}]}}") + "}",
			refused: []string{"spec.template.metadata.labels", "app=web is missing"}},
		{name: "a set of less than no pods is refused", kind: "InPlaceSet", object: "spec: {" + set(pods) + ", replicas: -1}", refused: []string{"spec.replicas"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), limit)
			defer cancel()
			err := become(ctx, t, c.kind, c.object, c.then)
			if len(c.refused) == 0 {
				if err != nil {
					t.Errorf("was refused: %v", err)
				}
				return
			}
			if err == nil {
				t.Fatal("was accepted")
			}
			for _, w := range c.refused {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("the error must say %q, and is: %v", w, err)
				}
			}
		})
	}
}

var kinds = map[string]schema.GroupVersionResource{
	"Target": targets, "Approval": approvals, "Release": releases,
	"BetaBatch":      targets.GroupVersion().WithResource("betabatches"),
	"Canary":         targets.GroupVersion().WithResource("canaries"),
	"PartitionBump":  targets.GroupVersion().WithResource("partitionbumps"),
	"SidecarUpgrade": targets.GroupVersion().WithResource("sidecarupgrades"),
	"ClusterHop":     targets.GroupVersion().WithResource("clusterhops"),
	"Confirm":        targets.GroupVersion().WithResource("confirms"),
	"GuardSet":       targets.GroupVersion().WithResource("guardsets"),
	"Rollback":       targets.GroupVersion().WithResource("rollbacks"),
	"Soak":           targets.GroupVersion().WithResource("soaks"),
	"Window":         targets.GroupVersion().WithResource("windows"),
	"Check":          targets.GroupVersion().WithResource("checks"),
	"Freeze":         freezes,
	"Intervention":   interventions,
	"ReleasePolicy":  targets.GroupVersion().WithResource("releasepolicies"),
	"Member":         {Group: "fleet.periplus.dev", Version: "v1alpha1", Resource: "members"},
	"MetricSource":   {Group: "fleet.periplus.dev", Version: "v1alpha1", Resource: "metricsources"},
	"InPlaceSet":     {Group: "apps.periplus.dev", Version: "v1alpha1", Resource: "inplacesets"},
}

// become creates an object and changes it. Records are the controller's, everything else the admin's.
func become(ctx context.Context, t *testing.T, kind, first, then string) error {
	t.Helper()
	gvr, who := kinds[kind], admin
	if kind == "Release" {
		who = controller
	}
	client := who.on(gvr)
	if kind == "Member" || kind == "MetricSource" || kind == "ReleasePolicy" {
		client = who.client().Resource(gvr)
	}
	obj := object("apiVersion: %s\nkind: %s\nmetadata: {name: %s}\n%s\n", gvr.GroupVersion(), kind, fresh("thing"), first)
	status := obj.Object["status"]
	if status != nil {
		obj.Object["spec"] = release().Object["spec"]
	}
	got, err := client.Create(ctx, obj, metav1.CreateOptions{})
	write := func(field string, value any) {
		if err != nil {
			return
		}
		got.Object[field] = value
		if field == "status" {
			got, err = client.UpdateStatus(ctx, got, metav1.UpdateOptions{})
		} else {
			got, err = client.Update(ctx, got, metav1.UpdateOptions{})
		}
	}
	if status != nil {
		write("status", status)
	}
	if then == "" {
		return err
	}
	if err != nil {
		t.Fatalf("before the change: %v", err)
	}
	for field, value := range object("%s", then).Object {
		write(field, value)
	}
	return err
}

// workloadPolicyWorks waits until the policy that checks the labels of InPlaceSets refuses something.
func workloadPolicyWorks(ctx context.Context) error {
	set := object("apiVersion: apps.periplus.dev/v1alpha1\nkind: InPlaceSet\nmetadata: {name: probe}\n" +
		"spec: {selector: {matchLabels: {app: web}}, template: {spec: {containers: [{name: app, image: web}]}}}\n")
	return wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, limit, true, func(ctx context.Context) (bool, error) {
		_, err := admin.on(kinds["InPlaceSet"]).Create(ctx, set, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err != nil && strings.Contains(err.Error(), "inplacesets.apps.periplus.dev"), nil
	})
}
