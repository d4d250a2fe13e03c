package node

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/gridmesh/gridmesh/internal/member"
	"github.com/gridmesh/gridmesh/internal/settings"
	"github.com/gridmesh/gridmesh/internal/tail"
	"github.com/gridmesh/gridmesh/internal/telemetry"
	"github.com/gridmesh/gridmesh/internal/tlsreload"
	"github.com/gridmesh/gridmesh/pkg/grid/peers"
)

// Config is what a node is told. Its fields are described where they are set,
// in table.
type Config struct {
	File string

	Name, Grid    string
	KubernetesDir string

	Listen            string
	AdminAddr         string
	AdminTokenFile    string
	AdminProtectReads bool
	AdminTLS          bool

	Peers     []string
	PeersFile string
	PeersDir  string
	PeersSave string
	PeersPoll time.Duration
	Resolve   map[string]string

	TLSDir, TLSCert, TLSKey, TLSCA string
	TLSStrict                      bool
	TLSMaxAge                      time.Duration
	TokenFile                      string
	InsecurePlainText              bool

	Topology       string
	DefaultTimeout time.Duration
	RemovalGrace   time.Duration
	DrainTimeout   time.Duration
	MaxMessage     int64
	MaxCalls       int
	MaxMemory      int64

	Tails               string
	LogLevel, LogFormat string
	DataDir             string
	Logging             telemetry.Logging
	Audit               telemetry.Audit

	noDataDir    error  // why the volume of a pod is not DataDir
	podTelemetry string // the file that says Logging and Audit in a pod of a Grid; "": they are here

	Help, Version bool
}

// prefix of the node's variables.
const prefix = "GRID_"

const (
	groupNode     = "The node"
	groupPorts    = "Ports"
	groupPeers    = "Peers (one of peers, peers-file and peers-dir)"
	groupSecurity = "Security (a certificate, or insecure-plain-text)"
	groupCalls    = "Calls and limits"
	groupLog      = "Log and audit"
)

const (
	allowedLogging = "a mapping with level and targets, as docs/logging.md has them"
	allowedAudit   = "a mapping with targets, filter, outgoing and timeout, as docs/audit.md has them"
)

// table is the one place where settings are defined: flags, variables, keys of
// the file, --help and docs/configuration.md are all made from it.
func (c *Config) table() *settings.Table {
	const peerName = "host:port in lower case, such as node-0.demo.default.svc:7700"
	const day = 24 * time.Hour
	path := func(p *string) settings.Value { return settings.Path(p, "FILE", "the path of a file") }
	folder := func(p *string) settings.Value { return settings.Path(p, "DIR", "the path of a folder") }
	return &settings.Table{Prefix: prefix, Settings: []settings.Setting{
		{Name: "config", Alias: "c", Group: groupNode, NoFile: true, Value: path(&c.File),
			Help: "YAML file with any of the settings below, one \"name: value\" a line. Flags win over variables, and these over the file."},
		{Name: "name", Group: groupNode, Value: settings.String(&c.Name, "HOST:PORT", peerName, peers.ValidName),
			Help: "This node's own name, as it stands in everybody's peer list; others dial it. Required."},
		{Name: "grid", Group: groupNode, Default: "default", Value: settings.String(&c.Grid, "ID", "up to 255 of a-z, A-Z, 0-9, -, _, . and /", checkGrid),
			Help: "Id of the grid. Nodes of another grid are refused."},
		{Name: "topology", Group: groupNode, Default: "full-mesh", Value: settings.Choice(&c.Topology, "full-mesh", "on-demand"),
			Help: "full-mesh keeps a link with every peer; on-demand is not in this version yet."},

		{Name: "kubernetes-dir", Group: groupNode, Value: folder(&c.KubernetesDir),
			Help: "In a pod of a Grid, where its ConfigMap is mounted as grid/ and its Secret as tls/: name, grid, ports, peers, " +
				"certificate, drain-timeout and the limits of the Grid come from there, and must not be set. The admin port then has TLS if the grid has."},

		{Name: "listen", Group: groupPorts, Value: settings.Address(&c.Listen),
			Help: "Where the grid listens. Without it: the port of the node's name, on all addresses."},
		{Name: "admin-addr", Group: groupPorts, Default: "127.0.0.1:7701", Value: settings.Address(&c.AdminAddr),
			Help: "Where probes, metrics, the status page and the commands below are served. " +
				"What changes something, costs or shows traffic is served to loopback or for the admin token only."},
		{Name: "admin-token-file", Group: groupPorts, Value: path(&c.AdminTokenFile),
			Help: "File with the admin token, of at least 16 bytes, read again when it changes. Without it only loopback may change anything."},
		{Name: "admin-protect-reads", Group: groupPorts, Default: "false", Value: settings.Switch(&c.AdminProtectReads),
			Help: "Serve metrics and status, too, to loopback or for the admin token only. The probes stay open."},
		{Name: "admin-tls", Group: groupPorts, Default: "false", Value: settings.Switch(&c.AdminTLS),
			Help: "Serve the admin port by TLS, with this node's certificate; nobody is asked for one in return. " +
				"Commands then need --admin-ca."},

		{Name: "peers", Live: true, Group: groupPeers, Value: settings.List(&c.Peers, "HOST:PORT", "names that are "+peerName, peers.ValidName),
			Help: "Names of all nodes. Read again from the file on SIGHUP."},
		{Name: "peers-file", Group: groupPeers, Value: path(&c.PeersFile),
			Help: "File with the names of all nodes, this one included, one a line; watched. A bad one is refused and the last good list stays."},
		{Name: "peers-dir", Group: groupPeers, Value: folder(&c.PeersDir),
			Help: "Folder with a signed peer list, peers.signed, and the public keys to trust, peers.pub; watched. " +
				"Signed lists are then taken from the admin port and from peers, too; the highest epoch holds."},
		{Name: "peers-save", Group: groupPeers, Value: path(&c.PeersSave),
			Help: "File in which the last good signed list is kept, to start with when peers-dir has none."},
		{Name: "peers-poll", Group: groupPeers, Default: "5s", Value: settings.Duration(&c.PeersPoll, 10*time.Millisecond, time.Hour),
			Help: "How often peers-file or peers-dir is read."},
		{Name: "resolve", Group: groupPeers, Value: settings.Pairs(&c.Resolve, "NAME=HOST:PORT", "a peer's name = the address to dial for it", checkResolve),
			Help: "Where to dial a peer, instead of its name."},

		{Name: "tls-dir", Group: groupSecurity, Value: folder(&c.TLSDir),
			Help: "Folder with tls.crt, tls.key and ca.crt, as in a Kubernetes secret; read again when they change."},
		{Name: "tls-cert", Group: groupSecurity, Value: path(&c.TLSCert), Help: "The certificate, instead of tls-dir; with tls-key and tls-ca."},
		{Name: "tls-key", Group: groupSecurity, Value: path(&c.TLSKey), Help: "Its key."},
		{Name: "tls-ca", Group: groupSecurity, Value: path(&c.TLSCA), Help: "The authorities to trust, one or more."},
		{Name: "tls-strict", Group: groupSecurity, Default: "false", Value: settings.Switch(&c.TLSStrict),
			Help: "Demand that a peer's certificate carries the URI gridmesh://<grid>/<name>, and not just the host of its name."},
		{Name: "tls-max-age", Group: groupSecurity, Default: "24h", Value: settings.Duration(&c.TLSMaxAge, time.Second, 365*day),
			Help: "The age at which a link is made again with the certificates of the day, without a failed call."},
		{Name: "token-file", Group: groupSecurity, Value: path(&c.TokenFile),
			Help: "File with a token, of at least 16 bytes, that all nodes share; it never travels. " +
				"Several lines are several tokens: the first is shown, any is accepted. Read again when it changes."},
		{Name: "insecure-plain-text", Group: groupSecurity, Default: "false", Value: settings.Switch(&c.InsecurePlainText),
			Help: "Links without TLS: whoever is on the way reads and alters everything."},

		{Name: "default-timeout", Group: groupCalls, Default: "1m", Value: settings.Duration(&c.DefaultTimeout, time.Millisecond, day),
			Help: "The time of a request that brings no deadline of its own."},
		{Name: "removal-grace", Group: groupCalls, Default: "30s", Value: settings.Duration(&c.RemovalGrace, time.Millisecond, day),
			Help: "How long calls with a removed peer may go on."},
		{Name: "drain-timeout", Group: groupCalls, Default: "30s", Value: settings.Duration(&c.DrainTimeout, 0, day),
			Help: "How long calls may go on after SIGTERM. A second signal ends them at once."},
		{Name: "max-message", Group: groupCalls, Default: "64MiB", Value: settings.Bytes(&c.MaxMessage, 1<<10, 1<<30),
			Help: "The largest request, reply or message of a stream that this node takes."},
		{Name: "max-calls", Group: groupCalls, Default: "16384", Value: settings.Int(&c.MaxCalls, 1, 1<<20),
			Help: "How many calls of one peer run at once; more are refused as overload."},
		{Name: "max-memory", Group: groupCalls, Default: "1GiB", Value: settings.Bytes(&c.MaxMemory, 1<<20, 1<<40),
			Help: "Bound on each of three over all links: requests held by running handlers, " +
				"large replies and large stream messages that have not been read. At least max-message."},

		{Name: "log-level", Live: true, Group: groupLog, Default: "info", Value: settings.Choice(&c.LogLevel, "debug", "info", "warn", "error"),
			Help: "What is logged, to standard error and to targets without a level of their own. Read again from the file on SIGHUP, and when it changes."},
		{Name: "tails", Group: groupLog, Default: tail.Mesh, Value: settings.Choice(&c.Tails, tail.Mesh, tail.Local),
			Help: "Who may see the newest entries of log and audit (node log tail, node audit tail): mesh is each member of it, " +
				"local is who asks this node by its own admin port."},
		{Name: "log-format", Group: groupLog, Default: "auto", Value: settings.Choice(&c.LogFormat, "auto", "text", "json"),
			Help: "How it is written to standard error: auto is text on a terminal and json elsewhere."},
		{Name: "logging", Live: true, Group: groupLog, Value: settings.Document(&c.Logging, allowedLogging, telemetry.ParseLogging),
			Help: "Where the log goes besides standard error: files, webhooks, OTLP. Read again from the file on SIGHUP, and when it changes."},
		{Name: "audit", Live: true, Group: groupLog, Value: settings.Document(&c.Audit, allowedAudit, telemetry.ParseAudit),
			Help: "Which calls are recorded, and where: files, webhooks, OTLP, Kafka, standard error. Without targets none is. Read again like logging."},
		{Name: "data-dir", Group: groupLog, Value: folder(&c.DataDir),
			Help: "Folder of this node alone, in which what log and audit could not deliver yet outlives the process. " +
				"Without it that waits in memory, and ends with it. In a pod of a Grid it is /var/lib/gridmesh, where that is there and writable."},

		{Name: "help", Alias: "h", Group: "Help", FlagOnly: true, Value: settings.Switch(&c.Help), Help: "Say all this."},
		{Name: "version", Group: "Help", FlagOnly: true, Value: settings.Switch(&c.Version), Help: "Say which version this is."},
	}}
}

func checkGrid(id string) error {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./"
	if len(id) > peers.MaxGridLength || strings.Trim(id, allowed) != "" {
		return errors.New("too long, or with other letters")
	}
	return nil
}

func checkResolve(name, addr string) error {
	if err := peers.ValidName(name); err != nil {
		return err
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil || host == "" {
		return fmt.Errorf("the address %q is not host:port", addr)
	}
	return settings.CheckAddress(addr)
}

// LoadConfig reads the configuration of a node. rest is what stands among the
// flags and is none. If the flags ask for help or the version, nothing else
// needs to be right.
func LoadConfig(in settings.Input) (c Config, rest []string, err error) {
	in.File = "config"
	loaded, err := c.table().Load(in)
	if c.Help || c.Version {
		return c, loaded.Rest, nil
	}
	if err != nil {
		return Config{}, nil, err
	}
	if c.KubernetesDir != "" {
		if err := c.fromKubernetes(loaded, in.Environ); err != nil {
			return Config{}, nil, err
		}
	}
	if err := c.check(loaded); err != nil {
		return Config{}, nil, err
	}
	if c.Listen == "" {
		_, port, _ := net.SplitHostPort(c.Name)
		c.Listen = ":" + port
	}
	return c, loaded.Rest, nil
}

// check refuses values that do not go together.
func (c *Config) check(loaded *settings.Loaded) error {
	conflict := func(name, format string, args ...any) error {
		return settings.Conflict(loaded.Source(name), name, format, args...)
	}
	if c.Name == "" {
		return conflict("name", "is missing; say host:port as it stands in the peer list, such as --name node-0:7700")
	}
	one := "" // of the places where the peer list comes from
	for _, name := range []string{"peers", "peers-file", "peers-dir"} {
		switch {
		case !loaded.IsSet(name):
		case one != "":
			return conflict(name, "%s (%s) is set, too; leave one", one, loaded.Source(one))
		default:
			one = name
		}
	}
	if len(c.Peers) > 0 {
		list, err := peers.NewList(c.Peers)
		switch {
		case err != nil:
			return conflict("peers", "%v", err)
		case !list.Contains(c.Name):
			return conflict("peers", "lacks this node's own name, %s; add it, or correct name (%s)", c.Name, loaded.Source("name"))
		}
	}
	if c.PeersSave != "" && c.PeersDir == "" {
		return conflict("peers-save", "keeps signed lists only; set peers-dir, which says whose signature counts")
	}
	files := 0
	for _, name := range []string{"tls-cert", "tls-key", "tls-ca"} {
		if loaded.IsSet(name) {
			files++
			if c.TLSDir != "" {
				return conflict(name, "tls-dir (%s) is set, too; leave one", loaded.Source("tls-dir"))
			}
		}
	}
	switch {
	case files != 0 && files != 3:
		return conflict("tls-cert", "tls-cert, tls-key and tls-ca go together; set all three, or tls-dir")
	case c.TLS() && c.InsecurePlainText:
		return conflict("insecure-plain-text", "there is a certificate, too; leave one")
	case !c.TLS() && !c.InsecurePlainText:
		return conflict("tls-dir", "is missing; say where the certificate is, or --insecure-plain-text if everybody on the network may read and alter everything")
	case c.AdminTLS && !c.TLS():
		return conflict("admin-tls", "there is no certificate to show; set tls-dir, or leave it off")
	case c.AdminProtectReads && c.AdminTokenFile == "":
		return conflict("admin-protect-reads", "there is no token to ask for; set admin-token-file")
	case c.MaxMemory < c.MaxMessage:
		return conflict("max-memory", "is %s, less than max-message, which is %s", settings.Size(c.MaxMemory), settings.Size(c.MaxMessage))
	case c.Logging.Level != "" && loaded.IsSet("log-level"):
		return conflict("log-level", "logging.level (%s) is set, too; leave one", loaded.Source("logging"))
	}
	return c.checkTelemetry(loaded)
}

// checkTelemetry refuses what log, audit and data directory do not allow together.
func (c *Config) checkTelemetry(loaded *settings.Loaded) error {
	both := c.telemetry()
	var all []error
	for _, err := range settings.Problems(both.CheckWith(c.DataDir != "")) {
		path, reason := "", err.Error()
		if keyed, ok := err.(settings.Keyed); ok {
			path, reason = keyed.Key()
		}
		setting, _, _ := strings.Cut(path, ".")
		all = append(all, settings.Conflict(loaded.Source(setting), path, "%s", reason))
	}
	return errors.Join(all...)
}

// telemetry is where log and audit go, but for a node of a Grid.
func (c *Config) telemetry() telemetry.Config {
	return telemetry.Config{Logging: c.Logging, Audit: c.Audit}
}

// TLS reports whether links are encrypted.
func (c *Config) TLS() bool { return c.TLSDir != "" || c.TLSCert != "" }

// member is what a member of the mesh is told of this.
func (c *Config) member() member.Config {
	files := tlsreload.Files{Cert: c.TLSCert, Key: c.TLSKey, CA: c.TLSCA}
	if c.TLSDir != "" {
		files = tlsreload.InDir(c.TLSDir)
	}
	return member.Config{
		Name: c.Name, Grid: c.Grid, Version: Version(), Listen: c.Listen, AdminAddr: c.AdminAddr, AdminTLS: c.AdminTLS,
		Lists:       member.Lists{Names: c.Peers, File: c.PeersFile, Dir: c.PeersDir, Save: c.PeersSave, Every: c.PeersPoll},
		Resolve:     c.Resolve,
		Certificate: files, Strict: c.TLSStrict, MaxAge: c.TLSMaxAge,
		DefaultTimeout: c.DefaultTimeout, RemovalGrace: c.RemovalGrace, DrainTimeout: c.DrainTimeout,
		MaxMessage: c.MaxMessage, MaxCalls: c.MaxCalls, MaxMemory: c.MaxMemory,
	}
}
