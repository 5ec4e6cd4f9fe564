package hub

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	utilnet "k8s.io/apimachinery/pkg/util/net"
)

// Request is what was asked of the hub, for messages.
type Request struct {
	// Verb and Resource in RBAC's words, such as "list" and "customruns.tekton.dev".
	Verb, Resource string
	// Name of the object, empty where it is a list.
	Name string
	// Everywhere is true for what belongs to no namespace, and for lists over all of them.
	Everywhere bool
}

// in says where, for the end of a sentence.
func (r Request) in(namespace string) string {
	if r.Everywhere {
		return "in the whole cluster"
	}
	return "in namespace " + namespace
}

// role says which role holds what is needed.
func (r Request) role() string {
	switch {
	case r.Resource == "customruns.tekton.dev" && r.Verb == "create":
		return "no role of Periplus holds it, because who may create CustomRuns can stand in for stages; Tekton's own role for editing does"
	case strings.HasPrefix(r.Resource, "freezes.") && (r.Verb == "create" || r.Verb == "update"):
		return "the cluster role periplus-freezer, bound for the whole cluster, holds what is needed"
	}
	return "the cluster roles periplus-view (read), periplus-approver (answer) and periplus-release-engineer (start, stop and intervene) hold what is needed"
}

func (r Request) String() string {
	if r.Name == "" {
		return r.Verb + " " + r.Resource
	}
	return r.Verb + " " + r.Resource + " " + r.Name
}

// Explain turns an error of a request into one that says what a person can do. The original stays in the chain.
func (h *Hub) Explain(r Request, err error) error {
	var netErr net.Error
	switch {
	case err == nil:
		return nil
	case apierrors.IsForbidden(err) && deniedByPolicy(err):
		return fmt.Errorf("the hub refuses to %s: %w", r, err)
	case apierrors.IsForbidden(err):
		return fmt.Errorf("you lack a permission: %s on %s %s; %s: %w", r.Verb, r.Resource, r.in(h.Namespace), r.role(), err)
	case apierrors.IsUnauthorized(err):
		return fmt.Errorf("the hub at %s does not know you: are the kubeconfig's credentials still valid? %w", h.Server, err)
	case NoSuchAPI(err):
		return fmt.Errorf("the cluster at %s has no %s: is it the hub (see --context), and is Periplus installed there? %w", h.Server, r.Resource, err)
	case errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, context.DeadlineExceeded), utilnet.IsConnectionRefused(err), errors.As(err, &netErr):
		return fmt.Errorf("the hub at %s does not answer: %w", h.Server, err)
	}
	return fmt.Errorf("to %s %s: %w", r, r.in(h.Namespace), err)
}

// NoSuchAPI says whether an error means that the server does not serve the kind at all, as opposed to having no such object.
func NoSuchAPI(err error) bool {
	return apierrors.IsNotFound(err) && strings.Contains(err.Error(), "could not find the requested resource")
}

// deniedByPolicy tells a refusal by an admission policy, which says its own reason, from a missing permission.
func deniedByPolicy(err error) bool {
	return strings.Contains(err.Error(), "ValidatingAdmissionPolicy") || strings.Contains(err.Error(), "admission webhook")
}
