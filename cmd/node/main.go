// Command node runs one node of a grid, or talks to a running one: node --help.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"github.com/gridmesh/gridmesh/internal/node"
	"github.com/gridmesh/gridmesh/internal/nodectl"
)

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	switch {
	case len(args) > 0 && args[0] == "help":
		return help(args[1:])
	case len(args) > 0 && nodectl.IsCommand(args[0]):
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		defer stop()
		return nodectl.Main(ctx, args[0], args[1:], nodectl.IO{
			Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Environ: os.Environ(),
		})
	}
	return node.Main(args, os.Environ(), os.Stdout, os.Stderr)
}

func help(args []string) int {
	switch {
	case len(args) == 0:
		node.Help(os.Stdout)
	case args[0] == "settings":
		node.Reference(os.Stdout)
	case !nodectl.Help(args[0], os.Stdout):
		fmt.Fprintf(os.Stderr, "node help: there is no command %q; node --help says what there is.\n", args[0])
		return 2
	}
	return 0
}
