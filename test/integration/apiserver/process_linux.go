package apiserver

import "syscall"

// ownGroup keeps a terminal's Ctrl-C from the servers, which are stopped in order, and ends them with a test that is killed.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
