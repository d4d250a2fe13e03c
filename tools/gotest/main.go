package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	status := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

// dirList is a flag that may be given several times.
type dirList []string

func (d *dirList) String() string { return strings.Join(*d, " ") }

func (d *dirList) Set(dir string) error {
	*d = append(*d, dir)
	return nil
}

// run is main without the process around it; what it returns is the exit
// status: 0 all ran and passed, 1 something did not, 2 wrong usage.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var dirs dirList
	flags := flag.NewFlagSet("gotest", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Var(&dirs, "C", "module `folder` to test; may be repeated (default: the current one)")
	race := flags.String("race", "off", "race detector: on, off, or auto (on where a C compiler works)")
	skipsFile := flags.String("skips", "", "`file` of tests that may be skipped, each with its reason")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if len(dirs) == 0 {
		dirs = dirList{"."}
	}
	allowed, err := readSkips(*skipsFile)
	if err != nil {
		fmt.Fprintln(stderr, "gotest:", err)
		return 2
	}
	raceFlag, err := chooseRace(ctx, *race, stdout)
	if err != nil {
		fmt.Fprintln(stderr, "gotest:", err)
		return 2
	}

	report := newReport(stdout, allowed)
	broken := 0 // modules in which go test itself failed
	for _, dir := range dirs {
		if err := testModule(ctx, dir, append(raceFlag, flags.Args()...), report, stderr); err != nil {
			broken++
			fmt.Fprintf(stderr, "gotest: go test in %s: %v\n", dir, err)
		}
	}
	if ok := report.close(); !ok || broken > 0 {
		return 1
	}
	return 0
}

// testModule runs go test in one module and feeds its events to report. A
// failed test shows both in the report and as an error here.
func testModule(ctx context.Context, dir string, args []string, report *report, stderr io.Writer) error {
	cmd := exec.CommandContext(ctx, "go", append([]string{"test", "-json"}, args...)...)
	cmd.Dir = dir
	cmd.Stderr = stderr
	// Interrupt, not kill: go test then ends the test binaries it started.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	events, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	readErr := report.read(events)
	return errors.Join(cmd.Wait(), readErr)
}

// chooseRace turns the -race flag into go test flags, and says in a line of
// its own whether races are looked for, since a plain run proves less.
func chooseRace(ctx context.Context, mode string, stdout io.Writer) ([]string, error) {
	switch mode {
	case "on":
		fmt.Fprintln(stdout, "race detector: on")
		return []string{"-race"}, nil
	case "off":
		return nil, nil
	case "auto":
		reason, err := probeRace(ctx)
		if err != nil {
			return nil, err
		}
		if reason != "" {
			fmt.Fprintf(stdout, "race detector: off, since it needs a C compiler that works (%s)\n", reason)
			return nil, nil
		}
		fmt.Fprintln(stdout, "race detector: on")
		return []string{"-race"}, nil
	}
	return nil, fmt.Errorf("-race %q: use on, off or auto", mode)
}

// probeRace links a small test binary with the race detector. Only doing it
// tells: `go env CGO_ENABLED` is 1 beside a compiler without libc headers.
func probeRace(ctx context.Context) (reason string, err error) {
	dir, err := os.MkdirTemp("", "gotest")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	out, err := exec.CommandContext(ctx, "go", "test", "-race", "-c", "-o", filepath.Join(dir, "probe"), "errors").CombinedOutput()
	if err == nil {
		return "", nil
	}
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	first, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	if first == "" {
		first = err.Error()
	}
	return first, nil
}
