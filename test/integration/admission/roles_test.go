//go:build integration

package admission

import (
	"context"
	"fmt"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes"

	"github.com/periplus-dev/periplus/test/integration/apiserver"
)

// TestRoles asks the server what the published roles allow. The controller is asked about a namespace in which it has
// nothing but its published role.
func TestRoles(t *testing.T) {
	const everyKind = "approvals betabatches canaries checks clusterhops confirms freezes guardsets interventions partitionbumps releasepolicies releases rollbacks sidecarupgrades soaks targets windows"
	for _, c := range []struct {
		name         string
		user, in, ns string
		verbs        string
		resources    string
		group        string
		allowed      bool
	}{
		{"a viewer sees every kind", "vera", "", namespace, "get list watch", everyKind, "stages.periplus.dev", true},
		{"a viewer sees runs", "vera", "", namespace, "get list watch", "pipelineruns customruns", "tekton.dev", true},
		{"a viewer changes nothing", "vera", "", namespace, "create update patch delete deletecollection", everyKind, "stages.periplus.dev", false},

		{"an approver sees every kind", "bob", "sre", namespace, "get list watch", everyKind, "stages.periplus.dev", true},
		{"an approver answers", "bob", "sre", namespace, "create", "approvals", "stages.periplus.dev", true},
		{"an approver takes no answer back", "bob", "sre", namespace, "update patch delete deletecollection", "approvals", "stages.periplus.dev", false},
		{"an approver changes nothing else", "bob", "sre", namespace, "create update patch delete", "canaries confirms freezes guardsets interventions releasepolicies releases targets", "stages.periplus.dev", false},
		{"an approver starts and stops nothing", "bob", "sre", namespace, "create update patch delete", "pipelineruns customruns customruns/status", "tekton.dev", false},

		{"an engineer starts, cancels and deletes runs", "alice", "", namespace, "get list watch create patch delete", "pipelineruns", "tekton.dev", true},
		{"an engineer touches no CustomRun", "alice", "", namespace, "create update patch delete", "customruns customruns/status", "tekton.dev", false},
		{"an engineer keeps stored stages, targets and guard sets", "alice", "", namespace, "create update patch delete", "betabatches canaries checks clusterhops confirms guardsets partitionbumps rollbacks sidecarupgrades soaks targets windows", "stages.periplus.dev", true},
		{"an engineer answers", "alice", "", namespace, "create", "approvals", "stages.periplus.dev", true},
		{"an engineer intervenes", "alice", "", namespace, "get list watch create", "interventions", "stages.periplus.dev", true},
		{"an engineer changes no answer and no intervention", "alice", "", namespace, "update patch delete deletecollection", "approvals interventions", "stages.periplus.dev", false},
		{"an engineer asks what a run would do", "alice", "", namespace, "get list watch create delete", "runplans", "stages.periplus.dev", true},
		{"an engineer answers no plan and changes none", "alice", "", namespace, "update patch deletecollection", "runplans runplans/status", "stages.periplus.dev", false},
		{"a viewer sees no plan, which may show templates of members", "vera", "", namespace, "get list watch create", "runplans", "stages.periplus.dev", false},
		{"an approver sees no plan", "bob", "sre", namespace, "get list watch create delete", "runplans", "stages.periplus.dev", false},
		{"an engineer freezes nothing and lifts nothing", "alice", "", "", "create update patch delete deletecollection", "freezes", "stages.periplus.dev", false},
		{"an engineer gives himself no member", "alice", "", "", "create update patch delete deletecollection", "releasepolicies", "stages.periplus.dev", false},
		{"those on call freeze, lift, and delete what was lifted", "fay", "on-call", "", "get list watch create update patch delete", "freezes", "stages.periplus.dev", true},
		{"those on call give themselves no member", "fay", "on-call", "", "create update patch delete", "releasepolicies", "stages.periplus.dev", false},
		{"the platform team says who may release what", "pat", "", "", "get list watch create update patch delete", "releasepolicies", "stages.periplus.dev", true},
		{"the platform team freezes nothing by that", "pat", "", "", "create update patch delete", "freezes", "stages.periplus.dev", false},
		{"nobody is given the right to change policies with edit", "dave", "", "", "create update patch delete", "releasepolicies freezes", "stages.periplus.dev", false},
		{"an engineer writes no record", "alice", "", namespace, "create update patch delete", "releases releases/status", "stages.periplus.dev", false},
		{"an engineer adds no member", "alice", "", namespace, "create update patch delete", "members", "fleet.periplus.dev", false},
		{"an engineer sees where guards ask", "alice", "", namespace, "get list watch", "metricsources", "fleet.periplus.dev", true},
		{"an engineer sends no credentials anywhere", "alice", "", namespace, "create update patch delete deletecollection", "metricsources metricsources/status", "fleet.periplus.dev", false},
		{"the platform team says where guards ask", "pat", "", "", "get list watch create update patch delete", "metricsources", "fleet.periplus.dev", true},
		{"the platform team reads no secret by that", "pat", "", "periplus-system", "get list watch", "secrets", "", false},
		{"an engineer reads no secret", "alice", "", namespace, "get list", "secrets", "", false},

		{"the controller runs stages", controller.name, "", "elsewhere", "get list watch create update patch", "customruns", "tekton.dev", true},
		{"the controller writes what stages come to", controller.name, "", "elsewhere", "update patch", "customruns/status", "tekton.dev", true},
		{"the controller deletes no CustomRun", controller.name, "", "elsewhere", "delete deletecollection", "customruns", "tekton.dev", false},
		{"the controller makes and cancels the children of a hop", controller.name, "", "elsewhere", "get list watch create patch", "pipelineruns", "tekton.dev", true},
		{"the controller deletes no PipelineRun and decides none", controller.name, "", "elsewhere", "update delete deletecollection", "pipelineruns", "tekton.dev", false},
		{"the controller decides no PipelineRun", controller.name, "", "elsewhere", "update patch", "pipelineruns/status", "tekton.dev", false},
		{"the controller reads the Pipelines that hops name", controller.name, "", "elsewhere", "get", "pipelines", "tekton.dev", true},
		{"the controller changes no Pipeline", controller.name, "", "elsewhere", "create update patch delete", "pipelines", "tekton.dev", false},
		{"the controller reads the namespaces that policies select", controller.name, "", "", "get list watch", "namespaces", "", true},
		{"the controller changes no namespace", controller.name, "", "", "create update patch delete", "namespaces", "", false},
		{"the controller reads every kind", controller.name, "", "elsewhere", "get list watch", everyKind, "stages.periplus.dev", true},
		{"the controller keeps records", controller.name, "", "elsewhere", "create update patch delete", "releases", "stages.periplus.dev", true},
		{"the controller writes records", controller.name, "", "elsewhere", "update patch", "releases/status", "stages.periplus.dev", true},
		{"the controller answers plans and deletes them", controller.name, "", "elsewhere", "get list watch delete", "runplans", "stages.periplus.dev", true},
		{"the controller writes what plans come to", controller.name, "", "elsewhere", "update patch", "runplans/status", "stages.periplus.dev", true},
		{"the controller asks for no plan", controller.name, "", "elsewhere", "create update patch", "runplans", "stages.periplus.dev", false},
		{"the controller deletes answers and interventions", controller.name, "", "elsewhere", "delete", "approvals interventions", "stages.periplus.dev", true},
		{"the controller gives no answer and intervenes in nothing", controller.name, "", "elsewhere", "create update patch", "approvals interventions", "stages.periplus.dev", false},
		{"the controller gives no member", controller.name, "", "", "create update patch delete", "releasepolicies", "stages.periplus.dev", false},
		{"the controller keeps no stored stage", controller.name, "", "elsewhere", "create update patch delete", "canaries rollbacks windows", "stages.periplus.dev", false},
		{"the controller writes members' status", controller.name, "", "", "update patch", "members/status", "fleet.periplus.dev", true},
		{"the controller reads metric sources", controller.name, "", "", "get list watch", "metricsources", "fleet.periplus.dev", true},
		{"the controller writes whether metric sources answer", controller.name, "", "", "update patch", "metricsources/status", "fleet.periplus.dev", true},
		{"the controller changes no metric source", controller.name, "", "", "create update patch delete", "metricsources", "fleet.periplus.dev", false},
		{"the controller changes no member", controller.name, "", "", "create update patch delete", "members", "fleet.periplus.dev", false},
		{"the controller reports events", controller.name, "", "elsewhere", "create patch", "events", "", true},
		{"the controller reads the secrets of its own namespace one by one", controller.name, "", "periplus-system", "get", "secrets", "", true},
		{"the controller lists no secrets", controller.name, "", "periplus-system", "list watch", "secrets", "", false},
		{"the controller reads nobody else's secrets", controller.name, "", "elsewhere", "get", "secrets", "", false},
		{"the controller elects its leader", controller.name, "", "periplus-system", "get create update", "leases", "coordination.k8s.io", true},
		{"the controller cannot change whom the policies trust", controller.name, "", "periplus-system", "create update patch delete", "configmaps", "", false},
		{"the controller moves no pod of the hub", controller.name, "", "elsewhere", "get create delete", "pods", "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, resource := range strings.Fields(c.resources) {
				for _, verb := range strings.Fields(c.verbs) {
					if got := may(t, c.user, c.in, c.ns, verb, resource, c.group); got != c.allowed {
						t.Errorf("%s %s.%s: allowed %v, must be %v", verb, resource, c.group, got, c.allowed)
					}
				}
			}
		})
	}
}

func may(t *testing.T, user, group, ns, verb, resource, apiGroup string) bool {
	t.Helper()
	client, err := kubernetes.NewForConfig(server.Admin())
	if err != nil {
		t.Fatal(err)
	}
	resource, sub, _ := strings.Cut(resource, "/")
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: user, Groups: []string{"system:authenticated", group},
		ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: ns, Verb: verb, Group: apiGroup, Resource: resource, Subresource: sub},
	}}
	got, err := client.AuthorizationV1().SubjectAccessReviews().Create(context.Background(), review, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return got.Status.Allowed
}

// TestManifestsForOlderServersAreTheSame keeps the two forms of the mutating policies in step, and shows that a server takes the older one.
func TestManifestsForOlderServersAreTheSame(t *testing.T) {
	current, err := apiserver.ReadManifests(repo + "/config/hub/" + mutatingManifest)
	if err != nil {
		t.Fatal(err)
	}
	older, err := apiserver.ReadManifests(repo + "/config/variants/mutating-v1beta1/" + mutatingManifest)
	if err != nil {
		t.Fatal(err)
	}
	if len(current) != len(older) {
		t.Fatalf("%d objects, and %d in the older form", len(current), len(older))
	}
	for i := range older {
		if v := older[i].GetAPIVersion(); v != "admissionregistration.k8s.io/v1beta1" {
			t.Errorf("%s is %s", older[i].GetName(), v)
		}
		mapped := &unstructured.Unstructured{Object: older[i].DeepCopy().Object}
		mapped.SetAPIVersion(current[i].GetAPIVersion())
		if fmt.Sprint(mapped.Object) != fmt.Sprint(current[i].Object) {
			t.Errorf("%s %s differs from the one in config/hub", older[i].GetKind(), older[i].GetName())
		}
		if err := server.ApplyObject(context.Background(), older[i]); err != nil {
			t.Error(err)
		}
	}
}
