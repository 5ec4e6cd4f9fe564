package act

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/pflag"

	"github.com/periplus-dev/periplus/pkg/cli/hub"
	"github.com/periplus-dev/periplus/pkg/cli/screen"
	"github.com/periplus-dev/periplus/pkg/cli/terminal"
)

// mostMessage is how many letters a message has at most, as the schemas say.
const mostMessage = 1024

// Flags of a command that changes something.
type Flags struct {
	Message string
	Yes     bool
	DryRun  bool
}

// AddTo adds the flags to a command's.
func (f *Flags) AddTo(fs *pflag.FlagSet) {
	fs.StringVarP(&f.Message, "message", "m", "", "`text` that says why, kept with your name for those who read it later; at most 1024 letters; required")
	fs.BoolVarP(&f.Yes, "yes", "y", false, "do it without asking, as scripts need it")
	fs.BoolVar(&f.DryRun, "dry-run", false, "show what it would touch, and do nothing")
}

// Check says what is wrong with the flags by themselves. Only a dry run needs no message.
func (f *Flags) Check() error {
	f.Message = strings.TrimSpace(f.Message)
	switch n := len([]rune(f.Message)); {
	case n == 0 && !f.DryRun:
		return errors.New(`say why, for those who read it later: --message "…"`)
	case n > mostMessage:
		return fmt.Errorf("--message has %d letters, and may have %d", n, mostMessage)
	}
	return nil
}

// Stage is where a command shows its plan and asks.
type Stage struct {
	In  io.Reader
	Out terminal.Terminal
	// Interactive is true where a person sits at both ends.
	Interactive bool
}

// At is the stage of a command that reads in and writes to out.
func At(in io.Reader, out io.Writer) Stage {
	return Stage{In: in, Out: terminal.Of(out), Interactive: terminal.IsTerminal(in) && terminal.IsTerminal(out)}
}

// Agreed shows the plan, and says whether it is to be carried out: with --yes at once, else once a person said yes. A dry run is never to be
// carried out. It fails where nobody can be asked, and where the answer is no.
func (f *Flags) Agreed(ctx context.Context, s Stage, plan screen.Plan, question string) (bool, error) {
	look := s.Out.Look()
	look.Height = 0 // what does not fit can be scrolled back to
	if _, err := io.WriteString(s.Out, screen.RenderPlan(plan, look)); err != nil {
		return false, fmt.Errorf("showing what would be touched: %w", err)
	}
	switch {
	case f.DryRun:
		_, err := fmt.Fprintln(s.Out, "Nothing was done: this was a dry run.")
		return false, err
	case f.Yes:
		return true, nil
	case !s.Interactive:
		return false, errors.New("nothing was done: there is no terminal to ask on; --yes does it without asking, --dry-run shows what it would touch")
	}
	yes, err := terminal.Yes(ctx, s.In, s.Out, question)
	if err != nil {
		return false, fmt.Errorf("nothing was done: %w", err)
	}
	if !yes {
		return false, errors.New("nothing was done: you did not say yes")
	}
	return true, nil
}

// Person is who acts, as an object records it.
type Person struct {
	User   string
	Groups []string
}

// Who asks the hub who the caller is. Servers that stamp it overwrite nothing that is right, and the others want it written.
func Who(ctx context.Context, h *hub.Hub) (Person, error) {
	user, groups, err := h.WhoAmI(ctx)
	if err != nil {
		return Person{}, err
	}
	return Person{User: user, Groups: hub.RecordedGroups(groups, nil)}, nil
}
