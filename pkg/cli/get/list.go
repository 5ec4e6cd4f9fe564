package get

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/periplus-dev/periplus/pkg/cli/hub"
	"github.com/periplus-dev/periplus/pkg/cli/run"
	"github.com/periplus-dev/periplus/pkg/cli/screen"
)

// runList is what `get -o json` prints without a name.
type runList struct {
	Format string          `json:"format"`
	Items  []*screen.Model `json:"items"`
}

// list shows the runs of the namespace, newest first, each with its verdict.
func (g *command) list(ctx context.Context, h *hub.Hub) error {
	ctx, done := context.WithTimeout(ctx, patience)
	defer done()
	at := *h
	if g.allNamespaces {
		at.Namespace = metav1.NamespaceAll
	}
	models, err := g.models(ctx, &at)
	if err != nil {
		return err
	}
	if g.output != "" {
		return g.out.Encode(runList{Format: screen.Format + "-list", Items: models}, g.output)
	}
	if len(models) == 0 {
		where := "namespace " + h.Namespace
		if g.allNamespaces {
			where = "any namespace"
		}
		_, err = fmt.Fprintf(g.out, "There are no runs in %s.\n", where)
		return err
	}
	_, err = g.out.Write([]byte(screen.RenderList(models, g.out.Look(), g.allNamespaces)))
	return err
}

func (g *command) models(ctx context.Context, h *hub.Hub) ([]*screen.Model, error) {
	around, err := run.AroundAll(ctx, h)
	if err != nil {
		return nil, err
	}
	all, err := run.All(ctx, h)
	if err != nil {
		return nil, err
	}
	var models []*screen.Model
	for _, o := range all {
		models = append(models, g.model(h, around.Of(o)))
	}
	return models, nil
}
