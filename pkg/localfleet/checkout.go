package localfleet

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/mod/modfile"
)

// modulePath is the module a checkout is known by.
const modulePath = "github.com/periplus-dev/periplus"

// modulesDir holds, below the checkout, the modules the parts of a fleet are built from.
const modulesDir = "test/local/modules"

// FindCheckout returns the checkout of this project that holds dir.
func FindCheckout(dir string) (string, error) {
	start, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("making %s absolute: %w", dir, err)
	}
	for at := start; ; at = filepath.Dir(at) {
		found, err := isCheckout(at)
		if err != nil {
			return "", err
		}
		if found {
			return at, nil
		}
		if at == filepath.Dir(at) {
			return "", fmt.Errorf("no checkout of %s in %s or above it; run this inside one, or name one with --source", modulePath, start)
		}
	}
}

func checkCheckout(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("making %s absolute: %w", dir, err)
	}
	found, err := isCheckout(abs)
	if err != nil {
		return "", err
	}
	if !found {
		return "", fmt.Errorf("--source %s is not a checkout of %s: its go.mod does not say so", dir, modulePath)
	}
	return abs, nil
}

func isCheckout(dir string) (bool, error) {
	data, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking for a checkout: %w", err)
	}
	return modfile.ModulePath(data) == modulePath, nil
}
