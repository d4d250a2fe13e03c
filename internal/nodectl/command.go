package nodectl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/gridmesh/gridmesh/internal/settings"
)

// IO is what a command reads and writes.
type IO struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Environ        []string
}

// command is one of them.
type command struct {
	name     string
	args     string // what follows the name, for the usage line
	least    int    // arguments
	most     int
	about    string
	examples string
	settings func(*options) []settings.Setting // its own, besides those of all
	run      func(context.Context, *invocation) error
}

// options are the values of all commands' flags.
type options struct {
	admin, tokenFile string
	ca               string // of the admin port's certificate; "": it is plain text, unless insecure
	insecure         bool
	kubernetes       string
	help             bool

	timeout      time.Duration
	wait         bool
	data         string
	raw          bool
	payload      string
	asJSON, mesh bool
	callers      int
	bytes        int64
	length       time.Duration
	tail         tailOptions
}

// invocation is a command with what it was given.
type invocation struct {
	IO
	options
	set    *settings.Loaded
	args   []string
	client *client
}

func commands() []command {
	return []command{callCommand, streamCommand, statusCommand, peersCommand, benchCommand, logCommand, auditCommand}
}

// IsCommand reports whether a word on the command line is one of ours.
func IsCommand(word string) bool {
	return slices.ContainsFunc(commands(), func(c command) bool { return c.name == word })
}

// Main runs a command and returns the exit status.
func Main(ctx context.Context, name string, args []string, s IO) int {
	i := slices.IndexFunc(commands(), func(c command) bool { return c.name == name })
	if i < 0 {
		fmt.Fprintf(s.Stderr, "node: there is no command %q; node --help says what there is.\n", name)
		return exitUsage
	}
	c := commands()[i]
	v := &invocation{IO: s}
	table := c.table(&v.options)
	loaded, err := table.Load(settings.Input{Args: args, Environ: s.Environ})
	if v.help {
		c.writeHelp(s.Stdout)
		return exitDone
	}
	if err == nil && (len(loaded.Rest) < c.least || len(loaded.Rest) > c.most) {
		err = fmt.Errorf("%d arguments where %q belong", len(loaded.Rest), c.args)
	}
	if err != nil {
		for _, problem := range settings.Problems(err) {
			fmt.Fprintf(s.Stderr, "node %s: %v\n", c.name, problem)
		}
		fmt.Fprintf(s.Stderr, "Usage: node %s %s; node help %s says more.\n", c.name, c.args, c.name)
		return exitUsage
	}
	v.set, v.args = loaded, loaded.Rest
	if v.kubernetes != "" {
		err = v.fromKubernetes(loaded, s.Environ)
	}
	if err == nil {
		v.client, err = newClient(&v.options)
	}
	if err != nil {
		fmt.Fprintf(s.Stderr, "node %s: %v\n", c.name, err)
		return exitUsage
	}
	defer v.client.close()
	return report(c.name, c.run(ctx, v), s.Stderr)
}

// report says what went wrong, and gives the exit status.
func report(name string, err error, stderr io.Writer) int {
	if err == nil {
		return exitDone
	}
	f := &failure{status: exitFailed, text: err.Error()}
	errors.As(err, &f)
	if f.text != "" {
		fmt.Fprintf(stderr, "node %s: %s\n", name, plainLines(f.text))
	}
	if f.hint != "" {
		fmt.Fprintf(stderr, "Hint: %s.\n", plainLines(f.hint))
	}
	return f.status
}

// table is the flags of the command. The environment is the node's own as
// well, so what it has besides is not the command's business.
func (c *command) table(o *options) *settings.Table {
	t := &settings.Table{Prefix: "GRID_", Shared: true}
	if c.settings != nil {
		t.Settings = c.settings(o)
	}
	t.Settings = append(t.Settings,
		settings.Setting{Name: "admin-addr", Alias: "admin", Group: "The node", Default: "127.0.0.1:7701", Value: settings.Address(&o.admin),
			Help: "The admin port of the node to ask."},
		settings.Setting{Name: "admin-token-file", Group: "The node", Value: settings.Path(&o.tokenFile, "FILE", "the path of a file"),
			Help: "File with the node's admin token; its first line is shown. Not needed on the node's own machine."},
		settings.Setting{Name: "admin-ca", Group: "The node", FlagOnly: true, Value: settings.Path(&o.ca, "FILE", "the path of a file"),
			Help: "The admin port speaks TLS (the node's admin-tls): the authorities of its certificate, in PEM. " +
				"The certificate must be for the host asked; on loopback, as through a port-forward, any of theirs will do."},
		settings.Setting{Name: "admin-insecure", Group: "The node", FlagOnly: true, Value: settings.Switch(&o.insecure),
			Help: "The admin port speaks TLS, and its certificate is not looked at. On loopback only."},
		settings.Setting{Name: "kubernetes-dir", Group: "The node", Value: settings.Path(&o.kubernetes, "DIR", "the path of a folder"),
			Help: "In a pod of a Grid, where its ConfigMap and Secret are mounted: admin-addr and admin-ca come from there unless they are said."},
		settings.Setting{Name: "help", Alias: "h", Group: "Help", FlagOnly: true, Value: settings.Switch(&o.help), Help: "Say all this."},
	)
	return t
}

func (c *command) writeHelp(w io.Writer) {
	fmt.Fprintf(w, "Usage: node %s %s [flags]\n\n%s\n", c.name, c.args, strings.TrimSpace(c.about))
	c.table(&options{}).WriteHelp(w)
	fmt.Fprintf(w, "\nExamples:\n%s\n\n%s", strings.TrimRight(c.examples, "\n"), exits)
}

const exits = `Exit status: 0 done, 1 the handler answered with an error (or the status is not
good), 2 wrong usage, 3 the node's admin port could not be reached or refused,
4 the call has not run and may be made again, 5 the call may have run.
`

// Help writes all about a command.
func Help(name string, w io.Writer) bool {
	i := slices.IndexFunc(commands(), func(c command) bool { return c.name == name })
	if i < 0 {
		return false
	}
	c := commands()[i]
	c.writeHelp(w)
	return true
}

const (
	groupCall   = "The call"
	groupOutput = "Output"
)

func timeoutSetting(o *options, help string) settings.Setting {
	return settings.Setting{Name: "timeout", Group: groupCall, FlagOnly: true, Help: help, Value: settings.Duration(&o.timeout, time.Millisecond, 24*time.Hour)}
}

func waitSetting(o *options) settings.Setting {
	return settings.Setting{Name: "wait", Group: groupCall, FlagOnly: true, Value: settings.Switch(&o.wait),
		Help: "Wait for a link to the peer, within the timeout, instead of failing at once."}
}

func jsonSetting(o *options) settings.Setting {
	return settings.Setting{Name: "json", Group: groupOutput, FlagOnly: true, Value: settings.Switch(&o.asJSON), Help: "Write JSON."}
}
