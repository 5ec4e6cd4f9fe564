package localfleet

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

const pauseImage = "local.invalid/pause:v1"

// containerdConfig keeps all that containerd writes, but for a few sockets in /run/containerd, below the node's directory.
func containerdConfig(l Layout, n realNode, plugins string) string {
	dir := l.node(n.name())
	return fmt.Sprintf(`version = 2
root = %[1]q
state = %[2]q

[grpc]
  address = %[3]q

# All of the node ends with this group.
[cgroup]
  path = %[4]q

[plugins."io.containerd.internal.v1.opt"]
  path = %[5]q

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = %[6]q
  # Where a container may not be given a lower score than we have ourselves, no sandbox would start without this.
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = %[7]q
    conf_dir = %[8]q

  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = %[9]q

  [plugins."io.containerd.grpc.v1.cri".containerd]
    # Files are copied for each container: it works on every file system, and images here are small.
    snapshotter = %[10]q

    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"

      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        Root = %[11]q
`, filepath.Join(dir, "images"), filepath.Join(dir, "run"), l.containerdSocket(n.name()), "/"+l.cgroup()+"/"+n.name()+"/runtime", filepath.Join(dir, "opt"),
		pauseImage, plugins, filepath.Join(dir, "cni"), filepath.Join(dir, "registries"), snapshotter, filepath.Join(dir, "runc"))
}

const snapshotter = "native"

// noRegistry is where every pull goes: nothing listens there, so that an image that was not added fails to be pulled at once, and always in the same way.
const noRegistry = `server = "http://127.0.0.1:1"

[host."http://127.0.0.1:1"]
  capabilities = ["pull", "resolve"]
`

// networkConfig lets the pods of all nodes of a member share a bridge, each node with addresses of its own. The bridge is made by us and not by the plugin,
// which would make this machine a router.
func networkConfig(l Layout, s *State, n realNode) ([]byte, error) {
	network := s.PodNetworks[n.cluster]
	pods := func(last int) string { return address(network, n.index+1, last) }
	return json.MarshalIndent(map[string]any{
		"cniVersion": "0.4.0", "name": l.bridge(n.cluster),
		"plugins": []any{map[string]any{
			"type": "bridge", "bridge": l.bridge(n.cluster),
			"ipam": map[string]any{
				"type": "host-local", "dataDir": l.node(n.name(), "addresses"),
				"ranges": []any{[]any{map[string]any{"subnet": network, "rangeStart": pods(1), "rangeEnd": pods(254), "gateway": gateway(network)}}},
			},
		}},
	}, "", "  ")
}

// kubeletConfig is that of a node on a machine that is not its own: nothing is evicted, collected or changed because of what else runs here. It is written as
// JSON, which YAML is a superset of.
func kubeletConfig(l Layout, s *State, n realNode) ([]byte, error) {
	name := partKubelet(n.unit)
	never := map[string]string{"imagefs.available": "0%", "memory.available": "0%", "nodefs.available": "0%", "nodefs.inodesFree": "0%", "pid.available": "0%"}
	return json.MarshalIndent(map[string]any{
		"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
		// The node's address, where the API server looks for it, is on the bridge: the fleet's pods and this machine reach it, others do not.
		"address": gateway(s.PodNetworks[n.cluster]), "port": s.Port(n.cluster, name, "https"),
		"healthzBindAddress": "127.0.0.1", "healthzPort": s.Port(n.cluster, name, "health"),
		"tlsCertFile": l.pki("server.crt"), "tlsPrivateKeyFile": l.pki("server.key"),
		"authentication": map[string]any{
			"anonymous": map[string]any{"enabled": false}, "webhook": map[string]any{"enabled": true},
			"x509": map[string]any{"clientCAFile": l.pki("kubelet-client.crt")},
		},
		"authorization":            map[string]any{"mode": "Webhook"},
		"containerRuntimeEndpoint": "unix://" + l.containerdSocket(n.name()),
		"cgroupDriver":             "cgroupfs", "cgroupRoot": "/" + l.cgroup() + "/" + n.name(), "cgroupsPerQOS": true, "enforceNodeAllocatable": []string{},
		// Both kinds of control groups do.
		"failCgroupV1": false,
		"failSwapOn":   false, "oomScoreAdj": 0, "makeIPTablesUtilChains": false, "localStorageCapacityIsolation": false,
		"resolvConf":   "",
		"podLogsDir":   l.node(n.name(), "logs"),
		"evictionHard": never, "imageGCHighThresholdPercent": 100, "imageGCLowThresholdPercent": 99,
		"volumePluginDir": l.node(n.name(), "volumeplugins"),
		"maxPods":         200, "serializeImagePulls": false,
		// A kubelet holds back, for ten seconds at first and five minutes at last, a container that goes back to an image it ran some minutes ago, as one that
		// crashes: stories that go forth and back would mostly wait.
		"crashLoopBackOff": map[string]any{"maxContainerRestartPeriod": "3s"},
		// The member's controller manager gives up a node after 20 seconds.
		"nodeLeaseDurationSeconds": 20,
		"kubeAPIQPS":               200, "kubeAPIBurst": 400, "eventRecordQPS": 0,
		"logging": map[string]any{"verbosity": 1},
	}, "", "  ")
}

// writeRealNode writes the configuration of a node.
func writeRealNode(l Layout, s *State, n realNode) error {
	network, err := networkConfig(l, s, n)
	if err != nil {
		return fmt.Errorf("writing the network of node %s: %w", n.name(), err)
	}
	kubelet, err := kubeletConfig(l, s, n)
	if err != nil {
		return fmt.Errorf("writing the configuration of node %s: %w", n.name(), err)
	}
	for path, data := range map[string][]byte{
		"containerd.toml":                []byte(containerdConfig(l, n, s.Binaries[cniPlugins])),
		"cni/10-fleet.conflist":          network,
		"kubelet.yaml":                   kubelet,
		"registries/_default/hosts.toml": []byte(noRegistry),
	} {
		file := l.node(n.name(), filepath.FromSlash(path))
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			return fmt.Errorf("writing the configuration of node %s: %w", n.name(), err)
		}
		if err := writeFile(file, data, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// realNodeGrace is how long the containers of a node that is removed may take to be gone after SIGKILL.
const realNodeGrace = 10 * time.Second
