//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// The control socket takes one line of words a connection, and answers with
// "ok" or "failed: why" in the first line and what the command said below.
// What the words are stands in doc.go.

const controlTime = 2 * time.Minute

// serveControl serves the socket until that fails, which ends the node.
func serveControl(p place, ps *programs) error {
	listener, err := new(net.ListenConfig).Listen(context.Background(), "unix", p.control())
	if err != nil {
		return err
	}
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer func() { _ = conn.Close() }()
			_ = conn.SetDeadline(time.Now().Add(controlTime))
			line, err := bufio.NewReader(io.LimitReader(conn, 64<<10)).ReadString('\n')
			if err != nil {
				return
			}
			output, err := command(ps, strings.Fields(line))
			if err != nil {
				_, _ = fmt.Fprintf(conn, "failed: %s\n%s", strings.ReplaceAll(err.Error(), "\n", "; "), output)
				return
			}
			_, _ = fmt.Fprintf(conn, "ok\n%s", output)
		}()
	}
}

func command(ps *programs, words []string) (string, error) {
	if len(words) == 1 && words[0] == "check" {
		return "", ps.failures()
	}
	if len(words) != 2 {
		return "", errors.New("check, load FILE, kill CONTAINER, stop PROGRAM, start PROGRAM or folder NAME")
	}
	ctr := []string{ps.place.Kube + "/ctr", "--address", containerdSocket, "--namespace", "k8s.io"}
	switch verb, argument := words[0], words[1]; verb {
	case "load": // by itself: the API for it would want the image's file in the node
		return ps.run(append(ctr, "images", "import", "--local", argument)...)
	case "kill":
		return ps.run(append(ctr, "tasks", "kill", "--signal", "SIGKILL", argument)...)
	case "stop":
		return "", ps.stop(argument)
	case "start":
		return "", ps.start(argument)
	case "folder":
		return ps.place.folder(argument)
	default:
		return "", fmt.Errorf("%s is not a command", verb)
	}
}

// folder makes a folder that pods can have as a volume, and gives its path on the
// node. It goes with the cluster.
func (p place) folder(name string) (string, error) {
	if name != filepath.Base(name) {
		return "", fmt.Errorf("%q is not the name of a folder", name)
	}
	folder := filepath.Join(p.State(), "volumes", name)
	return folder, os.MkdirAll(folder, 0o755) //nolint:gosec // the kubelet gives it to the pod's group
}

// ask sends a line to the node and returns what it said.
func (p place) ask(ctx context.Context, words ...string) (string, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", p.control())
	if err != nil {
		return "", fmt.Errorf("no cluster is up: %w", err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(controlTime))
	if _, err := fmt.Fprintln(conn, strings.Join(words, " ")); err != nil {
		return "", err
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		return "", err
	}
	first, output, _ := strings.Cut(string(answer), "\n")
	if first != "ok" {
		return output, fmt.Errorf("%s: %s", strings.Join(words, " "), first)
	}
	return output, nil
}
