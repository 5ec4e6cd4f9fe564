// Package book finds metric sources by their names: the source that is always there, and MetricSources with the credentials that their Secrets hold.
//
// MetricSources come from an informer. Secrets are read one by one, from the one namespace that the published RBAC lets us read: there is no watch, since to watch
// Secrets is to be given all of them. A Secret is read again when a source is asked for and what is known is a minute old, and at once, but not more than every five
// seconds, after a server refused what it holds. So a change counts within a minute without a restart. While the hub cannot be read, what was known goes on.
//
// A client is made once for a source, its generation and what its Secrets hold, and then shared with its connections by all who ask; it is dropped when one of these
// changed, when its source is gone, or when nobody asked for ten minutes. Nothing else is kept.
//
// It imports the contract and the kinds of sources (pkg/guard/source and below), pkg/apis and the generated listers.
package book
