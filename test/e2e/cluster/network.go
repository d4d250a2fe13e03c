//go:build linux

package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// connect lays the cable between this machine and a node that is in a network
// namespace of its own: a pair of devices.
func connect(pid int) error {
	return ip(
		"link add "+device+" type veth peer name eth0 netns "+strconv.Itoa(pid),
		"address add "+hostAddress+cableBits+" dev "+device,
		"link set "+device+" up",
	)
}

// disconnect removes the cable. It would go with the namespace; but connections
// that nobody has closed keep that alive for minutes.
func disconnect() error {
	if _, err := net.InterfaceByName(device); err != nil {
		return nil //nolint:nilerr // there is none
	}
	return ip("link delete " + device)
}

// configureNetwork gives the node its address. Pods are routed, not translated.
func configureNetwork() error {
	if err := ip(
		"link set lo up",
		"address add "+nodeAddress+cableBits+" dev eth0",
		"link set eth0 up",
		"route add default via "+hostAddress, // components ask which address leads out
	); err != nil {
		return err
	}
	return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o600)
}

func ip(commands ...string) error {
	for _, command := range commands {
		if output, err := exec.CommandContext(context.Background(), "ip", strings.Fields(command)...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", command, err, output)
		}
	}
	return nil
}
