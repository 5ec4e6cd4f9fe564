package hub

import (
	"fmt"

	"github.com/spf13/pflag"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// AddMemberTo adds the flags that say which member and as whom, for commands that go to a member instead of the hub.
func (f *Flags) AddMemberTo(fs *pflag.FlagSet) {
	fs.StringVar(&f.Kubeconfig, "kubeconfig", "", "path of the kubeconfig `file`; $KUBECONFIG, then ~/.kube/config where empty")
	fs.StringVar(&f.Context, "context", "", "`name` of the kubeconfig's context that is the member; its current one where empty")
	fs.StringVar(&f.As, "as", "", "`user` to act as")
	fs.StringArrayVar(&f.AsGroups, "as-group", nil, "`group` to act in, with --as; may be given several times")
}

// ExplainAtMember turns an error of a request to a member into one that says what a person can do. The original stays in the chain.
func (h *Hub) ExplainAtMember(r Request, err error) error {
	where := fmt.Sprintf("%s of the cluster at %s", r.in(h.Namespace), h.Server)
	if r.Everywhere {
		where = fmt.Sprintf("in all of the cluster at %s", h.Server)
	}
	switch {
	case err == nil:
		return nil
	case NoSuchAPI(err):
		return fmt.Errorf("the cluster at %s has no %s: is it the member (see --context), and is Periplus installed there? %w", h.Server, r.Resource, err)
	case apierrors.IsNotFound(err):
		return fmt.Errorf("there is no %s %s %s: name another with -n or --context: %w", r.Resource, r.Name, where, err)
	case apierrors.IsForbidden(err):
		return fmt.Errorf("you may not %s %s %s: those who keep that member can permit it: %w", r.Verb, r.Resource, where, err)
	case apierrors.IsConflict(err):
		return fmt.Errorf("somebody changed %s %s meanwhile; look again: %w", r.Resource, r.Name, err)
	}
	return fmt.Errorf("to %s %s %s at %s: %w", r.Verb, r.Resource, r.Name, h.Server, err)
}
