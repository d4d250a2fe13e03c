//go:build linux

package main

import (
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

const (
	cgroupRoot = "/sys/fs/cgroup"
	cgroupName = "gridmesh-e2e"
)

// hierarchy is a line of /proc/self/cgroup: a tree of cgroups, with the
// controllers that it has and this process's place in it. Version 2 is the one
// without controllers in the line.
type hierarchy struct{ controllers, path string }

func hierarchies() ([]hierarchy, error) {
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, err
	}
	var all []hierarchy
	for line := range strings.Lines(string(text)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) == 3 {
			all = append(all, hierarchy{controllers: fields[1], path: fields[2]})
		}
	}
	return all, nil
}

// folder is the name of the tree below cgroupRoot on version 1.
func (h hierarchy) folder() string { return strings.TrimPrefix(h.controllers, "name=") }

// version2 says whether cgroupRoot is the one tree of version 2.
func version2() bool {
	_, err := os.Stat(filepath.Join(cgroupRoot, "cgroup.controllers"))
	return err == nil
}

// makeCgroups makes a cgroup for the node in every tree and returns them. Each
// is first written down in the file that removeCgroups reads.
func makeCgroups(p place) ([]string, error) {
	var outer []string // what lies right below a cgroup that is not ours
	if version2() {
		// Below the root, which alone may have both processes and children that
		// share its controllers.
		outer = []string{filepath.Join(cgroupRoot, cgroupName)}
	} else {
		all, err := hierarchies()
		if err != nil {
			return nil, err
		}
		for _, h := range all {
			if h.controllers != "" {
				outer = append(outer, filepath.Join(cgroupRoot, h.folder(), h.path, cgroupName))
			}
		}
	}
	if err := os.WriteFile(p.cgroups(), []byte(strings.Join(outer, "\n")), 0o600); err != nil {
		return nil, err
	}
	var inner []string
	for _, dir := range outer {
		node := filepath.Join(dir, nodeName)
		if err := errors.Join(makeCgroup(dir), makeCgroup(node)); err != nil {
			return nil, err
		}
		inner = append(inner, node)
	}
	return inner, nil
}

// makeCgroup makes one cgroup that can hold processes or, on version 2, that
// has all controllers of its parent.
func makeCgroup(dir string) error {
	if err := os.Mkdir(dir, 0o750); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if version2() {
		return shareControllers(filepath.Dir(dir))
	}
	if !strings.Contains(dir, "/cpuset/") {
		return nil
	}
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} { // empty in a new one, which then takes no process
		value, err := os.ReadFile(filepath.Join(filepath.Dir(dir), file))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, file), value, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// shareControllers lets the children of a cgroup of version 2 have what it has.
func shareControllers(dir string) error {
	text, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return err
	}
	words := strings.Fields(string(text))
	for i, word := range words {
		words[i] = "+" + word
	}
	return os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte(strings.Join(words, " ")), 0o600)
}

// enterCgroups moves a process, and what it will start, into the cgroups.
func enterCgroups(dirs []string, pid int) error {
	for _, dir := range dirs {
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0o600); err != nil {
			return fmt.Errorf("move process %d into a cgroup: %w", pid, err)
		}
	}
	return nil
}

// mountCgroups shows the node its own cgroups as if they were all there are.
func mountCgroups() error {
	if version2() {
		if err := syscall.Mount("cgroup2", cgroupRoot, "cgroup2", 0, ""); err != nil {
			return err
		}
		// A cgroup with processes cannot share its controllers: out of the way.
		self := filepath.Join(cgroupRoot, "init")
		return errors.Join(os.Mkdir(self, 0o750), enterCgroups([]string{self}, os.Getpid()), shareControllers(cgroupRoot))
	}
	all, err := hierarchies()
	if err != nil {
		return err
	}
	if err := syscall.Mount("tmpfs", cgroupRoot, "tmpfs", 0, "mode=755"); err != nil {
		return err
	}
	for _, h := range all {
		if h.controllers == "" {
			continue
		}
		dir := filepath.Join(cgroupRoot, h.folder())
		options := h.controllers
		if strings.HasPrefix(options, "name=") {
			options = "none," + options
		}
		if err := errors.Join(os.Mkdir(dir, 0o750), syscall.Mount("cgroup", dir, "cgroup", 0, options)); err != nil {
			return fmt.Errorf("mount cgroup %s: %w", h.controllers, err)
		}
		if names := strings.Split(h.controllers, ","); len(names) > 1 {
			for _, name := range names {
				if err := os.Symlink(h.folder(), filepath.Join(cgroupRoot, name)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// removeCgroups removes the cgroups that the file names, deepest first. Their
// processes have been killed and take a moment to leave.
func removeCgroups(p place) error {
	text, err := os.ReadFile(p.cgroups())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	dirs := strings.Fields(string(text))
	left := ""
	gone := func() bool {
		left = ""
		for _, dir := range dirs {
			removeTree(dir)
			if _, err := os.Stat(dir); err == nil {
				left = dir
			}
		}
		return left == ""
	}
	if !poll(cleanTime, gone) {
		return fmt.Errorf("cgroup %s does not go: does a process of the cluster hang in it?", left)
	}
	return os.Remove(p.cgroups())
}

func removeTree(root string) {
	var dirs []string
	_ = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			dirs = append(dirs, path)
		}
		return nil // what is gone already is gone
	})
	for _, dir := range slices.Backward(dirs) {
		_ = os.Remove(dir) // seen by the caller, who tries again
	}
}

// How long to wait for what takes a moment, and how often to look.
const (
	cleanTime = 20 * time.Second
	pollEvery = 20 * time.Millisecond
)

// poll waits for a condition, and says whether it came.
func poll(limit time.Duration, condition func() bool) bool {
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	timeout := time.NewTimer(limit)
	defer timeout.Stop()
	for !condition() {
		select {
		case <-ticker.C:
		case <-timeout.C:
			return false
		}
	}
	return true
}
