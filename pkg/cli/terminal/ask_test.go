package terminal

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestOnlyYesIsYes(t *testing.T) {
	for typed, want := range map[string]bool{"y\n": true, "YES\n": true, " yes \n": true, "y": true, "\n": false, "": false, "no\n": false, "yo\n": false} {
		var out bytes.Buffer
		got, err := Yes(context.Background(), strings.NewReader(typed), &out, "Pause it?")
		if err != nil || got != want || out.String() != "Pause it? [y/N] " {
			t.Errorf("%q: got %t, %v, %q", typed, got, err, out.String())
		}
	}
}

func TestAQuestionIsLeftWhenThePersonInterrupts(t *testing.T) {
	never, keep := io.Pipe() // nobody types
	defer func() { _ = keep.Close() }()
	ctx, interrupt := context.WithCancel(context.Background())
	interrupt()
	var out bytes.Buffer
	yes, err := Yes(ctx, never, &out, "Pause it?")
	if yes || !errors.Is(err, context.Canceled) || !strings.HasSuffix(out.String(), "\n") {
		t.Errorf("got %t, %v, %q", yes, err, out.String())
	}
}

func TestABufferIsNoTerminal(t *testing.T) {
	if IsTerminal(&bytes.Buffer{}) {
		t.Error("a buffer was taken for a terminal")
	}
}
