package localfleet

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// realState is a fleet of one member with real nodes.
func realState(t *testing.T) (Layout, *State) {
	t.Helper()
	l := Layout{"/fleets/real"}
	s := &State{Ports: map[string]int{}, Binaries: map[string]string{"controller": "/x/controller", "workloads": "/x/workloads", "webhook": "/x/webhook", cniPlugins: "/usr/lib/cni"}, PodNetworks: map[string]string{}}
	if err := s.merge(Options{Source: "/src", NodesKind: Real, Members: 1}); err != nil {
		t.Fatal(err)
	}
	if err := allocatePorts(s, l.Dir, func(int) bool { return true }); err != nil {
		t.Fatal(err)
	}
	if err := allocatePodNetworks(s, l.Dir, func() ([]netip.Prefix, error) { return nil, nil }); err != nil {
		t.Fatal(err)
	}
	return l, s
}

func TestPartsOfAFleetWithRealNodes(t *testing.T) {
	l, s := realState(t)
	var got []string
	for _, p := range allParts(l, s) {
		if p.cluster == "m1" {
			got = append(got, p.name)
		}
		for _, port := range p.ports {
			if port == 0 {
				t.Errorf("%s has a port that was not allocated", p)
			}
		}
	}
	want := []string{PartAPIServer, PartControllerManager, PartScheduler, "containerd-dca", "kubelet-dca", "containerd-dcb", "kubelet-dcb", PartWorkloads, PartWebhook}
	if !slices.Equal(got, want) {
		t.Errorf("parts are %v, want %v", got, want)
	}
	t.Run("a node may do what its pods need, and no more", func(t *testing.T) {
		server := apiServerPart(l, s, "m1")
		if !slices.Contains(server.args, "--authorization-mode=Node,RBAC") || slices.Contains(server.args, "--authorization-mode=RBAC") {
			t.Errorf("the API server's arguments are %v", server.args)
		}
		if hub := apiServerPart(l, s, Hub); !slices.Contains(hub.args, "--authorization-mode=RBAC") {
			t.Errorf("the hub, which has no nodes, has %v", hub.args)
		}
	})
	t.Run("a lean member has none", func(t *testing.T) {
		s := *s
		s.Members, s.Lean = 2, 1
		if got := realNodes(&s, "m2"); len(got) != 0 {
			t.Errorf("it has %v", got)
		}
	})
	t.Run("two nodes of a member share a network, with addresses of their own, and all their files are the fleet's", func(t *testing.T) {
		for i, n := range realNodes(s, "m1") {
			network, err := networkConfig(l, s, n)
			if err != nil {
				t.Fatal(err)
			}
			if first := address(s.PodNetworks["m1"], i+1, 1); !strings.Contains(string(network), `"rangeStart": "`+first+`"`) || !strings.Contains(string(network), `"bridge": "`+l.bridge("m1")+`"`) {
				t.Errorf("network of %s is %s", n.name(), network)
			}
			kubelet, err := kubeletConfig(l, s, n)
			if err != nil || !json.Valid(kubelet) {
				t.Errorf("configuration of %s is %s, %v", n.name(), kubelet, err)
			}
			for _, text := range []string{string(kubelet), containerdConfig(l, n, "/usr/lib/cni")} {
				for word := range strings.FieldsFuncSeq(text, func(r rune) bool { return strings.ContainsRune(" \",\n", r) }) {
					if strings.HasPrefix(word, "/") && !strings.HasPrefix(word, l.Dir) && !strings.HasPrefix(word, "/"+l.cgroup()) && word != "/usr/lib/cni" {
						t.Errorf("%s has a file at %s", n.name(), word)
					}
				}
			}
		}
	})
	t.Run("the kernel takes the bridge's name", func(t *testing.T) {
		if name := l.bridge("m16"); len(name) > 15 {
			t.Errorf("%s has %d characters", name, len(name))
		}
	})
	t.Run("a directory too deep for sockets is refused before anything starts", func(t *testing.T) {
		if err := checkSocketPaths(l, s); err != nil {
			t.Error(err)
		}
		if err := checkSocketPaths(Layout{"/" + strings.Repeat("x", 90)}, s); err == nil || !strings.Contains(err.Error(), "--dir") {
			t.Errorf("error is %v", err)
		}
	})
}

func TestTheKubeletIsOfTheAPIServersVersion(t *testing.T) {
	source, err := FindCheckout(".")
	if err != nil {
		t.Fatal(err)
	}
	versions := map[string]string{}
	for _, b := range binaries {
		if b.of == kubernetesModule {
			v, err := b.version(source)
			if err != nil {
				t.Fatal(err)
			}
			versions[v] += " " + b.name
		}
	}
	if len(versions) != 1 {
		t.Errorf("programs of Kubernetes are of versions %v", versions)
	}
}

func TestWhatAMachineLacksForRealNodesIsToldAtOnce(t *testing.T) {
	all := []string{"/usr/bin/containerd", "/usr/bin/ctr", "/usr/bin/containerd-shim-runc-v2", "/usr/sbin/runc", "/usr/sbin/ip", "/usr/bin/mount",
		"/usr/lib/cni/bridge", "/usr/lib/cni/host-local", "/usr/lib/cni/loopback"}
	on := func(root bool, files []string, controllers ...string) machine {
		return machine{
			root: func() bool { return root }, exists: func(file string) bool { return slices.Contains(files, file) }, cgroups: func() []string { return controllers },
		}
	}
	t.Run("a whole one", func(t *testing.T) {
		found, err := realPrograms(on(true, all, "cpu", "cpuset", "memory", "pids"))
		if err != nil || found["runc"] != "/usr/sbin/runc" || found[cniPlugins] != "/usr/lib/cni" {
			t.Errorf("found %v, %v", found, err)
		}
	})
	for name, c := range map[string]struct {
		m    machine
		want []string
	}{
		"not root":          {on(false, all, "cpu", "cpuset", "memory", "pids"), []string{"lacks: to be root"}},
		"no containerd":     {on(true, all[3:], "cpu", "cpuset", "memory", "pids"), []string{"the program containerd;", "the program ctr;", "apt-get install -y containerd"}},
		"one plugin lacks":  {on(true, all[:8], "cpu", "cpuset", "memory", "pids"), []string{"the network plugins", "apt-get install -y containernetworking-plugins"}},
		"no control groups": {on(true, all), []string{"the control group cpu in", "the control group memory in"}},
		"nothing at all": {on(false, nil), []string{"to be root", "the program runc", "the program ip", "the control group pids",
			"apt-get install -y containerd runc iproute2 mount containernetworking-plugins"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := realPrograms(c.m)
			for _, want := range c.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("error is %v, want one that says %q", err, want)
				}
			}
		})
	}
}

func TestPodNetworks(t *testing.T) {
	everything := func() ([]netip.Prefix, error) { return []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, nil }
	fresh := func() *State {
		return &State{Members: 2, Units: []string{"a"}, RealNodes: true, PodNetworks: map[string]string{}}
	}
	t.Run("members have networks of their own, beside those that the machine is in, and keep them", func(t *testing.T) {
		s := fresh()
		var others []netip.Prefix
		for third := 128; third < 250; third++ {
			others = append(others, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(third), 7, 0}), 24))
		}
		for range 2 {
			if err := allocatePodNetworks(s, "/x", func() ([]netip.Prefix, error) { return others, nil }); err != nil {
				t.Fatal(err)
			}
		}
		a, b := netip.MustParsePrefix(s.PodNetworks["m1"]), netip.MustParsePrefix(s.PodNetworks["m2"])
		if a.Overlaps(b) || overlaps(a, others) || overlaps(b, others) || s.PodNetworks[Hub] != "" {
			t.Errorf("networks are %v", s.PodNetworks)
		}
		was := s.PodNetworks["m1"]
		if err := allocatePodNetworks(s, "/x", everything); err != nil || s.PodNetworks["m1"] != was {
			t.Errorf("m1 moved from %s to %s, %v", was, s.PodNetworks["m1"], err)
		}
	})
	t.Run("no free network is an error that says between which", func(t *testing.T) {
		if err := allocatePodNetworks(fresh(), "/x", everything); err == nil || !strings.Contains(err.Error(), "10.128.0.0/16") {
			t.Errorf("error is %v", err)
		}
	})
	t.Run("a fleet of simulated nodes takes none", func(t *testing.T) {
		s := fresh()
		s.RealNodes = false
		if err := allocatePodNetworks(s, "/x", everything); err != nil || len(s.PodNetworks) != 0 {
			t.Errorf("networks are %v, %v", s.PodNetworks, err)
		}
	})
}

func TestMountsBelowADirectory(t *testing.T) {
	const mountinfo = `22 1 254:0 / / rw - ext4 /dev/vda rw
30 22 0:24 / /fleets/real/nodes/a/kubelet/pods/1 rw - tmpfs tmpfs rw
31 22 0:25 / /fleets/really rw - tmpfs tmpfs rw
32 30 0:26 / /fleets/real/with\040space rw - tmpfs tmpfs rw
broken
`
	if got := mountsBelow(mountinfo, "/fleets/real"); !slices.Equal(got, []string{"/fleets/real/nodes/a/kubelet/pods/1", "/fleets/real/with space"}) {
		t.Errorf("mounts are %q", got)
	}
}

func TestImages(t *testing.T) {
	program := filepath.Join(t.TempDir(), "server")
	if err := os.WriteFile(program, []byte("a program"), 0o755); err != nil {
		t.Fatal(err)
	}
	// config returns the name of the configuration in an image's archive, which is its digest, and the names it goes by.
	config := func(i Image) (string, []string) {
		t.Helper()
		var out bytes.Buffer
		if err := i.write(&out); err != nil {
			t.Fatal(err)
		}
		files := map[string][]byte{}
		for r := tar.NewReader(&out); ; {
			h, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if files[h.Name], err = io.ReadAll(r); err != nil {
				t.Fatal(err)
			}
		}
		var manifest []struct {
			Config           string
			RepoTags, Layers []string
		}
		if err := json.Unmarshal(files["manifest.json"], &manifest); err != nil || len(manifest) != 1 || len(manifest[0].Layers) != 1 {
			t.Fatalf("manifest is %s, %v", files["manifest.json"], err)
		}
		if layer := manifest[0].Layers[0]; !strings.Contains(string(files[manifest[0].Config]), "sha256:"+digest(files[layer])) {
			t.Errorf("the configuration %s does not name the layer %s", files[manifest[0].Config], layer)
		}
		return manifest[0].Config, manifest[0].RepoTags
	}
	one, names := config(Image{Names: []string{"local.invalid/app:v1"}, Program: program, Env: []string{"VERSION=v1"}})
	if !slices.Equal(names, []string{"local.invalid/app:v1"}) {
		t.Errorf("names are %v", names)
	}
	if again, _ := config(Image{Names: []string{"local.invalid/other:v9"}, Program: program, Env: []string{"VERSION=v1"}}); again != one {
		t.Errorf("the same under another name is %s, not %s", again, one)
	}
	if other, _ := config(Image{Names: names, Program: program, Env: []string{"VERSION=v2"}}); other == one {
		t.Error("another environment has the same digest")
	}
}
