//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// chapter of a page of docs is what stands below a heading, with the commands that a reader types.
type chapter struct {
	title string
	lines []typed
}

// typed is one line of a block of commands, and how it ends.
type typed struct {
	text string
	code int
}

// What is said of a block, in a comment right before it.
var (
	yoursAlone = regexp.MustCompile(`^<!-- yours alone: .+ -->$`)
	endsWith   = regexp.MustCompile(`^<!-- ends with ([1-9][0-9]*) -->$`)
)

// readChapters takes the blocks of shell out of a page. Blocks for the reader alone are left out.
func readChapters(page string) ([]chapter, error) {
	out := []chapter{{}}
	inside, shell, alone, code := false, false, false, 0
	for i, line := range strings.Split(page, "\n") {
		last := &out[len(out)-1]
		ends := endsWith.FindStringSubmatch(line)
		switch {
		case strings.HasPrefix(line, "```"):
			inside, shell = !inside, !inside && line == "```sh"
			if !inside {
				alone, code = false, 0
			}
		case inside && shell && !alone && line != "":
			last.lines = append(last.lines, typed{line, code})
		case inside || line == "":
		case alone || code != 0:
			return nil, fmt.Errorf("line %d: the comment before it belongs to a block of commands, and this is none", i+1)
		case yoursAlone.MatchString(line):
			alone = true
		case ends != nil:
			code, _ = strconv.Atoi(ends[1]) // digits, by the expression.
		case strings.HasPrefix(line, "<!--"):
			return nil, fmt.Errorf("line %d: %s is no comment that this test knows", i+1, line)
		case strings.HasPrefix(line, "## "):
			out = append(out, chapter{title: strings.TrimPrefix(line, "## ")})
		}
	}
	return out, nil
}

// shell is one bash that lines are typed into, as a reader does: what one sets, the next has. It ends with the first line that fails.
type shell struct {
	t   *testing.T
	cmd *exec.Cmd
	in  *os.File
	out *bufio.Reader
}

// over is what the shell prints after each line.
const over = "\x01over "

// newShell starts a bash in a folder. It ends with the test.
func newShell(t *testing.T, dir string, env ...string) *shell {
	t.Helper()
	in, typing, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	reading, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("bash", "--noprofile", "--norc")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, out
	// What a line started ends with the shell.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = in.Close()
	_ = out.Close()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
		_, _ = typing.Close(), reading.Close()
	})
	s := &shell{t: t, cmd: cmd, in: typing, out: bufio.NewReader(reading)}
	if _, err := fmt.Fprintln(typing, "set -euo pipefail"); err != nil {
		t.Fatal(err)
	}
	return s
}

// types runs one line to its end, within a time, and returns what it printed.
func (s *shell) types(line typed, within time.Duration) string {
	s.t.Helper()
	// In braces, so that it reads nothing of what is typed next, and what it sets stays; on lines of its own, as it may end in a comment.
	script := "{\n" + line.text + "\n} </dev/null\nprintf '\\n" + over + "0\\n'\n"
	if line.code != 0 {
		script = "{\n" + line.text + "\n} </dev/null && code=0 || code=$?\nprintf '\\n" + over + "%d\\n' \"$code\"\n"
	}
	if _, err := s.in.WriteString(script); err != nil {
		s.t.Fatalf("typing %q: %v", line.text, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		if ctx.Err() == context.DeadlineExceeded {
			_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
		}
	})
	defer stop()
	var printed strings.Builder
	for {
		text, err := s.out.ReadString('\n')
		if code, ok := strings.CutPrefix(strings.TrimSpace(text), over); ok {
			if code != strconv.Itoa(line.code) {
				s.t.Fatalf("%s\nends with %s, and the page says %d:\n%s", line.text, code, line.code, printed.String())
			}
			return strings.TrimSpace(printed.String())
		}
		printed.WriteString(text)
		if err != nil {
			why := "fails"
			if ctx.Err() != nil {
				why = "is not over after " + within.String()
			}
			s.t.Fatalf("%s\n%s:\n%s", line.text, why, printed.String())
		}
	}
}

// page reads a page of docs.
func (p *port) page(name string) []chapter {
	p.t.Helper()
	raw := must(os.ReadFile(filepath.Join(p.checks, "docs", name)))(p.t)
	return must(readChapters(string(raw)))(p.t)
}

// What the page shows of its files is in them, to the letter.
func TestTheTutorialsExcerptsAreOfItsFiles(t *testing.T) {
	page := string(must(os.ReadFile("../../docs/tutorial.md"))(t))
	policies := string(must(os.ReadFile("../../docs/examples/tutorial/policies.yaml"))(t))
	excerpts := regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$").FindAllStringSubmatch(page, -1)
	for _, e := range excerpts {
		if !strings.Contains(policies, e[1]) {
			t.Errorf("policies.yaml does not have\n%s", e[1])
		}
	}
	if len(excerpts) == 0 {
		t.Error("the page has no excerpt")
	}
}

func TestReadingThePagesCommands(t *testing.T) {
	got, err := readChapters("# A page\n\n<!-- yours alone: no -->\n```sh\nmake up\n```\n\n```sh\ncd x\n\nls # all\n```\n\n## Two\n\n```\nnot me\n```\n\n<!-- ends with 3 -->\n```sh\nfalse\n```\n\n```yaml\nnor: me\n```\n")
	want := []chapter{{"", []typed{{"cd x", 0}, {"ls # all", 0}}}, {"Two", []typed{{"false", 3}}}}
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v (%v), want %v", got, err, want)
	}
	for _, wrong := range []string{"<!-- yours alone: x -->\nText.\n", "<!-- todo -->\n"} {
		if got, err := readChapters(wrong); err == nil {
			t.Errorf("%q is read as %v", wrong, got)
		}
	}
}

func TestALineThatIsTypedLeavesWhatItSet(t *testing.T) {
	s := newShell(t, t.TempDir(), "SET=before")
	for _, c := range []struct {
		line typed
		want string
	}{
		{typed{"X=$SET-x; cat", 0}, ""},
		{typed{"echo $X # and a remark", 0}, "before-x"},
		{typed{"(echo sick; exit 3)", 3}, "sick"},
		{typed{"for i in 1 2; do echo $i | sed s/1/one/; done", 0}, "one\n2"},
	} {
		if got := s.types(c.line, 10*time.Second); got != c.want {
			t.Errorf("%s prints %q, want %q", c.line.text, got, c.want)
		}
	}
}
