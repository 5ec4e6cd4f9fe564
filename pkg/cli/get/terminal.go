package get

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

// terminal is where a command writes.
type terminal struct {
	io.Writer
	// drawable is true for a terminal whose cursor can be moved.
	drawable bool
	// size in columns and lines; lines are 0 where there is no limit.
	size   func() (width, height int)
	colour bool
	ascii  bool
}

// terminalOf finds out what a writer can do, from what it is and from the environment: TERM, NO_COLOR, COLUMNS and the locale.
func terminalOf(w io.Writer) terminal {
	t := terminal{Writer: w, ascii: !knowsUnicode(os.Getenv, runtime.GOOS), size: func() (int, int) { return columnsWanted(), 0 }}
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return t
	}
	dumb := os.Getenv("TERM") == "dumb"
	t.drawable = !dumb
	t.colour = !dumb && os.Getenv("NO_COLOR") == ""
	t.size = func() (int, int) {
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

func (t terminal) look() screen.Look {
	width, height := t.size()
	return screen.Look{Width: width, Height: height, Colour: t.colour, ASCII: t.ascii}
}

// encode writes a value as a JSON or YAML document.
func (t terminal) encode(v any, format string) error {
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
