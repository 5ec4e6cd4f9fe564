package haproxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// patience is how long HAProxy may take to answer, and to end.
const patience = 30 * time.Second

// Server is a HAProxy that keeps its port, socket and configuration when it is killed and started again.
type Server struct {
	program Program
	// Socket is the path of its runtime API, of level admin. Address is where the frontend listens.
	Socket, Address string
	dir             string

	mu      sync.Mutex
	process *process
}

// process is one life; ended is closed when it is over.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{}
}

// config of HAProxy in tests is the text of a configuration in which SOCKET, ADDRESS and PORT stand for the runtime API and the frontend.
func (s *Server) config(text string) string {
	_, port, _ := net.SplitHostPort(s.Address)
	return strings.NewReplacer("SOCKET", s.Socket, "ADDRESS", s.Address, "PORT", port).Replace(text)
}

// New writes a configuration, in which SOCKET stands for the path of the runtime API, ADDRESS and PORT for where a frontend is to listen, into dir, whose
// path is short enough for a socket, and has HAProxy check it. Start starts it.
func New(ctx context.Context, program Program, dir, config string) (*Server, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("finding a free port: %w", err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	s := &Server{program: program, dir: dir, Socket: filepath.Join(dir, "s"), Address: net.JoinHostPort("127.0.0.1", strconv.Itoa(port))}
	if err := os.WriteFile(s.file(), []byte(s.config(config)), 0o600); err != nil {
		return nil, fmt.Errorf("configuring HAProxy: %w", err)
	}
	if out, err := program.command(ctx, "-c", "-f", s.file()).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("HAProxy refuses its configuration: %w\n%s", err, out)
	}
	return s, nil
}

func (s *Server) file() string { return filepath.Join(s.dir, "haproxy.cfg") }

// Start returns when the runtime API answers.
func (s *Server) Start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	log, err := os.OpenFile(filepath.Join(s.dir, "haproxy.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("starting HAProxy: %w", err)
	}
	defer log.Close()
	p := &process{cmd: s.program.command(context.WithoutCancel(ctx), "-db", "-f", s.file()), ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("starting HAProxy: %w", err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.ended)
	}()
	s.process = p
	deadline := time.After(patience)
	for {
		// It binds under another name and renames, so a socket that is there answers.
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", s.Socket)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-p.ended:
			said, _ := os.ReadFile(filepath.Join(s.dir, "haproxy.log"))
			return fmt.Errorf("HAProxy ended: %s\n%s", p.cmd.ProcessState, said)
		case <-deadline:
			return errors.Join(fmt.Errorf("HAProxy does not answer after %s: %w", patience, err), p.kill())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// Kill ends it at once, with every connection that it has.
func (s *Server) Kill() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return nil
	}
	err := s.process.kill()
	s.process = nil
	return err
}

func (p *process) kill() error {
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("killing HAProxy: %w", err)
	}
	<-p.ended
	return nil
}
