package localfleet

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
)

// heartbeat is the longest silence while something is under way.
const heartbeat = 10 * time.Second

// Progress prints what is under way, one line an event, and a line now and then while nothing happens.
type Progress struct {
	mu      sync.Mutex
	out     io.Writer
	now     func() time.Time
	began   time.Time
	spoke   time.Time
	running map[string]time.Time
	stop    chan struct{}
	done    sync.WaitGroup
}

// newProgress starts the heartbeat; Close ends it.
func newProgress(out io.Writer) *Progress {
	now := time.Now()
	p := &Progress{out: out, now: time.Now, began: now, spoke: now, running: map[string]time.Time{}, stop: make(chan struct{})}
	p.done.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-p.stop:
				return
			case <-tick.C:
				p.beat()
			}
		}
	})
	return p
}

// Close ends the heartbeat.
func (p *Progress) Close() {
	close(p.stop)
	p.done.Wait()
}

// Say prints one line, with the time since the start before it.
func (p *Progress) Say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.line(fmt.Sprintf(format, args...))
}

// Begin says that something starts, unless what is empty of interest; the returned function says how it ended.
func (p *Progress) Begin(what string) func(result string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	start := p.now()
	p.running[what] = start
	return func(result string) {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.running, what)
		if result != "" {
			p.line(fmt.Sprintf("%s %s (%s)", what, result, round(p.now().Sub(start))))
		}
	}
}

func (p *Progress) beat() {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	if len(p.running) == 0 || now.Sub(p.spoke) < heartbeat {
		return
	}
	var names []string
	for name, since := range p.running {
		names = append(names, fmt.Sprintf("%s (%s)", name, round(now.Sub(since))))
	}
	slices.Sort(names)
	p.line("… still at " + strings.Join(names, ", "))
}

func (p *Progress) line(text string) {
	p.spoke = p.now()
	fmt.Fprintf(p.out, "%6s  %s\n", round(p.spoke.Sub(p.began)), text)
}

func round(d time.Duration) time.Duration {
	if d >= 10*time.Second {
		return d.Round(time.Second)
	}
	return d.Round(100 * time.Millisecond)
}
