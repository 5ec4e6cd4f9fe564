//go:build integration

package inplaceset

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

func TestWhatTheAPIServerRefuses(t *testing.T) {
	w := newWorld(t)
	w.create(1, `{maxUnavailable: 1, gracePeriodSeconds: 0}`)
	w.until("the policy is in force", func() (bool, any) { // it takes the API server a moment to compile it.
		err := w.try(`{"updateStrategy":{"containerOrder":["nobody"]}}`)
		return err != nil, err
	})
	for _, r := range []struct{ name, patch, says string }{
		{"labels that the selector does not match", `{"template":{"metadata":{"labels":{"app":"other"}}}}`, "app=web is missing"},
		{"the claims on one pod", `{"template":{"metadata":{"annotations":{"apps.periplus.dev/claims":"lb.periplus.dev/x"}}}}`, "spec.template.metadata.annotations: apps.periplus.dev/claims says what became of one pod"},
		{"what was copied from a pod", `{"template":{"metadata":{"annotations":{"apps.periplus.dev/update":"{}","apps.periplus.dev/same-node":"n1 2025-01-01T00:00:00Z"}}}}`, "apps.periplus.dev/update, apps.periplus.dev/same-node"},
		{"pods that end", `{"template":{"spec":{"restartPolicy":"OnFailure"}}}`, "spec.template.spec.restartPolicy: is OnFailure; pods of an InPlaceSet run for ever"},
		{"another selector", `{"selector":{"matchLabels":{"app":"other"}},"template":{"metadata":{"labels":{"app":"other"}}}}`, "spec.selector: cannot be changed"},
		{"fewer than no pods", `{"replicas":-1}`, "spec.replicas"},
		{"more pods than can be", `{"replicas":10001}`, "spec.replicas"},
		{"a partition above 100 percent", `{"updateStrategy":{"partition":"101%"}}`, "spec.updateStrategy.partition: must be a number of pods, 0 or more, or a percentage from 0% to 100%"},
		{"a partition below zero", `{"updateStrategy":{"partition":-1}}`, "spec.updateStrategy.partition: must be"},
		{"a partition that is no number", `{"updateStrategy":{"partition":"half"}}`, "spec.updateStrategy.partition: must be"},
		{"maxUnavailable above 100 percent", `{"updateStrategy":{"maxUnavailable":"200%"}}`, "spec.updateStrategy.maxUnavailable: must be"},
		{"maxUnavailable below zero", `{"updateStrategy":{"maxUnavailable":-2}}`, "spec.updateStrategy.maxUnavailable: must be"},
		{"no pod unavailable and none above", `{"updateStrategy":{"maxUnavailable":0}}`, "may be 0 only where maxSurge is more"},
		{"no percent unavailable and none above", `{"updateStrategy":{"maxUnavailable":"0%","maxSurge":"0%"}}`, "may be 0 only where maxSurge is more"},
		{"no percent written with two noughts", `{"updateStrategy":{"maxUnavailable":"00%"}}`, "spec.updateStrategy.maxUnavailable: must be"},
		{"no percent above written with two noughts", `{"updateStrategy":{"maxUnavailable":0,"maxSurge":"00%"}}`, "spec.updateStrategy.maxSurge: must be"},
		{"a number unavailable and no percent above", `{"updateStrategy":{"maxUnavailable":0,"maxSurge":"0%"}}`, "may be 0 only where maxSurge is more"},
		{"a partition with a leading nought", `{"updateStrategy":{"partition":"05%"}}`, "spec.updateStrategy.partition: must be"},
		{"maxSurge above 100 percent", `{"updateStrategy":{"maxSurge":"101%"}}`, "spec.updateStrategy.maxSurge: must be"},
		{"maxSurge below zero", `{"updateStrategy":{"maxSurge":-1}}`, "spec.updateStrategy.maxSurge: must be"},
		{"a surge in place only", `{"updateStrategy":{"type":"InPlaceOnly","maxSurge":1}}`, "which type InPlaceOnly never does"},
		{"a type that there is not", `{"updateStrategy":{"type":"Rolling"}}`, "spec.updateStrategy.type"},
		{"no pod unavailable while scaling", `{"scaleStrategy":{"maxUnavailable":0}}`, "spec.scaleStrategy.maxUnavailable: must be"},
		{"no percent unavailable while scaling", `{"scaleStrategy":{"maxUnavailable":"0%"}}`, "spec.scaleStrategy.maxUnavailable: must be"},
		{"a grace period below zero", `{"updateStrategy":{"gracePeriodSeconds":-1}}`, "spec.updateStrategy.gracePeriodSeconds"},
		{"no time to drain", `{"updateStrategy":{"drainTimeoutSeconds":0}}`, "spec.updateStrategy.drainTimeoutSeconds"},
		{"less than no time for the same node", `{"updateStrategy":{"sameNodeSeconds":-1}}`, "spec.updateStrategy.sameNodeSeconds"},
		{"a deadline that no pod can meet", `{"minReadySeconds":60,"progressDeadlineSeconds":60}`, "spec.progressDeadlineSeconds: must be more than spec.minReadySeconds"},
		{"minReadySeconds below zero", `{"minReadySeconds":-1}`, "spec.minReadySeconds"},
		{"an order that names no container", `{"updateStrategy":{"containerOrder":["app","proxy"]}}`, "spec.updateStrategy.containerOrder: the template has no container or native sidecar named proxy"},
		{"an order that names a container twice", `{"updateStrategy":{"containerOrder":["app","app"]}}`, "spec.updateStrategy.containerOrder[1]"},
		{"an order with an init container that ends", `{"updateStrategy":{"containerOrder":["init"]},"template":{"spec":{"initContainers":[{"name":"init","image":"x"}]}}}`, "named init"},
		{"scattering by what is no label", `{"updateStrategy":{"scatter":"not a key"}}`, "spec.updateStrategy.scatter: not a key is no key of a label"},
		{"a priority for a value that no label has", `{"updateStrategy":{"priority":[{"weight":1,"selector":{"matchLabels":{"a":"b c"}}}]}}`, "spec.updateStrategy.priority: a selector has a key or value"},
		{"a priority with an operator that there is not", `{"updateStrategy":{"priority":[{"weight":1,"selector":{"matchExpressions":[{"key":"a","operator":"Like","values":["b"]}]}}]}}`, "an operator out of In, NotIn, Exists and DoesNotExist"},
		{"a priority without the values that it needs", `{"updateStrategy":{"priority":[{"weight":1,"selector":{"matchExpressions":[{"key":"a","operator":"In"}]}}]}}`, "values with the first two only"},
		{"a weight beyond the range", `{"updateStrategy":{"priority":[{"weight":1001,"selector":{"matchLabels":{"a":"b"}}}]}}`, "spec.updateStrategy.priority[0].weight"},
		{"a hook that nothing holds", `{"lifecycle":{"preDelete":{}}}`, "a hook needs labels or finalizers"},
	} {
		t.Run(r.name, func(t *testing.T) {
			err := w.try(r.patch)
			if err == nil || !strings.Contains(err.Error(), r.says) {
				t.Errorf("%s: %v; want it refused with %q", r.patch, err, r.says)
			}
		})
	}
	for _, r := range []struct{ name, of, selector, says string }{
		{"an empty selector", "x", `{}`, "spec.selector: is empty and would match every pod"},
		{"a selector of empty lists", "x", `{"matchLabels":{},"matchExpressions":[]}`, "spec.selector: is empty and would match every pod"},
		{"another value than one of those that it wants", "x", `{"matchExpressions":[{"key":"app","operator":"In","values":["other","more"]}]}`, "and do not match app In (other, more)"},
		{"a label that is missing out of those that it wants", "x", `{"matchExpressions":[{"key":"tier","operator":"In","values":["a"]}]}`, "and do not match tier In (a)"},
		{"a value that it does not want", "x", `{"matchExpressions":[{"key":"app","operator":"NotIn","values":["web"]}]}`, "and do not match app NotIn (web)"},
		{"a label that is missing", "x", `{"matchLabels":{"app":"web"},"matchExpressions":[{"key":"tier","operator":"Exists"}]}`, "and do not match tier Exists"},
		{"a label that must be missing", "x", `{"matchExpressions":[{"key":"app","operator":"DoesNotExist"},{"key":"tier","operator":"Exists"}]}`, "and do not match app DoesNotExist; tier Exists"},
		{"a name that is too long for its pods", strings.Repeat("x", 58), `{"matchLabels":{"app":"web"}}`, "metadata.name: has 58 characters"},
	} {
		t.Run(r.name, func(t *testing.T) {
			if err := w.tryNew(r.of, r.selector); err == nil || !strings.Contains(err.Error(), r.says) {
				t.Errorf("%s: %v; want it refused with %q", r.selector, err, r.says)
			}
		})
	}
	for name, selector := range map[string]string{
		"one of the values that it wants": `{"matchExpressions":[{"key":"app","operator":"In","values":["other","web"]}]}`,
		"no value that it does not want":  `{"matchExpressions":[{"key":"app","operator":"NotIn","values":["other"]},{"key":"tier","operator":"NotIn","values":["a"]}]}`,
		"labels that are there, and not":  `{"matchExpressions":[{"key":"app","operator":"Exists"},{"key":"tier","operator":"DoesNotExist"}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			if err := w.tryNew(strings.Repeat("x", 57), selector); err != nil {
				t.Errorf("%s is refused: %v", selector, err)
			}
		})
	}
	for name, patch := range map[string]string{
		"an order with a native sidecar":        `{"updateStrategy":{"containerOrder":["mesh","app"]},"template":{"spec":{"initContainers":[{"name":"mesh","image":"x","restartPolicy":"Always"}]}}}`,
		"no pod unavailable where one surges":   `{"updateStrategy":{"maxUnavailable":0,"maxSurge":"1%"}}`,
		"scattering by node":                    `{"updateStrategy":{"scatter":"kubernetes.io/hostname"}}`,
		"long to be available, and no deadline": `{"minReadySeconds":900}`,
		"the least percentage and the greatest": `{"updateStrategy":{"partition":"100%","maxUnavailable":"9%","maxSurge":"0%"}}`,
		"priorities":                            `{"updateStrategy":{"priority":[{"weight":-1000,"selector":{"matchLabels":{"a":"b"},"matchExpressions":[{"key":"x/y","operator":"Exists"},{"key":"z","operator":"NotIn","values":["", "c"]}]}}]}}`,
		"no scattering":                         `{"updateStrategy":{"scatter":""}}`,
		"names of pods that are gone":           `{"scaleStrategy":{"maxUnavailable":"1%","podsToDelete":["gone"]}}`,
	} {
		t.Run(name, func(t *testing.T) {
			if err := w.try(patch); err != nil {
				t.Errorf("%s is refused: %v", patch, err)
			}
		})
	}
}

func TestATemplateThatLosesAContainerOfTheOrderIsTakenAndOnlyTheOrderIsHeldToIt(t *testing.T) {
	w := newWorld(t)
	w.create(1, `{maxUnavailable: 1, gracePeriodSeconds: 0}`)
	w.until("the policy is in force", func() (bool, any) {
		err := w.try(`{"updateStrategy":{"containerOrder":["nobody"]}}`)
		return err != nil, err
	})
	w.spec(`{"updateStrategy":{"containerOrder":["mesh","app"]},"template":{"spec":{"initContainers":[{"name":"mesh","image":"x","restartPolicy":"Always"}]}}}`)
	w.spec(`{"template":{"spec":{"initContainers":null}}}`) // as a pipeline's rollback writes it: the template alone.
	if err := w.try(`{"replicas":2}`); err != nil {
		t.Errorf("with an order of another template the set cannot be scaled: %v", err)
	}
	if err := w.try(`{"updateStrategy":{"containerOrder":["app","mesh"]}}`); err == nil || !strings.Contains(err.Error(), "named mesh") {
		t.Errorf("another order: %v; want it refused, for it names mesh", err)
	}
	w.progressing("Complete")
}

// try a patch of the spec without making it.
func (w *world) try(patch string) error {
	spec, err := yaml.YAMLToJSON([]byte(patch))
	if err != nil {
		return fmt.Errorf("reading %s: %w", patch, err)
	}
	_, err = periplus.AppsV1alpha1().InPlaceSets(w.ns).Patch(w.t.Context(), "web", types.MergePatchType, []byte(`{"spec":`+string(spec)+`}`), metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}})
	return err
}

// tryNew tries a new set of this name and selector, whose template has the label app=web, without making it.
func (w *world) tryNew(name, selector string) error {
	set := &v1alpha1.InPlaceSet{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: w.ns}}
	if err := yaml.Unmarshal([]byte(selector), &set.Spec.Selector); err != nil {
		return fmt.Errorf("reading %s: %w", selector, err)
	}
	set.Spec.Template.Labels = map[string]string{"app": "web"}
	set.Spec.Template.Spec.Containers = []corev1.Container{{Name: "app", Image: "web:v1"}}
	_, err := periplus.AppsV1alpha1().InPlaceSets(w.ns).Create(w.t.Context(), set, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	return err
}
