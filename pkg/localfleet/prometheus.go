package localfleet

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const (
	// PartPrometheus is the one Prometheus of all members.
	PartPrometheus = "prometheus"
	// PartTraffic plays, in a member with nodes, the requests that its pods get and the metrics that they serve.
	PartTraffic = "traffic"
)

// getPrometheus is the command of the checkout that finds or fetches a real Prometheus, and prints the folder that it is in.
const getPrometheus = "./test/metrics/get"

// prometheusProgram is where the program is; it is fetched where neither PATH nor the cache of programs has it.
func prometheusProgram(ctx context.Context, checkout string, progress *Progress) (string, error) {
	tool, err := findGo()
	if err != nil {
		return "", err
	}
	done := progress.Begin("find a Prometheus")
	defer done("")
	dir, err := tool.run(ctx, checkout, "run", getPrometheus)
	if err != nil {
		return "", fmt.Errorf("finding a Prometheus, or fetching one: %w", err)
	}
	return filepath.Join(strings.TrimSpace(dir), "prometheus"), nil
}

// played are the members whose pods get requests: those that have nodes for pods.
func played(s *State) []string {
	var out []string
	for _, m := range s.MemberNames() {
		if s.Prometheus && !s.IsLean(m) {
			out = append(out, m)
		}
	}
	return out
}

// prometheusPorts are the ports of Prometheus and of what it asks, by key.
func prometheusPorts(s *State) []string {
	if !s.Prometheus {
		return nil
	}
	keys := []string{portKey(Fleet, PartPrometheus, "http")}
	for _, m := range played(s) {
		keys = append(keys, portKey(m, PartTraffic, "http"))
	}
	return keys
}

// prometheusParts are the traffic of the members, and the Prometheus.
func prometheusParts(l Layout, s *State) []part {
	if !s.Prometheus {
		return nil
	}
	var parts []part
	for _, m := range played(s) {
		port := s.Port(m, PartTraffic, "http")
		parts = append(parts, part{
			cluster: m, name: PartTraffic, binary: "traffic", port: port, ports: []int{port},
			args:  []string{"--kubeconfig=" + l.partKubeconfig(m, "kubernetes"), "--member=" + m, "--address=" + loopbackAddress(port)},
			ready: httpOK(targetsURL(s, m)),
		})
	}
	port, data := s.Port(Fleet, PartPrometheus, "http"), dataDir(l, Fleet, PartPrometheus)
	return append(parts, part{
		cluster: Fleet, name: PartPrometheus, binary: "prometheus", port: port, ports: []int{port},
		args: []string{
			"--config.file=" + prometheusConfig(l), "--web.listen-address=" + loopbackAddress(port),
			"--storage.tsdb.path=" + filepath.Join(data, "tsdb"), "--storage.tsdb.retention.time=6h", "--log.level=warn",
		},
		files: []string{prometheusConfig(l)},
		ready: httpOK(loopbackURL("http", port) + "/-/ready"),
	})
}

func targetsURL(s *State, member string) string {
	return loopbackURL("http", s.Port(member, PartTraffic, "http")) + "/targets"
}

func prometheusConfig(l Layout) string {
	return filepath.Join(dataDir(l, Fleet, PartPrometheus), "prometheus.yml")
}

// writePrometheus writes what the Prometheus of a fleet scrapes, each second: a release on one machine is over in minutes.
func writePrometheus(l Layout, s *State) error {
	if !s.Prometheus {
		return nil
	}
	if err := os.MkdirAll(dataDir(l, Fleet, PartPrometheus), 0o700); err != nil {
		return fmt.Errorf("making the directory of Prometheus: %w", err)
	}
	var b strings.Builder
	b.WriteString("global: {scrape_interval: 1s, scrape_timeout: 1s}\nscrape_configs:\n")
	for _, m := range played(s) {
		fmt.Fprintf(&b, "- job_name: %s\n  http_sd_configs: [{url: %q, refresh_interval: 1s}]\n", m, targetsURL(s, m))
	}
	return writeFile(prometheusConfig(l), []byte(b.String()), 0o600)
}

// Address is where a part listens, as host and port. Without a cluster, the name must be that of one part only.
func (r *Running) Address(cluster, partName string) (string, error) {
	s, err := r.State()
	if err != nil {
		return "", err
	}
	p, err := findPart(r.Layout, s, cluster, partName)
	if err != nil {
		return "", err
	}
	if p.port == 0 {
		return "", fmt.Errorf("%s listens on no port", p)
	}
	return loopbackAddress(p.port), nil
}

func loopbackAddress(port int) string { return "127.0.0.1:" + strconv.Itoa(port) }
