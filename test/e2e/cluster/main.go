//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
)

const usage = `usage: cluster up | cluster down | cluster run COMMAND... | cluster ctl WORDS...
"cluster ctl" takes: check, load FILE, kill CONTAINER, stop PROGRAM, start PROGRAM.`

var errUsage = errors.New("wrong usage")

func main() {
	if stage := os.Getenv(stageEnv); stage != "" { // a node, or about to be one
		fmt.Fprintln(os.Stderr, "node:", nodeMain(stage))
		os.Exit(1)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	status, err := run(ctx, os.Args[1:])
	stop()
	if errors.Is(err, errUsage) {
		fmt.Fprintln(os.Stderr, usage)
	} else if err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
	}
	if err != nil {
		status = max(status, 1)
	}
	os.Exit(status)
}

func run(ctx context.Context, args []string) (int, error) {
	p, err := findPlace()
	if err != nil {
		return 1, err
	}
	if len(args) == 0 {
		return 2, errUsage
	}
	switch verb, words := args[0], args[1:]; {
	case verb == "ctl" && len(words) > 0:
		output, err := p.ask(ctx, words...)
		fmt.Fprint(os.Stdout, output)
		return 0, err
	case verb == "up" && len(words) == 0:
		return 0, up(ctx, p)
	case verb == "down" && len(words) == 0:
		unlock, err := p.claim()
		if err != nil {
			return 1, err
		}
		defer unlock()
		return 0, down(p)
	case verb == "run" && len(words) > 0:
		return runIn(ctx, p, words)
	default:
		return 2, errUsage
	}
}

// up starts a cluster that stays.
func up(ctx context.Context, p place) error {
	unlock, err := p.claim()
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := start(ctx, p, wordKeep); err != nil {
		return errors.Join(err, down(p))
	}
	fmt.Fprintf(os.Stdout, "export KUBECONFIG=%s GRIDMESH_E2E_CONTROL=%s PATH=%s:$PATH\n", p.kubeconfig(), p.control(), p.Kube)
	return nil
}

// runIn runs a command in a cluster of its own and returns its exit status.
func runIn(ctx context.Context, p place, words []string) (status int, err error) {
	unlock, err := p.claim()
	if err != nil {
		return 1, err
	}
	defer unlock()
	leash, err := start(ctx, p, wordHold)
	defer func() { err = errors.Join(err, down(p)) }()
	if err != nil {
		return 1, err
	}
	defer func() { _ = leash.Close() }()
	cmd := exec.CommandContext(ctx, words[0], words[1:]...) //nolint:gosec // that is what is asked for
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = cleanTime // then killed: the cluster must come down
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), "KUBECONFIG="+p.kubeconfig(), "GRIDMESH_E2E_CONTROL="+p.control(), "PATH="+p.Kube+":"+os.Getenv("PATH"))
	if err := cmd.Run(); err != nil {
		if exit := new(exec.ExitError); !errors.As(err, &exit) {
			return 1, err
		}
		if _, broken := p.ask(context.WithoutCancel(ctx), "check"); broken != nil { // perhaps why
			fmt.Fprintln(os.Stderr, "cluster:", broken)
		}
		return max(cmd.ProcessState.ExitCode(), 1), nil
	}
	return 0, nil
}

// claim waits until no other command starts, runs or ends a cluster here, and
// keeps others out until the function returned is called. The kernel lets go
// of a claim whose process has died.
func (p place) claim() (func(), error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("this makes namespaces and mounts: it needs root (try sudo -E)")
	}
	if err := os.MkdirAll(p.Dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(p.lock(), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		fmt.Fprintln(os.Stderr, "cluster: another command has this machine's cluster: waiting for it to end")
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	return func() { _ = f.Close() }, nil
}

// checkPlace says what is missing before anything is started.
func checkPlace(p place) error {
	if !executable(filepath.Join(p.Kube, "containerd")) {
		return fmt.Errorf("GRIDMESH_KUBE is %q: it has to name the folder that test/e2e/kube/build prints", p.Kube)
	}
	var missing []string
	for _, command := range []string{"ip", "runc", "nft"} {
		if _, err := exec.LookPath(command); err != nil {
			missing = append(missing, command)
		}
	}
	if missing != nil {
		return fmt.Errorf("this machine lacks %s: install iproute2, runc, nftables", strings.Join(missing, ", "))
	}
	return nil
}
