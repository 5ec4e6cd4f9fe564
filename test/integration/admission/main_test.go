//go:build integration

package admission

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/periplus-dev/periplus/test/integration/apiserver"
)

const (
	repo      = "../../.."
	namespace = "shop"
	// limit of everything that is waited for.
	limit = 30 * time.Second
)

var server *apiserver.Server

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	var err error
	// The v1beta1 API is on only to see that the manifests for older servers are right.
	server, err = apiserver.Start(ctx, "--runtime-config=admissionregistration.k8s.io/v1beta1=true")
	if err == nil {
		defer func() {
			if err := server.Stop(); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
		}()
		err = install(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// install applies Tekton's CRDs and roles and ours, all but the mutating policies, and the people of the tests.
func install(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/tektoncd/pipeline").Output()
	if err != nil {
		return fmt.Errorf("finding Tekton's manifests: %w", err)
	}
	tekton := filepath.Join(strings.TrimSpace(string(out)), "config")
	paths := []string{
		filepath.Join(tekton, "100-namespace"), filepath.Join(tekton, "200-serviceaccount.yaml"), filepath.Join(tekton, "200-clusterrole.yaml"),
		filepath.Join(tekton, "201-clusterrolebinding.yaml"), filepath.Join(tekton, "300-crds"),
	}
	hub, err := filepath.Glob(filepath.Join(repo, "config", "hub", "*"))
	if err != nil {
		return err
	}
	for _, path := range hub {
		if filepath.Base(path) != mutatingManifest {
			paths = append(paths, path)
		}
	}
	paths = append(paths, filepath.Join(repo, "config", "member", "300-crds"),
		filepath.Join(repo, "config", "member", "400-admission-inplacesets.yaml"), "testdata/people.yaml")
	if err := server.Apply(ctx, paths...); err != nil {
		return err
	}
	if err := workloadPolicyWorks(ctx); err != nil {
		return fmt.Errorf("waiting for the policy on InPlaceSets to work: %w", err)
	}
	return validatingPoliciesWork(ctx)
}

const mutatingManifest = "410-admission-mutating.yaml"

// validatingPoliciesWork waits until each policy refuses something: the API server takes a moment to see a new one.
func validatingPoliciesWork(ctx context.Context) error {
	run := standalone("probe", ours)
	if _, err := dave.create(ctx, run); err != nil {
		return err
	}
	dry := metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}
	for policy, attack := range map[string]func(context.Context) error{
		"approvals": func(ctx context.Context) error {
			_, err := dave.on(approvals).Create(ctx, approval("user: somebody"), dry)
			return err
		},
		"interventions": func(ctx context.Context) error {
			_, err := dave.on(interventions).Create(ctx, intervention("user: somebody"), dry)
			return err
		},
		"freezes": func(ctx context.Context) error {
			_, err := fay.on(freezes).Create(ctx, freeze("user: somebody"), dry)
			return err
		},
		"runplans": func(ctx context.Context) error {
			_, err := dave.on(runPlans).Create(ctx, startedBy(runPlan(), "somebody"), dry)
			return err
		},
		"pipelineruns": func(ctx context.Context) error {
			_, err := dave.on(pipelineRuns).Create(ctx, startedBy(pipelineRun(), "somebody"), dry)
			return err
		},
		"customruns": func(ctx context.Context) error {
			_, err := dave.on(customRuns).Create(ctx, standalone("has-a-dash", ours), dry)
			return err
		},
		"customruns-status": func(ctx context.Context) error {
			return dave.patchStatus(ctx, customRuns, "probe", succeeded, metav1.DryRunAll)
		},
		"releases": func(ctx context.Context) error {
			_, err := dave.on(releases).Create(ctx, release(), dry)
			return err
		},
	} {
		var last error
		err := wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, limit, true, func(ctx context.Context) (bool, error) {
			last = attack(ctx)
			return refusedBy(last, policy), nil
		})
		if err != nil {
			return fmt.Errorf("waiting for the policy %s to refuse an attack: %w (it says %w)", policy, err, last)
		}
	}
	return nil
}

// installMutating applies the mutating policies and waits until they work: the API server reads the schemas of new kinds every few seconds.
func installMutating(ctx context.Context) error {
	if err := server.Apply(ctx, filepath.Join(repo, "config", "hub", mutatingManifest)); err != nil {
		return err
	}
	dry := metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}
	var last error
	err := wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, limit, true, func(ctx context.Context) (bool, error) {
		var answer, hand, frozen, run, plan, stage *unstructured.Unstructured
		if answer, last = dave.on(approvals).Create(ctx, approval(""), dry); last != nil {
			return false, nil
		}
		if hand, last = dave.on(interventions).Create(ctx, intervention(""), dry); last != nil {
			return false, nil
		}
		if frozen, last = fay.on(freezes).Create(ctx, freeze(""), dry); last != nil {
			return false, nil
		}
		if last = liftingWorks(ctx); last != nil {
			return false, nil
		}
		if run, last = dave.on(pipelineRuns).Create(ctx, pipelineRun(), dry); last != nil {
			return false, nil
		}
		if plan, last = dave.on(runPlans).Create(ctx, runPlan(), dry); last != nil {
			return false, nil
		}
		if stage, last = dave.on(customRuns).Create(ctx, standalone("mutated", ours), dry); last != nil {
			return false, nil
		}
		return text(answer, "spec", "user") != "" && text(hand, "spec", "user") != "" && text(frozen, "spec", "user") != "" && initiator(run) != "" && initiator(plan) != "" && initiator(stage) != "", nil
	})
	if err != nil {
		return fmt.Errorf("waiting for the mutating policies to work: %w (the last try says %w)", err, last)
	}
	return nil
}

// refusedBy says whether a policy of this name refused, with all of these words.
func refusedBy(err error, policy string, words ...string) bool {
	if err == nil || !strings.Contains(err.Error(), "ValidatingAdmissionPolicy '"+policy+".stages.periplus.dev'") {
		return false
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			return false
		}
	}
	return true
}
