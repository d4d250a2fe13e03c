//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// startTime is for a cluster that hangs; it takes about 10 s.
const startTime = 3 * time.Minute

// start makes a cluster from nothing and waits until pods can run in it. While
// the leash that it returns is open, a cluster that is held lives.
func start(ctx context.Context, p place, word string) (io.Closer, error) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel() // also when the node ends
	if err := checkPlace(p); err != nil {
		return nil, err
	}
	if err := down(p); err != nil {
		return nil, err
	}
	for _, dir := range []string{"pki", "config", "log", "state"} {
		if err := errors.Join(os.RemoveAll(p.path(dir)), os.MkdirAll(p.path(dir), 0o700)); err != nil {
			return nil, err
		}
	}
	if err := errors.Join(writePKI(p), configure(p)); err != nil {
		return nil, err
	}
	leash, err := startNode(p, word, cancel)
	if err != nil {
		return nil, err
	}
	if err := waitReady(ctx, p); err != nil {
		_, broken := p.ask(context.WithoutCancel(ctx), "check")
		return leash, fmt.Errorf("the cluster does not get ready: %w (logs are in %s)", errors.Join(err, broken), p.path("log"))
	}
	fmt.Fprintf(os.Stderr, "cluster: up in %.1f s\n", time.Since(began).Seconds())
	return leash, nil
}

// startNode starts process 1 of the node, in new namespaces, puts it in its
// cgroups, connects it, and lets it go. When it ends, ended is called.
func startNode(p place, word string, ended func()) (leash *os.File, err error) {
	there, leash, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer func() {
		_ = there.Close() // the node has its own
		if err != nil {
			_ = leash.Close()
		}
	}()
	log, err := os.Create(p.log("node"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }() // the same
	described, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	cgroups, err := makeCgroups(p)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(context.Background(), "/proc/self/exe") // it may outlive this one
	cmd.Args = []string{"gridmesh-e2e-node"}
	cmd.Env = append(os.Environ(), stageEnv+"=1", placeEnv+"="+string(described))
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = log, log, []*os.File{there} // the first of which is leashFD
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setsid:     true,
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC,
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start a process in new namespaces: %w", err)
	}
	pid := cmd.Process.Pid
	go func() { // ends with the node
		_ = cmd.Wait() // it is killed, or its log says why it ended
		ended()
	}()
	if err := errors.Join(recordProcess(p.pid(), pid), enterCgroups(cgroups, pid), connect(pid)); err != nil {
		return nil, err
	}
	_, err = leash.WriteString(word)
	return leash, err
}

// waitReady waits for the API server, the node and DNS, and has the images of
// the cluster itself loaded meanwhile.
func waitReady(ctx context.Context, p place) error {
	loaded := make(chan error, 1)
	go func() { loaded <- loadImages(ctx, p) }()
	err := errors.Join(
		retry(ctx, func() error { return kubectl(ctx, p, "get", "--raw", "/readyz") }),
		retry(ctx, func() error {
			return kubectl(ctx, p, "apply", "--server-side", "-f", p.Config("coredns.yaml"))
		}),
		<-loaded,
	)
	for _, args := range [][]string{
		{"wait", "--for=create", "node/" + nodeName, "--timeout=1m"},
		{"wait", "--for=condition=Ready", "node/" + nodeName, "--timeout=1m"},
		{"wait", "--for=create", "serviceaccount/default", "--timeout=1m"},
		{"rollout", "status", "--namespace=kube-system", "deployment/coredns", "--timeout=1m"},
	} {
		if err == nil {
			err = kubectl(ctx, p, args...)
		}
	}
	return err
}

func loadImages(ctx context.Context, p place) error {
	files, err := filepath.Glob(filepath.Join(p.Kube, "*.tar"))
	if err != nil {
		return err
	}
	for _, file := range files {
		if err := retry(ctx, func() error { // until containerd is there
			_, err := p.ask(ctx, "load", file)
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}

// retry does something until it works or ctx ends.
func retry(ctx context.Context, do func() error) error {
	for {
		err := do()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(5 * pollEvery):
		}
	}
}

func kubectl(ctx context.Context, p place, args ...string) error {
	// A connection that is refused costs nothing, a kubectl that finds that out
	// costs a good part of a second of processor time.
	if conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", strings.TrimPrefix(apiURL, "https://")); err != nil {
		return err
	} else if err := conn.Close(); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, p.kubectl(), append([]string{"--kubeconfig", p.kubeconfig()}, args...)...)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(output.Bytes()))
	}
	return nil
}
