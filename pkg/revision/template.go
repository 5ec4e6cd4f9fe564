package revision

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/rand"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

// data is what a ControllerRevision holds: the template, where it stands in its owner, so that it can be merged into one by hand.
type data struct {
	Spec struct {
		Template *corev1.PodTemplateSpec `json:"template"`
	} `json:"spec"`
}

// Write returns the data of a ControllerRevision that holds a template.
func Write(template *corev1.PodTemplateSpec) ([]byte, error) {
	d := data{}
	d.Spec.Template = template
	raw, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("writing a pod template as JSON: %w", err)
	}
	return raw, nil
}

// TemplateOf is the template that a ControllerRevision holds. It is an error if it holds none.
func TemplateOf(revision *appsv1.ControllerRevision) (*corev1.PodTemplateSpec, error) {
	var d data
	if err := json.Unmarshal(revision.Data.Raw, &d); err != nil {
		return nil, fmt.Errorf("reading ControllerRevision %s/%s: %w", revision.Namespace, revision.Name, err)
	}
	if d.Spec.Template == nil {
		return nil, fmt.Errorf("reading ControllerRevision %s/%s: it holds no template", revision.Namespace, revision.Name)
	}
	return d.Spec.Template, nil
}

// HashOf is the revision that a ControllerRevision is.
func HashOf(revision *appsv1.ControllerRevision) string {
	return revision.Labels[v1alpha1.LabelRevision]
}

// Hash of data. collisions is how often another template had the hash that this one would have.
func Hash(data []byte, collisions *int32) string {
	h := fnv.New32a()
	_, _ = h.Write(data) // never fails.
	if collisions != nil {
		_, _ = h.Write([]byte(strconv.Itoa(int(*collisions))))
	}
	return rand.SafeEncodeString(strconv.FormatUint(uint64(h.Sum32()), 10))
}
