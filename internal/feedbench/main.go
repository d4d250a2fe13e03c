package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/gridmesh/gridmesh/internal/operator"
)

// Roles of the processes that the parent starts: itself, by its first argument.
const (
	roleOperator = "as-operator"
	roleNodes    = "as-nodes"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(args) > 0 {
		switch args[0] {
		case roleOperator:
			return operator.Main(ctx, args[1:], os.Environ(), stdout, stderr)
		case roleNodes:
			return fail(stderr, serveNodes(ctx, args[1:], os.Stdin, stdout))
		}
	}
	var p plan
	flags := flag.NewFlagSet("feedbench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.IntVar(&p.nodes, "nodes", 1000, "how many nodes there are")
	flags.IntVar(&p.rounds, "rounds", 10, "how often a pod is added while the operator is warm")
	flags.IntVar(&p.starts, "starts", 3, "how often the operator is started anew")
	flags.IntVar(&p.grids, "grids", 100, "how many Grids there are while memory is measured; 0 leaves that out")
	flags.IntVar(&p.pods, "pods", 5000, "how many pods these have together")
	flags.BoolVar(&p.check, "check", false, "exit 1 if a goal is missed")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if flags.NArg() > 0 || p.nodes < 1 || p.rounds < 0 || p.starts < 0 || p.nodes+p.rounds+p.starts > 10000 {
		fmt.Fprintln(stderr, "feedbench: there are 1 to 10000 nodes, those that are added included, and nothing but flags")
		return 2
	}
	return fail(stderr, p.run(ctx, stdout, stderr))
}

func fail(stderr io.Writer, err error) int {
	if err == nil || errors.Is(err, context.Canceled) {
		return 0
	}
	fmt.Fprintln(stderr, "feedbench:", err)
	return 1
}
