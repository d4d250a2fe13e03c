package node

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/gridmesh/gridmesh/internal/settings"
)

// badUsage is the exit status for a configuration that is refused.
const badUsage = 2

// Main runs a node as the command line, the environment and the file say, and
// returns the exit status.
func Main(args, environ []string, stdout, stderr io.Writer) int {
	load := func() (Config, []string, error) {
		return LoadConfig(settings.Input{Args: args, Environ: environ, ReadFile: os.ReadFile})
	}
	config, rest, err := load()
	switch {
	case config.Help:
		Help(stdout)
		return 0
	case config.Version:
		fmt.Fprintln(stdout, Version())
		return 0
	case err != nil:
		fmt.Fprintln(stderr, "node: the configuration is refused:")
		for _, problem := range settings.Problems(err) {
			fmt.Fprintf(stderr, "  %v\n", problem)
		}
		fmt.Fprintln(stderr, "node --help says what there is.")
		return badUsage
	case len(rest) > 0:
		fmt.Fprintf(stderr, "node: %q is neither a setting nor a command; node --help says what there is.\n", rest[0])
		return badUsage
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer signal.Stop(signals)
	reread := func() (Config, error) {
		fresh, _, err := load()
		return fresh, err
	}
	return Run(context.Background(), config, reread, signals, stderr)
}

const intro = `This runs one node of a grid: servers that have one link with each other and
call each other's handlers over it.

Usage:
  node [settings]                     run one
  node call PEER HANDLER <REQUEST     call a handler, through a node that runs
  node stream PEER HANDLER            open a stream: standard input to it, its messages out
  node status                         how the node and its mesh are
  node peers show | set FILE          the peer list in use, and a new one
  node bench PEER                     how fast calls to a peer are
  node log tail [PEER...]             what nodes have logged, and what they log
  node audit tail [PEER...]           who called what at nodes, with which result
  node help COMMAND                   all about one of these

Each setting is a flag (--admin-addr), a variable (GRID_ADMIN_ADDR) and a key of
the YAML file (admin-addr:). A flag wins over a variable, and that over the file.
`

const outro = `
Examples:
  Two nodes on one machine, without certificates:
    node --name 127.0.0.1:7700 --peers 127.0.0.1:7700,127.0.0.1:7800 --insecure-plain-text
    node --name 127.0.0.1:7800 --peers 127.0.0.1:7700,127.0.0.1:7800 --insecure-plain-text \
         --admin-addr 127.0.0.1:7801
    echo hello | node call 127.0.0.1:7800 echo

  A node with certificates, and a list of peers that may change while it runs:
    node --name node-0.example.org:7700 --tls-dir /etc/gridmesh/tls --peers-file /etc/gridmesh/peers

  The same in a file, run with node --config node.yaml:
    name: node-0.example.org:7700
    tls-dir: /etc/gridmesh/tls
    peers-file: /etc/gridmesh/peers
    admin-addr: 0.0.0.0:7701
    admin-token-file: /etc/gridmesh/admin-token
    data-dir: /var/lib/gridmesh
    logging:
      targets:
      - name: central
        webhook: {url: "https://logs.example.org/in"}

Signals: SIGTERM and SIGINT leave the mesh, once the calls that run have ended or
drain-timeout is over; a second one does not wait. SIGHUP reads peers,
certificates, tokens, log-level, logging and audit again.

Exit status: 0 stopped after a signal, 1 failed, 2 refused its configuration, 128
and the signal's number when a second signal cut calls.
`

// Help writes all about running a node.
func Help(w io.Writer) {
	fmt.Fprint(w, intro)
	new(Config).table().WriteHelp(w)
	fmt.Fprint(w, outro)
}

// Reference writes docs/configuration.md.
func Reference(w io.Writer) {
	fmt.Fprint(w, `# Configuration of the node

<!-- Written by "go generate ./internal/node" from the table in internal/node/config.go. -->

Each setting is a flag, a variable and a key of the YAML file that --config
names. A flag wins over a variable, and a variable over the file; an empty
variable counts as not set. Lists are separated by commas in flags and
variables, and may be sequences in the file; pairs may be mappings.

Whatever is unknown or not allowed is refused at the start, all of it at once,
with the name, the value, where it stands and what is allowed. Variables that
Kubernetes makes for a Service whose name begins with "grid" are passed over.

SIGHUP reads the file again: peers, log-level, logging and audit are taken over,
and a warning names what else has changed and needs a restart. A change of the
file alone has log-level, logging and audit taken over, within a few seconds. What
is refused is refused as a whole, and the configuration in use stays.

The settings logging and audit are mappings. In a flag or a variable they are
text, of YAML or JSON: GRID_AUDIT='{"targets": [{"name": "trail", "file": {"path":
"/var/log/audit.log"}}]}'. Each of their errors names the key that it is about.
`)
	new(Config).table().WriteMarkdown(w)
}
