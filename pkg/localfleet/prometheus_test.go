package localfleet

import (
	"os"
	"slices"
	"strings"
	"testing"
)

func withPrometheus(t *testing.T, o Options) (Layout, *State) {
	t.Helper()
	l, s := testState(t)
	o.Source, o.Prometheus = "/src", true
	if err := s.merge(o); err != nil {
		t.Fatal(err)
	}
	if err := allocatePorts(s, l.Dir, func(int) bool { return true }); err != nil {
		t.Fatal(err)
	}
	if err := writePrometheus(l, s); err != nil {
		t.Fatal(err)
	}
	return l, s
}

func TestPrometheusIsAnOption(t *testing.T) {
	t.Run("a fleet that nobody asked for it has none of its parts, ports and files", func(t *testing.T) {
		l, s := testState(t)
		if parts, ports := prometheusParts(l, s), prometheusPorts(s); parts != nil || ports != nil {
			t.Errorf("parts %v, ports %v", namesOf(parts), ports)
		}
		if err := writePrometheus(l, s); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(prometheusConfig(l)); !os.IsNotExist(err) {
			t.Errorf("there is a configuration: %v", err)
		}
	})
	t.Run("a fleet that has it keeps it, with the traffic of each member that has nodes", func(t *testing.T) {
		l, s := withPrometheus(t, Options{Members: 3, Lean: 1})
		if err := s.merge(Options{Source: "/src"}); err != nil {
			t.Fatal(err)
		}
		if err := writeState(l, s); err != nil {
			t.Fatal(err)
		}
		s, err := readState(l)
		if err != nil {
			t.Fatal(err)
		}
		got := namesOf(allParts(l, s))
		for _, want := range []string{"fleet/prometheus", "m1/traffic", "m2/traffic"} {
			if !slices.Contains(got, want) {
				t.Errorf("parts are %v, without %s", got, want)
			}
		}
		if slices.Contains(got, "m3/traffic") {
			t.Errorf("a member without nodes has traffic: %v", got)
		}
	})
	t.Run("it scrapes the traffic of all members, and all listen on ports of their own on 127.0.0.1", func(t *testing.T) {
		l, s := withPrometheus(t, Options{Members: 2})
		config, err := os.ReadFile(prometheusConfig(l))
		if err != nil {
			t.Fatal(err)
		}
		var ports []int
		for _, p := range prometheusParts(l, s) {
			if p.port == 0 || slices.Contains(ports, p.port) {
				t.Errorf("%s has port %d, others %v", p, p.port, ports)
			}
			ports = append(ports, p.port)
			if !slices.ContainsFunc(p.args, func(a string) bool { return strings.HasSuffix(a, "="+loopbackAddress(p.port)) }) {
				t.Errorf("%s is not told its address: %v", p, p.args)
			}
			if p.name == PartTraffic && !strings.Contains(string(config), loopbackAddress(p.port)+"/targets") {
				t.Errorf("%s is not scraped:\n%s", p, config)
			}
		}
	})
}
