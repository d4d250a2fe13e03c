package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is this program in another role.
type process struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *bufio.Reader
	stderr *bytes.Buffer
}

func start(ctx context.Context, environ []string, args ...string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.CommandContext(ctx, self, args...), stderr: new(bytes.Buffer)}
	p.cmd.Env = append(os.Environ(), environ...)
	p.cmd.Stderr = p.stderr
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.stdout = bufio.NewReaderSize(out, 1<<20)
	return p, p.cmd.Start()
}

// stop asks the process to end, and waits until it has.
func (p *process) stop() error {
	err := p.cmd.Process.Signal(syscall.SIGTERM)
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	_ = p.stdin.Close()                  // it may have gone by itself
	_, _ = io.Copy(io.Discard, p.stdout) // until its end
	return errors.Join(err, p.ended(p.cmd.Wait()))
}

// ended makes an error of how a process ended, but for a signal, which is how it
// was asked to.
func (p *process) ended(err error) error {
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && !exit.Exited() {
		return nil
	}
	if err != nil {
		text := p.stderr.String()
		return fmt.Errorf("%s: %w: %s", p.cmd.Args[1], err, text[max(0, len(text)-2000):])
	}
	return nil
}

// startOperator starts the operator as it is deployed, but for its ports.
func startOperator(ctx context.Context, kubeconfig, namespace string) (*process, error) {
	return start(ctx, []string{"KUBECONFIG=" + kubeconfig},
		roleOperator, "--health-addr=127.0.0.1:0", "--metrics-addr=off", "--leader-namespace="+namespace, "--log-level=warn")
}

// startNodes starts the process of the nodes, and waits until they listen.
func startNodes(ctx context.Context, dir, namespace string, count int) (*process, error) {
	p, err := start(ctx, nil, roleNodes, "-dir="+dir, "-namespace="+namespace, "-count="+strconv.Itoa(count))
	if err != nil {
		return nil, err
	}
	if line, err := p.stdout.ReadString('\n'); err != nil || line != "ready\n" {
		return nil, errors.Join(fmt.Errorf("the nodes do not listen: %q %w", line, err), p.stop())
	}
	return p, nil
}

// applied asks when each of the first nodes had applied a list of that many names.
func (p *process) applied(names, nodes int) ([]int64, error) {
	if _, err := fmt.Fprintln(p.stdin, names, nodes); err != nil {
		return nil, err
	}
	line, err := p.stdout.ReadBytes('\n')
	if err != nil {
		return nil, fmt.Errorf("the nodes have gone: %w: %s", err, p.stderr.String())
	}
	var when []int64
	err = json.Unmarshal(line, &when)
	return when, err
}

// memory is what the process holds in RAM, and the most it has held, in bytes.
func (p *process) memory() (now, most int64, err error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(p.cmd.Process.Pid) + "/status")
	if err != nil {
		return 0, 0, fmt.Errorf("memory of the operator: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		switch {
		case err != nil:
		case name == "VmRSS":
			now = kib << 10
		case name == "VmHWM":
			most = kib << 10
		}
	}
	return now, most, nil
}

// cpu is the processor time that the process has used.
func (p *process) cpu() time.Duration {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(p.cmd.Process.Pid) + "/stat")
	if err != nil {
		return 0
	}
	_, after, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(after)
	if len(fields) < 13 {
		return 0
	}
	var ticks int64
	for _, field := range fields[11:13] { // in user mode, and in the kernel
		n, _ := strconv.ParseInt(field, 10, 64) // of /proc: always a number
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}
