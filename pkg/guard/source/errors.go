package source

import "errors"

// ErrUnknown means that there is no source of a name.
var ErrUnknown = errors.New("no such metric source")

// QueryError says that it is the query that is wrong, and not its source.
type QueryError struct{ Err error }

// Error implements error.
func (e *QueryError) Error() string { return e.Err.Error() }

// Unwrap gives what the source said.
func (e *QueryError) Unwrap() error { return e.Err }
