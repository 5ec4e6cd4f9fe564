//go:build e2e

package e2e

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// threeContainers is a template of a native sidecar, mesh, and of app and log. app reads the annotation colour into its environment.
func threeContainers(mesh, app, log, colour, cpu string) string {
	return fmt.Sprintf(`{"template":{"metadata":{"annotations":{"colour":%q}},"spec":{
  "initContainers":[{"name":"mesh","image":"mesh:%s","restartPolicy":"Always"}],
  "containers":[
    {"name":"app","image":"web:%s","resources":{"requests":{"cpu":%q}},"env":[{"name":"COLOUR","valueFrom":{"fieldRef":{"fieldPath":"metadata.annotations['colour']"}}}]},
    {"name":"log","image":"log:%s"}]}}}`, colour, mesh, app, cpu, log)
}

// restarts of each container of the live pods, as "mesh=1 app=0 log=0".
func (s *ips) restarts() []string {
	s.t.Helper()
	var out []string
	for _, pod := range s.live() {
		n := map[string]int32{}
		for _, list := range [][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
			for _, c := range list {
				n[c.Name] = c.RestartCount
			}
		}
		out = append(out, fmt.Sprintf("mesh=%d app=%d log=%d", n["mesh"], n["app"], n["log"]))
	}
	return out
}

func (s *ips) restarted(want string) {
	s.t.Helper()
	for _, got := range s.restarts() {
		if got != want {
			s.t.Errorf("restarts %s; want %s", got, want)
		}
	}
}

func TestInPlaceSetChangesTheContainersOfAPodInPlace(t *testing.T) {
	t.Parallel()
	s := newPort(t).withSet(2, "v1", `{maxUnavailable: 1, gracePeriodSeconds: 0}`)
	s.spec(threeContainers("v1", "v1", "v1", "blue", "10m"))
	s.spec(`{"updateStrategy":{"containerOrder":["mesh"]}}`)
	s.done()
	before := s.identities(ipsMember)
	s.restarted("mesh=0 app=0 log=0")

	s.spec(threeContainers("v2", "v1", "v1", "blue", "10m"))
	s.done()
	s.restarted("mesh=1 app=0 log=0")

	// An annotation that app reads goes with app's image: one restart.
	s.spec(threeContainers("v2", "v2", "v1", "red", "10m"))
	s.done()
	s.restarted("mesh=1 app=1 log=0")

	// A first that fails leaves the second untouched.
	s.spec(threeContainers("bad", "v3", "v1", "red", "10m"))
	s.progressing("PodsFailing")
	failing := 0
	for _, pod := range s.live() {
		if pod.Spec.InitContainers[0].Image == "mesh:bad" {
			failing++
		}
		if pod.Spec.Containers[0].Image != "web:v2" {
			t.Errorf("%s of %s was touched, though mesh does not come up", pod.Spec.Containers[0].Image, pod.Name)
		}
	}
	if failing != 1 {
		t.Errorf("%d pods fail; want one, as maxUnavailable says", failing)
	}
	s.spec(threeContainers("v3", "v3", "v1", "red", "10m"))
	s.done()

	// More cpu: nothing restarts.
	was := s.restarts()
	s.spec(threeContainers("v3", "v3", "v1", "red", "20m"))
	s.done()
	for _, pod := range s.live() {
		if got := pod.Spec.Containers[0].Resources.Requests.Cpu().String(); got != "20m" {
			t.Errorf("%s has %s cpu; want 20m", pod.Name, got)
		}
	}
	if got := s.restarts(); fmt.Sprint(got) != fmt.Sprint(was) {
		t.Errorf("a resize restarted containers: %v became %v", was, got)
	}
	if got := s.identities(ipsMember); fmt.Sprint(got) != fmt.Sprint(before) {
		t.Errorf("pods are %v; want the same UIDs, nodes and IPs as before: %v", got, before)
	}
	s.noFaults()
}

func TestInPlaceSetRebuildsWhatItsNodeCannotResize(t *testing.T) {
	t.Parallel()
	s := newPort(t).withSet(2, "v1", `{maxUnavailable: 1, gracePeriodSeconds: 0, type: InPlaceOnly}`)
	s.spec(`{"updateStrategy":{"type":"ReCreate"}}`)
	s.spec(threeContainers("v1", "v1", "v1", "blue", "10m"))
	s.done()
	s.spec(`{"updateStrategy":{"type":"InPlaceOnly"}}`)
	before := s.identities(ipsMember)
	s.spec(threeContainers("v1", "v1", "v1", "blue", "100"))
	s.untilMessage("cannot be resized where they are")
	if got := s.identities(ipsMember); fmt.Sprint(got) != fmt.Sprint(before) {
		t.Errorf("InPlaceOnly rebuilt pods: %v became %v", before, got)
	}
	s.spec(threeContainers("v1", "v1", "v1", "blue", "10m"))
	s.done()
	if got := s.identities(ipsMember); fmt.Sprint(got) != fmt.Sprint(before) {
		t.Errorf("taken back, pods are %v; want %v", got, before)
	}
	s.spec(`{"updateStrategy":{"type":"InPlaceIfPossible"}}`)
	s.spec(threeContainers("v1", "v1", "v1", "blue", "100"))
	s.done()
	for _, pod := range s.live() {
		if got := pod.Spec.Containers[0].Resources.Requests.Cpu().String(); got != "100" || before[pod.Name] == fmt.Sprintf("%s %s %s", pod.UID, pod.Spec.NodeName, pod.Status.PodIP) {
			t.Errorf("%s has %s cpu; want 100, in another pod", pod.Name, got)
		}
	}
	s.noFaults()
}
