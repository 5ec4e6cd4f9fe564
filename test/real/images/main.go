// Command images builds the images of tests on real nodes and adds them to the nodes of the fleet in the directory that it is given. Their names are those that
// the conformance suite uses on simulated nodes, where a tag says what a container does; here the container does it. There is none of tag bad1.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"

	"github.com/periplus-dev/periplus/pkg/localfleet"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: images <directory of a fleet with real nodes>")
		os.Exit(2)
	}
	if err := add(ctx, os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func add(ctx context.Context, dir string) error {
	fleet, err := localfleet.Load(dir)
	if err != nil {
		return err
	}
	nodes, err := fleet.RealNodes()
	if err != nil {
		return err
	}
	if len(nodes) == 0 {
		return fmt.Errorf("the fleet in %s has no real nodes; make one with `periplus local up --nodes-kind real`", dir)
	}
	checkout, err := localfleet.FindCheckout(".")
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "periplus-images-")
	if err != nil {
		return fmt.Errorf("making a directory to build in: %w", err)
	}
	defer os.RemoveAll(work)
	program := filepath.Join(work, "server")
	if err := localfleet.BuildProgram(ctx, checkout, "./test/real/server", program); err != nil {
		return err
	}
	image := func(env string, names ...string) localfleet.Image {
		return localfleet.Image{Names: names, Program: program, Env: strings.Fields(env)}
	}
	if err := fleet.AddImages(ctx,
		image("VERSION=v1", "local.invalid/app:v1"),
		// One digest under two names.
		image("VERSION=v2", "local.invalid/app:v2", "local.invalid/app:v2-same1"),
		image("VERSION=polite", "local.invalid/app:polite1"),
		image("ROLE=crash", "local.invalid/app:crash1"),
		image("ROLE=init", "local.invalid/init:v1"),
		image("ROLE=proxy VERSION=p1", "local.invalid/proxy:v1"),
		image("ROLE=proxy VERSION=p2", "local.invalid/proxy:v2"),
	); err != nil {
		return err
	}
	fmt.Printf("images are on %v\n", nodes)
	return nil
}
