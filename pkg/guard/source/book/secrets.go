package book

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	fleetv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/fleet/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/guard/source"
	"github.com/periplus-dev/periplus/pkg/guard/source/prometheus"
)

const (
	// secretAge is how old what is known of a Secret grows before it is read again.
	secretAge = time.Minute
	// readPause is the least time between two reads of a Secret, however often it is refused or missing.
	readPause = 5 * time.Second
	// readTimeout of one read.
	readTimeout = 5 * time.Second
	// unusedAge is how long what nobody asks for is kept.
	unusedAge = 10 * time.Minute
)

// SecretReader reads Secrets of the namespace that Periplus runs in. A client of client-go for that namespace is one.
type SecretReader interface {
	Get(ctx context.Context, name string, opts metav1.GetOptions) (*corev1.Secret, error)
}

// secrets are what is known of Secrets.
type secrets struct {
	reader    SecretReader
	namespace string
	clock     clock.PassiveClock
	flight    singleflight.Group

	mu    sync.Mutex
	known map[string]*known
}

// known is what a Secret held when it was read, or why that is not known.
type known struct {
	read    time.Time
	used    time.Time
	refused bool
	data    map[string][]byte
	err     error
}

// key returns what a key of a Secret holds, read within the context's time. nil where none is asked for.
func (s *secrets) key(ctx context.Context, ref *fleetv1alpha1.SecretKey) (*prometheus.Secret, error) {
	if ref == nil {
		return nil, nil
	}
	data, err := s.get(ctx, ref.Name)
	if err != nil {
		return nil, err
	}
	v := data[ref.Key]
	if len(v) == 0 {
		s.refuse([]string{ref.Name})
		return nil, fmt.Errorf("the Secret %s/%s has nothing under the key %s", s.namespace, ref.Name, ref.Key)
	}
	return &prometheus.Secret{Value: v, From: fmt.Sprintf("Secret %s, key %s", ref.Name, ref.Key)}, nil
}

func (s *secrets) get(ctx context.Context, name string) (map[string][]byte, error) {
	if k := s.fresh(name); k != nil {
		return k.data, k.err
	}
	// A read goes on when whoever began it waits no longer: others may wait for it, or come for it later.
	flight := s.flight.DoChan(name, func() (any, error) {
		if k := s.fresh(name); k != nil {
			return k, nil
		}
		ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
		defer cancel()
		secret, err := s.reader.Get(ctx, name, metav1.GetOptions{})
		return s.learn(name, secret, err), nil
	})
	select {
	case landed := <-flight:
		k, ok := landed.Val.(*known)
		if !ok {
			return nil, fmt.Errorf("reading Secret %s/%s: nothing came back", s.namespace, name)
		}
		return k.data, k.err
	case <-ctx.Done():
		return nil, &source.UnavailableError{Err: fmt.Errorf("reading Secret %s/%s: the hub did not answer in time: %w", s.namespace, name, ctx.Err())}
	}
}

// fresh returns what is known if it need not be read again, or must not yet.
func (s *secrets) fresh(name string) *known {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, now := s.known[name], s.clock.Now()
	if k == nil {
		return nil
	}
	k.used = now
	age := now.Sub(k.read)
	if age < readPause || (age < secretAge && k.err == nil && !k.refused) {
		return k
	}
	return nil
}

func (s *secrets) learn(name string, secret *corev1.Secret, err error) *known {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock.Now()
	next := &known{read: now, used: now}
	old := s.known[name]
	switch {
	case err == nil:
		next.data = secret.Data
	case apierrors.IsNotFound(err):
		next.err = fmt.Errorf("the Secret %s/%s does not exist: create it, or name another", s.namespace, name)
	case old != nil && old.err == nil:
		// The hub's trouble says nothing of the Secret; what we have may well be right still.
		next.data, next.refused = old.data, old.refused
	default:
		next.err = fmt.Errorf("reading Secret %s/%s: %w", s.namespace, name, err)
		if passes(err) {
			next.err = &source.UnavailableError{Err: next.err}
		}
	}
	s.known[name] = next
	for n, k := range s.known {
		if now.Sub(k.used) > unusedAge {
			delete(s.known, n)
		}
	}
	return next
}

// passes says whether an error of the hub's API server passes by itself. What it refuses for what we asked, or for who we are, somebody must mend.
func passes(err error) bool {
	var said apierrors.APIStatus
	if !errors.As(err, &said) {
		return true // no answer at all.
	}
	switch code := said.Status().Code; code {
	case http.StatusRequestTimeout, http.StatusTooManyRequests:
		return true
	default:
		return code < 400 || code > 499
	}
}

// refuse says that what Secrets hold is of no use: they are read again before they are believed again.
func (s *secrets) refuse(names []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range names {
		if k := s.known[n]; k != nil {
			k.refused = true
		}
	}
}
