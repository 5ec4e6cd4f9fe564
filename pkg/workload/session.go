package workload

import (
	"context"

	"k8s.io/client-go/tools/cache"

	"github.com/periplus-dev/periplus/pkg/fleet"
)

// Session is what an adapter needs of its access to one member. A *fleet.Session is one; the methods and what they promise are described there.
type Session interface {
	Reachability() fleet.Reachability
	Informer(key string, make func(fleet.Clients) cache.SharedIndexInformer) (inf cache.SharedIndexInformer, synced bool)
	InformerError(key string) error
	Do(ctx context.Context, what string, fn func(ctx context.Context, c fleet.Clients) error) error
}

var _ Session = (*fleet.Session)(nil)
