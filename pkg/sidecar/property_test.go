package sidecar

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

// randomPod and randomWants draw from few names, so that they meet often.
func randomPod(r *rand.Rand) *corev1.Pod {
	pod := &corev1.Pod{}
	pod.Labels = map[string]string{"app": "web"}
	if r.IntN(4) == 0 {
		pod.Labels = nil
	}
	for i := range 1 + r.IntN(2) {
		c := corev1.Container{Name: fmt.Sprintf("c%d", r.IntN(4)+10*i), Image: "app:v1"}
		if r.IntN(2) == 0 {
			c.VolumeMounts = []corev1.VolumeMount{{Name: "v0", MountPath: fmt.Sprintf("/m%d", r.IntN(2))}}
		}
		if r.IntN(3) == 0 {
			c.Ports = []corev1.ContainerPort{{ContainerPort: int32(80 + r.IntN(2))}}
		}
		pod.Spec.Containers = append(pod.Spec.Containers, c)
	}
	if r.IntN(2) == 0 {
		pod.Spec.InitContainers = []corev1.Container{{Name: fmt.Sprintf("c%d", 20+r.IntN(3)), Image: "init:v1"}}
	}
	pod.Spec.Volumes = []corev1.Volume{{Name: "v0"}}
	pod.Spec.HostNetwork = r.IntN(4) == 0
	return pod
}

func randomWants(r *rand.Rand) []Want {
	var out []Want
	for i := range r.IntN(5) {
		w := Want{Set: fmt.Sprintf("set%d", i), Revision: "r1", Content: &Content{}, Gate: r.IntN(3) == 0}
		for j := range 1 + r.IntN(2) {
			c := v1alpha1.SidecarContainer{Container: corev1.Container{Name: fmt.Sprintf("c%d", r.IntN(8)+20*j), Image: "sidecar:v1"}, ShareVolumes: r.IntN(2) == 0}
			if r.IntN(3) == 0 {
				c.Ports = []corev1.ContainerPort{{ContainerPort: int32(80 + r.IntN(3)), HostPort: int32(r.IntN(2) * 80)}}
			}
			if r.IntN(2) == 0 {
				w.Content.Containers = append(w.Content.Containers, c)
			} else {
				w.Content.InitContainers = append(w.Content.InitContainers, c)
			}
		}
		if r.IntN(2) == 0 {
			w.Content.Volumes = []corev1.Volume{{Name: fmt.Sprintf("v%d", r.IntN(3)), VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: fmt.Sprint("/", r.IntN(2))}}}}
		}
		if r.IntN(6) == 0 {
			w.Content = nil
		}
		out = append(out, w)
	}
	return out
}

func TestWhateverIsPutInThePodStaysValidAndTheApplicationAsItWas(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 7))
	for range 3000 {
		before, wants := randomPod(r), randomWants(r)
		after, a := inject(t, before, wants...)
		fail := func(what string) {
			t.Fatalf("%s (seed %d)\nbefore %s\nafter %s\nrecord %s", what, seed, shape(before), shape(after), a.Record.text())
		}
		if len(a.Record.Sets) != len(wants) {
			fail("a set that means the pod is not in its record")
		}
		// The application's containers are there, in their order, as they were.
		inits := after.Spec.InitContainers[len(after.Spec.InitContainers)-len(before.Spec.InitContainers):]
		if !cmp.Equal(inits, before.Spec.InitContainers) && len(inits)+len(before.Spec.InitContainers) > 0 || !cmp.Equal(after.Spec.Containers[:len(before.Spec.Containers)], before.Spec.Containers) {
			fail("a container of the application changed")
		}
		names, ports := map[string]int{}, map[hostPort]int{}
		for _, c := range after.Spec.InitContainers {
			names["c/"+c.Name]++
		}
		for _, c := range after.Spec.Containers {
			names["c/"+c.Name]++
			mounts := map[string]bool{}
			for _, m := range c.VolumeMounts {
				if mounts[m.MountPath] {
					fail("a path is mounted twice")
				}
				mounts[m.MountPath] = true
			}
			for _, p := range hostPorts(&c, after.Spec.HostNetwork) {
				ports[p]++
			}
		}
		for _, v := range after.Spec.Volumes {
			names["v/"+v.Name]++
		}
		for name, n := range names {
			if n > 1 && !twice(before, name) {
				fail(name + " is there twice")
			}
		}
		for p, n := range ports {
			if n > 1 && !portTwice(before, p) {
				fail(fmt.Sprint("a port of the host is asked for twice: ", p))
			}
		}
		// Either a set is in whole, and what it drew is as it says, or it left nothing.
		for _, w := range wants {
			part, ok := PartOf(after, w.Set)
			if noted, _ := a.Record.Part(w.Set); ok == (noted.Skipped != "") {
				fail("the record and the pod differ about set " + w.Set)
			}
			if ok && len(part.Containers)+len(part.InitContainers) != len(w.Content.Containers)+len(w.Content.InitContainers) {
				fail("set " + w.Set + " is in by half")
			}
		}
		// A pod that comes again stays as it is, and the order in which sets are listed means nothing.
		if again, _ := inject(t, after, wants...); !cmp.Equal(after, again) {
			fail("a second time changes the pod: " + cmp.Diff(after, again))
		}
		r.Shuffle(len(wants), func(i, j int) { wants[i], wants[j] = wants[j], wants[i] })
		if other, _ := inject(t, before, wants...); !cmp.Equal(after, other) {
			fail("another order of sets makes another pod: " + cmp.Diff(after, other))
		}
	}
}

// twice says whether a pod had a name twice before, as a random one may.
func twice(pod *corev1.Pod, name string) bool {
	n := 0
	for _, c := range append(append([]corev1.Container{}, pod.Spec.InitContainers...), pod.Spec.Containers...) {
		if "c/"+c.Name == name {
			n++
		}
	}
	return n > 1
}

func portTwice(pod *corev1.Pod, port hostPort) bool {
	n := 0
	for i := range pod.Spec.Containers {
		for _, p := range hostPorts(&pod.Spec.Containers[i], pod.Spec.HostNetwork) {
			if p == port {
				n++
			}
		}
	}
	return n > 1
}
