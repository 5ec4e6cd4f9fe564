package workload

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

// fieldManager is the name our writes to workloads are made under: it owns the partitions, and the template only of a release.
const fieldManager = "periplus-hub"

// op is one operation of a JSON patch.
type op struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

// patchOf is the one patch that makes a write; spec are the operations for template and partitions, where there are any. Setting the resource version makes the
// server refuse the patch when the workload has changed meanwhile.
func patchOf(u *Unit, w Write, spec []op) ([]byte, error) {
	ops := append([]op{{"replace", "/metadata/resourceVersion", u.ResourceVersion}}, spec...)
	annotation := "/metadata/annotations/" + strings.ReplaceAll(v1alpha1.AnnotationLock, "/", "~1")
	switch {
	case w.Lock != nil:
		raw, err := json.Marshal(w.Lock)
		if err != nil {
			return nil, fmt.Errorf("encoding the lock of %s %s: %w", u.Kind, u.Workload, err)
		}
		if !u.annotated {
			ops = append(ops, op{"add", "/metadata/annotations", map[string]string{}})
		}
		ops = append(ops, op{"add", annotation, string(raw)})
	case w.Unlock:
		ops = append(ops, op{Op: "remove", Path: annotation})
	}
	patch, err := json.Marshal(ops)
	if err != nil {
		return nil, fmt.Errorf("encoding a patch of %s %s: %w", u.Kind, u.Workload, err)
	}
	return patch, nil
}

// templateOps write a template where most kinds have it.
func templateOps(w Write) []op {
	if w.Template == nil {
		return nil
	}
	return []op{{"replace", "/spec/template", w.Template}}
}

// lockOn reads the lock on a workload, into all that says whose it is.
func lockOn(u *Unit, annotations map[string]string) {
	u.annotated = annotations != nil
	raw, ok := annotations[v1alpha1.AnnotationLock]
	if !ok {
		return
	}
	lock := &v1alpha1.Lock{}
	if err := json.Unmarshal([]byte(raw), lock); err != nil {
		u.LockError = fmt.Errorf("annotation %s of %s %s in member %s cannot be read; remove it if no release moves the workload: %w",
			v1alpha1.AnnotationLock, u.Kind, u.Workload, u.Member, err)
		return
	}
	u.Lock = lock
}
