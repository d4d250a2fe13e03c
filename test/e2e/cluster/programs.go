//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// programs are the children of process 1. As such it also inherits what its
// children leave behind, so all waiting is done in one loop, and never by
// exec.Cmd. Its methods may be called concurrently.
type programs struct {
	place    place
	commands map[string][]string // by name

	mu      sync.Mutex
	ended   map[int]chan syscall.WaitStatus // started and not yet ended, by pid; each gets one status
	running map[string]int                  // pids by name
	failed  map[string]string               // those that ended by themselves and have not been started since, and how
}

func newPrograms(p place) *programs {
	return &programs{
		place:    p,
		commands: components(p),
		ended:    make(map[int]chan syscall.WaitStatus),
		running:  make(map[string]int),
		failed:   make(map[string]string),
	}
}

const restartDelay = time.Second

// startAll starts the components.
func (ps *programs) startAll() error {
	for name := range ps.commands {
		if err := ps.start(name); err != nil {
			return err
		}
	}
	return nil
}

// reap waits for children for as long as there are any.
func (ps *programs) reap() error {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case err != nil:
			return fmt.Errorf("wait for children: %w", err)
		}
		ps.mu.Lock()
		if waiter, ok := ps.ended[pid]; ok {
			waiter <- status // has room for it
			delete(ps.ended, pid)
		}
		for name, running := range ps.running {
			if running == pid {
				delete(ps.running, name)
				time.AfterFunc(restartDelay, func() { ps.restart(name) })
				ps.failed[name] = fmt.Sprintf("%s has ended by itself with status %d, signal %d: see %s",
					name, status.ExitStatus(), status.Signal(), ps.place.log(name))
			}
		}
		ps.mu.Unlock()
	}
}

// spawn starts a command whose status goes to the channel returned; with a name
// it is the component of that name.
func (ps *programs) spawn(name string, output *os.File, command []string) (<-chan syscall.WaitStatus, error) {
	cmd := exec.CommandContext(context.Background(), command[0], command[1:]...) // it ends with the node
	cmd.Stdout, cmd.Stderr = output, output
	ps.mu.Lock() // until its channel is there, or the loop could be faster
	defer ps.mu.Unlock()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	status := make(chan syscall.WaitStatus, 1)
	ps.ended[cmd.Process.Pid] = status
	if name != "" {
		ps.running[name] = cmd.Process.Pid
		delete(ps.failed, name)
	}
	return status, nil
}

// start starts a component, its output going to the end of its log.
func (ps *programs) start(name string) error {
	command, ok := ps.commands[name]
	if !ok {
		return fmt.Errorf("there is no program %s", name)
	}
	ps.mu.Lock()
	_, running := ps.running[name]
	ps.mu.Unlock()
	if running {
		return fmt.Errorf("%s is running", name)
	}
	log, err := os.OpenFile(ps.place.log(name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // the child has its own
	_, err = ps.spawn(name, log, command)
	return err
}

// stop ends a component, and waits until it has ended.
func (ps *programs) stop(name string) error {
	ps.mu.Lock()
	pid, running := ps.running[name]
	delete(ps.running, name)
	status := ps.ended[pid]
	ps.mu.Unlock()
	if !running {
		return fmt.Errorf("%s is not running", name)
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-status:
		return nil
	case <-time.After(5 * time.Second):
	}
	err := syscall.Kill(pid, syscall.SIGKILL)
	<-status
	return err
}

// restart starts a component again that has ended by itself, as a machine's
// service manager does.
func (ps *programs) restart(name string) {
	if err := ps.start(name); err != nil {
		fmt.Fprintf(os.Stderr, "node: start %s again: %v\n", name, err)
	}
}

// run runs a command to its end and returns what it said.
func (ps *programs) run(command ...string) (string, error) {
	reader, writer, err := os.Pipe()
	if err != nil {
		return "", err
	}
	defer func() { _ = reader.Close() }()
	ended, err := ps.spawn("", writer, command)
	_ = writer.Close() // the child has its own
	if err != nil {
		return "", err
	}
	var output bytes.Buffer
	_, err = io.Copy(&output, reader)
	if status := <-ended; status.ExitStatus() != 0 {
		err = fmt.Errorf("%s: status %d, signal %d", command[0], status.ExitStatus(), status.Signal())
	}
	return output.String(), err
}

// failures says which components have ended by themselves.
func (ps *programs) failures() error {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	var all []error
	for _, how := range ps.failed {
		all = append(all, errors.New(how))
	}
	return errors.Join(all...)
}
