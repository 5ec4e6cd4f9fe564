package localfleet

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// PartStatus is one part as `periplus local status` shows it.
type PartStatus struct {
	Cluster string `json:"cluster"`
	Part    string `json:"part"`
	Up      bool   `json:"up"`
	PID     int    `json:"pid,omitempty"`
	// Port is the main port on 127.0.0.1; 0 where the part listens on none.
	Port int `json:"port,omitempty"`
	// MemoryBytes is resident memory.
	MemoryBytes int64  `json:"memoryBytes,omitempty"`
	Log         string `json:"log"`
}

// Status is every part of the fleet, in the order they are started.
func (r *Running) Status() ([]PartStatus, error) {
	s, err := r.State()
	if err != nil {
		return nil, err
	}
	var out []PartStatus
	for _, p := range allParts(r.Layout, s) {
		st := PartStatus{Cluster: p.cluster, Part: p.name, Port: p.port, Log: r.Log(p.cluster, p.name)}
		proc, _, err := r.Process(p.cluster, p.name)
		if err != nil {
			return nil, err
		}
		if proc.Alive() {
			st.Up, st.PID, st.MemoryBytes = true, proc.PID, proc.Memory()
		}
		out = append(out, st)
	}
	return out, nil
}

// PrintStatus writes a table for people.
func PrintStatus(out io.Writer, parts []PartStatus) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "CLUSTER\tPART\tSTATE\tPID\tPORT\tMEMORY")
	var total int64
	up := 0
	for _, p := range parts {
		state, pid, port, memory := "down", "-", "-", "-"
		if p.Port != 0 {
			port = fmt.Sprint(p.Port)
		}
		if p.Up {
			state, pid, memory = "up", fmt.Sprint(p.PID), fmt.Sprintf("%d MB", p.MemoryBytes>>20)
			total += p.MemoryBytes
			up++
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", p.Cluster, p.Part, state, pid, port, memory)
	}
	fmt.Fprintf(w, "total\t\t%d of %d up\t\t\t%d MB\n", up, len(parts), total>>20)
	return w.Flush()
}
