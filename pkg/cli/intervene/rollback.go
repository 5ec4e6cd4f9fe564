package intervene

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	stages "github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/cli/hub"
	"github.com/periplus-dev/periplus/pkg/cli/run"
	"github.com/periplus-dev/periplus/pkg/cli/screen"
)

// backFlags say what goes back, where it is not all of the release of a run.
type backFlags struct {
	members     []string
	fromMembers bool
	release     string
	hub         string
	// made is the name of the run that is made by hand.
	made string
}

func (f *backFlags) addTo(fs *pflag.FlagSet) {
	fs.StringSliceVar(&f.members, "member", nil, "take back only what was touched in the member of this `name`; may be given several times, also as --members")
	fs.BoolVar(&f.fromMembers, "from-members", false, "read what was touched from the locks in the members, for a hub that has lost its records")
	fs.StringVar(&f.release, "release", "", "with --from-members, `name` of the release as the locks give it")
	fs.StringVar(&f.hub, "hub", "", "with --from-members, `uid` of the kube-system namespace of the hub that took the locks; this hub's where empty")
}

// check says what is wrong with the flags by themselves; name is that of a run.
func (f *backFlags) check(name string) error {
	switch {
	case f.fromMembers && name != "":
		return fmt.Errorf("--from-members is for a release whose record is lost, and has no run: leave out %s", name)
	case f.fromMembers && f.release == "":
		return errors.New("--from-members needs --release: the name that the locks on workloads give (annotation " + stages.AnnotationLock + ")")
	case !f.fromMembers && (f.release != "" || f.hub != ""):
		return errors.New("--release and --hub go with --from-members; else name the run")
	case !f.fromMembers && name == "":
		return errors.New("name the run whose release is taken back; where the hub has lost its records: --from-members --release NAME")
	}
	return nil
}

// rollback judges whether there is anything to take back, and says what and in which order.
func (c *command) rollback(ctx context.Context, h *hub.Hub, d *decision) error {
	d.question = "Take it back?"
	if d.release == nil && !d.carrier.KnowsReleases() {
		return d.notKnown()
	}
	if r := d.release; r != nil && len(c.back.members) == 0 {
		b := r.Status.Rollback
		switch {
		case b == nil || b.Scope == stages.RollbackMember:
		case r.Status.Phase == stages.ReleaseRollingBack:
			d.already = fmt.Sprintf("%s is being taken back already, since %s: %s", d.ref.Name, b.Since.Format("15:04:05"), screen.Clean(b.Message))
		case r.Status.Phase == stages.ReleaseRolledBack:
			d.already = fmt.Sprintf("%s was taken back already: %s", d.ref.Name, screen.Clean(b.Message))
		}
	}
	if i := d.standing().Rollback; d.already == "" && i != nil && len(c.back.members) == 0 && !d.ended() {
		d.already = fmt.Sprintf("%s is about to be taken back: %s", d.ref.Name, said(i))
	}
	if d.already != "" {
		return nil
	}
	touched := touchedNewestFirst(d.release, c.back.members)
	if len(touched) == 0 {
		return c.nothingToTakeBack(d)
	}
	lines := make([]string, 0, len(touched))
	for _, t := range touched {
		lines = append(lines, fmt.Sprintf("%s %s: %s -> %s, touched %s", t.Member, t.Workload, short(t.Revision, t.Workload),
			short(t.Previous.Revision, t.Workload), t.Time.Format("2006-01-02 15:04:05")))
	}
	d.plan.Add("back", lines...)
	later, err := touchedLater(ctx, h, d.release, touched)
	if err != nil {
		return err
	}
	d.plan.Warn("taken over", later...)
	if len(c.back.members) > 0 {
		return c.decideMembers(d)
	}
	then := []string{"the hub makes a stage that takes it back, newest first"}
	if !d.ended() {
		then = []string{"its stages end, and then it is taken back, newest first"}
		if running := d.running(); len(running) > 0 {
			then[0] = "ends: " + strings.Join(running, ", ") + "; then it is taken back, newest first"
		}
	}
	d.plan.Add("then", append(then, "a member that does not answer is left out and named")...)
	return nil
}

func (c *command) nothingToTakeBack(d *decision) error {
	switch {
	case len(c.back.members) > 0:
		return fmt.Errorf("release of %s did not touch %s; it touched %s", d.ref.Name, strings.Join(c.back.members, ", "), orNothing(membersTouched(d.release)))
	case d.ended():
		return fmt.Errorf("run %s touched nothing: there is nothing to take back (%s)", d.name(), d.stands())
	}
	d.plan.Add("then", "its stages end; nothing was touched, so nothing is taken back")
	return nil
}

func orNothing(names []string) string {
	if len(names) == 0 {
		return "nothing"
	}
	return strings.Join(names, ", ")
}

// touchedNewestFirst is what goes back in the order that it does, of some members where they are given.
func touchedNewestFirst(release *stages.Release, members []string) []stages.Touched {
	if release == nil {
		return nil
	}
	var out []stages.Touched
	for _, t := range release.Status.Touched {
		if len(members) == 0 || slices.Contains(members, t.Member) {
			out = append(out, t)
		}
	}
	slices.Reverse(out)
	slices.SortStableFunc(out, func(a, b stages.Touched) int { return b.Time.Compare(a.Time.Time) })
	return out
}

func membersTouched(release *stages.Release) []string {
	var out []string
	if release == nil {
		return nil
	}
	for _, t := range release.Status.Touched {
		if !slices.Contains(out, t.Member) {
			out = append(out, t.Member)
		}
	}
	return out
}

// touchedLater says which workloads another release has touched since: they are that one's now.
func touchedLater(ctx context.Context, h *hub.Hub, release *stages.Release, touched []stages.Touched) ([]string, error) {
	all, err := run.Releases(ctx, h)
	if err != nil {
		return nil, err
	}
	var out []string
	for i := range all {
		if all[i].UID == release.UID && all[i].Name == release.Name {
			continue
		}
		for _, other := range all[i].Status.Touched {
			for _, t := range touched {
				if other.Member == t.Member && other.Kind == t.Kind && other.Workload == t.Workload && other.Time.After(t.Time.Time) {
					out = append(out, fmt.Sprintf("%s %s was touched by release %s since", t.Member, t.Workload, all[i].Name))
				}
			}
		}
	}
	return out, nil
}
