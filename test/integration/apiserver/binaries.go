package apiserver

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// findBinary looks in KUBEBUILDER_ASSETS, then in the cache of programs that `make build-fleet` fills, newest directory first.
func findBinary(name string) (string, error) {
	var looked []string
	if dir := os.Getenv("KUBEBUILDER_ASSETS"); dir != "" {
		looked = append(looked, dir)
		if path := filepath.Join(dir, name); executable(path) {
			return path, nil
		}
	}
	cache := os.Getenv("PERIPLUS_CACHE")
	if cache == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("looking for %s: %w; set KUBEBUILDER_ASSETS or PERIPLUS_CACHE", name, err)
		}
		cache = filepath.Join(home, ".cache", "periplus")
	}
	pattern := filepath.Join(cache, "bin", "*", name)
	found, err := filepath.Glob(pattern)
	if err != nil {
		return "", fmt.Errorf("looking for %s in %s: %w", name, pattern, err)
	}
	slices.SortFunc(found, func(a, b string) int { return modified(b) - modified(a) })
	for _, path := range found {
		if executable(path) {
			return path, nil
		}
	}
	return "", fmt.Errorf("there is no %s in %v: run `make build-fleet`, or set KUBEBUILDER_ASSETS to a directory that has it", name, append(looked, pattern))
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

func modified(path string) int {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return int(info.ModTime().Unix())
}
