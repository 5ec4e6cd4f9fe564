package sidecars

import (
	"context"
	"fmt"
	"io"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"

	apps "github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/cli/screen"
)

func (c *command) list(ctx context.Context) error {
	if err := c.check(); err != nil {
		return err
	}
	m, err := c.connect(&c.flags)
	if err != nil {
		return err
	}
	ctx, done := context.WithTimeout(ctx, patience)
	defer done()
	all, err := sets(ctx, m)
	if err != nil {
		return err
	}
	told := &screen.SidecarSets{Format: screen.SidecarSetsFormat, Sets: []screen.SidecarSet{}}
	for i := range all {
		told.Sets = append(told.Sets, tell(&all[i]))
	}
	switch {
	case c.output == "name":
		var b strings.Builder
		for i := range all {
			fmt.Fprintln(&b, all[i].Name)
		}
		_, err = io.WriteString(c.out, b.String())
		return err
	case c.output != "":
		return c.out.Encode(told, c.output)
	}
	_, err = io.WriteString(c.out, screen.RenderSidecarSets(told, c.clock.Now(), c.out.Look()))
	return err
}

// tell what the status of a set says.
func tell(set *apps.SidecarSet) screen.SidecarSet {
	st := &set.Status
	out := screen.SidecarSet{
		Name: set.Name, Created: set.CreationTimestamp, UpdateRevision: st.UpdateRevision, InjectionRevision: st.InjectionRevision,
		Matched: st.Matched, Injected: st.Injected, Updated: st.Updated, UpdatedReady: st.UpdatedReady, WaitingForCreation: st.WaitingForCreation, Missed: st.Missed,
		Deleting: set.DeletionTimestamp != nil, Unseen: st.ObservedGeneration != set.Generation,
	}
	for _, kind := range []string{apps.ConditionProgressing, apps.ConditionInjecting} {
		if found := meta.FindStatusCondition(st.Conditions, kind); found != nil {
			out.Conditions = append(out.Conditions, screen.SidecarCondition{Type: found.Type, Status: string(found.Status), Reason: found.Reason, Message: found.Message, Since: found.LastTransitionTime})
		}
	}
	return out
}
