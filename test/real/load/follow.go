package load

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// Follow has a set of addresses follow the EndpointSlices of a Service, until the context ends. It returns when it knows those that are there.
func Follow(ctx context.Context, client kubernetes.Interface, namespace, service string, port int, followed *Followed) error {
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(namespace), informers.WithTweakListOptions(func(o *metav1.ListOptions) {
		o.LabelSelector = discoveryv1.LabelServiceName + "=" + service
	}))
	slicesOf := factory.Discovery().V1().EndpointSlices()
	look := func() {
		all, err := slicesOf.Lister().List(labels.Everything())
		if err != nil {
			return // a list of what is in memory does not fail.
		}
		addresses := ready(all)
		for i, a := range addresses {
			addresses[i] = net.JoinHostPort(a, strconv.Itoa(port))
		}
		slices.Sort(addresses)
		followed.Set(addresses)
	}
	handler := cache.ResourceEventHandlerFuncs{AddFunc: func(any) { look() }, UpdateFunc: func(_, _ any) { look() }, DeleteFunc: func(any) { look() }}
	if _, err := slicesOf.Informer().AddEventHandler(handler); err != nil {
		return fmt.Errorf("following the EndpointSlices of Service %s/%s: %w", namespace, service, err)
	}
	factory.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), slicesOf.Informer().HasSynced) {
		return fmt.Errorf("following the EndpointSlices of Service %s/%s: %w", namespace, service, context.Cause(ctx))
	}
	return nil
}
