package terminal

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/term"
	"sigs.k8s.io/yaml"

	"github.com/periplus-dev/periplus/pkg/cli/screen"
)

// plainWidth is how wide a screen is drawn that no terminal shows, where $COLUMNS does not say otherwise.
const plainWidth = 120

// Terminal is where a command writes.
type Terminal struct {
	io.Writer
	// Drawable is true for a terminal whose cursor can be moved.
	Drawable bool
	// Size in columns and lines; lines are 0 where there is no limit.
	Size   func() (width, height int)
	Colour bool
	// ASCII where nothing else can be drawn.
	ASCII bool
}

// Of finds out what a writer can do, from what it is and from the environment: TERM, NO_COLOR, COLUMNS and the locale.
func Of(w io.Writer) Terminal {
	t := Terminal{Writer: w, ASCII: !knowsUnicode(os.Getenv, runtime.GOOS), Size: func() (int, int) { return columnsWanted(), 0 }}
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return t
	}
	dumb := os.Getenv("TERM") == "dumb"
	t.Drawable = !dumb
	t.Colour = !dumb && os.Getenv("NO_COLOR") == ""
	t.Size = func() (int, int) {
		width, height, err := term.GetSize(int(f.Fd()))
		if err != nil || width <= 0 {
			return columnsWanted(), 0
		}
		return width, height
	}
	return t
}

func columnsWanted() int {
	if n, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && n > 0 {
		return n
	}
	return plainWidth
}

// knowsUnicode reads the locale as POSIX does: the first of LC_ALL, LC_CTYPE and LANG that is set says it.
func knowsUnicode(getenv func(string) string, goos string) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := strings.ToLower(getenv(name)); v != "" {
			return strings.Contains(v, "utf-8") || strings.Contains(v, "utf8")
		}
	}
	return goos == "windows" || goos == "darwin"
}

// Look is how a model is drawn on it now.
func (t Terminal) Look() screen.Look {
	width, height := t.Size()
	return screen.Look{Width: width, Height: height, Colour: t.Colour, ASCII: t.ASCII}
}

// Encode writes a value as a document; format is json or yaml.
func (t Terminal) Encode(v any, format string) error {
	if format == "yaml" {
		out, err := yaml.Marshal(v)
		if err != nil {
			return fmt.Errorf("encoding as YAML: %w", err)
		}
		_, err = t.Write(out)
		return err
	}
	enc := json.NewEncoder(t)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
