package haproxy

import (
	"encoding/csv"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Seen is what HAProxy said at one time.
type Seen struct {
	// Pid of the process, and how long it runs, in whole seconds. Another pid is another process, after a restart or a reload.
	Pid    int
	Uptime time.Duration
	// Servers of the backend by name, those of the configuration among them.
	Servers map[string]Server
}

// State is what was asked of a server, whatever its checks say.
type State int

// States of a server.
const (
	Ready State = iota
	Drain
	Maint
)

func (s State) String() string { return [...]string{"ready", "drain", "maint"}[s] }

// Server as HAProxy has it.
type Server struct {
	// Address is not valid where the server has none, or one that is not of TCP.
	Address netip.AddrPort
	State   State
	// Sessions that the server has, and requests queued for it.
	Sessions int
	// Since is how long ago the server last changed to or from up, down, drain or maintenance, in whole seconds.
	Since time.Duration
}

// Bits of srv_admin_state.
const (
	anyMaint = 0x01 | 0x02 | 0x04 | 0x20 | 0x40
	anyDrain = 0x08 | 0x10
)

// parse reads "show info" and "show servers state". It returns the backend's id, which is known only where it has servers.
func parse(info, state string) (seen Seen, id string, err error) {
	seen.Servers = map[string]Server{}
	if err := parseInfo(info, &seen); err != nil {
		return Seen{}, "", err
	}
	rows, err := parseState(state)
	if err != nil {
		return Seen{}, "", err
	}
	for _, row := range rows {
		server, err := row.server()
		if err != nil {
			return Seen{}, "", fmt.Errorf("server %s: %w", row["srv_name"], err)
		}
		seen.Servers[row["srv_name"]], id = server, row["be_id"]
	}
	return seen, id, nil
}

// addSessions reads "show stat". A server that is in one of the two lists and not in the other is an error: they were changed by somebody, or HAProxy was
// restarted, between the two.
func (s *Seen) addSessions(stat string) error {
	sessions, err := parseStat(stat)
	if err != nil {
		return err
	}
	for name, n := range sessions {
		server, ok := s.Servers[name]
		if !ok {
			return fmt.Errorf("server %s came while the backend was looked at", name)
		}
		server.Sessions = n
		s.Servers[name] = server
	}
	if len(sessions) != len(s.Servers) {
		return errors.New("a server went while the backend was looked at")
	}
	return nil
}

func parseInfo(text string, seen *Seen) error {
	var uptime int
	want := map[string]*int{"Pid": &seen.Pid, "Uptime_sec": &uptime}
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(line, ": ")
		if into, ok := want[key]; ok {
			n, err := strconv.Atoi(strings.TrimSpace(value))
			if err != nil {
				return fmt.Errorf("show info: %s: %w", key, err)
			}
			*into = n
			delete(want, key)
		}
	}
	if len(want) > 0 {
		return errors.New("show info has no Pid and Uptime_sec")
	}
	seen.Uptime = time.Duration(uptime) * time.Second
	return nil
}

// row of "show servers state", by column.
type row map[string]string

func parseState(text string) ([]row, error) {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if len(lines) < 2 || strings.TrimSpace(lines[0]) != "1" || !strings.HasPrefix(lines[1], "# ") {
		return nil, fmt.Errorf("show servers state is not of format 1: %.60q", text)
	}
	columns := strings.Fields(lines[1])[1:]
	var rows []row
	for _, line := range lines[2:] {
		fields := strings.Fields(line)
		if len(fields) < len(columns) {
			return nil, fmt.Errorf("show servers state: %q has %d columns, want %d", line, len(fields), len(columns))
		}
		r := row{}
		for i, column := range columns {
			r[column] = fields[i]
		}
		rows = append(rows, r)
	}
	return rows, nil
}

func (r row) server() (Server, error) {
	var s Server
	admin, err := strconv.Atoi(r["srv_admin_state"])
	if err != nil {
		return s, fmt.Errorf("srv_admin_state: %w", err)
	}
	switch {
	case admin&anyMaint != 0:
		s.State = Maint
	case admin&anyDrain != 0:
		s.State = Drain
	}
	since, err := strconv.Atoi(r["srv_time_since_last_change"])
	if err != nil {
		return s, fmt.Errorf("srv_time_since_last_change: %w", err)
	}
	s.Since = time.Duration(since) * time.Second
	ip, errIP := netip.ParseAddr(r["srv_addr"])
	port, errPort := strconv.ParseUint(r["srv_port"], 10, 16)
	if errIP == nil && errPort == nil {
		s.Address = netip.AddrPortFrom(ip, uint16(port))
	}
	return s, nil
}

// parseStat returns what each server has: its sessions and its queue.
func parseStat(text string) (map[string]int, error) {
	r := csv.NewReader(strings.NewReader(strings.TrimPrefix(strings.TrimSpace(text), "# ")))
	r.FieldsPerRecord = -1
	records, err := r.ReadAll()
	if err != nil {
		return nil, fmt.Errorf("show stat: %w", err)
	}
	if len(records) == 0 {
		return nil, errors.New("show stat has no header")
	}
	at := map[string]int{}
	for i, column := range records[0] {
		at[column] = i
	}
	out := map[string]int{}
	for _, record := range records[1:] {
		total := 0
		for _, column := range []string{"scur", "qcur"} {
			i, ok := at[column]
			if !ok || i >= len(record) {
				return nil, fmt.Errorf("show stat has no column %s", column)
			}
			n, err := strconv.Atoi(record[i])
			if err != nil {
				return nil, fmt.Errorf("show stat: %s: %w", column, err)
			}
			total += n
		}
		i, ok := at["svname"]
		if !ok || i >= len(record) {
			return nil, errors.New("show stat has no column svname")
		}
		out[record[i]] = total
	}
	return out, nil
}
