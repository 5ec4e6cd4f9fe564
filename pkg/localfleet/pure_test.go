package localfleet

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
)

// testState is a fleet of two members whose programs and ports are known.
func testState(t *testing.T) (Layout, *State) {
	t.Helper()
	l := Layout{t.TempDir()}
	s := &State{Ports: map[string]int{}, Binaries: map[string]string{"controller": "/x/controller", "workloads": "/x/workloads", "webhook": "/x/webhook"}}
	if err := s.merge(Options{Source: "/src"}); err != nil {
		t.Fatal(err)
	}
	if err := allocatePorts(s, l.Dir, func(int) bool { return true }); err != nil {
		t.Fatal(err)
	}
	return l, s
}

func TestPorts(t *testing.T) {
	t.Run("every part gets ports of its own, and keeps them when the fleet grows", func(t *testing.T) {
		l, s := testState(t)
		before := map[string]int{}
		seen := map[int]string{}
		for key, port := range s.Ports {
			before[key] = port
			if seen[port] != "" {
				t.Errorf("%s and %s share port %d", key, seen[port], port)
			}
			seen[port] = key
		}
		s.Members = 4
		if err := allocatePorts(s, l.Dir, func(int) bool { return true }); err != nil {
			t.Fatal(err)
		}
		for key, port := range before {
			if s.Ports[key] != port {
				t.Errorf("%s moved from %d to %d", key, port, s.Ports[key])
			}
		}
		if s.Port("m4", PartAPIServer, "https") == 0 {
			t.Error("the new member has no port")
		}
	})
	t.Run("a port that is taken is passed over", func(t *testing.T) {
		l, s := testState(t)
		taken := slices.Collect(func(yield func(int) bool) {
			for _, p := range s.Ports {
				if !yield(p) {
					return
				}
			}
		})
		other := &State{Ports: map[string]int{}, Members: 2}
		if err := allocatePorts(other, l.Dir, func(p int) bool { return !slices.Contains(taken, p) }); err != nil {
			t.Fatal(err)
		}
		for key, p := range other.Ports {
			if slices.Contains(taken, p) {
				t.Errorf("%s got the taken port %d", key, p)
			}
		}
	})
	t.Run("no free port is an error that says between which", func(t *testing.T) {
		err := allocatePorts(&State{Ports: map[string]int{}, Members: 1}, "/x", func(int) bool { return false })
		if err == nil || !strings.Contains(err.Error(), "20000 and 32000") {
			t.Errorf("error is %v", err)
		}
	})
}

func TestEveryPartStaysOnLoopback(t *testing.T) {
	l, s := testState(t)
	for _, p := range allParts(l, s) {
		for _, arg := range append(slices.Clone(p.args), p.env...) {
			for _, bad := range []string{"0.0.0.0", "[::]", "=:"} {
				if strings.Contains(arg, bad) {
					t.Errorf("%s gets %q", p, arg)
				}
			}
		}
		for _, port := range p.ports {
			if port == 0 {
				t.Errorf("%s has a port that was not allocated", p)
			}
		}
	}
}

func TestPartsOfAFleet(t *testing.T) {
	l, s := testState(t)
	var got []string
	for _, p := range allParts(l, s) {
		got = append(got, p.String())
	}
	want := []string{
		"fleet/etcd",
		"hub/apiserver", "hub/controller-manager", "hub/tekton-controller", "hub/tekton-webhook", "hub/controller",
		"m1/apiserver", "m1/controller-manager", "m1/scheduler", "m1/kwok", "m1/workloads", "m1/webhook",
		"m2/apiserver", "m2/controller-manager", "m2/scheduler", "m2/kwok", "m2/workloads", "m2/webhook",
	}
	if !slices.Equal(got, want) {
		t.Errorf("parts are\n%v, want\n%v", got, want)
	}
	t.Run("a lean member has neither scheduler nor nodes, and of the controllers those that namespaces need", func(t *testing.T) {
		s := *s
		s.Lean = 1
		var got []string
		for _, p := range allParts(l, &s) {
			if p.cluster == "m2" {
				got = append(got, p.name)
			}
			if lean := slices.Contains(p.args, "--controllers="+leanControllers); lean != (p.String() == "m2/controller-manager") {
				t.Errorf("%s: lean is %t", p, lean)
			}
		}
		if !slices.Equal(got, []string{PartAPIServer, PartControllerManager, PartWorkloads, PartWebhook}) {
			t.Errorf("parts are %v", got)
		}
	})
	t.Run("our controllers run with an identity of their own and the agreed flags", func(t *testing.T) {
		p := periplusPart(l, s, Hub, PartController)
		if !slices.Contains(p.args, "--kubeconfig="+l.partKubeconfig(Hub, PartController)) || !slices.Contains(p.args, "--disable-ha") ||
			!slices.Contains(p.env, "SYSTEM_NAMESPACE=periplus-system") {
			t.Errorf("args %v, env %v", p.args, p.env)
		}
	})
	t.Run("the webhook serves the API server of its member on a port beside those of probes and metrics, with a certificate for this machine", func(t *testing.T) {
		p := periplusPart(l, s, "m1", PartWebhook)
		if len(p.ports) != 3 || !slices.Contains(p.ports, p.port) || !slices.Contains(p.args, "--webhook-hosts=127.0.0.1") ||
			!slices.Contains(p.args, fmt.Sprintf("--webhook-address=127.0.0.1:%d", p.port)) {
			t.Errorf("port %d of %v, args %v", p.port, p.ports, p.args)
		}
	})
	t.Run("without an install there are none of them", func(t *testing.T) {
		s.Install = false
		for _, p := range allParts(l, s) {
			if p.name == PartController || p.name == PartWorkloads || p.name == PartWebhook {
				t.Errorf("there is %s", p)
			}
		}
	})
	t.Run("a part that several clusters have must be asked for with its cluster", func(t *testing.T) {
		if _, err := findPart(l, s, "", PartAPIServer); err == nil || !strings.Contains(err.Error(), "--cluster") {
			t.Errorf("error is %v", err)
		}
		if p, err := findPart(l, s, "", PartEtcd); err != nil || p.String() != "fleet/etcd" {
			t.Errorf("got %v, %v", p, err)
		}
		if _, err := findPart(l, s, "m1", "nothing"); err == nil || !strings.Contains(err.Error(), "m1/kwok") {
			t.Errorf("error is %v, want one that names the parts there are", err)
		}
	})
}

func TestOptions(t *testing.T) {
	for name, c := range map[string]struct {
		has  *State
		asks Options
		want string
	}{
		"a new fleet takes the defaults":           {has: &State{}, asks: Options{}},
		"a fleet can grow":                         {has: &State{Members: 2, Nodes: 3, Units: []string{"a"}}, asks: Options{Members: 3, Nodes: 4, Units: []string{"a", "b"}}},
		"a fleet does not lose members by the way": {has: &State{Members: 3, Nodes: 1, Units: []string{"a"}}, asks: Options{Members: 2}, want: "run `periplus local down` first"},
		"a fleet does not lose nodes by the way":   {has: &State{Members: 3, Nodes: 3, Units: []string{"a"}}, asks: Options{Nodes: 1}, want: "run `periplus local down` first"},
		"a fleet does not lose a unit by the way":  {has: &State{Members: 3, Nodes: 3, Units: []string{"a", "b"}}, asks: Options{Units: []string{"b"}}, want: "this fleet has the unit a"},
		"a unit name is a label":                   {has: &State{}, asks: Options{Units: []string{"DC A"}}, want: "is not a unit name"},
		"a fleet has a member at least":            {has: &State{}, asks: Options{Members: -1}, want: "1 to 16 members"},
		"nodes are simulated or real":              {has: &State{}, asks: Options{NodesKind: "robust"}, want: "nodes are simulated or real"},
		"a unit has one real node":                 {has: &State{}, asks: Options{NodesKind: Real, Nodes: 2}, want: "a unit has one real node"},
		"a fleet of real nodes is made":            {has: &State{}, asks: Options{NodesKind: Real, Members: 1}},
		"a fleet keeps its kind of nodes":          {has: &State{Members: 1, Nodes: 3, Units: []string{"a"}}, asks: Options{NodesKind: Real}, want: "nodes of this fleet are of the other kind"},
		"a fleet of real nodes can be repaired":    {has: &State{Members: 1, Nodes: 1, Units: []string{"a"}, RealNodes: true}, asks: Options{}},
		"a real node does not get company":         {has: &State{Members: 1, Nodes: 1, Units: []string{"a"}, RealNodes: true}, asks: Options{Nodes: 3}, want: "a unit has one real node"},
		"more members than the machine can bear":   {has: &State{}, asks: Options{Members: 40}, want: "1 to 16 members"},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.has.merge(c.asks)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("error is %v, want %q", err, c.want)
			}
		})
	}
}

func TestState(t *testing.T) {
	l, s := testState(t)
	if err := writeState(l, s); err != nil {
		t.Fatal(err)
	}
	got, err := readState(l)
	if err != nil || got.Members != 2 || got.Port(Hub, PartAPIServer, "https") != s.Port(Hub, PartAPIServer, "https") {
		t.Errorf("read %+v, %v", got, err)
	}
	if entries, _ := os.ReadDir(l.Dir); len(entries) != 1 {
		t.Errorf("writing left %v", entries)
	}
	if err := os.WriteFile(l.state(), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readState(l); err == nil || !strings.Contains(err.Error(), "periplus local down") {
		t.Errorf("a broken state gives %v, want what to do", err)
	}
}

func TestVersionStamps(t *testing.T) {
	flags := binary{stamped: true}.ldflags("v1.36.3")
	for _, want := range []string{
		"-s -w", "-X k8s.io/component-base/version.gitVersion=v1.36.3", "-X k8s.io/client-go/pkg/version.gitVersion=v1.36.3",
		"-X k8s.io/component-base/version.gitMajor=1", "-X k8s.io/component-base/version.gitMinor=36",
	} {
		if !strings.Contains(flags, want) {
			t.Errorf("ldflags %q lack %q", flags, want)
		}
	}
	if got := (binary{}).ldflags("v1"); got != "-s -w" {
		t.Errorf("a program that is not stamped gets %q", got)
	}
	source, err := FindCheckout(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range binaries {
		if v, err := b.version(source); err != nil || !strings.HasPrefix(v, "v") {
			t.Errorf("version of %s is %q, %v", b.name, v, err)
		}
	}
}

func TestPrebuiltPrograms(t *testing.T) {
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"etcd": 0o755, "kube-apiserver": 0o644, "kwok": 0o755} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	b := &Builder{Assets: dir}
	for name, want := range map[string]bool{"etcd": true, "kube-apiserver": false, "kubectl": false, "kwok": false} {
		i := slices.IndexFunc(binaries, func(b binary) bool { return b.name == name })
		if _, got := b.asset(binaries[i]); got != want {
			t.Errorf("%s is taken from KUBEBUILDER_ASSETS: %v, want %v", name, got, want)
		}
	}
}

func TestKubeconfigs(t *testing.T) {
	l, s := testState(t)
	for _, d := range l.dirs() {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	cred, err := ensureCredentials(l, s)
	if err != nil {
		t.Fatal(err)
	}
	again, err := ensureCredentials(l, s)
	if err != nil || again.tokens[Alice] != cred.tokens[Alice] || string(again.ca) != string(cred.ca) {
		t.Errorf("credentials changed with the second call (%v)", err)
	}
	if err := writeKubeconfigs(l, s, cred); err != nil {
		t.Fatal(err)
	}
	all, err := clientcmd.LoadFromFile(l.Kubeconfig("all"))
	if err != nil {
		t.Fatal(err)
	}
	for _, context := range []string{"hub", "m1", "m2", "hub-alice", "hub-bob", "hub-carol"} {
		if all.Contexts[context] == nil {
			t.Errorf("all.yaml has no context %s", context)
		}
	}
	if all.CurrentContext != Hub {
		t.Errorf("current context is %s", all.CurrentContext)
	}
	config, err := (&Running{l}).RESTConfig("m1", Bob)
	if err != nil || config.BearerToken != cred.tokens[Bob] || config.Host != s.server("m1") {
		t.Errorf("bob's configuration is %+v, %v", config, err)
	}
	tokens, err := os.ReadFile(l.pki("tokens.csv"))
	if err != nil || !strings.Contains(string(tokens), `,carol,carol,"sre"`) || !strings.Contains(string(tokens), `,admin,admin,"system:masters"`) {
		t.Errorf("tokens are %s, %v", tokens, err)
	}
}

func TestDownTouchesFleetsOnly(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "thesis.txt")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	err := Down(t.Context(), Options{Dir: dir})
	if err == nil || !strings.Contains(err.Error(), "thesis.txt") {
		t.Errorf("error is %v", err)
	}
	if _, err := os.Stat(file); err != nil {
		t.Error("the file is gone")
	}
}
