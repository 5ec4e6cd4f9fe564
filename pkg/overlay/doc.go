// Package overlay lets a controller read its own writes. An informer lags behind what was just written; a controller that counts what is
// available in a stale cache would take one pod too many. A Store remembers the objects that writes returned until the informer has them.
//
// It is exact where it can be: events that arrive while a write is under way are kept, so that an answer that comes after the event, or after the
// object is already deleted, leaves nothing behind. What it cannot know, it names as doubtful, for the caller to ask the API server about: a write
// whose answer got lost, and a memory that the informer did not catch up with in DoubtAfter. So nothing that is remembered can leak and
// freeze a controller, and no limit is judged on a guess.
//
// It imports only apimachinery.
package overlay
