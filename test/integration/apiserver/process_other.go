//go:build !linux

package apiserver

import "syscall"

// ownGroup keeps a terminal's Ctrl-C from the servers, which are stopped in order.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
