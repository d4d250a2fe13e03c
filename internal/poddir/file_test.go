package poddir

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const whole = `{"version":1,"grid":"shop/web","namespace":"shop","service":"web-peers","port":7700,"adminPort":7701,
	"tls":true,"identity":"pod","drainTimeout":"45s","maxMessage":67108864,"maxCalls":16384,"maxMemory":1073741824,"later":{"x":[1]}}`

const least = `{"version":1,"grid":"shop/web","namespace":"shop","service":"web","port":1,"adminPort":65535,"tls":false}`

// write makes a directory with this grid.json.
func write(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "grid"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "grid", "grid.json"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestRead(t *testing.T) {
	dir := write(t, whole)
	d, err := Read(dir, "web-2")
	if err != nil {
		t.Fatal(err)
	}
	if d.Name != "web-2.web-peers.shop.svc:7700" || d.Grid != "shop/web" || d.AdminPort != 7701 || !d.TLS || d.Identity != "pod" || d.Drain != 45*time.Second ||
		d.MaxMessage != 64<<20 || d.MaxCalls != 16384 || d.MaxMemory != 1<<30 {
		t.Errorf("%+v", d)
	}
	if d.Lists() != filepath.Join(dir, "grid") || d.Certificate() != filepath.Join(dir, "tls") {
		t.Errorf("folders %s and %s", d.Lists(), d.Certificate())
	}
	if d, err = Read(write(t, least), "web-0"); err != nil || d.Identity != "grid" || d.Drain != 30*time.Second || d.MaxMessage != 0 || d.Name != "web-0.web.shop.svc:1" {
		t.Errorf("the least: %+v, %v", d, err)
	}
}

func TestWhatIsRefused(t *testing.T) {
	with := func(old, text string) string {
		if !strings.Contains(whole, old) {
			t.Fatalf("no %s to replace", old)
		}
		return strings.Replace(whole, old, text, 1)
	}
	for _, tt := range []struct{ name, text, host, want string }{
		{"nothing", "", "web-0", "not what the operator writes"},
		{"half", whole[:40], "web-0", "not what the operator writes"},
		{"another file", `{"kind":"Pod"}`, "web-0", "version is missing"},
		{"a later version", with(`"version":1`, `"version":2`), "web-0", "version is 2, this build reads 1; build the program with a newer release"},
		{"no grid", with(`"grid":"shop/web",`, ""), "web-0", "grid, namespace or service is missing"},
		{"no namespace", with(`"namespace":"shop",`, ""), "web-0", "grid, namespace or service is missing"},
		{"no service", with(`"service":"web-peers",`, ""), "web-0", "grid, namespace or service is missing"},
		{"no port", with(`"port":7700,`, ""), "web-0", "port is 0 and adminPort 7701"},
		{"a port too high", with(`"adminPort":7701`, `"adminPort":65536`), "web-0", "adminPort 65536"},
		{"one port for both", with(`7701`, `7700`), "web-0", "allowed are two different ones"},
		{"an identity of later", with(`"pod"`, `"node"`), "web-0", `identity is "node"; allowed are "grid" and "pod"`},
		{"no duration", with(`"45s"`, `"45"`), "web-0", `drainTimeout is "45"`},
		{"a negative duration", with(`"45s"`, `"-1s"`), "web-0", `drainTimeout is "-1s"`},
		{"a negative limit", with(`16384`, `-1`), "web-0", "maxCalls"},
		{"another pod's kind of name", whole, "Web 0", `is "Web 0" the name of the pod? Give it in the variable POD_NAME`},
		{"too large", whole + strings.Repeat(" ", maxFile), "web-0", "larger than 65536 bytes"},
	} {
		if _, err := Read(write(t, tt.text), tt.host); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %s", tt.name, err, tt.want)
		}
	}
	if _, err := Read(write(t, whole+strings.Repeat(" ", maxFile-len(whole))), "web-0"); err != nil {
		t.Errorf("as large as may be: %v", err)
	}
	empty := t.TempDir()
	if _, err := Read(empty, "web-0"); err == nil || !strings.Contains(err.Error(), "mount the ConfigMap <grid>-grid as the directory "+filepath.Join(empty, "grid")) {
		t.Errorf("without a mount: %v", err)
	}
}

func TestPodName(t *testing.T) {
	t.Parallel()
	if got, err := PodName([]string{"HOME=/", "POD_NAME=web-3"}); got != "web-3" || err != nil {
		t.Errorf("from the environment: %q, %v", got, err)
	}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(host, ".")
	if got, err := PodName([]string{"POD_NAME=", "OTHER=web-3"}); got != first || err != nil {
		t.Errorf("from the host: %q, %v", got, err)
	}
}
