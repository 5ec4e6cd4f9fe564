package fleet

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// call is one call that has a place.
type call struct {
	conn    Connection
	clients Clients
	up      context.Context
}

// begin takes a place for a call, or says why there is none.
func (m *member) begin(s *Session) (call, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.reach.State == Unreachable || (m.conn == nil && m.reach.Reason != ReasonNotContacted) {
		return call{}, m.unreachable()
	}
	if m.conn == nil {
		return call{}, &busyError{member: m.name, why: "the first contact is under way"}
	}
	if m.calls >= m.fleet.opts.CallsPerMember {
		m.waiting[s] = struct{}{}
		return call{}, &busyError{member: m.name, why: "as many calls as one member may have are under way"}
	}
	m.calls++
	return call{conn: m.conn, clients: m.clients, up: m.up}, nil
}

// end gives a place back and wakes those who found none.
func (m *member) end() {
	m.mu.Lock()
	m.calls--
	waiting := m.waiting
	m.waiting = map[*Session]struct{}{}
	m.mu.Unlock()
	for s := range waiting {
		s.callWake()
	}
}

type busyError struct{ member, why string }

func (e *busyError) Error() string { return "member \"" + e.member + "\" is busy: " + e.why }
func (e *busyError) Unwrap() error { return ErrBusy }

// unreachable describes the present state. m.mu is held.
func (m *member) unreachable() error {
	return &UnreachableError{Member: m.name, Since: m.reach.Since, Err: errors.New(m.reach.Message)}
}

// suspect marks the member unreachable because a call over conn got no answer, and has the heartbeat find out. It returns what the
// caller is to be told.
func (m *member) suspect(conn Connection, what string, err error) *UnreachableError {
	out := &UnreachableError{Member: m.name, Err: &cause{text: plain(err), err: err}}
	m.mu.Lock()
	if m.conn == conn && m.reach.State == Unreachable {
		// A heartbeat was faster: it cut the connection, and it knows the reason better than the call that was cut.
		out.Since, out.Err = m.reach.Since, &cause{text: m.reach.Message, err: err}
		m.mu.Unlock()
		return out
	}
	out.Since = m.fleet.opts.Clock.Now()
	if m.conn != conn || errors.Is(err, errCut) {
		// We ended the call ourselves: the credentials or the address changed, or the member is back already. It says nothing of now.
		m.mu.Unlock()
		return out
	}
	m.suspicion++
	changed := m.become(Unreachable, ReasonNotAnswering, what+": "+plain(err))
	sessions := m.everybody(changed)
	m.mu.Unlock()
	m.tell(changed, sessions)
	m.poke()
	return out
}

// cause is an error in words that do not change from one attempt to the next.
type cause struct {
	text string
	err  error
}

func (c *cause) Error() string { return c.text }
func (c *cause) Unwrap() error { return c.err }

// contact notes that the member answered.
func (m *member) contact() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reach.LastContact = m.fleet.opts.Clock.Now()
}

// outcome of a call, as the metric's attribute has it.
type outcome string

const (
	outcomeOK           outcome = "ok"
	outcomeRefused      outcome = "refused" // an API error below 500: the server has thought about it
	outcomeUnauthorized outcome = "unauthorized"
	outcomeServer       outcome = "server_error"
	outcomeTimeout      outcome = "timeout"
	outcomeConnection   outcome = "connection"
	outcomeCanceled     outcome = "canceled"
	outcomeBusy         outcome = "busy"
	outcomeSkipped      outcome = "unreachable" // not made, because the member is known to be unreachable
	outcomeOther        outcome = "other"       // fn's own error
)

func outcomeOf(err error) outcome {
	if errors.Is(err, ErrBusy) {
		return outcomeBusy
	}
	return outcomeSkipped
}

// judge says what the error of a call means for the member, and whether the member answered. ctx is the caller's, bounded the call's.
func judge(ctx, bounded context.Context, err error) (o outcome, answered bool) {
	var status apierrors.APIStatus
	switch {
	case err == nil:
		return outcomeOK, true
	case errors.As(err, &status):
		switch code := int(status.Status().Code); {
		case code == http.StatusUnauthorized:
			return outcomeUnauthorized, true
		case code >= http.StatusInternalServerError:
			return outcomeServer, false // a proxy before a dead API server says 502 and 503 too
		}
		return outcomeRefused, true
	case ctx.Err() != nil:
		return outcomeCanceled, false
	case errors.Is(context.Cause(bounded), errCut):
		return outcomeConnection, false
	case errors.Is(bounded.Err(), context.DeadlineExceeded):
		return outcomeTimeout, false
	case bounded.Err() != nil:
		return outcomeCanceled, false
	case isConnection(err):
		return outcomeConnection, false
	}
	return outcomeOther, false
}

// isAnswer says whether an error was given by the member's API after thinking about it, so that it says nothing of its health or of our
// credentials.
func isAnswer(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return false
	}
	code := status.Status().Code
	return code < http.StatusInternalServerError && code != http.StatusUnauthorized
}

func isConnection(err error) bool {
	var (
		u *url.Error
		n net.Error
	)
	return errors.As(err, &u) || errors.As(err, &n) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}
