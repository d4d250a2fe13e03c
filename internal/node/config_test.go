package node

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gridmesh/gridmesh/internal/member"
	"github.com/gridmesh/gridmesh/internal/settings"
	"github.com/gridmesh/gridmesh/internal/telemetry"
	"github.com/gridmesh/gridmesh/pkg/grid"
	"github.com/gridmesh/gridmesh/pkg/grid/peers"
)

// samples has, for every setting, a value that is taken, what it makes of the
// configuration, and one that is refused (none for those that take any text).
var samples = []struct {
	name, good, bad string
	want            func(*Config)
}{
	{"name", "node-0:7700", "Node-0:7700", func(c *Config) { c.Name = "node-0:7700" }},
	{"grid", "prod/eu", "prod eu", func(c *Config) { c.Grid = "prod/eu" }},
	{"topology", "on-demand", "star", func(c *Config) { c.Topology = "on-demand" }},
	{"kubernetes-dir", "/etc/gridmesh", "", func(c *Config) { c.KubernetesDir = "/etc/gridmesh" }},
	{"listen", ":7700", "7700", func(c *Config) { c.Listen = ":7700" }},
	{"admin-addr", "0.0.0.0:80", "0.0.0.0:http", func(c *Config) { c.AdminAddr = "0.0.0.0:80" }},
	{"admin-token-file", "/run/token", "", func(c *Config) { c.AdminTokenFile = "/run/token" }},
	{"admin-protect-reads", "true", "1", func(c *Config) { c.AdminProtectReads = true }},
	{"admin-tls", "true", "1", func(c *Config) { c.AdminTLS = true }},
	{"peers", "a:1,b:2", "a:1,b", func(c *Config) { c.Peers = []string{"a:1", "b:2"} }},
	{"peers-file", "/etc/peers", "", func(c *Config) { c.PeersFile = "/etc/peers" }},
	{"peers-dir", "/etc/peers.d", "", func(c *Config) { c.PeersDir = "/etc/peers.d" }},
	{"peers-save", "/var/peers", "", func(c *Config) { c.PeersSave = "/var/peers" }},
	{"peers-poll", "250ms", "1", func(c *Config) { c.PeersPoll = 250 * time.Millisecond }},
	{"resolve", "a:1=127.0.0.1:9,b:2=h:8", "a:1=127.0.0.1", func(c *Config) { c.Resolve = map[string]string{"a:1": "127.0.0.1:9", "b:2": "h:8"} }},
	{"tls-dir", "/etc/tls", "", func(c *Config) { c.TLSDir = "/etc/tls" }},
	{"tls-cert", "c.pem", "", func(c *Config) { c.TLSCert = "c.pem" }},
	{"tls-key", "k.pem", "", func(c *Config) { c.TLSKey = "k.pem" }},
	{"tls-ca", "ca.pem", "", func(c *Config) { c.TLSCA = "ca.pem" }},
	{"tls-strict", "true", "yes", func(c *Config) { c.TLSStrict = true }},
	{"tls-max-age", "1h", "0s", func(c *Config) { c.TLSMaxAge = time.Hour }},
	{"token-file", "/run/grid-token", "", func(c *Config) { c.TokenFile = "/run/grid-token" }},
	{"insecure-plain-text", "true", "on", func(c *Config) { c.InsecurePlainText = true }},
	{"default-timeout", "10s", "0s", func(c *Config) { c.DefaultTimeout = 10 * time.Second }},
	{"removal-grace", "1s", "-1s", func(c *Config) { c.RemovalGrace = time.Second }},
	{"drain-timeout", "0s", "-1s", func(c *Config) { c.DrainTimeout = 0 }},
	{"max-message", "1MiB", "2GiB", func(c *Config) { c.MaxMessage = 1 << 20 }},
	{"max-calls", "7", "0", func(c *Config) { c.MaxCalls = 7 }},
	{"max-memory", "1GiB", "1KiB", func(c *Config) { c.MaxMemory = 1 << 30 }},
	{"log-level", "debug", "trace", func(c *Config) { c.LogLevel = "debug" }},
	{"log-format", "json", "xml", func(c *Config) { c.LogFormat = "json" }},
	{"logging", "{level: warn, targets: [{name: a, file: {path: /x}}]}", "", func(c *Config) {
		c.Logging = telemetry.Logging{Level: "warn", Targets: []telemetry.Target{{Name: "a", File: &telemetry.File{Path: "/x"}}}}
	}},
	{"audit", "{outgoing: true}", "", func(c *Config) { c.Audit.Outgoing = true }},
	{"tails", "local", "nobody", func(c *Config) { c.Tails = "local" }},
	{"data-dir", "/var/lib/gridmesh", "", func(c *Config) { c.DataDir = "/var/lib/gridmesh" }},
}

// sources are the three ways to say one thing.
func sources(name, value string) map[settings.Source]settings.Input {
	variable := prefix + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
	return map[settings.Source]settings.Input{
		settings.Source("flag --" + name):          {Args: []string{"--" + name + "=" + value}},
		settings.Source("environment " + variable): {Environ: []string{variable + "=" + value}},
		"file node.yaml:1": {Environ: []string{"GRID_CONFIG=node.yaml"}, ReadFile: func(string) ([]byte, error) {
			return []byte(name + ": '" + value + "'\n"), nil
		}},
	}
}

func TestEverySettingFromEverySource(t *testing.T) {
	var defaults Config
	if _, err := defaults.table().Load(settings.Input{}); err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for _, s := range samples {
		seen[s.name] = true
		for source, in := range sources(s.name, s.good) {
			in.File = "config"
			var got Config
			loaded, err := got.table().Load(in)
			got.File = ""
			want := defaults
			s.want(&want)
			if err != nil || !reflect.DeepEqual(got, want) || loaded.Source(s.name) != source {
				t.Errorf("%s = %s from %s (%s): %v\ngot  %+v\nwant %+v", s.name, s.good, source, loaded.Source(s.name), err, got, want)
			}
		}
		if s.bad == "" {
			continue
		}
		for source, in := range sources(s.name, s.bad) {
			in.File = "config"
			_, err := new(Config).table().Load(in)
			var refused *settings.Error
			if !errors.As(err, &refused) || refused.Name != s.name || refused.Value != s.bad || refused.Source != source || refused.Allowed == "" {
				t.Errorf("%s = %s from %s: %v", s.name, s.bad, source, err)
			}
		}
	}
	for _, s := range new(Config).table().Settings {
		if !seen[s.Name] && !s.FlagOnly && s.Name != "config" {
			t.Errorf("setting %s has no sample", s.Name)
		}
	}
}

// good is the least that a node needs.
var good = []string{"--name=a:1", "--insecure-plain-text"}

func TestWhatDoesNotGoTogether(t *testing.T) {
	for _, tt := range []struct {
		name string
		args []string
		want string
	}{
		{"no name", []string{"--insecure-plain-text"}, "name (default): is missing; say host:port"},
		{"neither certificate nor plain text", []string{"--name=a:1"}, "tls-dir (default): is missing; say where the certificate is, or --insecure-plain-text"},
		{"both", append(good, "--tls-dir=d"), "insecure-plain-text (flag --insecure-plain-text): there is a certificate, too; leave one"},
		{"folder and files", []string{"--name=a:1", "--tls-dir=d", "--tls-key=k"}, "tls-key (flag --tls-key): tls-dir (flag --tls-dir) is set, too; leave one"},
		{"two of three files", []string{"--name=a:1", "--tls-cert=c", "--tls-key=k"}, "tls-cert (flag --tls-cert): tls-cert, tls-key and tls-ca go together"},
		{"list and file", append(good, "--peers=a:1", "--peers-file=f"), "peers-file (flag --peers-file): peers (flag --peers) is set, too; leave one"},
		{"file and folder", append(good, "--peers-file=f", "--peers-dir=d"), "peers-dir (flag --peers-dir): peers-file (flag --peers-file) is set, too"},
		{"a list without oneself", append(good, "--peers=b:1"), "peers (flag --peers): lacks this node's own name, a:1; add it, or correct name (flag --name)"},
		{"a name twice", append(good, "--peers=a:1,b:1,b:1"), "peers (flag --peers): "},
		{"two levels", append(good, "--log-level=info", "--logging={level: warn}"), "log-level (flag --log-level): logging.level (flag --logging) is set, too; leave one"},
		{"block without a disk", append(good, "--audit={targets: [{name: a, policy: block, webhook: {url: 'http://h'}}]}"),
			"audit.targets[0].policy (flag --audit): block has calls wait until their records are on disk; set data-dir"},
		{"one file for two", append(good, "--logging={targets: [{name: a, file: {path: x}}]}", "--audit={targets: [{name: a, file: {path: x}}]}"),
			"audit.targets[0].file.path (flag --audit): logging.targets[0].file.path is this file, too"},
		{"a target that is none", append(good, "--audit={targets: [{name: a, webhook: {url: canary}}]}"),
			"audit.targets[0].webhook.url (flag --audit): it does not begin with https:// or http:// and a host"},
		{"saving without signatures", append(good, "--peers=a:1", "--peers-save=s"), "peers-save (flag --peers-save): keeps signed lists only; set peers-dir"},
		{"a lock without a key", append(good, "--admin-protect-reads"), "admin-protect-reads (flag --admin-protect-reads): there is no token to ask for; set admin-token-file"},
		{"a certificate for the admin port that is not there", append(good, "--admin-tls"), "admin-tls (flag --admin-tls): there is no certificate to show; set tls-dir"},
		{"less memory than a message", append(good, "--max-memory=32MiB"), "max-memory (flag --max-memory): is 32MiB, less than max-message, which is 64MiB"},
		{"fine", good, ""},
		{"fine with files", []string{"--name=a:1", "--tls-cert=c", "--tls-key=k", "--tls-ca=a"}, ""},
		{"fine with exactly a message", append(good, "--max-memory=64MiB"), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := LoadConfig(settings.Input{Args: slices.Clone(tt.args)})
			if tt.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("got  %v\nwant %s…", err, tt.want)
			}
		})
	}
}

// What the table lets through, the library takes: each limit at both its ends.
func TestLimitsAtTheirEnds(t *testing.T) {
	for _, args := range [][]string{
		{"--max-message=1KiB", "--max-memory=1MiB"}, {"--max-message=1GiB", "--max-memory=1GiB"}, {"--max-message=1KiB", "--max-memory=1TiB"},
		{"--max-calls=1"}, {"--max-calls=1048576"},
		{"--default-timeout=1ms", "--removal-grace=1ms"}, {"--default-timeout=24h", "--removal-grace=24h"},
		{"--grid=" + strings.Repeat("g", peers.MaxGridLength)},
	} {
		config := loadArgs(t, append(args, good...)...)
		of, err := member.New(config.member(), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		n := &Node{config: &config, member: of}
		if err := n.openTelemetry(io.Discard); err != nil {
			t.Fatal(err)
		}
		m, err := grid.NewManager(t.Context(), n.options())
		n.closeTelemetry(0)
		if err != nil {
			t.Errorf("%q: %v", args, err)
			continue
		}
		_ = m.Close()
	}
}

func TestListenFollowsName(t *testing.T) {
	if c := loadArgs(t, "--name=node-0.demo:7700", "--insecure-plain-text"); c.Listen != ":7700" {
		t.Errorf("listens on %q", c.Listen)
	}
	if c := loadArgs(t, "--name=[::1]:7700", "--insecure-plain-text", "--listen=127.0.0.1:1"); c.Listen != "127.0.0.1:1" {
		t.Errorf("listens on %q", c.Listen)
	}
}

func TestMainSaysWhatIsWrong(t *testing.T) {
	for _, tt := range []struct {
		name          string
		args, environ []string
		status        int
		stdout        string
		stderr        []string
	}{
		{"all at once", []string{"--nam=a:1", "--peers=B"}, []string{"GRID_TSL_DIR=x"}, badUsage, "", []string{
			"--nam (command line): there is no such flag; did you mean --name?",
			"GRID_TSL_DIR (environment): there is no such setting; did you mean GRID_TLS_DIR?",
			`peers = "B" (flag --peers): `, "node --help says what there is.",
		}},
		{"a word", append(good, "serve"), nil, badUsage, "", []string{`"serve" is neither a setting nor a command`}},
		{"no file", []string{"--config=" + os.DevNull + "/none"}, nil, badUsage, "", []string{"the file", "cannot be read"}},
		{"help though all is wrong", []string{"--help", "--nope"}, nil, 0, "--admin-token-file FILE", nil},
		{"version", []string{"--version"}, nil, 0, Version(), nil},
		{"no certificate there", []string{"--name=a:1", "--tls-dir=" + t.TempDir()}, nil, 1, "", []string{"node not started", "tls.crt: no such file"}},
		{"no token there", append(good, "--token-file="+t.TempDir()+"/none"), nil, 1, "", []string{"token-file: ", "no such file"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			if status := Main(tt.args, tt.environ, &stdout, &stderr); status != tt.status {
				t.Errorf("status %d, want %d", status, tt.status)
			}
			if !strings.Contains(stdout.String(), tt.stdout) || tt.stdout == "" && stdout.Len() > 0 {
				t.Errorf("standard output:\n%s", &stdout)
			}
			for _, want := range tt.stderr {
				if !strings.Contains(stderr.String(), want) {
					t.Errorf("does not say %q:\n%s", want, &stderr)
				}
			}
		})
	}
}

// The reference in docs/ is made of the same table; make check-generated
// compares it, and this says so sooner.
func TestReferenceIsUpToDate(t *testing.T) {
	written, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	var now bytes.Buffer
	Reference(&now)
	if !bytes.Equal(written, now.Bytes()) {
		t.Error("docs/configuration.md is old: run go generate ./internal/node")
	}
}

func TestHelpTeaches(t *testing.T) {
	var help bytes.Buffer
	Help(&help)
	for _, want := range []string{"Usage:", "Examples:", "Signals:", "Exit status:", "node call PEER HANDLER", "[default: 30s] [GRID_DRAIN_TIMEOUT]"} {
		if !strings.Contains(help.String(), want) {
			t.Errorf("--help does not say %q", want)
		}
	}
	for _, s := range new(Config).table().Settings {
		if !strings.Contains(help.String(), "--"+s.Name) {
			t.Errorf("--help does not name %s", s.Name)
		}
	}
}

func TestFileOfAllSettings(t *testing.T) {
	const file = `
# a node with everything that a person writes by hand
name: node-0:7700
peers: [node-0:7700, node-1:7700]
resolve: {node-1:7700: "10.0.0.2:7700"}
tls-dir: /etc/gridmesh/tls
drain-timeout: 10s
max-calls: 100
tls-strict: true
`
	c, _, err := LoadConfig(settings.Input{Args: []string{"-c", "node.yaml", "--drain-timeout=5s"}, ReadFile: func(name string) ([]byte, error) {
		if name != "node.yaml" {
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		}
		return []byte(file), nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	if c.Name != "node-0:7700" || !slices.Equal(c.Peers, []string{"node-0:7700", "node-1:7700"}) || c.DrainTimeout != 5*time.Second ||
		!maps.Equal(c.Resolve, map[string]string{"node-1:7700": "10.0.0.2:7700"}) || c.MaxCalls != 100 || !c.TLSStrict {
		t.Errorf("got %+v", c)
	}
}
