// Command periplus is the command line of Periplus. The same binary answers as `kubectl periplus` and `tkn periplus`.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/periplus-dev/periplus/pkg/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := cli.NewRoot(os.Args[0]).ExecuteContext(ctx)
	stop()
	if code := cli.Report(os.Stderr, err); code != 0 {
		os.Exit(code)
	}
}
