package book

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/clock"

	fleetv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/fleet/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	listers "github.com/periplus-dev/periplus/pkg/client/listers/fleet/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/guard"
	"github.com/periplus-dev/periplus/pkg/guard/source"
	"github.com/periplus-dev/periplus/pkg/guard/source/prometheus"
	"github.com/periplus-dev/periplus/pkg/spelling"
)

// Options of a Book; all are required.
type Options struct {
	Sources listers.MetricSourceLister
	// Secrets of the namespace that Periplus runs in, and Namespace its name.
	Secrets   SecretReader
	Namespace string
	// Pods is the source of the name v1alpha1.SourcePods.
	Pods  source.Source
	Clock clock.PassiveClock
}

// Book of sources. It is safe for use by many goroutines.
type Book struct {
	sources listers.MetricSourceLister
	pods    source.Source
	clock   clock.PassiveClock
	secrets secrets

	mu    sync.Mutex
	pages map[string]*page
}

var _ source.Book = (*Book)(nil)

// New returns a Book. It reads nothing before it is asked.
func New(o Options) *Book {
	return &Book{
		sources: o.Sources, pods: o.Pods, clock: o.Clock, pages: map[string]*page{},
		secrets: secrets{reader: o.Secrets, namespace: o.Namespace, clock: o.Clock, known: map[string]*known{}},
	}
}

// Find implements source.Book. It may read Secrets from the hub's API server, each at most every five seconds, and waits five seconds for each at most.
func (b *Book) Find(ctx context.Context, name, member string, memberLabels map[string]string) (source.Source, error) {
	if name == v1alpha1.SourcePods {
		return b.pods, nil
	}
	p, err := b.page(name)
	if err != nil {
		return nil, err
	}
	entry := p.entry(member, memberLabels)
	s, err := b.server(ctx, p, entry)
	if err != nil {
		return nil, fmt.Errorf("MetricSource %s, %s: %w", name, p.where(entry), err)
	}
	return &lent{server: s, book: b}, nil
}

// Terms implements source.Book.
func (b *Book) Terms(name string) source.Terms {
	if name == v1alpha1.SourcePods {
		return source.Terms{Timeout: fleetv1alpha1.DefaultMetricTimeout}
	}
	p, err := b.page(name)
	if err != nil {
		return source.Terms{}
	}
	return p.terms()
}

// page returns the present generation of a MetricSource.
func (b *Book) page(name string) (*page, error) {
	obj, err := b.sources.Get(name)
	if apierrors.IsNotFound(err) {
		b.Forget(name)
		return nil, b.unknown(name)
	}
	if err != nil {
		return nil, fmt.Errorf("looking up MetricSource %s: %w", name, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.clock.Now()
	for n, p := range b.pages {
		p.mu.Lock()
		unused := now.Sub(p.used) > unusedAge
		p.mu.Unlock()
		if unused {
			p.close()
			delete(b.pages, n)
		}
	}
	p := b.pages[name]
	if p == nil || p.uid != obj.UID || p.generation != obj.Generation {
		if p != nil {
			p.close()
		}
		p = newPage(obj)
		p.used = now
		b.pages[name] = p
	}
	if p.wrong != nil {
		return nil, fmt.Errorf("MetricSource %s: %w", name, p.wrong)
	}
	return p, nil
}

func (b *Book) unknown(name string) error {
	names := []string{v1alpha1.SourcePods}
	if all, err := b.sources.List(labels.Everything()); err == nil {
		for _, s := range all {
			names = append(names, s.Name)
		}
	}
	slices.Sort(names)
	if near := spelling.Nearest(name, names); near != "" {
		return fmt.Errorf("%w: %q; %q is meant?", source.ErrUnknown, name, near)
	}
	return fmt.Errorf("%w: %q; create a MetricSource of that name", source.ErrUnknown, name)
}

// Forget drops the clients of a source that is gone.
func (b *Book) Forget(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p := b.pages[name]; p != nil {
		p.close()
		delete(b.pages, name)
	}
}

// lent is a source as it is given out: a refusal of its credentials lets their Secrets be read again.
type lent struct {
	server *server
	book   *Book
}

// Check implements source.Source.
func (l *lent) Check(query string, window time.Duration, ranged *v1alpha1.MetricRange) error {
	return l.server.client.Check(query, window, ranged)
}

// Ask implements source.Source.
func (l *lent) Ask(ctx context.Context, q source.Question) ([]guard.Series, error) {
	out, err := l.server.client.Ask(ctx, q)
	l.heed(err)
	return out, err
}

func (l *lent) heed(err error) {
	if errors.Is(err, prometheus.ErrCredentials) {
		l.book.secrets.refuse(l.server.secrets)
	}
}
