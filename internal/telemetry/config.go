package telemetry

import "github.com/gridmesh/gridmesh/internal/audit"

// Config is where log and audit go. Its JSON is what Parse reads. The zero value
// is the console for the log, and no audit.
type Config struct {
	Logging Logging `json:"logging,omitzero"`
	Audit   Audit   `json:"audit,omitzero"`
}

// Logging is where the log goes besides the console.
type Logging struct {
	Level   string   `json:"level,omitempty"` // debug, info, warn, error: of the console, and of targets without one; "": as it was
	Targets []Target `json:"targets,omitempty"`
}

// Audit is which calls are recorded, and where.
type Audit struct {
	Outgoing bool         `json:"outgoing,omitempty"` // calls that this node makes, too
	Timeout  Duration     `json:"timeout,omitzero"`   // how long a call waits for a target that blocks. Default 10s
	Filter   audit.Filter `json:"filter,omitempty"`
	Targets  []Target     `json:"targets,omitempty"`
}

// Policies of a target of the audit.
const (
	PolicyDrop  = "drop"  // a call never waits
	PolicyBlock = "block" // a call is answered when its record is on disk
)

// Target is one target: a name, exactly one kind, and how entries wait for it.
type Target struct {
	Name   string `json:"name"`             // an RFC 1035 label, unique among those of the log, or of the audit
	Level  string `json:"level,omitempty"`  // of the log only; "": that of the log
	Policy string `json:"policy,omitempty"` // of the audit only. Default drop

	// OptionalFiles has files for TLS and tokens that are not there count as not
	// given: in a pod they are the keys of a Secret.
	OptionalFiles bool `json:"optionalFiles,omitempty"`

	Console *Console `json:"console,omitempty"` // of the audit only: the log is always there
	File    *File    `json:"file,omitempty"`
	Webhook *Webhook `json:"webhook,omitempty"`
	OTLP    *OTLP    `json:"otlp,omitempty"`
	Kafka   *Kafka   `json:"kafka,omitempty"` // of the audit only

	// Of a webhook, OTLP or Kafka:
	Batch Batch `json:"batch,omitzero"`
	Spool Spool `json:"spool,omitzero"`
}

// Batch says when entries are sent: at the first of the three.
type Batch struct {
	Entries int      `json:"entries,omitempty"` // default 1000
	Bytes   Size     `json:"bytes,omitempty"`   // default 1MiB
	Age     Duration `json:"age,omitempty"`     // of its first entry. Default 1s
}

// Spool bounds what waits.
type Spool struct {
	MaxBytes Size `json:"maxBytes,omitempty"` // default 256MiB on disk; 8MiB in memory, where there is no data directory
}

// Console is standard error.
type Console struct{}

// File is a file that is rotated.
type File struct {
	Path     string   `json:"path"`
	Format   string   `json:"format,omitempty"`   // json, or for the log text
	MaxBytes Size     `json:"maxBytes,omitempty"` // default 100MiB
	MaxAge   Duration `json:"maxAge,omitempty"`   // default 24h
	Keep     int      `json:"keep,omitempty"`     // old files. Default 7
	Gzip     bool     `json:"gzip,omitempty"`     // old files
}

// TLS names the files of a client, read again when they change.
type TLS struct {
	CAFile     string `json:"caFile,omitempty"` // "": the authorities of the system
	CertFile   string `json:"certFile,omitempty"`
	KeyFile    string `json:"keyFile,omitempty"`
	ServerName string `json:"serverName,omitempty"` // whom the receiver's certificate names; "": the host that is dialled
}

// Webhook is an HTTP server that batches are posted to.
type Webhook struct {
	URL     string            `json:"url"`
	Format  string            `json:"format,omitempty"` // as internal/target/webhook has them. Default ndjson
	Labels  map[string]string `json:"labels,omitempty"` // of a stream of Loki
	Headers map[string]string `json:"headers,omitempty"`
	Proxy   string            `json:"proxy,omitempty"` // "": none, whatever the environment says
	Gzip    bool              `json:"gzip,omitempty"`
	Timeout Duration          `json:"timeout,omitempty"` // of a request. Default 10s
	TLS
	TokenFile string `json:"tokenFile,omitempty"` // of a bearer token
}

// OTLP is a collector of OpenTelemetry that takes logs over HTTP, as protobuf.
type OTLP struct {
	URL     string            `json:"url"` // with its path, such as /v1/logs
	Headers map[string]string `json:"headers,omitempty"`
	Gzip    bool              `json:"gzip,omitempty"`
	Timeout Duration          `json:"timeout,omitempty"`
	TLS
	TokenFile string `json:"tokenFile,omitempty"`
}

// Kafka is a topic.
type Kafka struct {
	Brokers []string `json:"brokers"`
	Topic   string   `json:"topic"` // it has to be there
	UseTLS  bool     `json:"tls,omitempty"`
	TLS
	SASL         string   `json:"sasl,omitempty"` // plain, scram-sha-256, scram-sha-512; "": no login
	User         string   `json:"user,omitempty"`
	PasswordFile string   `json:"passwordFile,omitempty"`
	Timeout      Duration `json:"timeout,omitempty"` // of a batch. Default 30s
}

// Parse reads a configuration from YAML or JSON. Unknown keys and values that
// are not allowed are refused, each with its path, such as
// "audit.targets[1].webhook.url"; all errors come joined, and are KeyErrors.
func Parse(raw []byte) (Config, error) {
	var c Config
	err := parse(raw, &c, "", &c)
	return c, err
}

// ParseLogging reads what Config has under the key logging.
func ParseLogging(raw []byte) (Logging, error) {
	var c Config
	err := parse(raw, &c.Logging, keyLogging, &c)
	return c.Logging, err
}

// ParseAudit reads what Config has under the key audit.
func ParseAudit(raw []byte) (Audit, error) {
	var c Config
	err := parse(raw, &c.Audit, keyAudit, &c)
	return c.Audit, err
}

// parse reads a part of a configuration, which is empty after an error.
func parse(raw []byte, part any, path string, whole *Config) error {
	var p problems
	p.decode(raw, part, path)
	err := p.err()
	if err == nil {
		err = whole.Check()
	}
	if err != nil {
		*whole = Config{}
	}
	return err
}

// Check says what is wrong with a configuration, as Parse does.
func (c *Config) Check() error {
	var p problems
	c.Logging.check(&p)
	c.Audit.check(&p)
	if p.none() {
		checkPaths(&p, c)
	}
	return p.err()
}

const (
	keyLogging = "logging"
	keyAudit   = "audit"
)
