package book

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	fleetv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/fleet/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/guard/source"
	"github.com/periplus-dev/periplus/pkg/guard/source/prometheus"
)

// page is one generation of a MetricSource.
type page struct {
	uid        types.UID
	generation int64
	spec       fleetv1alpha1.MetricSourceSpec
	// selectors of spec.members; nil where an entry has none.
	selectors []labels.Selector
	// wrong says what is wrong with the spec.
	wrong error

	mu      sync.Mutex
	used    time.Time
	servers map[int]*server
}

// server is a client, and what it was made of.
type server struct {
	contents [sha256.Size]byte
	secrets  []string
	client   *prometheus.Source
}

// generally is the entry of members that no override chooses.
const generally = -1

func newPage(obj *fleetv1alpha1.MetricSource) *page {
	p := &page{uid: obj.UID, generation: obj.Generation, spec: *obj.Spec.DeepCopy(), servers: map[int]*server{}}
	p.spec.SetDefaults()
	p.wrong = p.spec.Validate(field.NewPath("spec")).ToAggregate()
	for i := range p.spec.Members {
		var s labels.Selector
		if given := p.spec.Members[i].Selector; given != nil && p.wrong == nil {
			s, p.wrong = metav1.LabelSelectorAsSelector(given)
		}
		p.selectors = append(p.selectors, s)
	}
	return p
}

func (p *page) terms() source.Terms {
	return source.Terms{Timeout: p.spec.Timeout.Duration, Lag: p.spec.Lag.Duration}
}

// entry is the first override that chooses a member.
func (p *page) entry(member string, memberLabels map[string]string) int {
	for i := range p.spec.Members {
		if slices.Contains(p.spec.Members[i].Names, member) || p.selectors[i] != nil && p.selectors[i].Matches(labels.Set(memberLabels)) {
			return i
		}
	}
	return generally
}

func (p *page) prometheus(entry int) *fleetv1alpha1.Prometheus {
	if entry == generally {
		return p.spec.Prometheus
	}
	return p.spec.Members[entry].Prometheus
}

// where names an entry in messages.
func (p *page) where(entry int) string {
	if entry == generally {
		return "spec.prometheus"
	}
	return fmt.Sprintf("spec.members[%d].prometheus", entry)
}

// server returns the client of an entry, made anew where the Secrets hold something else than when it was made.
func (b *Book) server(ctx context.Context, p *page, entry int) (*server, error) {
	spec := p.prometheus(entry)
	c, names, err := b.credentials(ctx, spec)
	if err != nil {
		return nil, err
	}
	contents := hash(&c)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used = b.clock.Now()
	old := p.servers[entry]
	if old != nil && old.contents == contents {
		return old, nil
	}
	client, err := prometheus.New(prometheus.Options{
		Address: spec.Address, Credentials: c, Matchers: spec.Matchers, Timeout: p.spec.Timeout.Duration, Clock: b.clock,
	})
	if err != nil {
		b.secrets.refuse(names)
		return nil, err
	}
	if old != nil {
		old.client.Close()
	}
	p.servers[entry] = &server{contents: contents, secrets: names, client: client}
	return p.servers[entry], nil
}

// credentials reads what the Secrets of an entry hold.
func (b *Book) credentials(ctx context.Context, spec *fleetv1alpha1.Prometheus) (c prometheus.Credentials, names []string, err error) {
	read := func(into **prometheus.Secret, ref *fleetv1alpha1.SecretKey) {
		if err != nil || ref == nil {
			return
		}
		names = append(names, ref.Name)
		*into, err = b.secrets.key(ctx, ref)
	}
	read(&c.BearerToken, spec.BearerToken)
	if a := spec.BasicAuth; a != nil {
		c.Username = a.Username
		read(&c.Password, &a.Password)
	}
	if t := spec.TLS; t != nil {
		c.ServerName, c.InsecureSkipVerify = t.ServerName, t.InsecureSkipVerify
		read(&c.CA, t.CA)
		read(&c.Certificate, t.Certificate)
		read(&c.PrivateKey, t.PrivateKey)
	}
	return c, names, err
}

// hash tells what Secrets hold from what they held.
func hash(c *prometheus.Credentials) [sha256.Size]byte {
	h := sha256.New()
	for _, s := range []*prometheus.Secret{c.BearerToken, c.Password, c.CA, c.Certificate, c.PrivateKey} {
		var v []byte
		if s != nil {
			v = s.Value
		}
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(v)))
		_, _ = h.Write(n[:])
		_, _ = h.Write(v)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

func (p *page) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.servers {
		s.client.Close()
	}
	clear(p.servers)
}
