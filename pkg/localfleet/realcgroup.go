package localfleet

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const cgroupMount = "/sys/fs/cgroup"

// hierarchies are the roots of control groups on this machine: one of version 2, or one for each controller of version 1.
func hierarchies() []string {
	var out []string
	for _, dir := range append([]string{cgroupMount}, subdirectories(cgroupMount)...) {
		if _, err := os.Stat(filepath.Join(dir, "cgroup.procs")); err == nil {
			if info, err := os.Lstat(dir); err == nil && info.IsDir() {
				out = append(out, dir)
			}
		}
		if len(out) == 1 && out[0] == cgroupMount {
			break
		}
	}
	return out
}

func subdirectories(dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var out []string
	for _, e := range entries {
		if e.IsDir() {
			out = append(out, filepath.Join(dir, e.Name()))
		}
	}
	return out
}

// mountedControllers by name.
func mountedControllers() []string {
	if data, err := os.ReadFile(filepath.Join(cgroupMount, "cgroup.controllers")); err == nil {
		return strings.Fields(string(data))
	}
	var out []string
	for _, dir := range hierarchies() {
		out = append(out, strings.Split(filepath.Base(dir), ",")...)
	}
	return out
}

// makeCgroup makes a control group, below each root, with what it takes that processes can be put into it.
func makeCgroup(path ...string) error {
	for _, root := range hierarchies() {
		parent := root
		for _, name := range path {
			dir := filepath.Join(parent, name)
			if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
				return fmt.Errorf("making a control group of the fleet: %w", err)
			}
			// Version 1 lets nobody into a group of no processors.
			for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
				if err := inherit(parent, dir, file); err != nil {
					return fmt.Errorf("making a control group of the fleet: %w", err)
				}
			}
			parent = dir
		}
	}
	return nil
}

func inherit(parent, dir, file string) error {
	own, err := os.ReadFile(filepath.Join(dir, file))
	if errors.Is(err, fs.ErrNotExist) || err == nil && strings.TrimSpace(string(own)) != "" {
		return nil
	}
	if err != nil {
		return err
	}
	value, err := os.ReadFile(filepath.Join(parent, file))
	if err != nil || strings.TrimSpace(string(value)) == "" {
		return err
	}
	return os.WriteFile(filepath.Join(dir, file), value, 0o644)
}

// removeCgroup kills everything in a control group and below, and removes it.
func removeCgroup(ctx context.Context, name string, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var left []int
	err := poll(ctx, 20*time.Millisecond, func() bool {
		left = nil
		for _, root := range hierarchies() {
			left = append(left, processesBelow(filepath.Join(root, name))...)
		}
		slices.Sort(left)
		left = slices.Compact(left)
		for _, pid := range left {
			// A process of the group is the fleet's whatever its id was before: the list is of this moment.
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		return len(left) == 0
	})
	if err != nil {
		return fmt.Errorf("killing what runs in control group %s: processes %v are still there: %w", name, left, err)
	}
	var last error
	err = poll(ctx, 20*time.Millisecond, func() bool {
		last = nil
		for _, root := range hierarchies() {
			last = errors.Join(last, removeGroups(filepath.Join(root, name)))
		}
		return last == nil
	})
	if err != nil {
		return fmt.Errorf("removing control group %s: %w", name, last)
	}
	return nil
}

func processesBelow(dir string) []int {
	data, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		return nil
	}
	var out []int
	for field := range strings.FieldsSeq(string(data)) {
		if pid, err := strconv.Atoi(field); err == nil && pid > 1 && pid != os.Getpid() {
			out = append(out, pid)
		}
	}
	for _, sub := range subdirectories(dir) {
		out = append(out, processesBelow(sub)...)
	}
	return out
}

func removeGroups(dir string) error {
	var errs []error
	for _, sub := range subdirectories(dir) {
		errs = append(errs, removeGroups(sub))
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
