//go:build linux

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"syscall"
)

// The node is this program again, told so by stageEnv, in two stages: the
// first waits in new namespaces until it has been put into its cgroups and its
// network device has come; the second is the node, for which these cgroups are
// the root of all.
const (
	stageEnv = "GRIDMESH_E2E_STAGE"
	placeEnv = "GRIDMESH_E2E_PLACE" // the place, in JSON
	leashFD  = 3                    // the end of a pipe whose other end the starter holds
	wordKeep = "keep\n"             // outlive the starter
	wordHold = "hold\n"             // die with it
)

// nodeMain runs a stage of the node. It returns when the node cannot be, or
// can no longer.
func nodeMain(stage string) error {
	var p place
	if err := json.Unmarshal([]byte(os.Getenv(placeEnv)), &p); err != nil {
		return err
	}
	if stage == "1" {
		return enterNode()
	}
	return runNode(p, stage == "hold")
}

// enterNode waits for the starter's word and becomes the second stage, with the
// cgroups that it is in by then as the root of its cgroup namespace.
func enterNode() error {
	word, err := bufio.NewReaderSize(os.NewFile(leashFD, "leash"), len(wordKeep)).ReadString('\n')
	if err != nil {
		return fmt.Errorf("the starter has gone: %w", err)
	}
	// A namespace is left by a thread; the one that calls exec becomes the process.
	runtime.LockOSThread()
	if err := syscall.Unshare(syscall.CLONE_NEWCGROUP); err != nil {
		return fmt.Errorf("new cgroup namespace: %w", err)
	}
	stage := "keep"
	if word == wordHold {
		stage = "hold"
	}
	if err := os.Setenv(stageEnv, stage); err != nil {
		return err
	}
	return syscall.Exec("/proc/self/exe", os.Args, os.Environ()) //nolint:gosec // this program itself
}

// runNode is process 1 of the node. It returns only if the node cannot be; its
// end is the end of everything in the node.
func runNode(p place, held bool) error {
	syscall.CloseOnExec(leashFD) // nothing to children
	if err := errors.Join(syscall.Sethostname([]byte(nodeName)), mountAll(p), configureNetwork()); err != nil {
		return err
	}
	programs := newPrograms(p)
	if err := programs.startAll(); err != nil {
		return err
	}
	ends := make(chan error, 3) // the first one ends the node, and with it the others
	go func() { ends <- programs.reap() }()
	go func() { ends <- serveControl(p, programs) }()
	if held {
		go func() {
			_, err := io.Copy(io.Discard, os.NewFile(leashFD, "leash"))
			ends <- fmt.Errorf("the starter has gone: %w", errors.Join(io.EOF, err))
		}()
	}
	return <-ends
}
