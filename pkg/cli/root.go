package cli

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/periplus-dev/periplus/pkg/cli/answer"
	"github.com/periplus-dev/periplus/pkg/cli/freeze"
	"github.com/periplus-dev/periplus/pkg/cli/get"
	"github.com/periplus-dev/periplus/pkg/cli/guardtest"
	"github.com/periplus-dev/periplus/pkg/cli/history"
	"github.com/periplus-dev/periplus/pkg/cli/intervene"
	"github.com/periplus-dev/periplus/pkg/cli/local"
	"github.com/periplus-dev/periplus/pkg/cli/plan"
	"github.com/periplus-dev/periplus/pkg/cli/sidecars"
	"github.com/periplus-dev/periplus/pkg/cli/start"
)

// NewRoot returns the periplus command. Each command has its flags to itself: there are no global ones. invoked is the name that the
// binary was called by (os.Args[0]): texts name the command as the person typed it, `kubectl periplus` and `tkn periplus` included.
func NewRoot(invoked string) *cobra.Command {
	root := &cobra.Command{
		Use:           "periplus",
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: displayName(invoked)},
		Short:         "Carry a release across clusters, stage by stage",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(start.NewCommand(), plan.NewCommand(), get.NewCommand(), answer.NewConfirm(), answer.NewReject(), guardtest.NewCommand(), newVersion(), local.NewCommand())
	root.AddCommand(intervene.New()...)
	root.AddCommand(freeze.New()...)
	root.AddCommand(history.New()...)
	root.AddCommand(sidecars.NewCommand())
	return root
}

// displayName is how a person calls the command: the two tools that find plugins by name run them as `kubectl periplus` and `tkn periplus`.
func displayName(invoked string) string {
	// Windows' separator too, wherever we run: the name comes from outside.
	name := strings.TrimSuffix(filepath.Base(strings.ReplaceAll(invoked, `\`, "/")), ".exe")
	switch name {
	case "kubectl-periplus":
		return "kubectl periplus"
	case "tkn-periplus":
		return "tkn periplus"
	}
	return "periplus"
}

// Report prints an error that a command ended with, and gives the exit code: 0 for none, the error's own where it has one, else 1.
func Report(w io.Writer, err error) int {
	if err == nil {
		return 0
	}
	if said := err.Error(); said != "" {
		_, _ = fmt.Fprintln(w, "Error:", said) // there is nowhere else to say it
	}
	var coded interface{ ExitCode() int }
	if errors.As(err, &coded) {
		return coded.ExitCode()
	}
	return 1
}
