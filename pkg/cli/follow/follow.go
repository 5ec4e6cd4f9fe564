package follow

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
	"k8s.io/utils/clock"
	"sigs.k8s.io/yaml"

	"github.com/periplus-dev/periplus/pkg/cli/hub"
	"github.com/periplus-dev/periplus/pkg/cli/run"
	"github.com/periplus-dev/periplus/pkg/cli/screen"
	"github.com/periplus-dev/periplus/pkg/cli/terminal"
)

// Exit codes that commands which follow a run have in common.
const (
	// CannotFollow: the run goes on, or not, and is not seen.
	CannotFollow = 2
	// Interrupted by the person; the run goes on.
	Interrupted = 130
)

// Ended is how a command that followed a run ended, when not with success. It has nothing to say where the screen said it.
type Ended struct {
	Code int
	Err  error
}

func (e Ended) Error() string {
	if e.Err == nil {
		return ""
	}
	return e.Err.Error()
}

func (e Ended) Unwrap() error { return e.Err }

// ExitCode is the process's.
func (e Ended) ExitCode() int { return e.Code }

// Options of what is followed.
type Options struct {
	Hub   *hub.Hub
	Run   *run.Run
	Clock clock.WithTicker
	// Model of what was seen.
	Model func(screen.Objects) *screen.Model
	Out   terminal.Terminal
	// Format is json or yaml for a document for each change; empty for a screen, or lines where there is no terminal.
	Format string
	// Lines is true for lines on a terminal too.
	Lines bool
	// Enough ends it before the run is over; nil for never.
	Enough func(*screen.Model) bool
}

// view shows one model after another.
type view interface {
	// show is called after something changed, tick each second.
	show(*screen.Model) error
	tick(*screen.Model) error
	// close restores the terminal and leaves the last model on it.
	close(*screen.Model) error
}

// Run shows the run as it goes, until it is over or was seen enough of, and returns how it was then. An error is an Ended.
func Run(ctx context.Context, o Options) (last *screen.Model, err error) {
	// What the watches log would tear the screen; that the hub does not answer is shown on it.
	watching, stop := context.WithCancel(klog.NewContext(ctx, logr.Discard()))
	defer stop()
	f, err := run.Follow(watching, o.Hub, o.Run, o.Clock)
	if err != nil {
		if ctx.Err() != nil {
			return nil, Ended{Code: Interrupted}
		}
		return nil, Ended{Code: CannotFollow, Err: err}
	}
	resized := make(chan os.Signal, 1)
	v := o.view(resized)
	defer signal.Stop(resized)
	ticker := o.Clock.NewTicker(time.Second)
	defer ticker.Stop()

	objects, there := f.Objects()
	m := o.Model(objects)
	show := v.show
	defer func() {
		if cerr := v.close(m); cerr != nil && err == nil {
			err = Ended{Code: CannotFollow, Err: fmt.Errorf("writing to the terminal: %w", cerr)}
		}
	}()
	for {
		if err := show(m); err != nil {
			return m, Ended{Code: CannotFollow, Err: fmt.Errorf("writing to the terminal: %w", err)}
		}
		switch {
		case !there:
			return m, Ended{Code: 1, Err: fmt.Errorf("run %s was deleted; it is not watched any more", m.Name)}
		case m.Over || o.Enough != nil && o.Enough(m):
			return m, nil
		}
		show = v.tick
		select {
		case <-ctx.Done():
			return m, Ended{Code: Interrupted}
		case <-f.Changed():
			objects, there = f.Objects()
			show = v.show
		case <-resized:
		case <-ticker.C():
		}
		m = o.Model(objects)
	}
}

func (o Options) view(resized chan os.Signal) view {
	switch {
	case o.Format != "":
		return &documents{out: o.Out, format: o.Format}
	case o.Out.Drawable && !o.Lines:
		onResize(resized)
		return &drawn{out: o.Out}
	}
	return &lines{out: o.Out}
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
