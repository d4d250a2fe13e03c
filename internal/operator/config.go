package operator

import (
	"errors"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/gridmesh/gridmesh/internal/settings"
	"github.com/gridmesh/gridmesh/internal/telemetry"
)

// Config is what the operator is told. Its fields are described where they are
// set, in table.
type Config struct {
	File            string
	WatchNamespaces []string
	Kubeconfig      string

	Concurrency      int
	RotateSigningKey time.Duration

	HealthAddr    string
	MetricsAddr   string
	MetricsAccess string
	PprofAddr     string

	LeaderLease         string
	LeaderNamespace     string
	LeaderLeaseDuration time.Duration
	LeaderRenewDeadline time.Duration
	LeaderRetryPeriod   time.Duration

	LogLevel, LogFormat string
	DataDir             string
	Logging             telemetry.Logging

	Help, Version bool
}

// telemetry is where the log goes. The operator serves no calls: it has no audit.
func (c *Config) telemetry() telemetry.Config { return telemetry.Config{Logging: c.Logging} }

// prefix of the operator's variables.
const prefix = "GRID_OPERATOR_"

// settingFile names the setting with the path of the YAML file.
const settingFile = "config"

// Values of metrics-access.
const (
	accessKubernetes = "kubernetes"
	accessOpen       = "open"
)

const (
	groupFile    = "File"
	groupWatch   = "What it looks after"
	groupPorts   = "Ports"
	groupLeader  = "Who leads"
	groupLog     = "Log"
	groupHelp    = "Help"
	longDuration = 365 * 24 * time.Hour
)

const allowedLogging = "a mapping with level and targets, as docs/logging.md has them, as text of YAML or JSON"

// table is the one place where settings are defined: flags, variables and
// --help are made from it.
func (c *Config) table() *settings.Table {
	return &settings.Table{Prefix: prefix, Settings: []settings.Setting{
		{Name: settingFile, Alias: "c", Group: groupFile, NoFile: true, Value: settings.Path(&c.File, "FILE", "the path of a file"),
			Help: "YAML file with any of the settings below, one \"name: value\" a line. Flags win over variables, and these over the file."},
		{Name: "watch-namespaces", Group: groupWatch, Value: settings.List(&c.WatchNamespaces, "NAMESPACE", "names of namespaces", checkNamespace),
			Help: "Namespaces whose Grids are looked after. Without it: all of the cluster, for which a ClusterRole is needed; " +
				"with it Roles in these namespaces will do."},
		{Name: "kubeconfig", Group: groupWatch, Value: settings.Path(&c.Kubeconfig, "FILE", "the path of a file"),
			Help: "How to reach the API server, for an operator outside of a cluster. " +
				"Without it: $KUBECONFIG, what a pod is given, or ~/.kube/config, the first that there is."},
		{Name: "concurrency", Group: groupWatch, Default: "4", Value: settings.Int(&c.Concurrency, 1, 64),
			Help: "How many Grids are looked after at once."},
		{Name: "rotate-signing-key", Group: groupWatch, Default: "0s", Value: settings.Duration(&c.RotateSigningKey, 0, 10*longDuration),
			Help: "Age at which the key that signs a Grid's peer lists is replaced. 0s: never by itself; the annotation gridmesh.io/rotate-signing-key asks for it."},

		{Name: "health-addr", Group: groupPorts, Default: ":8081", Value: settings.Address(&c.HealthAddr),
			Help: "Where /livez and /readyz are served. Neither depends on a Grid or on the API server: a restart would mend nothing."},
		{Name: "metrics-addr", Group: groupPorts, Default: ":8443", Value: settings.String(&c.MetricsAddr, "HOST:PORT", "host:port, :port, or off", checkMetrics),
			Help: "Where /metrics is served, or off."},
		{Name: "metrics-access", Group: groupPorts, Default: accessKubernetes, Value: settings.Choice(&c.MetricsAccess, accessKubernetes, accessOpen),
			Help: "kubernetes: over HTTPS, to whom the API server lets get the path /metrics; " +
				"the operator then needs to create TokenReviews and SubjectAccessReviews. " +
				"open: over plain HTTP, to anybody."},
		{Name: "pprof-addr", Group: groupPorts, Value: settings.Address(&c.PprofAddr),
			Help: "Where profiles of this process are served, such as 127.0.0.1:6060. They show what is in its memory, keys included, so there is none unless you ask."},

		{Name: "leader-lease", Group: groupLeader, Default: "gridmesh-operator", Value: settings.String(&c.LeaderLease, "NAME", "the name of a Lease", checkName),
			Help: "Name of the Lease by which the one leader is found. It always is, with one replica, too: " +
				"during an upgrade there are two, and two leaders would publish two peer lists."},
		{Name: "leader-namespace", Group: groupLeader, Value: settings.String(&c.LeaderNamespace, "NAMESPACE", "the name of a namespace", checkNamespace),
			Help: "Namespace of the Lease. Without it: $POD_NAMESPACE, or the namespace of the pod."},
		{Name: "leader-lease-duration", Group: groupLeader, Default: "30s", Value: settings.Duration(&c.LeaderLeaseDuration, 3*time.Second, time.Hour),
			Help: "For how long a leader that is silent stays leader. While nobody leads, meshes run on; only changes wait."},
		{Name: "leader-renew-deadline", Group: groupLeader, Default: "20s", Value: settings.Duration(&c.LeaderRenewDeadline, 2*time.Second, time.Hour),
			Help: "How long a leader tries to renew before it stops and starts anew; less than leader-lease-duration. " +
				"Long, so that an API server that is away for a moment is no reason."},
		{Name: "leader-retry-period", Group: groupLeader, Default: "4s", Value: settings.Duration(&c.LeaderRetryPeriod, time.Second, time.Hour),
			Help: "How often it is tried; less than leader-renew-deadline."},

		{Name: "log-level", Group: groupLog, Default: "info", Value: settings.Choice(&c.LogLevel, "debug", "info", "warn", "error"),
			Help: "What is logged, to standard error."},
		{Name: "log-format", Group: groupLog, Default: "json", Value: settings.Choice(&c.LogFormat, "json", "text"),
			Help: "How it is written to standard error."},
		{Name: "logging", Group: groupLog, Value: settings.Document(&c.Logging, allowedLogging, telemetry.ParseLogging),
			Help: "Where the log goes besides standard error: files, webhooks, OTLP."},
		{Name: "data-dir", Group: groupLog, Value: settings.Path(&c.DataDir, "DIR", "the path of a folder"),
			Help: "Folder of this process alone, in which what the log could not deliver yet outlives it. Without it that waits in memory, and ends with it."},

		{Name: "help", Alias: "h", Group: groupHelp, FlagOnly: true, Value: settings.Switch(&c.Help), Help: "Say all this."},
		{Name: "version", Group: groupHelp, FlagOnly: true, Value: settings.Switch(&c.Version), Help: "Say which version this is."},
	}}
}

const metricsOff = "off"

func checkMetrics(text string) error {
	if text == metricsOff {
		return nil
	}
	return settings.CheckAddress(text)
}

func checkNamespace(text string) error {
	if problems := validation.IsDNS1123Label(text); len(problems) > 0 {
		return errors.New(problems[0])
	}
	return nil
}

func checkName(text string) error {
	if problems := validation.IsDNS1123Subdomain(text); len(problems) > 0 {
		return errors.New(problems[0])
	}
	return nil
}

// LoadConfig reads the configuration of the operator. rest is what stands among
// the flags and is none. If the flags ask for help or the version, nothing else
// needs to be right.
func LoadConfig(in settings.Input) (c Config, rest []string, err error) {
	in.File = settingFile
	loaded, err := c.table().Load(in)
	if c.Help || c.Version {
		return c, loaded.Rest, nil
	}
	if err != nil {
		return Config{}, nil, err
	}
	conflict := func(name, format string, args ...any) error {
		return settings.Conflict(loaded.Source(name), name, format, args...)
	}
	to := c.telemetry()
	for _, err := range settings.Problems(to.CheckWith(c.DataDir != "")) {
		return Config{}, nil, conflict("logging", "%v", err)
	}
	switch {
	case c.Logging.Level != "" && loaded.IsSet("log-level"):
		return Config{}, nil, conflict("log-level", "logging.level (%s) is set, too; leave one", loaded.Source("logging"))
	case c.LeaderRenewDeadline >= c.LeaderLeaseDuration:
		return Config{}, nil, conflict("leader-renew-deadline",
			"is %s and must be less than leader-lease-duration, which is %s: another would lead before this one stops",
			c.LeaderRenewDeadline, c.LeaderLeaseDuration)
	case c.LeaderRetryPeriod*6/5 >= c.LeaderRenewDeadline: // client-go waits up to a fifth longer
		return Config{}, nil, conflict("leader-retry-period", "is %s and must be well below leader-renew-deadline, which is %s: one failure would end the lead",
			c.LeaderRetryPeriod, c.LeaderRenewDeadline)
	}
	return c, loaded.Rest, nil
}
