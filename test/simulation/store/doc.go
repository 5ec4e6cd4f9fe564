// Package store is an API server in memory, good enough to run our controllers against: it has resource versions that conflict, generations,
// status subresources, finalizers and grace periods, preconditions, garbage collection by owner references, JSON, merge and strategic merge
// patches, selectors, watches with bookmarks that can be too old, and of CustomResourceDefinitions the schema itself: defaults, pruning,
// validation and CEL rules.
//
// A Store is an http.RoundTripper: generated clients talk to it as they do to a server, with no socket in between and in the goroutine of the
// caller. It is deterministic: UIDs and generated names come from a seed, times from the clock that it is given.
//
// What it does not have answers 501 and says so, rather than doing half: server-side apply, foreground deletion, deletion of namespaces and
// of collections, paged and exact lists. There is no authentication, authorisation or admission, and of the built-in kinds only those that
// our controllers use are served, with the checks that they may meet.
//
// Facts come from k8s.io/apiserver and k8s.io/apiextensions-apiserver; each that we rely on is a sentence of the suite in package storetest,
// which runs against this store and against a real API server.
package store
