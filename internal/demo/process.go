package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// stopTime is how long a node has to leave after SIGTERM. Only one that hangs
// takes it.
const stopTime = time.Minute

// process is one running node.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	err  error         // how, once done is closed
}

// start starts a program in a process group of its own, so that a Ctrl-C at
// the terminal is for the driver alone to act on. Its output goes to a file.
func start(binary string, args []string, output string) (*process, error) {
	log, err := os.OpenFile(output, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	//nolint:noctx // it is stopped by signals, politely first
	p := &process{cmd: exec.Command(binary, args...), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.Env = cleanEnviron(os.Environ())
	p.cmd.SysProcAttr = ownGroup()
	if err := onStarter(p.cmd.Start); err != nil {
		return nil, err
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// cleanEnviron leaves out what would configure the nodes in the user's way.
func cleanEnviron(environ []string) []string {
	var kept []string
	for _, entry := range environ {
		if !strings.HasPrefix(entry, "GRID_") {
			kept = append(kept, entry)
		}
	}
	return kept
}

// kill ends the process and whatever it started, at once.
func (p *process) kill() {
	killGroup(p.cmd.Process.Pid)
	<-p.done
}

// stop asks the process to leave, and says if it did not do so well and in time.
func (p *process) stop() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended already, and done says how
	select {
	case <-p.done:
		return p.err
	case <-time.After(stopTime):
		p.kill()
		return fmt.Errorf("did not stop within %v of SIGTERM", stopTime)
	}
}

// running reports whether the process has not ended.
func (p *process) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// build builds the node into dir, and has go work there too: interrupted early it
// leaves what it has made.
func build(ctx context.Context, dir string) (string, error) {
	binary := filepath.Join(dir, "node")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", binary, "github.com/gridmesh/gridmesh/cmd/node")
	cmd.Env = append(os.Environ(), "GOTMPDIR="+dir)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // killed, it would leave its files
	cmd.WaitDelay = stopTime
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if err != nil {
		return "", fmt.Errorf("build the node: %w\n%s", err, out)
	}
	return binary, nil
}
