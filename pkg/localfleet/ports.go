package localfleet

import (
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"slices"
	"strconv"
	"syscall"
)

// Ports are taken below the range that Linux hands to outgoing connections (32768 and up), so that a part that is
// down for a moment does not lose its port to somebody's connection.
const (
	firstPort = 20000
	lastPort  = 32000
)

// wantedPorts are the ports the fleet of this state needs, by key, in a stable order.
func wantedPorts(s *State) []string {
	keys := []string{portKey(Fleet, PartEtcd, "client"), portKey(Fleet, PartEtcd, "peer")}
	for _, c := range s.Clusters() {
		keys = append(keys, portKey(c, PartAPIServer, "https"), portKey(c, PartControllerManager, "https"))
		if c == Hub {
			for _, part := range []string{PartTektonController, PartTektonWebhook} {
				keys = append(keys, portKey(c, part, "probes"), portKey(c, part, "profiling"), portKey(c, part, "metrics"))
			}
			keys = append(keys, portKey(c, PartTektonWebhook, "https"))
			keys = append(keys, triggersPorts(s)...)
		} else {
			keys = append(keys, portKey(c, PartScheduler, "https"))
		}
		for _, p := range ownParts(c) {
			keys = append(keys, portKey(c, p.name, "health"), portKey(c, p.name, "metrics"))
		}
		if c != Hub {
			keys = append(keys, portKey(c, PartWebhook, "https"))
		}
		for _, n := range realNodes(s, c) {
			keys = append(keys, portKey(c, partKubelet(n.unit), "https"), portKey(c, partKubelet(n.unit), "health"))
		}
	}
	return append(keys, prometheusPorts(s)...)
}

// allocatePorts gives every part that has none a port that is free now. The search starts at a place that depends on
// the directory, so that two fleets rarely want the same one.
func allocatePorts(s *State, dir string, free func(port int) bool) error {
	h := fnv.New32a()
	h.Write([]byte(dir))
	span := lastPort - firstPort
	at, tried := int(h.Sum32()%uint32(span)), 0

	var used []int
	for _, p := range s.Ports {
		used = append(used, p)
	}
	for _, key := range wantedPorts(s) {
		if s.Ports[key] != 0 {
			continue
		}
		for ; ; at, tried = (at+1)%span, tried+1 {
			if tried >= span {
				return fmt.Errorf("no free port for %s between %d and %d on 127.0.0.1; end what holds them", key, firstPort, lastPort)
			}
			if port := firstPort + at; !slices.Contains(used, port) && free(port) {
				s.Ports[key] = port
				used = append(used, port)
				at, tried = (at+1)%span, tried+1
				break
			}
		}
	}
	return nil
}

// portFree tells whether nothing listens on the port, on loopback or on all addresses.
func portFree(port int) bool {
	l, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return false
	}
	return l.Close() == nil
}

// checkPort says clearly that a part cannot have its port, before the part says it in its own way.
func checkPort(port int) error {
	l, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("port %d of this part is taken by another process (`ss -ltnp 'sport = :%d'` shows which); "+
			"end that process, or run `periplus local down` and `up` for a fleet on other ports", port, port)
	}
	if err != nil {
		return fmt.Errorf("listening on port %d of this part: %w", port, err)
	}
	return l.Close()
}
