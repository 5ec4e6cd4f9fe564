package simulation

import (
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"

	"k8s.io/apimachinery/pkg/watch"

	"github.com/periplus-dev/periplus/test/simulation/store"
)

// errNoAnswer is a request that timed out. Whether a write landed is not known from it.
var errNoAnswer = errors.New("no answer came in time")

// fault is what breaks at one request.
type fault int

const (
	none fault = iota
	killedBefore
	killedAfter
	lostBefore
	lostAfter
	another
)

// wire is one life of a process's way to one cluster.
type wire struct {
	p    *process
	life int
	c    *cluster
	next http.RoundTripper
}

// through returns the way of this life of the process to a cluster.
func (p *process) through(c *cluster) func(http.RoundTripper) http.RoundTripper {
	life := p.life
	return func(next http.RoundTripper) http.RoundTripper {
		if plant := p.w.plant.Wire; plant != nil {
			next = plant(p.name, next)
		}
		return &wire{p: p, life: life, c: c, next: next}
	}
}

// deed is one write of ours that landed.
type deed struct {
	p     *process
	pass  pass
	site  string
	c     *cluster
	event store.Event
}

// RoundTrip implements http.RoundTripper.
func (t *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	w := t.p.w
	if !t.p.alive || t.p.life != t.life {
		return nil, errKilled
	}
	if t.c.cut && t.p.home != t.c { // what runs in a member has it at hand.
		return nil, errNoAnswer
	}
	r, err := t.c.api.Parse(req)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", req.Method, req.URL.Path, err)
	}
	if !r.Writes() {
		if w.faults && w.chance(w.rates.read) {
			w.logf("  read of %s %s: timed out", r.Kind.Resource, r.Name)
			return nil, errNoAnswer
		}
		w.rules.asked(t.c, r)
		return t.next.RoundTrip(req)
	}
	site := siteOf(r)
	w.reached[site] = true
	what := w.choose(t.p, site)
	switch what {
	case killedBefore:
		w.sites.kill(site, what)
		w.logf("  %s %s/%s: killed before it", site, t.c.name, r.Name)
		t.p.kill()
		return nil, errKilled
	case lostBefore:
		w.logf("  %s %s/%s: timed out, did not land", site, t.c.name, r.Name)
		return nil, errNoAnswer
	case another:
		w.interfere(t.c, r)
	}
	if no := w.refuses(req); no != nil {
		w.logf("  %s %s/%s: refused", site, t.c.name, r.Name)
		return no, nil
	}
	w.admit(t.c, r, req)
	from := t.c.api.Version()
	resp, err := t.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	w.logf("  %s %s/%s: %d", site, t.c.name, r.Name, resp.StatusCode)
	w.sites.seen(site, resp.StatusCode < 300)
	events, _ := t.c.api.Since(from)
	for _, e := range events {
		w.rules.check(deed{p: t.p, pass: t.p.current, site: site, c: t.c, event: e})
	}
	switch what {
	case killedAfter:
		w.sites.kill(site, what)
		w.logf("  killed after it")
		t.p.kill()
		_ = resp.Body.Close()
		return nil, errKilled
	case lostAfter:
		w.logf("  its answer timed out")
		_ = resp.Body.Close()
		return nil, errNoAnswer
	}
	return resp, nil
}

// siteOf names the place in our code that makes a write: the kind, the verb, and the two innermost functions of ours.
func siteOf(r *store.Request) string {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs)])
	var ours []string
	for len(ours) < 3 {
		f, more := frames.Next()
		if name, ok := ourFunction(f.Function); ok && (len(ours) == 0 || ours[len(ours)-1] != name) {
			ours = append(ours, name)
		}
		if !more {
			break
		}
	}
	verb := r.Verb
	if r.Subresource != "" {
		verb += "/" + r.Subresource
	}
	return r.Kind.Resource + " " + verb + " by " + strings.Join(ours, " < ")
}

func ourFunction(name string) (string, bool) {
	if i := strings.Index(name, "/reconciler/pipeline/v1beta1/customrun."); i >= 0 {
		name = "knative." + name[i+len("/reconciler/pipeline/v1beta1/customrun."):]
	} else {
		_, after, ok := strings.Cut(name, "periplus-dev/periplus/")
		if !ok || strings.HasPrefix(after, "pkg/client/") || strings.HasPrefix(after, "pkg/overlay") || strings.HasPrefix(after, "test/") || strings.Contains(after, "pkg/fleet") {
			return "", false
		}
		name = after[strings.LastIndex(after, "/")+1:]
	}
	for strings.Contains(name, ".func") { // a closure is where its function is.
		name = name[:strings.LastIndex(name, ".func")]
	}
	return name, true
}

// gone says whether an event took an object away.
func gone(e store.Event) bool { return e.Type == watch.Deleted }
