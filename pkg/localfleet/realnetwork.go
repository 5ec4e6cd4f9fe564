package localfleet

import (
	"context"
	"fmt"
	"hash/fnv"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
)

// Networks of real pods are taken from here: above those that simulated pods have.
const (
	firstNetwork = 128
	lastNetwork  = 254
)

// allocatePodNetworks gives every member with real nodes that has none a /16 that is free on this machine now.
func allocatePodNetworks(s *State, dir string, taken func() ([]netip.Prefix, error)) error {
	var used []netip.Prefix
	for _, n := range s.PodNetworks {
		p, err := netip.ParsePrefix(n)
		if err != nil {
			return fmt.Errorf("reading the pod networks of the fleet: %w", err)
		}
		used = append(used, p)
	}
	h := fnv.New32a()
	h.Write([]byte(dir))
	const span = lastNetwork - firstNetwork + 1
	at := int(h.Sum32() % span)
	for _, c := range s.Clusters() {
		if len(realNodes(s, c)) == 0 || s.PodNetworks[c] != "" {
			continue
		}
		others, err := taken()
		if err != nil {
			return err
		}
		for range span {
			p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(firstNetwork + at), 0, 0}), 16)
			at = (at + 1) % span
			if !overlaps(p, used) && !overlaps(p, others) {
				s.PodNetworks[c] = p.String()
				used = append(used, p)
				break
			}
		}
		if s.PodNetworks[c] == "" {
			return fmt.Errorf("no network is free for the pods of %s between 10.%d.0.0/16 and 10.%d.0.0/16: `ip addr` shows who has them", c, firstNetwork, lastNetwork)
		}
	}
	return nil
}

func overlaps(p netip.Prefix, others []netip.Prefix) bool {
	for _, o := range others {
		if p.Overlaps(o) {
			return true
		}
	}
	return false
}

// takenNetworks are those that this machine has an address in.
func takenNetworks() ([]netip.Prefix, error) {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("looking which networks this machine is in: %w", err)
	}
	var out []netip.Prefix
	for _, a := range addresses {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() {
			out = append(out, p.Masked())
		}
	}
	return out, nil
}

// address is <network>.<third>.<fourth> of a /16.
func address(network string, third, fourth int) string {
	p, err := netip.ParsePrefix(network)
	if err != nil {
		return ""
	}
	b := p.Addr().As4()
	return netip.AddrFrom4([4]byte{b[0], b[1], byte(third), byte(fourth)}).String()
}

// gateway is this machine's own address in a pod network, which is that of its nodes too.
func gateway(network string) string { return address(network, 0, 1) }

// ensureBridge makes the bridge of a member and gives this machine its address there. Its hardware address is set, or it would change with the pods that
// come and go, and those that remain would lose sight of this machine.
func ensureBridge(ctx context.Context, name, network string) error {
	if _, err := net.InterfaceByName(name); err != nil {
		sum := fnv.New32a()
		sum.Write([]byte(name))
		b := sum.Sum(nil)
		if err := ip(ctx, "link", "add", "name", name, "address", net.HardwareAddr{0x02, 0x50, b[0], b[1], b[2], b[3]}.String(), "type", "bridge"); err != nil {
			return err
		}
	}
	if err := ip(ctx, "address", "replace", gateway(network)+"/16", "dev", name); err != nil {
		return err
	}
	return ip(ctx, "link", "set", name, "up")
}

// removeBridges takes away the bridges whose names begin so.
func removeBridges(ctx context.Context, prefix string) error {
	all, err := net.Interfaces()
	if err != nil {
		return fmt.Errorf("looking for the fleet's bridges: %w", err)
	}
	for _, i := range all {
		if strings.HasPrefix(i.Name, prefix) {
			if err := ip(ctx, "link", "delete", i.Name); err != nil {
				return err
			}
		}
	}
	return nil
}

func ip(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "ip", args...)
	cmd.Env = append(os.Environ(), "PATH="+fullPath)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
