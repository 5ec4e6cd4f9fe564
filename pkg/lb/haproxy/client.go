package haproxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"
)

const (
	// timeout of one command. HAProxy itself closes the socket after 10 s.
	timeout = 5 * time.Second
	// warning is the severity of syslog from which on, downward, an answer says that the command was not done.
	warning = 4
)

// ErrBusy is the error of Remove where the server still has sessions, connections or a queue: look again.
var ErrBusy = errors.New("the server still has connections")

// Client asks one HAProxy about one backend. Its methods may be called from several goroutines; each is one connection, and at most one is open at
// a time, for HAProxy takes 10 on all its sockets by default.
type Client struct {
	network, address, backend string
	turn                      chan struct{}
}

// New returns a client of the runtime API at socket: the path of a unix socket, or host:port. host must be an address of loopback: whoever reaches
// the runtime API rules HAProxy, without a password.
func New(socket, backend string) (*Client, error) {
	c := &Client{network: "unix", address: strings.TrimPrefix(socket, "unix:"), backend: backend, turn: make(chan struct{}, 1)}
	switch {
	case !plain(backend):
		return nil, fmt.Errorf("backend %q: want the name of a backend in HAProxy's configuration", backend)
	case c.address == "":
		return nil, errors.New("socket: want the path of a unix socket or host:port")
	case !strings.Contains(c.address, "/"):
		c.network, c.address = "tcp", strings.TrimPrefix(c.address, "tcp:")
		to, err := netip.ParseAddrPort(c.address)
		if err != nil {
			return nil, fmt.Errorf("socket %q: want the path of a unix socket or address:port: %w", socket, err)
		}
		if !to.Addr().IsLoopback() {
			return nil, fmt.Errorf("socket %q: want a unix socket or an address of loopback: the runtime API has no password", socket)
		}
	}
	return c, nil
}

// Look returns the process and the servers of the backend as they are now.
func (c *Client) Look(ctx context.Context) (Seen, error) {
	info, err := c.do(ctx, "show info")
	if err != nil {
		return Seen{}, err
	}
	state, err := c.do(ctx, "show servers state "+c.backend)
	if err != nil {
		return Seen{}, err
	}
	seen, id, err := parse(info, state)
	if err == nil && id != "" {
		var stat string
		// By its id: of a frontend and a backend with the same name, show stat takes the frontend.
		if stat, err = c.do(ctx, "show stat "+id+" 4 -1"); err != nil {
			return Seen{}, err
		}
		err = seen.addSessions(stat)
	}
	if err != nil {
		return Seen{}, fmt.Errorf("looking at backend %s of HAProxy at %s: %w", c.backend, c.address, err)
	}
	return seen, nil
}

// Add adds a server, in maintenance. options are more words of a server line, such as "check inter 1s". A server of that name that is there already is
// no error: look at it.
func (c *Client) Add(ctx context.Context, name string, to netip.AddrPort, options string) error {
	err := c.about(ctx, "add server", name, to.String()+" "+options)
	if isRefused(err, "Already exists") {
		return nil
	}
	return err
}

// Enable has HAProxy forward to a server. With check it is checked from now on, unless it was added without that option.
func (c *Client) Enable(ctx context.Context, name string, check bool) error {
	if check {
		if err := c.about(ctx, "enable health", name, ""); err != nil && !isRefused(err, "Health check was not configured") {
			return err
		}
	}
	return c.about(ctx, "set server", name, "state ready")
}

// Drain gives a server no new sessions; those that it has go on.
func (c *Client) Drain(ctx context.Context, name string) error {
	return c.about(ctx, "set server", name, "state drain")
}

// Remove takes a server out. It returns ErrBusy where sessions are left; the server is in maintenance then. One that is not there is no error.
func (c *Client) Remove(ctx context.Context, name string) error {
	return c.remove(ctx, name, false)
}

// Cut is Remove that ends the sessions which are left. They end a moment later, so that ErrBusy is likely: look again and Remove.
func (c *Client) Cut(ctx context.Context, name string) error {
	return c.remove(ctx, name, true)
}

func (c *Client) remove(ctx context.Context, name string, cut bool) error {
	err := c.about(ctx, "set server", name, "state maint")
	if err == nil && cut {
		err = c.about(ctx, "shutdown sessions server", name, "")
	}
	if err == nil {
		err = c.about(ctx, "del server", name, "")
	}
	switch {
	case isRefused(err, "No such server"):
		return nil
	case isRefused(err, "Server still has"):
		return fmt.Errorf("%w: %w", ErrBusy, err)
	}
	return err
}

func (c *Client) about(ctx context.Context, command, name, rest string) error {
	if !plain(name) {
		return fmt.Errorf("server %q: HAProxy's names are made of letters, digits, '-', '_', '.' and ':'", name)
	}
	_, err := c.do(ctx, strings.TrimSpace(command+" "+c.backend+"/"+name+" "+rest))
	return err
}

// plain tells whether HAProxy takes a name (invalid_char in its sources), which also keeps a second command out of the line.
func plain(name string) bool {
	for _, r := range name {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-_.:", r) {
			return false
		}
	}
	return name != ""
}

// refusedError is an answer that says no.
type refusedError struct{ command, answer string }

// isRefused tells whether HAProxy refused a command with an answer that begins so.
func isRefused(err error, answer string) bool {
	var refused *refusedError
	return errors.As(err, &refused) && strings.HasPrefix(refused.answer, answer)
}

func (e *refusedError) Error() string {
	if strings.HasPrefix(e.answer, "Permission denied") {
		return fmt.Sprintf("HAProxy refused %q: %s; its line `stats socket` needs `level admin`", e.command, e.answer)
	}
	return fmt.Sprintf("HAProxy refused %q: %s", e.command, e.answer)
}

// do sends one command and returns the answer, or a refusedError.
func (c *Client) do(ctx context.Context, command string) (string, error) {
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, c.network, c.address)
	if err != nil {
		return "", fmt.Errorf("reaching HAProxy: %w", err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if _, err := io.WriteString(conn, "set severity-output number; "+command+"\n"); err != nil {
		return "", fmt.Errorf("telling HAProxy at %s %q: %w", c.address, command, err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		return "", fmt.Errorf("asking HAProxy at %s %q: %w", c.address, command, err)
	}
	if len(answer) == 0 {
		return "", fmt.Errorf("asking HAProxy at %s %q: it closed the socket without an answer", c.address, command)
	}
	text := strings.TrimSpace(string(answer))
	// Two answers, one line each that is empty where there is nothing to be said; refusals begin with their severity in brackets.
	if len(text) > 4 && text[0] == '[' && text[2] == ']' && text[1] <= '0'+warning {
		return "", &refusedError{command: command, answer: strings.TrimSpace(text[4:])}
	}
	if strings.Contains(text[:min(len(text), 30)], "Unknown command") {
		return "", &refusedError{command: command, answer: "it does not know the command; version 2.6 or later is needed"}
	}
	return text, nil
}
