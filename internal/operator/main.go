package operator

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/gridmesh/gridmesh/internal/settings"
)

// Exit statuses.
const (
	failed   = 1
	badUsage = 2
)

// Main runs the operator until ctx ends, or one of its commands, and returns the
// exit status.
func Main(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int {
	if len(args) > 0 && args[0] == "selftest" {
		return selfTestMain(ctx, args[1:], environ, stdout, stderr)
	}
	config, rest, err := LoadConfig(settings.Input{Args: args, Environ: environ, ReadFile: os.ReadFile})
	switch {
	case config.Help:
		Help(stdout)
		return 0
	case config.Version:
		fmt.Fprintln(stdout, Version())
		return 0
	case err != nil:
		return complain(stderr, err)
	case len(rest) > 0:
		fmt.Fprintf(stderr, "operator: %q is neither a setting nor a command; operator --help says what there is.\n", rest[0])
		return badUsage
	}
	return runLogged(ctx, config, stderr)
}

// runLogged runs the operator with a log.
func runLogged(ctx context.Context, config Config, stderr io.Writer) int {
	said, err := openLog(config, stderr)
	if err != nil {
		fmt.Fprintf(stderr, "operator: %v\n", err)
		return failed
	}
	defer said.close()
	logThrough(said.Logger)
	if err := Run(ctx, config, said.Logger); err != nil {
		said.Error("the operator failed", "error", err)
		return failed
	}
	return 0
}

func complain(stderr io.Writer, err error) int {
	fmt.Fprintln(stderr, "operator: the configuration is refused:")
	for _, problem := range settings.Problems(err) {
		fmt.Fprintf(stderr, "  %v\n", problem)
	}
	fmt.Fprintln(stderr, "operator --help says what there is.")
	return badUsage
}

const intro = `This is the operator of Gridmesh. For each Grid of a cluster it makes the pods,
or adopts those of a StatefulSet of yours, tells them who their peers are, gives
them certificates, and writes down how they are.

Usage:
  operator [settings]                 look after Grids
  operator selftest [settings]        make a small Grid, call through it, delete it

Each setting is a flag (--health-addr), a variable (GRID_OPERATOR_HEALTH_ADDR) and
a key of the YAML file that --config names. A flag wins over a variable, and that
over the file.
`

const outro = `
Examples:
  In a cluster, installed by its chart:
    helm install gridmesh charts/gridmesh --namespace gridmesh-system --create-namespace

  On your machine, against the cluster of your kubeconfig, for one namespace:
    operator --watch-namespaces default --leader-namespace default \
             --metrics-addr off --log-format text

When the operator is away, meshes run on and their pods may restart; a change of
who is in a mesh waits for it. SIGTERM and SIGINT stop it.

Exit status: 0 stopped after a signal, 1 failed or lost the lead, 2 refused its
configuration.
`

// Help writes all about running the operator.
func Help(w io.Writer) {
	fmt.Fprint(w, intro)
	new(Config).table().WriteHelp(w)
	fmt.Fprint(w, outro)
}
