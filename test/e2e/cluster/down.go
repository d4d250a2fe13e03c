//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// down removes what a cluster has left, or that is still running, and nothing
// else. Without any it does nothing.
func down(p place) error {
	if err := killProcess(p.pid()); err != nil {
		return err
	}
	return errors.Join(disconnect(), removeCgroups(p), os.RemoveAll(p.control()))
}

// recordProcess writes down a process so that no other that gets its number
// later is taken for it.
func recordProcess(file string, pid int) error {
	since, err := startOf(pid)
	if err != nil {
		return err
	}
	return os.WriteFile(file, fmt.Appendf(nil, "%d %s\n", pid, since), 0o600)
}

// killProcess kills the process written down, and waits until it is gone.
func killProcess(file string) error {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	number, since, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
	pid, err := strconv.Atoi(number)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	same := func() bool {
		now, err := startOf(pid)
		return err == nil && now == since
	}
	if same() {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			return err
		}
		if !poll(cleanTime, func() bool { return !same() }) {
			return fmt.Errorf("process %d of the cluster does not end", pid)
		}
	}
	return os.Remove(file)
}

// startOf is when a process was started, in the kernel's own count.
func startOf(pid int) (string, error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return "", err
	}
	// The name in parentheses may hold anything; the start is field 22 of all.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 20 {
		return "", fmt.Errorf("unreadable /proc/%d/stat", pid)
	}
	if fields[0] == "Z" {
		return "", errors.New("it has ended")
	}
	return fields[19], nil
}
