package operator

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gridmesh/gridmesh/internal/settings"
)

func TestLoadConfig(t *testing.T) {
	c, rest, err := LoadConfig(settings.Input{})
	if err != nil || len(rest) != 0 {
		t.Fatal(rest, err)
	}
	want := Config{
		Concurrency: 4, HealthAddr: ":8081", MetricsAddr: ":8443", MetricsAccess: "kubernetes", LeaderLease: "gridmesh-operator",
		LeaderLeaseDuration: 30 * time.Second, LeaderRenewDeadline: 20 * time.Second, LeaderRetryPeriod: 4 * time.Second,
		LogLevel: "info", LogFormat: "json",
	}
	if c.Concurrency != want.Concurrency || c.HealthAddr != want.HealthAddr || c.MetricsAddr != want.MetricsAddr || c.MetricsAccess != want.MetricsAccess ||
		c.LeaderLease != want.LeaderLease || c.LeaderLeaseDuration != want.LeaderLeaseDuration || c.LeaderRenewDeadline != want.LeaderRenewDeadline ||
		c.LeaderRetryPeriod != want.LeaderRetryPeriod || c.PprofAddr != "" || len(c.WatchNamespaces) != 0 {
		t.Errorf("%+v", c)
	}
	c, _, err = LoadConfig(settings.Input{
		Args:    []string{"--watch-namespaces", "a,b", "--metrics-addr", "off"},
		Environ: []string{"GRID_OPERATOR_LOG_LEVEL=debug", "GRID_OPERATOR_METRICS_ADDR=:1", "GRID_OPERATOR_SERVICE_HOST=10.0.0.1"},
	})
	if err != nil || strings.Join(c.WatchNamespaces, " ") != "a b" || c.LogLevel != "debug" || c.MetricsAddr != "off" {
		t.Errorf("%+v, %v", c, err)
	}
}

// TestLoadConfigFromAFile: what the chart mounts is read, and flags win over it.
func TestLoadConfigFromAFile(t *testing.T) {
	const file = "log-format: text\nlogging:\n  targets:\n  - name: central\n    webhook: {url: \"https://logs.example.org/\"}\n"
	in := settings.Input{Args: []string{"--config=/etc/x.yaml", "--log-format=json"}, ReadFile: func(name string) ([]byte, error) {
		if name != "/etc/x.yaml" {
			t.Errorf("%s is read", name)
		}
		return []byte(file), nil
	}}
	c, _, err := LoadConfig(in)
	if err != nil || c.LogFormat != "json" || len(c.Logging.Targets) != 1 || c.Logging.Targets[0].Webhook.URL != "https://logs.example.org/" {
		t.Errorf("%+v, %v", c, err)
	}
	in.ReadFile = func(string) ([]byte, error) { return []byte("loging: {}\n"), nil }
	if _, _, err := LoadConfig(in); err == nil || !strings.Contains(err.Error(), "loging") {
		t.Errorf("a misspelt key: %v", err)
	}
}

func TestLoadConfigRefuses(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"--watch-namespaces=A", "watch-namespaces"},
		{"--metrics-addr=8443", "metrics-addr"},
		{"--metrics-access=all", "kubernetes or open"},
		{"--leader-lease=a/b", "leader-lease"},
		{"--leader-lease-duration=20s", "must be less than leader-lease-duration"},
		{"--leader-retry-period=19s", "must be well below leader-renew-deadline"},
		{"--concurrency=0", "concurrency"},
		{"--log-lvel=debug", "log-level"},
		{"--logging={targets:[{name:a}]}", "logging"},
		{`--logging={"level":"debug"} --log-level=info`, "logging.level (flag --logging) is set, too"},
	} {
		if _, _, err := LoadConfig(settings.Input{Args: strings.Fields(c.args)}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.args, err, c.want)
		}
	}
}

// TestLogsToTargets: what the operator says goes where it is told, too.
func TestLogsToTargets(t *testing.T) {
	dir := t.TempDir()
	logging := `{"targets": [{"name": "a", "file": {"path": "` + dir + `/log"}}]}`
	status, _, errs := run(t, "--kubeconfig=/nowhere", "--data-dir="+dir+"/data", "--logging="+logging)
	text, err := os.ReadFile(dir + "/log")
	if status != failed || err != nil || !strings.Contains(string(text), `"msg":"the operator failed"`) || !strings.Contains(errs, `"msg":"the operator failed"`) {
		t.Errorf("%d: %s %v\n%s", status, text, err, errs)
	}
}

// run is the program with these arguments.
func run(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	status = Main(t.Context(), args, nil, &out, &errs)
	return status, out.String(), errs.String()
}

func TestMainSaysWhatToDo(t *testing.T) {
	for _, c := range []struct {
		args   []string
		status int
		out    string
		errs   string
	}{
		{[]string{"--help"}, 0, "--leader-renew-deadline", ""},
		{[]string{"--help"}, 0, "[GRID_OPERATOR_WATCH_NAMESPACES]", ""},
		{[]string{"--version"}, 0, Version(), ""},
		{[]string{"selftest", "--help"}, 0, "operator selftest --node-image IMAGE", ""},
		{[]string{"--metrics-addr="}, 2, "", "metrics-addr"},
		{[]string{"--nonsense"}, 2, "", "there is no such flag"},
		{[]string{"nonsense"}, 2, "", `"nonsense" is neither a setting nor a command`},
		{[]string{"selftest"}, 2, "", "say which image nodes run"},
		{[]string{"selftest", "--node-image", "x", "y"}, 2, "", "is no setting"},
		{[]string{"selftest", "--replicas", "1"}, 2, "", "replicas"},
		{[]string{"--kubeconfig", "/nowhere"}, 1, "", "where is the API server?"},
		{[]string{"selftest", "--node-image", "x", "--kubeconfig", "/nowhere"}, 1, "", "where is the API server?"},
	} {
		status, out, errs := run(t, c.args...)
		if status != c.status || !strings.Contains(out, c.out) || !strings.Contains(errs, c.errs) || c.errs == "" && errs != "" {
			t.Errorf("%v: %d, %q, %q", c.args, status, out, errs)
		}
	}
}

func TestMetricsOptions(t *testing.T) {
	for _, c := range []struct {
		args           []string
		address        string
		secure, filter bool
	}{
		{nil, ":8443", true, true},
		{[]string{"--metrics-access=open", "--metrics-addr=:9090"}, ":9090", false, false},
		{[]string{"--metrics-addr=off"}, "0", false, false},
	} {
		config, _, err := LoadConfig(settings.Input{Args: c.args})
		if err != nil {
			t.Fatal(err)
		}
		got := metricsOptions(config)
		if got.BindAddress != c.address || got.SecureServing != c.secure || (got.FilterProvider != nil) != c.filter {
			t.Errorf("%v: %+v", c.args, got)
		}
	}
}

func TestLeaderNamespace(t *testing.T) {
	env := func(value string) func(string) string { return func(string) string { return value } }
	if got, err := leaderNamespace(Config{LeaderNamespace: "a"}, env("b")); err != nil || got != "a" {
		t.Error(got, err)
	}
	if got, err := leaderNamespace(Config{}, env("b")); err != nil || got != "b" {
		t.Error(got, err)
	}
	if got, err := leaderName(env("pod-1")); err != nil || got != "pod-1" {
		t.Error(got, err)
	}
	if a, _ := leaderName(env("")); a == "" {
		t.Error("no name")
	} else if b, _ := leaderName(env("")); a == b {
		t.Error("two processes of one host share a name")
	}
	if _, err := leaderNamespace(Config{}, env("")); err == nil || !strings.Contains(err.Error(), "--leader-namespace") {
		t.Error(err)
	}
}
