package book

import (
	"context"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"
)

// probesAtOnce is how many servers of one source are asked at once.
const probesAtOnce = 16

// Probed is whether one server of a source answers.
type Probed struct {
	// Where it stands in the spec, with the members that it is for.
	Where string
	// Err says why it does not answer; nil where it does.
	Err error
}

// Probe asks every server of a source the least there is, with its credentials: spec.prometheus first, then the overrides. An error says that the source itself
// is not there or not right.
func (b *Book) Probe(ctx context.Context, name string) ([]Probed, error) {
	p, err := b.page(name)
	if err != nil {
		return nil, err
	}
	out := make([]Probed, 1+len(p.spec.Members))
	var group errgroup.Group
	group.SetLimit(probesAtOnce)
	for i := range out {
		entry := i + generally
		out[i].Where = p.where(entry)
		if entry != generally {
			if names := p.spec.Members[entry].Names; len(names) > 0 {
				out[i].Where += fmt.Sprintf(" (%s)", few(names))
			}
		}
		group.Go(func() error {
			s, err := b.server(ctx, p, entry)
			if err == nil {
				err = s.client.Probe(ctx)
				(&lent{server: s, book: b}).heed(err)
			}
			out[i].Err = err
			return nil
		})
	}
	return out, group.Wait()
}

// few names the first of many.
func few(names []string) string {
	const most = 3
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}
