//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// mount is one call of mount(2).
type mount struct {
	source, target, kind string
	flags                uintptr
	data                 string
}

// hostSysctls are what the kubelet insists on. They are the whole machine's, so
// it gets to see files with the values that it wants instead.
var hostSysctls = map[string]string{"vm/overcommit_memory": "1", "kernel/panic": "10", "kernel/panic_on_oops": "1"}

// mountAll makes the node's view of the file system: that of the machine, but
// with a /run, /var, /sys and /proc of its own, and a fast folder for state,
// which must not lie on an overlay since containerd mounts overlays in it.
func mountAll(p place) error {
	state := p.State()
	if err := mountEach([]mount{
		{target: "/", flags: syscall.MS_REC | syscall.MS_PRIVATE}, // nothing of this gets out
		{target: "/", flags: syscall.MS_REC | syscall.MS_SHARED},  // as the kubelet wants it for its volumes
		{"proc", "/proc", "proc", 0, ""},
		{"tmpfs", "/run", "tmpfs", 0, "mode=755"},
		{"tmpfs", state, "tmpfs", 0, "mode=755"},
	}); err != nil {
		return err
	}
	for _, dir := range []string{"var", "var.work", "sysctl", "containerd", "kubelet", "kubelet-plugins", "etcd"} {
		if err := os.Mkdir(filepath.Join(state, dir), 0o755); err != nil { //nolint:gosec // pods run as any user
			return err
		}
	}
	if err := errors.Join(os.MkdirAll("/run/lock", 0o750), mountEach([]mount{
		{"overlay", "/var", "overlay", 0, fmt.Sprintf("lowerdir=/var,upperdir=%s/var,workdir=%s/var.work", state, state)},
		{"sysfs", "/sys", "sysfs", 0, ""},
	})); err != nil {
		return err
	}
	if err := mountCgroups(); err != nil {
		return err
	}
	instead := map[string]string{
		"/etc/hosts":       "127.0.0.1 localhost " + nodeName,
		"/etc/resolv.conf": "", // pods get the cluster's DNS, the node needs none
	}
	for name, value := range hostSysctls {
		instead["/proc/sys/"+name] = value
	}
	for target, text := range instead {
		source := filepath.Join(state, "sysctl", strings.ReplaceAll(target, "/", "_"))
		if err := os.WriteFile(source, []byte(text+"\n"), 0o600); err != nil {
			return err
		}
		if err := mountEach([]mount{{source, target, "", syscall.MS_BIND, ""}}); err != nil {
			return err
		}
	}
	return os.Chmod(filepath.Join(state, "sysctl", "_etc_resolv.conf"), 0o644) //nolint:gosec // pods with the node's DNS read it
}

func mountEach(mounts []mount) error {
	for _, m := range mounts {
		if err := syscall.Mount(m.source, m.target, m.kind, m.flags, m.data); err != nil {
			return fmt.Errorf("mount %s on %s: %w", m.kind, m.target, err)
		}
	}
	return nil
}
