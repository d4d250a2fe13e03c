package telemetry

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestParsePod: who may write the ConfigMap of a Grid, and no more, does not get
// at what else lies in its pods: their key, a token of a service account, a file
// that the program has.
func TestParsePod(t *testing.T) {
	const refused = "take files from /etc/gridmesh/targets only"
	for _, c := range []struct{ name, text, want string }{
		{"nothing", `{}`, ""},
		{"a Secret's", `{"logging": {"targets": [{"name": "a", "optionalFiles": true, "webhook": {"url": "https://a", "caFile": "/etc/gridmesh/targets/s/ca.crt", "tokenFile": "/etc/gridmesh/targets/s/token"}}]},
			"audit": {"targets": [{"name": "a", "kafka": {"brokers": ["a:1"], "topic": "t", "sasl": "plain", "user": "u", "passwordFile": "/etc/gridmesh/targets/s/password"}}]}}`, ""},
		{"the console", `{"audit": {"targets": [{"name": "a", "console": {}}]}}`, ""},
		{"a service account", `{"logging": {"targets": [{"name": "a", "webhook": {"url": "https://a", "tokenFile": "/var/run/secrets/kubernetes.io/serviceaccount/token"}}]}}`, "logging.targets[0].webhook.tokenFile: pods of a Grid " + refused},
		{"beside", `{"audit": {"targets": [{"name": "a", "otlp": {"url": "https://a", "tokenFile": "/etc/gridmesh/targets/../tls/tls.key"}}]}}`, "audit.targets[0].otlp.tokenFile: pods of a Grid " + refused},
		{"a folder of a like name", `{"audit": {"targets": [{"name": "a", "otlp": {"url": "https://a", "tokenFile": "/etc/gridmesh/targets2/s"}}]}}`, refused},
		{"relative", `{"audit": {"targets": [{"name": "a", "webhook": {"url": "https://a", "certFile": "c", "keyFile": "k"}}]}}`, "audit.targets[0].webhook.keyFile: "},
		{"Kafka", `{"audit": {"targets": [{"name": "a", "kafka": {"brokers": ["a:1"], "topic": "t", "sasl": "plain", "user": "u", "passwordFile": "/proc/self/environ"}}]}}`, "audit.targets[0].kafka.passwordFile: "},
		{"a file", `{"logging": {"targets": [{"name": "a", "file": {"path": "/var/lib/app/state"}}]}}`, "logging.targets[0].file: pods of a Grid write no files"},
		{"nonsense", `{"a": 1}`, "there is no such key"},
	} {
		got, err := ParsePod([]byte(c.text))
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		case err != nil && len(got.Logging.Targets)+len(got.Audit.Targets) > 0:
			t.Errorf("%s: it is refused, and given", c.name)
		}
	}
}

// TestWritable: a volume that cannot be written to is another thing than none.
func TestWritable(t *testing.T) {
	dir := t.TempDir()
	for range 2 {
		if got, err := writable(dir); got != dir || err != nil {
			t.Errorf("a folder: %q, %v", got, err)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("it leaves %v, %v", left, err)
	}
	if got, err := writable(filepath.Join(dir, "none")); got != "" || err != nil {
		t.Errorf("nothing there: %q, %v", got, err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := writable(file); got != "" || err == nil || !strings.Contains(err.Error(), "mount a volume at "+file) {
		t.Errorf("something that is no folder: %q, %v", got, err)
	}
}
