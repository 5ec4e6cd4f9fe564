package fleet

import (
	"errors"
	"fmt"
	"time"
)

var (
	// ErrUnknownMember is returned where no Member of that name is on the hub.
	ErrUnknownMember = errors.New("no such Member on the hub")

	// ErrBusy is returned by [Session.Do] when it would have to wait: all calls that one member may have at once are taken, or
	// the first contact with the member is under way. The session is woken when trying again makes sense.
	ErrBusy = errors.New("busy")

	// ErrClosed is returned where the session was closed, or the Fleet stopped.
	ErrClosed = errors.New("closed")
)

// UnreachableError says that a member cannot be worked with, since when, and why.
type UnreachableError struct {
	Member string
	// Since is when the member became unreachable; zero where it has never been reached by this process.
	Since time.Time
	// Err is the cause.
	Err error
}

// Error implements error.
func (e *UnreachableError) Error() string {
	if e.Since.IsZero() {
		return fmt.Sprintf("member %q cannot be reached: %v", e.Member, e.Err)
	}
	return fmt.Sprintf("member %q cannot be reached since %s: %v", e.Member, e.Since.UTC().Format(time.RFC3339), e.Err)
}

// Unwrap returns the cause.
func (e *UnreachableError) Unwrap() error { return e.Err }
