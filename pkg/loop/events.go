package loop

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
)

// Handle hears an informer's events as objects of one type, and leaves others out. set is called for adds, with the zero value before, and for updates; gone also
// where the deletion itself was missed, with what was last known. An informer refuses handlers only once it was stopped.
func Handle[T any](informer cache.SharedIndexInformer, set func(before, now T), gone func(last T)) error {
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(object any) {
			if now, ok := object.(T); ok {
				var before T
				set(before, now)
			}
		},
		UpdateFunc: func(old, object any) {
			before, okBefore := old.(T)
			if now, ok := object.(T); ok && okBefore {
				set(before, now)
			}
		},
		DeleteFunc: func(object any) {
			if lost, ok := object.(cache.DeletedFinalStateUnknown); ok {
				object = lost.Obj
			}
			if last, ok := object.(T); ok {
				gone(last)
			}
		},
	})
	if err != nil {
		return fmt.Errorf("adding an event handler to an informer: %w", err)
	}
	return nil
}

// WithoutManagedFields is a transform of informers that drops what our controllers never read and is half of an object.
func WithoutManagedFields(object any) (any, error) {
	if o, ok := object.(metav1.Object); ok {
		o.SetManagedFields(nil)
	}
	return object, nil
}
