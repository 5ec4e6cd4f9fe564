package localfleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Process is a part that was started. The pair of process id and start time names one process for as long as the
// machine runs; the id alone does not, because ids are used again.
type Process struct {
	PID int `json:"pid"`
	// StartTicks is the process's start in clock ticks since boot, field 22 of /proc/<pid>/stat.
	StartTicks uint64 `json:"startTicks"`
	// BootID tells boots apart: ticks start again at each.
	BootID string `json:"bootID"`
	// Fingerprint is of the binary, arguments and environment: an `up` that would start the part differently
	// restarts it.
	Fingerprint string `json:"fingerprint"`
}

// Alive tells whether this very process runs. A zombie does not, unless threads of it are still ending: the first
// thread of a killed process is a zombie while others still hold its sockets.
func (p Process) Alive() bool {
	stat, err := readStat(p.PID)
	if err != nil || stat.startTicks != p.StartTicks || p.BootID != bootID() {
		return false
	}
	switch stat.state {
	case 'X':
		return false
	case 'Z':
		threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", p.PID))
		return err == nil && len(threads) > 1
	default:
		return true
	}
}

// Signal sends a signal to this very process, and does nothing where it is gone. It holds a handle on the process
// before it looks at the start time, so that the id cannot change hands in between.
func (p Process) Signal(sig syscall.Signal) error {
	handle, err := os.FindProcess(p.PID)
	if err != nil {
		return nil
	}
	defer handle.Release()
	if !p.Alive() {
		return nil
	}
	if err := handle.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("sending %v to process %d: %w", sig, p.PID, err)
	}
	return nil
}

// Memory is the resident memory of the process in bytes, 0 where it is gone.
func (p Process) Memory() int64 {
	if !p.Alive() {
		return 0
	}
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.PID))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(data))
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}

// end asks the process to stop and kills it where it does not within the grace.
func (p Process) end(ctx context.Context, grace time.Duration) error {
	if err := p.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	if p.waitGone(ctx, grace) {
		return nil
	}
	if err := p.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	if !p.waitGone(ctx, 5*time.Second) {
		return fmt.Errorf("process %d still runs after SIGKILL", p.PID)
	}
	return nil
}

func (p Process) waitGone(ctx context.Context, limit time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return poll(ctx, 10*time.Millisecond, func() bool { return !p.Alive() }) == nil
}

// poll calls done until it is true or ctx ends. It is for processes and ports, which nothing can be watched for.
func poll(ctx context.Context, every time.Duration, done func() bool) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if done() {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// startProcess starts a command in a session of its own, so that it lives on when we, or our terminal, end. The
// channel is closed when it ended while we still live, which also keeps it from staying a zombie.
func startProcess(path string, args, env []string, dir, logFile, fingerprint string) (Process, <-chan struct{}, error) {
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return Process{}, nil, fmt.Errorf("opening the log: %w", err)
	}
	defer log.Close()
	fmt.Fprintf(log, "--- %s start: %s %s\n", time.Now().UTC().Format(time.RFC3339), path, strings.Join(args, " "))

	cmd := exec.Command(path, args...)
	cmd.Dir = dir
	cmd.Env = append(baseEnv(), env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return Process{}, nil, fmt.Errorf("starting %s: %w", path, err)
	}
	// The child is not reaped before Wait, so its id is surely its own here.
	stat, err := readStat(cmd.Process.Pid)
	if err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return Process{}, nil, fmt.Errorf("reading the start time of %s: %w", path, err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait()
	}()
	return Process{PID: cmd.Process.Pid, StartTicks: stat.startTicks, BootID: bootID(), Fingerprint: fingerprint}, ended, nil
}

// baseEnv is what every part gets: a path and a home, and nothing of the caller's own settings, so that a fleet
// started from two shells is the same fleet. Proxies in particular would break loopback calls.
func baseEnv() []string {
	var env []string
	for _, k := range []string{"PATH", "HOME", "TMPDIR", "TZ"} {
		if v, ok := os.LookupEnv(k); ok {
			env = append(env, k+"="+v)
		}
	}
	return env
}

type procStat struct {
	state      byte
	startTicks uint64
}

func readStat(pid int) (procStat, error) {
	if pid <= 0 {
		return procStat{}, os.ErrNotExist
	}
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return procStat{}, err
	}
	return parseStat(string(data))
}

// parseStat reads /proc/<pid>/stat. The command in it may hold spaces and brackets, so fields count from the last ')'.
func parseStat(line string) (procStat, error) {
	end := strings.LastIndexByte(line, ')')
	if end < 0 {
		return procStat{}, fmt.Errorf("unexpected line %q", line)
	}
	fields := strings.Fields(line[end+1:])
	if len(fields) < 20 || len(fields[0]) != 1 {
		return procStat{}, fmt.Errorf("unexpected line %q", line)
	}
	ticks, err := strconv.ParseUint(fields[19], 10, 64)
	if err != nil {
		return procStat{}, fmt.Errorf("unexpected line %q: %w", line, err)
	}
	return procStat{state: fields[0][0], startTicks: ticks}, nil
}

func bootID() string {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

func readProcess(file string) (Process, bool, error) {
	data, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return Process{}, false, nil
	}
	var p Process
	if err == nil {
		err = json.Unmarshal(data, &p)
	}
	if err != nil {
		return Process{}, false, fmt.Errorf("reading the pid file %s: %w", filepath.Base(file), err)
	}
	return p, true, nil
}

func writeProcess(file string, p Process) error {
	data, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return writeFile(file, append(data, '\n'), 0o600)
}
