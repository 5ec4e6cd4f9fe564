package storetest_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/utils/clock"

	"github.com/periplus-dev/periplus/test/simulation/store"
	"github.com/periplus-dev/periplus/test/simulation/storetest"
)

func TestTheStoreInMemory(t *testing.T) {
	tekton, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/tektoncd/pipeline").Output()
	if err != nil {
		t.Fatal(err)
	}
	const config = "../../../config"
	kinds, err := store.LoadCRDs(filepath.Join(config, "hub", "300-crds"), filepath.Join(config, "member", "300-crds"),
		filepath.Join(strings.TrimSpace(string(tekton)), "config", "300-crds"))
	if err != nil {
		t.Fatal(err)
	}
	s := store.New(store.Options{Clock: clock.RealClock{}, Kinds: kinds, Seed: 1})
	s.Compact(s.Version())
	storetest.Run(t, storetest.API{Config: s.Config(nil), Collect: func() {
		for {
			what, err := s.Collect()
			if err != nil {
				t.Fatal(err)
			}
			if what == "" {
				return
			}
		}
	}})
}
