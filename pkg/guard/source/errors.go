package source

import "errors"

// ErrUnknown means that there is no source of a name.
var ErrUnknown = errors.New("no such metric source")
