//go:build integration

package admission

import (
	"context"
	"path/filepath"
	"testing"
)

// TestExamplesAreTaken applies what the docs show, in the order in which a reader would.
func TestExamplesAreTaken(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	for _, file := range []string{"productpage/policies", "productpage/people", "productpage/pipeline", "careful/policies", "careful/pipeline"} {
		if err := server.Apply(ctx, filepath.Join(repo, "docs", "examples", file+".yaml")); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
	// The admin's name is filled in, or wanted, by admission: here only whether the rest is a Freeze matters.
	if err := server.Apply(ctx, filepath.Join(repo, "docs", "examples", "careful", "freeze.yaml")); err != nil && !refusedBy(err, "freezes", "write it yourself") {
		t.Errorf("careful/freeze: %v", err)
	}
}
