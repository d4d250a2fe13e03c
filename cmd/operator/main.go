// Command operator looks after the Grids of a cluster: operator --help.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/gridmesh/gridmesh/internal/operator"
)

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	return operator.Main(ctx, args, os.Environ(), os.Stdout, os.Stderr)
}
