package get

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"reflect"
	"strings"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"
	"sigs.k8s.io/yaml"

	"github.com/periplus-dev/periplus/pkg/cli/hub"
	"github.com/periplus-dev/periplus/pkg/cli/run"
	"github.com/periplus-dev/periplus/pkg/cli/screen"
	"github.com/periplus-dev/periplus/pkg/cli/terminal"
)

// Exit codes of --watch.
const (
	notSucceeded = 1
	cannotWatch  = 2
	interrupted  = 130
)

// ended is how a watch ended when not with success. It has nothing to say where the screen said it.
type ended struct {
	code int
	err  error
}

func (e ended) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e ended) Unwrap() error { return e.err }

// ExitCode is the process's.
func (e ended) ExitCode() int { return e.code }

// view shows one model after another.
type view interface {
	// show is called after something changed, tick each second.
	show(*screen.Model) error
	tick(*screen.Model) error
	// close restores the terminal and leaves the last model on it.
	close(*screen.Model) error
}

// follow shows the run as it goes until it is over.
func (g *command) follow(ctx context.Context, h *hub.Hub, r *run.Run) (err error) {
	// What the watches log would tear the screen; that the hub does not answer is shown on it.
	watching, stop := context.WithCancel(klog.NewContext(ctx, logr.Discard()))
	defer stop()
	f, err := run.Follow(watching, h, r, g.clock)
	if err != nil {
		if ctx.Err() != nil {
			return ended{code: interrupted}
		}
		return ended{code: cannotWatch, err: err}
	}
	resized := make(chan os.Signal, 1)
	v := g.view(resized)
	defer signal.Stop(resized)
	ticker := g.clock.NewTicker(time.Second)
	defer ticker.Stop()

	objects, there := f.Objects()
	m := g.model(h, objects)
	show := v.show
	defer func() {
		if cerr := v.close(m); cerr != nil && err == nil {
			err = ended{code: cannotWatch, err: fmt.Errorf("writing to the terminal: %w", cerr)}
		}
	}()
	for {
		if err := show(m); err != nil {
			return ended{code: cannotWatch, err: fmt.Errorf("writing to the terminal: %w", err)}
		}
		switch {
		case !there:
			return ended{code: notSucceeded, err: fmt.Errorf("run %s was deleted; it is not watched any more", m.Name)}
		case m.Over && m.Verdict.State == screen.StateSucceeded:
			return nil
		case m.Over:
			return ended{code: notSucceeded}
		}
		show = v.tick
		select {
		case <-ctx.Done():
			return ended{code: interrupted}
		case <-f.Changed():
			objects, there = f.Objects()
			show = v.show
		case <-resized:
		case <-ticker.C():
		}
		m = g.model(h, objects)
	}
}

func (g *command) view(resized chan os.Signal) view {
	switch {
	case g.output != "":
		return &documents{out: g.out, format: g.output}
	case g.out.Drawable:
		onResize(resized)
		return &drawn{out: g.out}
	}
	return &lines{out: g.out}
}

// drawn redraws the screen in place, on the terminal's second screen, so that what was there before comes back.
type drawn struct {
	out    terminal.Terminal
	opened bool
	last   string
}

const (
	// open: second screen, cursor hidden, no wrapping of long lines. shut undoes it.
	open = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J"
	shut = "\x1b[?7h\x1b[?25h\x1b[?1049l"
	// One frame is shown at once by terminals that know how, and as it comes by others.
	frameBegin, frameEnd = "\x1b[?2026h\x1b[H", "\x1b[J\x1b[?2026l"
	clearToEnd           = "\x1b[K"
)

func (d *drawn) show(m *screen.Model) error {
	var b bytes.Buffer
	if !d.opened {
		b.WriteString(open)
		d.opened = true
	}
	look := d.out.Look()
	frame := screen.Render(m, look)
	if frame == d.last {
		return nil
	}
	d.last = frame
	b.WriteString(frameBegin)
	// The last line has no newline, or a full screen would scroll.
	b.WriteString(strings.ReplaceAll(strings.TrimSuffix(frame, "\n"), "\n", clearToEnd+"\n") + clearToEnd)
	b.WriteString(frameEnd)
	_, err := d.out.Write(b.Bytes())
	return err
}

func (d *drawn) tick(m *screen.Model) error { return d.show(m) }

func (d *drawn) close(m *screen.Model) error {
	look := d.out.Look()
	look.Height = 0
	if _, err := d.out.Write([]byte(shut)); err != nil {
		return err
	}
	_, err := d.out.Write([]byte(screen.Render(m, look)))
	return err
}

// lines prints a line for each change.
type lines struct {
	out  terminal.Terminal
	last *screen.Model
}

func (l *lines) show(m *screen.Model) error {
	for _, change := range screen.Changes(l.last, m, l.out.Look()) {
		if _, err := fmt.Fprintf(l.out, "%s  %s\n", m.At.Format("15:04:05"), change); err != nil {
			return err
		}
	}
	l.last = m
	return nil
}

// A run that nobody takes up changes by nothing but time, and that is said too.
func (l *lines) tick(m *screen.Model) error { return l.show(m) }

func (*lines) close(*screen.Model) error { return nil }

// documents prints a document for each change: JSON on one line each, YAML with a line of dashes between.
type documents struct {
	out    terminal.Terminal
	format string
	last   screen.Model
}

func (d *documents) show(m *screen.Model) error {
	same := *m
	same.At = metav1.Time{}
	if reflect.DeepEqual(same, d.last) {
		return nil
	}
	d.last = same
	var out []byte
	var err error
	if d.format == "yaml" {
		out, err = yaml.Marshal(m)
		out = append([]byte("---\n"), out...)
	} else {
		out, err = json.Marshal(m)
		out = append(out, '\n')
	}
	if err != nil {
		return err
	}
	_, err = d.out.Write(out)
	return err
}

func (d *documents) tick(*screen.Model) error { return nil }

func (*documents) close(*screen.Model) error { return nil }
