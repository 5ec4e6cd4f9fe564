package prom

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/api"
	apiv1 "github.com/prometheus/client_golang/api/prometheus/v1"
)

// patience is how long a server may take to be ready, and to end.
const patience = 30 * time.Second

// Options of a server.
type Options struct {
	Programs Programs
	// Dir holds the configuration, the data and the log; it is made where it is not there.
	Dir string
	// Discover is the URL of an HTTP service discovery that says what is scraped; empty, nothing is. Prometheus asks it every second, and takes up what
	// changed every five.
	Discover string
	// Every is the scrape interval; 1 s where 0.
	Every time.Duration
	// User and Password that the server demands; nothing where User is empty.
	User, Password string
	// TLS serves https, with a certificate for 127.0.0.1 by an authority of the server's own.
	TLS bool
}

// Server is a Prometheus on loopback, which keeps its port and its data when it is stopped and started again.
type Server struct {
	options   Options
	port      int
	authority *authority
	client    *http.Client

	mu      sync.Mutex
	process *process
}

// process is one life of the server; ended is closed when it is over, after why was set.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{}
	why   error
}

// New writes the configuration of a server; Start starts it.
func New(o Options) (*Server, error) {
	if o.Every == 0 {
		o.Every = time.Second
	}
	s := &Server{options: o}
	var err error
	if s.port, err = freePort(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the folder of a Prometheus: %w", err)
	}
	config := fmt.Sprintf("global: {scrape_interval: %[1]dms, scrape_timeout: %[1]dms}\n", o.Every.Milliseconds())
	if o.Discover != "" {
		config += fmt.Sprintf("scrape_configs:\n- job_name: apps\n  http_sd_configs: [{url: %q, refresh_interval: 1s}]\n", o.Discover)
	}
	if err := os.WriteFile(s.file("prometheus.yml"), []byte(config), 0o600); err != nil {
		return nil, fmt.Errorf("configuring a Prometheus: %w", err)
	}
	if err := s.writeWeb(); err != nil {
		return nil, fmt.Errorf("configuring a Prometheus: %w", err)
	}
	s.client = s.newClient()
	return s, nil
}

func (s *Server) file(name string) string { return filepath.Join(s.options.Dir, name) }

// Start starts the server, again on the same port and data, and waits until it is ready.
func (s *Server) Start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil {
		return errors.New("starting a Prometheus that runs")
	}
	p, err := s.begin()
	if err != nil {
		return fmt.Errorf("starting Prometheus: %w", err)
	}
	s.process = p
	if err := s.ready(ctx, p); err != nil {
		err = fmt.Errorf("starting Prometheus on %s: %w; its log ends:\n%s", s.URL(), err, s.Log())
		return errors.Join(err, s.end(ctx))
	}
	return nil
}

// begin starts the process, which ends with us however we end. The kernel sends that signal when the thread that started the child is gone, so
// one thread is kept for it.
func (s *Server) begin() (*process, error) {
	log, err := os.OpenFile(s.file("log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(s.options.Programs.Prometheus, "--config.file="+s.file("prometheus.yml"), "--web.config.file="+s.file("web.yml"),
		"--web.listen-address="+s.address(), "--storage.tsdb.path="+s.file("data"))
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.options.Dir, log, log
	// Without the caller's proxies, which would break calls to loopback.
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.options.Dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	p, started := &process{cmd: cmd, ended: make(chan struct{})}, make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer log.Close()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		p.why = cmd.Wait()
		close(p.ended)
	}()
	return p, <-started
}

// ready waits until the server answers that it is.
func (s *Server) ready(ctx context.Context, p *process) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL()+"/-/ready", nil)
		if err != nil {
			return err
		}
		res, err := s.client.Do(req)
		if err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return nil
			}
			err = fmt.Errorf("it answers %s", res.Status)
		}
		select {
		case <-p.ended:
			return fmt.Errorf("it ended by itself: %w", p.why)
		case <-ctx.Done():
			return fmt.Errorf("it is not ready after %s: %w", patience, err)
		case <-tick.C:
		}
	}
}

// Stop ends the server, as a person does who means it well, and waits until it is gone. One that does not run is left alone.
func (s *Server) Stop(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.end(ctx)
}

func (s *Server) end(ctx context.Context) error {
	p := s.process
	if p == nil {
		return nil
	}
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return fmt.Errorf("ending Prometheus: %w", err)
		}
		select {
		case <-p.ended:
			s.process = nil
			return nil
		case <-ctx.Done():
			return fmt.Errorf("ending Prometheus: %w", context.Cause(ctx))
		case <-time.After(patience):
		}
	}
	return fmt.Errorf("ending Prometheus: process %d still runs after SIGKILL", p.cmd.Process.Pid)
}

func (s *Server) address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// URL of the server: what comes before /api/v1.
func (s *Server) URL() string {
	if s.options.TLS {
		return "https://" + s.address()
	}
	return "http://" + s.address()
}

// PID of the server's process; 0 while there is none.
func (s *Server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return 0
	}
	return s.process.cmd.Process.Pid
}

// CA is the certificate of the authority that signed the server's, in PEM; empty without TLS.
func (s *Server) CA() string {
	if s.authority == nil {
		return ""
	}
	return s.authority.pem
}

// Log is the end of what the server wrote.
func (s *Server) Log() string {
	data, err := os.ReadFile(s.file("log"))
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimRight(string(data), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-20):], "\n")
}

// Client calls the server with what it demands. There is one: a Prometheus bears 512 connections and no more.
func (s *Server) Client() *http.Client { return s.client }

func (s *Server) newClient() *http.Client {
	transport := &http.Transport{IdleConnTimeout: patience}
	if s.authority != nil {
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM([]byte(s.authority.pem))
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	return &http.Client{Transport: &authenticated{s.options.User, s.options.Password, transport}}
}

// API asks the server by Prometheus's own client.
func (s *Server) API() (apiv1.API, error) {
	client, err := api.NewClient(api.Config{Address: s.URL(), Client: s.Client()})
	if err != nil {
		return nil, fmt.Errorf("making a client of %s: %w", s.URL(), err)
	}
	return apiv1.NewAPI(client), nil
}

// authenticated adds a user and a password to requests.
type authenticated struct {
	user, password string
	*http.Transport
}

func (a *authenticated) RoundTrip(req *http.Request) (*http.Response, error) {
	if a.user != "" {
		req = req.Clone(req.Context())
		req.SetBasicAuth(a.user, a.password)
	}
	return a.Transport.RoundTrip(req)
}

// freePort is one below the range that Linux hands to outgoing connections, so that a server that is down does not lose it to somebody's connection.
func freePort() (int, error) {
	for range 1000 {
		port := 20000 + rand.IntN(12000) // #nosec G404 -- any will do.
		l, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			return port, l.Close()
		}
	}
	return 0, errors.New("no free port between 20000 and 32000 on 127.0.0.1; end what holds them")
}
