//go:build unix

package follow

import (
	"os"
	"os/signal"
	"syscall"
)

// onResize signals when the terminal's window got another size.
func onResize(c chan os.Signal) { signal.Notify(c, syscall.SIGWINCH) }
