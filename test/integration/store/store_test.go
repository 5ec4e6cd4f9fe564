//go:build integration

// Package store runs the suite that the simulation's API server in memory is held to against a real one, with its garbage collector.
package store

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/periplus-dev/periplus/test/integration/apiserver"
	"github.com/periplus-dev/periplus/test/simulation/storetest"
)

func TestARealServer(t *testing.T) {
	// Service accounts are made by a controller that does not run here.
	server, err := apiserver.Start(t.Context(), "--disable-admission-plugins=ServiceAccount")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	config := filepath.Join("..", "..", "..", "config")
	if err := server.Apply(t.Context(), filepath.Join(config, "hub", "300-crds"), filepath.Join(config, "member", "300-crds"), tektonCRD(t)); err != nil {
		t.Fatal(err)
	}
	if err := server.StartCollector(context.Background()); err != nil {
		t.Fatal(err)
	}
	storetest.Run(t, storetest.API{Config: server.Admin()})
}

// tektonCRD is the file of the one kind of Tekton's that the suite uses.
func tektonCRD(t *testing.T) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/tektoncd/pipeline").Output()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(strings.TrimSpace(string(out)), "config", "300-crds", "300-customrun.yaml")
	if _, err := os.Stat(file); err != nil {
		t.Fatal(err)
	}
	return file
}
