package boot

import (
	"context"
	"slices"
	"sync"
)

// ends are what is to be done once the controllers have drained. They are done once.
type ends struct {
	mu  sync.Mutex
	fns []func()
}

type endsKey struct{}

func withEnds(ctx context.Context) (context.Context, *ends) {
	e := &ends{}
	return context.WithValue(ctx, endsKey{}, e), e
}

func (e *ends) run() {
	e.mu.Lock()
	fns := e.fns
	e.fns = nil
	e.mu.Unlock()
	for _, fn := range slices.Backward(fns) {
		fn()
	}
}

// AtEnd has fn called when the binary ends, after every controller finished the keys that it was working on: what reconcilers work with must
// not go away under them, as it would if it ended with the context of their constructors. The last one asked for is called first. ctx is the
// one given to a controller's constructor by Run; under any other, as in tests, fn is called when ctx ends.
func AtEnd(ctx context.Context, fn func()) {
	e, ok := ctx.Value(endsKey{}).(*ends)
	if !ok {
		context.AfterFunc(ctx, fn)
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.fns = append(e.fns, fn)
}
