package source

import "errors"

// ErrUnknown means that there is no source of a name.
var ErrUnknown = errors.New("no such metric source")

// UnavailableError says that the hub could not say what is needed of a source just now. It passes by itself: nothing is known to be wrong.
type UnavailableError struct{ Err error }

// Error implements error.
func (e *UnavailableError) Error() string { return e.Err.Error() }

// Unwrap gives the hub's trouble.
func (e *UnavailableError) Unwrap() error { return e.Err }

// QueryError says that it is the query that is wrong, and not its source.
type QueryError struct{ Err error }

// Error implements error.
func (e *QueryError) Error() string { return e.Err.Error() }

// Unwrap gives what the source said.
func (e *QueryError) Unwrap() error { return e.Err }
