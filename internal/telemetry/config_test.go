package telemetry

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gridmesh/gridmesh/internal/audit"
)

// whole has every key once.
const whole = `
logging:
  level: warn
  targets:
  - name: central
    level: debug
    optionalFiles: true
    webhook:
      url: https://logs.example.org:8443/in
      format: loki
      labels: {app: demo, shard: 7}
      headers: {X-Scope-OrgID: 12}
      proxy: http://proxy.example.org:3128
      gzip: true
      timeout: 5s
      caFile: /tls/ca.crt
      certFile: /tls/tls.crt
      keyFile: /tls/tls.key
      serverName: logs
      tokenFile: /tls/token
    batch: {entries: 500, bytes: 512KiB, age: 250ms}
    spool: {maxBytes: 64Mi}
  - name: local
    file: {path: /var/log/grid.log, format: text, maxBytes: 10M, maxAge: 1h, keep: 3, gzip: true}
audit:
  outgoing: true
  timeout: 2s
  filter:
  - {handlers: [echo, "status*"], peers: ["!a:1"], results: [ok], direction: in, drop: true}
  targets:
  - name: trail
    policy: block
    kafka:
      brokers: [k0:9092, k1:9092]
      topic: audit
      tls: true
      caFile: /tls/ca.crt
      certFile: /tls/tls.crt
      keyFile: /tls/tls.key
      serverName: kafka
      sasl: scram-sha-512
      user: grid
      passwordFile: /tls/password
      timeout: 20s
  - {name: screen, console: {}}
`

func wholeConfig() Config {
	tls := TLS{CAFile: "/tls/ca.crt", CertFile: "/tls/tls.crt", KeyFile: "/tls/tls.key"}
	logs, brokers := tls, tls
	logs.ServerName, brokers.ServerName = "logs", "kafka"
	return Config{
		Logging: Logging{Level: "warn", Targets: []Target{
			{
				Name: "central", Level: "debug", OptionalFiles: true,
				Webhook: &Webhook{
					URL: "https://logs.example.org:8443/in", Format: "loki", Labels: map[string]string{"app": "demo", "shard": "7"},
					Headers: map[string]string{"X-Scope-OrgID": "12"}, Proxy: "http://proxy.example.org:3128", Gzip: true,
					Timeout: Duration(5 * time.Second), TLS: logs, TokenFile: "/tls/token",
				},
				Batch: Batch{Entries: 500, Bytes: 512 << 10, Age: Duration(250 * time.Millisecond)}, Spool: Spool{MaxBytes: 64 << 20},
			},
			{Name: "local", File: &File{Path: "/var/log/grid.log", Format: "text", MaxBytes: 10e6, MaxAge: Duration(time.Hour), Keep: 3, Gzip: true}},
		}},
		Audit: Audit{
			Outgoing: true, Timeout: Duration(2 * time.Second),
			Filter: audit.Filter{{Handlers: []string{"echo", "status*"}, Peers: []string{"!a:1"}, Results: []string{"ok"}, Direction: "in", Drop: true}},
			Targets: []Target{
				{Name: "trail", Policy: "block", Kafka: &Kafka{
					Brokers: []string{"k0:9092", "k1:9092"}, Topic: "audit", UseTLS: true, TLS: brokers,
					SASL: "scram-sha-512", User: "grid", PasswordFile: "/tls/password", Timeout: Duration(20 * time.Second),
				}},
				{Name: "screen", Console: &Console{}},
			},
		},
	}
}

// TestParse: each key is read, from YAML and from the JSON that a Config makes,
// and the parts alone are read as they are within the whole.
func TestParse(t *testing.T) {
	want := wholeConfig()
	got, err := Parse([]byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	raw, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	if got, err = Parse(raw); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("from %s: %v\n%+v", raw, err, got)
	}
	var parts map[string]json.RawMessage
	if err := json.Unmarshal(raw, &parts); err != nil {
		t.Fatal(err)
	}
	l, err := ParseLogging(parts["logging"])
	if err != nil || !reflect.DeepEqual(l, want.Logging) {
		t.Errorf("logging: %v", err)
	}
	a, err := ParseAudit(parts["audit"])
	if err != nil || !reflect.DeepEqual(a, want.Audit) {
		t.Errorf("audit: %v", err)
	}
	for _, empty := range []string{"", "# nothing\n", "{}", "null", "logging: {}\naudit: {}"} {
		if c, err := Parse([]byte(empty)); err != nil || !reflect.DeepEqual(c, Config{}) {
			t.Errorf("%q: %v, %+v", empty, err, c)
		}
	}
	if raw, err := json.Marshal(Config{}); err != nil || string(raw) != "{}" {
		t.Errorf("%s, %v", raw, err)
	}
}

// TestParseRefuses: whatever is not allowed is refused with the path of its key
// and what to do, all of it at once.
func TestParseRefuses(t *testing.T) {
	// logTo and auditTo are a target of which all but body is right.
	logTo := func(body string) string { return "logging: {targets: [{name: a, " + body + "}]}" }
	auditTo := func(body string) string { return "audit: {targets: [{name: a, " + body + "}]}" }
	hook := func(body string) string { return logTo("webhook: {url: 'http://h', " + body + "}") }
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"no YAML", "a: [", []string{"it is neither YAML nor JSON: line 1: did not find expected node content"}},
		{"two documents", "{}\n---\n{}", []string{"it goes on after its first document"}},
		{"no mapping", "[]", []string{"it is no mapping; known keys are audit, logging"}},
		{"too long", strings.Repeat(" ", maxText+1), []string{"1048577 bytes, allowed are 1048576"}},
		{"unknown keys", "loging: {}\nlogging: {lvl: info, targets: [{nme: a}]}", []string{
			"loging: there is no such key; known are audit, logging",
			"logging.lvl: there is no such key; known are level, targets",
			"logging.targets[0].nme: there is no such key; known are batch, console, file, kafka, level, name, optionalFiles, otlp, policy, spool, webhook",
		}},
		{"unknown key in a sink", hook("uri: x"), []string{
			"logging.targets[0].webhook.uri: there is no such key; known are caFile, certFile, format, gzip, headers, keyFile, labels, proxy, serverName, timeout, tokenFile, url",
		}},
		{"twice", `{"logging": {}, "logging": {}}`, []string{"logging: it is there twice"}},
		{"alias", "logging: &l {}\naudit: *l", []string{"audit: aliases are not understood here; write the value"}},
		{"null", "logging: {level: , targets: }", []string{"logging.level: there is no value", "logging.targets: there is no value"}},
		{"wrong kinds", "logging: {level: [info], targets: {a: b}}\naudit: {outgoing: 1, timeout: 3, filter: [{drop: yes, peers: a}]}", []string{
			"logging.level: it is no single value",
			"logging.targets: it is no list",
			`audit.outgoing: "1" is neither true nor false`,
			`audit.timeout: "3" is not a duration, such as 500ms, 30s or 1h30m`,
			`audit.filter[0].drop: "yes" is neither true nor false`,
			"audit.filter[0].peers: it is no list",
		}},
		{"no number", logTo("webhook: {url: 'http://h', headers: []}, batch: {entries: 1k, bytes: 5XiB}"), []string{
			"logging.targets[0].webhook.headers: it is no mapping of names to texts",
			`logging.targets[0].batch.entries: "1k" is no whole number`,
			`logging.targets[0].batch.bytes: "5XiB" is not a size, such as 512KiB or 64MiB`,
		}},
		{"a number too large", hook("timeout: 5s}, spool: {maxBytes: 99999999999Ti"), []string{
			`logging.targets[0].spool.maxBytes: "99999999999Ti" is too large a number`,
		}},

		{"level", "logging: {level: loud, targets: [{name: a, level: INFO, file: {path: x}}]}", []string{
			`logging.level: "loud" is none of debug, info, warn, error`,
			`logging.targets[0].level: "INFO" is none of debug, info, warn, error`,
		}},
		{"names", "logging: {targets: [{file: {path: a}}, {name: A_b, file: {path: b}}, {name: c, file: {path: c}}, {name: c, file: {path: d}}, {name: console, file: {path: e}}]}", []string{
			"logging.targets[0].name: it is missing",
			`logging.targets[1].name: "A_b" is no label of up to 63 of a-z, 0-9 and -, which begins with a letter`,
			"logging.targets[3].name: logging.targets[2] has the name c, too",
			"logging.targets[4].name: this is the name of the console",
		}},
		{"the same name in both", "logging: {targets: [{name: a, file: {path: a}}]}\naudit: {targets: [{name: a, file: {path: b}}]}", nil},
		{"too many", "logging: {targets: [" + strings.Repeat("{name: a, file: {path: a}},", maxTargets+1) + "]}", []string{
			"logging.targets: 17 targets, allowed are 16",
		}},
		{"no kind, two kinds", "audit: {targets: [{name: a}, {name: b, console: {}, file: {path: x}}]}", []string{
			"audit.targets[0]: it says not where entries go: give one of file, webhook, otlp and, for the audit, kafka or console",
			"audit.targets[1]: it is console and file at once; make a target of each",
		}},
		{"of the audit only", logTo("policy: drop, console: {}") + "\n", []string{
			"logging.targets[0].policy: only targets of the audit have a policy",
			"logging.targets[0].console: the console is always a target of the log",
		}},
		{"kafka in the log", logTo("kafka: {brokers: ['k:1'], topic: t}"), []string{"logging.targets[0].kafka: only the audit goes to Kafka"}},
		{"of the log only", auditTo("level: info, policy: wait, file: {path: x, format: text}"), []string{
			`audit.targets[0].policy: "wait" is none of drop, block`,
			"audit.targets[0].level: only targets of the log have a level",
			"audit.targets[0].file.format: a record is always json",
		}},
		{"console that blocks", auditTo("policy: block, console: "), []string{
			"audit.targets[0].policy: what is printed on a console is not safe; only drop is possible",
		}},
		{"batch of a file", logTo("file: {path: x}, batch: {entries: 1}, spool: {maxBytes: 1MiB}, optionalFiles: true"), []string{
			"logging.targets[0].batch: only a webhook, otlp and kafka have batches",
			"logging.targets[0].spool: only a webhook, otlp and kafka have a spool",
			"logging.targets[0].optionalFiles: only a webhook, otlp and kafka have such files",
		}},
		{"one file for two", "logging: {targets: [{name: a, file: {path: /x/y}}]}\naudit: {targets: [{name: a, file: {path: /x//z/../y}}]}", []string{
			"audit.targets[0].file.path: logging.targets[0].file.path is this file, too",
		}},
		{"file", logTo("file: {path: x/, format: xml, maxBytes: 1KiB, maxAge: 1s, keep: -1}"), []string{
			"logging.targets[0].file.path: it is a folder",
			`logging.targets[0].file.format: "xml" is none of json, text`,
			"logging.targets[0].file.maxBytes: it is 1KiB, allowed is 64KiB to 1TiB",
			"logging.targets[0].file.maxAge: it is 1s, allowed is 1m to 8784h",
			"logging.targets[0].file.keep: it is -1, allowed is 1 to 1000",
		}},
		{"no path", logTo("file: {path: ''}"), []string{"logging.targets[0].file.path: it is missing"}},
		{"long path", logTo("file: {path: " + strings.Repeat("x", maxPath+1) + "}"), []string{
			"logging.targets[0].file.path: it is no path of up to 4096 bytes",
		}},
		{"batch", hook("gzip: true}, batch: {entries: -1, bytes: 1, age: -1s}, spool: {maxBytes: 1023KiB"), []string{
			"logging.targets[0].batch.entries: it is -1, allowed is 1 to 100000",
			"logging.targets[0].batch.bytes: it is 1B, allowed is 1KiB to 16MiB",
			"logging.targets[0].batch.age: it is -1s, allowed is 1ms to 5m",
			"logging.targets[0].spool.maxBytes: it is 1023KiB, allowed is 1MiB to 1TiB",
		}},

		{"url", logTo("webhook: {url: 'ftp://x'}"), []string{"logging.targets[0].webhook.url: it does not begin with https:// or http:// and a host"}},
		{"password in the url", logTo("webhook: {url: 'http://me:canary@h/'}"), []string{
			"logging.targets[0].webhook.url: there is a password in it; use tokenFile or headers",
		}},
		{"long url", logTo("webhook: {url: 'http://h/" + strings.Repeat("x", maxURL) + "'}"), []string{
			"logging.targets[0].webhook.url: it has 2057 bytes, allowed are 2048",
		}},
		{"format", hook("format: syslog"), []string{`logging.targets[0].webhook.format: "syslog" is none of [elasticsearch json loki ndjson]`}},
		{"labels", hook("labels: {a: b}"), []string{"logging.targets[0].webhook.labels: only loki has labels"}},
		{"proxy", hook("proxy: nowhere"), []string{"logging.targets[0].webhook.proxy: it is no URL with a host"}},
		{"timeout", hook("timeout: 1ms"), []string{"logging.targets[0].webhook.timeout: it is 1ms, allowed is 1s to 5m"}},
		{"half a certificate", hook("certFile: x"), []string{"logging.targets[0].webhook.certFile: a certificate and its key go together; name both or none"}},
		{"headers", hook("headers: {a b: c}"), []string{`logging.targets[0].webhook.headers: "a b" is no name of a header`}},
		{"our header", hook("headers: {content-type: c}"), []string{"logging.targets[0].webhook.headers: content-type is set by the target itself"}},
		{"a header with a line break", hook(`headers: {a: "canary\r\nb: c"}`), []string{`logging.targets[0].webhook.headers: "a" or its value has a line break in it, or is empty`}},
		{"two tokens", hook("headers: {authorization: canary}, tokenFile: x"), []string{"logging.targets[0].webhook.headers: tokenFile sets authorization already"}},
		{"a long header", hook("headers: {a: " + strings.Repeat("canary", 2000) + "}"), []string{
			`logging.targets[0].webhook.headers: "a" and its value have 12001 bytes, allowed are a name and 8192`,
		}},

		{"kafka", auditTo("kafka: {brokers: [], topic: t}"), []string{"audit.targets[0].kafka.brokers: there is none"}},
		{"broker", auditTo("kafka: {brokers: ['k:1', k], topic: t}"), []string{`audit.targets[0].kafka.brokers[1]: "k" is not host:port`}},
		{"topic", auditTo("kafka: {brokers: ['k:1']}"), []string{"audit.targets[0].kafka.topic: it has 0 bytes, allowed are 1 to 249"}},
		{"login", auditTo("kafka: {brokers: ['k:1'], topic: t, user: me}"), []string{
			"audit.targets[0].kafka.sasl: there is a user; say which of [plain scram-sha-256 scram-sha-512]",
		}},
		{"login without a name", auditTo("kafka: {brokers: ['k:1'], topic: t, sasl: plain}"), []string{
			"audit.targets[0].kafka.user: a login takes user and passwordFile",
		}},

		{"audit", "audit: {timeout: 1h, filter: [{direction: up}]}", []string{
			"audit.timeout: it is 1h, allowed is 10ms to 5m",
			`audit.filter[0].direction: "up" is neither in nor out`,
		}},
		{"pattern", "audit: {filter: [{}, {peers: ['!']}]}", []string{`audit.filter[1].peers: "!": a pattern has 1 to 256 bytes`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse([]byte(c.text))
			var got []string
			if joined, ok := err.(interface{ Unwrap() []error }); ok {
				for _, e := range joined.Unwrap() {
					got = append(got, e.Error())
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(c.want, "\n  "))
			}
			if err != nil && strings.Contains(err.Error(), "canary") {
				t.Error("the error shows a secret")
			}
		})
	}
}

func TestSize(t *testing.T) {
	for text, want := range map[string]Size{
		"0": 0, "17": 17, "17B": 17, "3k": 3000, "3Ki": 3072, "3KiB": 3072, "64Mi": 64 << 20, "64MiB": 64 << 20, "2M": 2e6, "1G": 1e9, "1Gi": 1 << 30, "1T": 1e12, "1TiB": 1 << 40,
	} {
		var s Size
		if err := s.UnmarshalText([]byte(text)); err != nil || s != want {
			t.Errorf("%s: %d, %v", text, s, err)
		}
		var back Size
		if err := back.UnmarshalText([]byte(s.String())); err != nil || back != want {
			t.Errorf("%s, written as %s: %d, %v", text, s, back, err)
		}
	}
	for _, text := range []string{"", "x", "-1", "1.5Gi", "1 MiB", "Mi", "9223372036854775808", "9007199254740992Ki", "1e6"} {
		var s Size
		if err := s.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q: %d", text, s)
		}
	}
}

// FuzzParse: no text makes Parse panic, and what it takes it takes again as it
// writes it.
func FuzzParse(f *testing.F) {
	f.Add([]byte(whole))
	f.Add([]byte("a: [&x {}, *x, !!binary aGk=]"))
	f.Add([]byte("{logging: {targets: [null, {name: a, file: {path: b}}]}}"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := Parse(raw)
		if err != nil {
			return
		}
		text, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse(text)
		if err != nil || fmt.Sprintf("%+v", again) != fmt.Sprintf("%+v", c) && !reflect.DeepEqual(again, c) {
			t.Errorf("%v\n%+v\n%+v", err, c, again)
		}
	})
}
