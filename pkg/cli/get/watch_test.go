package get

import "k8s.io/apimachinery/pkg/watch"

type watchInterface = watch.Interface

// endingWatch is a watch without events that ends when told.
type endingWatch struct{ events chan watch.Event }

func newEndingWatch(down <-chan struct{}) *endingWatch {
	w := &endingWatch{events: make(chan watch.Event)}
	go func() {
		<-down
		close(w.events)
	}()
	return w
}

func (w *endingWatch) ResultChan() <-chan watch.Event { return w.events }

func (*endingWatch) Stop() {}
