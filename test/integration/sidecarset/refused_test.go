//go:build integration

package sidecarset

import (
	"context"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

func TestWhatTheAPIServerRefuses(t *testing.T) {
	try := func(name, spec string) error {
		set := &v1alpha1.SidecarSet{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if err := yaml.UnmarshalStrict([]byte(spec), &set.Spec); err != nil {
			t.Fatal(err)
		}
		_, err := periplus.AppsV1alpha1().SidecarSets().Create(context.Background(), set, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err
	}
	w := &world{t: t}
	w.until("the policy is in force", func() (bool, any) { // it takes the API server a moment to compile it.
		err := try("x", `{selector: {}, containers: [{name: a, image: x}]}`)
		return err != nil, err
	})
	long := strings.Repeat("a", 64)
	for _, r := range []struct{ name, set, spec, says string }{
		{"an empty selector", "x", `{selector: {}, containers: [{name: a, image: x}]}`, "spec.selector: is empty and would match every pod; name a label, or say all: true"},
		{"no selector and not all", "x", `{containers: [{name: a, image: x}]}`, "say either a selector of pods, or all: true"},
		{"a selector and all", "x", `{all: true, selector: {matchLabels: {a: b}}, containers: [{name: a, image: x}]}`, "say either a selector of pods, or all: true"},
		{"nothing to put in", "x", `{all: true}`, "has neither containers nor initContainers"},
		{"one name twice", "x", `{all: true, containers: [{name: a, image: x}], initContainers: [{name: a, image: x}]}`, "a is the name of more than one"},
		{"a container without an image", "x", `{all: true, containers: [{name: a}]}`, "a has no image"},
		{"a mount of no volume", "x", `{all: true, containers: [{name: a, image: x, volumeMounts: [{name: v, mountPath: /v}]}]}`, "there is no such volume: a mounts v"},
		{"a container that may end", "x", `{all: true, containers: [{name: a, image: x, restartPolicy: OnFailure}]}`, "a may end"},
		{"a name that is no label's", long, `{all: true, containers: [{name: a, image: x}]}`, "has 64 characters"},
		{"a type that there is not", "x", `{all: true, containers: [{name: a, image: x}], updateStrategy: {type: Rolling}}`, "spec.updateStrategy.type"},
		{"no pod unavailable", "x", `{all: true, containers: [{name: a, image: x}], updateStrategy: {maxUnavailable: 0}}`, "may not be 0, or no pod could ever move"},
		{"a partition above 100 percent", "x", `{all: true, containers: [{name: a, image: x}], updateStrategy: {partition: "101%"}}`, "spec.updateStrategy.partition: must be"},
		{"half a partition on the next creation", "x", `{all: true, containers: [{name: a, image: x}], updateStrategy: {type: OnNextCreate, partition: "50%"}}`, "with type OnNextCreate it must be 0"},
		{"a partition of a unit above 100 percent", "x", `{all: true, containers: [{name: a, image: x}], updateStrategy: {partitions: {dca: "101%"}}}`, "spec.updateStrategy.partitions: must be numbers of pods, 0 or more, or percentages of the unit from 0% to 100%, and there is dca: 101%"},
		{"a partition of less than no pods of a unit", "x", `{all: true, containers: [{name: a, image: x}], updateStrategy: {partitions: {dca: -1}}}`, "and there is dca: -1"},
		{"a partition of what can be no unit", "x", `{all: true, containers: [{name: a, image: x}], updateStrategy: {partitions: {"d c": 1}}}`, `"d c" is no name of a unit`},
		{"half a partition of a unit on the next creation", "x", `{all: true, containers: [{name: a, image: x}], updateStrategy: {type: OnNextCreate, partitions: {dca: "50%"}}}`, "with type OnNextCreate each must be 0"},
		{"a selector that no label can match", "x", `{selector: {matchLabels: {a: "b c"}}, containers: [{name: a, image: x}]}`, "a selector has a key or value that no label can have"},
		{"a namespace selector without values", "x", `{all: true, namespaceSelector: {matchExpressions: [{key: a, operator: In}]}, containers: [{name: a, image: x}]}`, "a requirement of a selector needs"},
		{"scattering by what is no label", "x", `{all: true, containers: [{name: a, image: x}], updateStrategy: {scatter: "not a key"}}`, "not a key is no key of a label"},
		{"another onDelete", "x", `{all: true, containers: [{name: a, image: x}], onDelete: Forget}`, "spec.onDelete"},
		{"no names to transfer", "x", `{all: true, containers: [{name: a, image: x, transferEnv: [{names: []}]}]}`, "transferEnv[0].names"},
	} {
		if err := try(r.set, r.spec); err == nil || !strings.Contains(err.Error(), r.says) {
			t.Errorf("%s: %v; want it refused with %q", r.name, err, r.says)
		}
	}
	if err := try("x", `{all: true, containers: [{name: a, image: x, volumeMounts: [{name: v, mountPath: /v}]}], volumes: [{name: v, emptyDir: {}}], updateStrategy: {partition: "100%", partitions: {dca: 0, dcb: "50%"}, maxUnavailable: "25%", scatter: kubernetes.io/hostname}}`); err != nil {
		t.Errorf("a good set is refused: %v", err)
	}
}
