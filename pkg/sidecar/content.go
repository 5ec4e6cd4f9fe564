package sidecar

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/rand"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/inplace"
)

// Content is what a revision of a set holds: all that is put into pods, and nothing of whom it is meant for or how it gets there.
type Content struct {
	InitContainers   []v1alpha1.SidecarContainer   `json:"initContainers,omitempty"`
	Containers       []v1alpha1.SidecarContainer   `json:"containers,omitempty"`
	Volumes          []corev1.Volume               `json:"volumes,omitempty"`
	ImagePullSecrets []corev1.LocalObjectReference `json:"imagePullSecrets,omitempty"`
}

// ContentOf a set's spec. It shares what it holds with the spec.
func ContentOf(set *v1alpha1.SidecarSet) Content {
	return Content{
		InitContainers: set.Spec.InitContainers, Containers: set.Spec.Containers, Volumes: set.Spec.Volumes, ImagePullSecrets: set.Spec.ImagePullSecrets,
	}
}

// revisionData is what a ControllerRevision holds: the content where it stands in a set, so that it can be merged into one by hand.
type revisionData struct {
	Spec *Content `json:"spec"`
}

// Encode the content as a ControllerRevision's data, and name it by a hash.
func (c Content) Encode() (raw []byte, hash string, err error) {
	raw, err = json.Marshal(revisionData{Spec: &c})
	if err != nil {
		return nil, "", fmt.Errorf("writing the content of a revision: %w", err)
	}
	sum := sha256.Sum256(raw)
	return raw, rand.SafeEncodeString(strconv.FormatUint(binary.BigEndian.Uint64(sum[:8])%1e12, 10)), nil
}

// Decode a ControllerRevision's data.
func Decode(raw []byte) (*Content, error) {
	var data revisionData
	if err := json.Unmarshal(raw, &data); err != nil {
		return nil, fmt.Errorf("reading the content of a revision: %w", err)
	}
	if data.Spec == nil {
		return nil, fmt.Errorf("reading the content of a revision: it has no spec")
	}
	return data.Spec, nil
}

// Equal says whether two contents mean the same.
func (c Content) Equal(other Content) bool { return apiequality.Semantic.DeepEqual(c, other) }

// names of the containers.
func (c *Content) names() []string {
	var out []string
	for _, list := range [][]v1alpha1.SidecarContainer{c.InitContainers, c.Containers} {
		for i := range list {
			out = append(out, list[i].Name)
		}
	}
	return out
}

// template of a pod that has the content alone, for those who compare templates. The class of service of a pod follows from those of its parts, so what leaves the
// class of this one as it is leaves the pod's.
func (c *Content) template() *corev1.PodTemplateSpec {
	t := &corev1.PodTemplateSpec{Spec: corev1.PodSpec{Volumes: c.Volumes, ImagePullSecrets: c.ImagePullSecrets}}
	for i := range c.InitContainers {
		t.Spec.InitContainers = append(t.Spec.InitContainers, c.InitContainers[i].Container)
	}
	for i := range c.Containers {
		t.Spec.Containers = append(t.Spec.Containers, c.Containers[i].Container)
	}
	return t
}

// Compare returns what brings the sidecars of a pod from one content to another. Images of containers and native sidecars, and their cpu and memory, change in a
// running pod; Misfits are the fields that wait for the next creation.
func Compare(from, to *Content) inplace.Change {
	c := inplace.Compare(from.template(), to.template())
	for i, path := range c.Misfits {
		c.Misfits[i] = "spec" + strings.TrimPrefix(path, "spec.template.spec")
	}
	c.Misfits = append(c.Misfits, borrowedDiffers("initContainers", from.InitContainers, to.InitContainers)...)
	c.Misfits = append(c.Misfits, borrowedDiffers("containers", from.Containers, to.Containers)...)
	slices.Sort(c.Misfits)
	return c
}

// borrowedDiffers are the fields by which containers get something else of the application.
func borrowedDiffers(list string, from, to []v1alpha1.SidecarContainer) (paths []string) {
	for i := range from {
		for j := range to {
			a, b := &from[i], &to[j]
			if a.Name != b.Name {
				continue
			}
			if a.ShareVolumes != b.ShareVolumes {
				paths = append(paths, fmt.Sprintf("spec.%s[%s].shareVolumes", list, a.Name))
			}
			if !apiequality.Semantic.DeepEqual(a.TransferEnv, b.TransferEnv) {
				paths = append(paths, fmt.Sprintf("spec.%s[%s].transferEnv", list, a.Name))
			}
		}
	}
	return paths
}

// ChangeOf a pod whose sidecars of a set get from one content to another: as Compare, with the pod's record of it.
func ChangeOf(pod *corev1.Pod, set, revision string, c inplace.Change) (inplace.Change, error) {
	r, err := RecordOf(pod)
	if err != nil {
		return inplace.Change{}, err
	}
	p, ok := r.Part(set)
	if !ok {
		return inplace.Change{}, fmt.Errorf("the annotation %s of pod %s/%s names no SidecarSet %s", v1alpha1.AnnotationSidecars, pod.Namespace, pod.Name, set)
	}
	p.Revision = revision
	text := r.with(p).text()
	out := c
	out.Annotations = maps.Clone(c.Annotations)
	if out.Annotations == nil {
		out.Annotations = map[string]*string{}
	}
	out.Annotations[v1alpha1.AnnotationSidecars] = &text
	return out, nil
}

// LabelOf a set on its pods.
func LabelOf(set string) string { return v1alpha1.SidecarSetPrefix + set }
