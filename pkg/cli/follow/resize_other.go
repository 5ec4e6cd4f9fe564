//go:build !unix

package follow

import "os"

// onResize does nothing where there is no such signal: the redraw of each second follows the window's size.
func onResize(chan os.Signal) {}
