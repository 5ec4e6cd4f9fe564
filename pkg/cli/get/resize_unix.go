//go:build unix

package get

import (
	"os"
	"os/signal"
	"syscall"
)

// onResize signals when the terminal's window got another size.
func onResize(c chan os.Signal) { signal.Notify(c, syscall.SIGWINCH) }
