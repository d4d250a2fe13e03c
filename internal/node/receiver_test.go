package node

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gridmesh/gridmesh/internal/certs"
	"github.com/gridmesh/gridmesh/internal/target/targettest"
)

// mutualReceiver is a receiver of entries that takes them from whoever shows a
// certificate of its authority. It can be killed, and brought back at its
// address with what it had.
type mutualReceiver struct {
	*targettest.Hook

	t      *testing.T
	config *tls.Config
	addr   string
	server *http.Server
	said   *logBuffer // by it
}

func newMutualReceiver(t *testing.T, a *certs.Authority) *mutualReceiver {
	t.Helper()
	addr := freePorts(t, 1)[0]
	dir := certificate(t, a, addr)
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"))
	if err != nil {
		t.Fatal(err)
	}
	r := &mutualReceiver{Hook: &targettest.Hook{}, t: t, addr: addr, said: &logBuffer{}, config: &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: poolOf(a),
	}}
	r.run()
	t.Cleanup(r.kill)
	return r
}

func poolOf(a *certs.Authority) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(a.PEM)
	return pool
}

func (r *mutualReceiver) run() {
	r.t.Helper()
	l, err := net.Listen("tcp", r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	server := &http.Server{
		Handler: r.Hook, TLSConfig: r.config, ReadHeaderTimeout: time.Minute, ErrorLog: slog.NewLogLogger(slog.NewTextHandler(r.said, nil), slog.LevelError),
	}
	r.server = server
	go func() { _ = server.ServeTLS(l, "", "") }()
}

// kill ends it with what is on its way.
func (r *mutualReceiver) kill() { _ = r.server.Close() }

// numbers gives how often each id has come, and which are told of as missing.
func numbers(t *testing.T, lines []map[string]any) (seen map[uint64]int, missing map[uint64]bool, last uint64) {
	t.Helper()
	seen, missing = make(map[uint64]int), make(map[uint64]bool)
	number := func(id any) uint64 {
		_, digits, _ := strings.Cut(fmt.Sprint(id), "-")
		n, err := strconv.ParseUint(digits, 10, 64)
		if err != nil {
			t.Fatalf("id %v: %v", id, err)
		}
		return n
	}
	for _, l := range lines {
		id := number(l["id"])
		last = max(last, id)
		if l["first_id"] == nil {
			seen[id]++
			continue
		}
		for n := number(l["first_id"]); n <= number(l["last_id"]); n++ {
			missing[n] = true
		}
	}
	return seen, missing, last
}

// TestReceiverKilledAndBack: a node that is started with one file sends log and
// audit to a receiver over mutual TLS. The receiver is killed, the node is
// killed and started again, the receiver comes back, and comes to want another
// certificate: of the calls that were answered no record is missing, of the log
// nothing that is not told of (fault rows 75, 79, 83, 86).
func TestReceiverKilledAndBack(t *testing.T) {
	a := authority(t)
	r := newMutualReceiver(t, a)
	dir, ports := t.TempDir(), freePorts(t, 2)
	name := ports[0]
	mine := certificate(t, a, name)
	config := filepath.Join(dir, "node.yaml")
	const target = `
  - name: central
    %s
    webhook:
      url: https://%s/in
      caFile: %s/ca.crt
      certFile: %s/tls.crt
      keyFile: %s/tls.key
      gzip: false
    batch: {entries: 10, age: 20ms}
    spool: {maxBytes: 16MiB}`
	writeFile(t, config, fmt.Sprintf("name: %s\nadmin-addr: %s\npeers: ['%s']\ndata-dir: %s/data\nlogging:\n  level: debug\n  targets:%s\naudit:\n  targets:%s\n",
		name, ports[1], name, dir,
		fmt.Sprintf(target, "level: debug", r.addr, mine, mine, mine), fmt.Sprintf(target, "policy: block", r.addr, mine, mine, mine)))

	answered := 0
	calls := func(n *child) {
		t.Helper()
		for range 20 {
			if got := n.send("POST", call(name, "echo"), nil, strconv.Itoa(answered)); got.status != http.StatusOK || got.body != strconv.Itoa(answered) {
				t.Fatalf("call %d: %+v", answered, got)
			}
			answered++
		}
	}
	node := func() *child {
		t.Helper()
		n := spawn(t, "--config="+config)
		n.addr = ports[1]
		n.waitUp()
		return n
	}
	// A batch whose answer a crash took comes again, and may have grown meanwhile:
	// then its key is another one.
	recorded := func() int {
		ids := make(map[any]bool)
		for _, l := range targettest.With(r.All("event", "call"), "handler", "echo") {
			ids[l["id"]] = true
		}
		return len(ids)
	}
	n := node()
	calls(n)
	eventually(t, "all to come", func() bool { return recorded() == answered })
	r.kill()
	calls(n)
	if err := n.cmd.Process.Kill(); err != nil { // as kill -9
		t.Fatal(err)
	}
	<-n.done
	n = node()
	calls(n)
	eventually(t, "the node to notice", func() bool { return n.target("audit", "central").Failing && n.target("log", "central").Failing })
	r.run()
	eventually(t, "all to come", func() bool { return recorded() == answered })
	// The receiver wants another certificate; the node gets that later.
	r.kill()
	other := authority(t)
	r.config = r.config.Clone()
	r.config.ClientCAs = poolOf(other)
	r.run()
	calls(n)
	// Who writes at that moment may hear of a broken pipe alone.
	eventually(t, "the certificate to be refused", func() bool {
		return n.target("audit", "central").Failing && strings.Contains(r.said.String(), "certificate")
	})
	fresh, err := other.Issue(certs.Leaf{Grid: "default", Name: name})
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(mine, "tls.crt"), string(fresh.Cert))
	writeFile(t, filepath.Join(mine, "tls.key"), string(fresh.Key))
	eventually(t, "all to come", func() bool { return recorded() == answered })
	calls(n)
	n.signal(syscall.SIGTERM)
	if status := n.exit(); status != 0 {
		t.Errorf("ended with %d", status)
	}

	var records, entries []map[string]any
	for _, l := range r.Lines() {
		if l["event"] != nil {
			records = append(records, l)
		} else {
			entries = append(entries, l)
		}
	}
	for what, lines := range map[string][]map[string]any{"audit": records, "log": entries} {
		seen, missing, last := numbers(t, lines)
		for id := uint64(1); id <= last; id++ {
			if seen[id] == 0 && !missing[id] {
				t.Errorf("%s: entry %d is missing, and nothing says so", what, id)
			}
		}
		if last < 5 {
			t.Errorf("%s: only %d entries", what, last)
		}
		t.Logf("%s: %d entries, %d told of as missing", what, len(seen), len(missing))
	}
	if got := recorded(); got != answered {
		t.Errorf("%d records of %d calls", got, answered)
	}
	const crashes, batch = 3, 10
	if twice := len(targettest.With(targettest.With(records, "event", "call"), "handler", "echo")) - answered; twice > crashes*batch {
		t.Errorf("%d records came twice, after %d crashes", twice, crashes)
	}
	if records[len(records)-1]["event"] != "stop" {
		t.Errorf("the last record is %v", records[len(records)-1])
	}
	if stopped := targettest.With(entries, "msg", "node stopped"); len(stopped) != 1 {
		t.Errorf("the end is told of %d times", len(stopped))
	}
	if r.Twice() > 2 {
		t.Errorf("%d batches came twice", r.Twice())
	}
}

// waitUp waits until the process answers as one that is ready.
func (c *child) waitUp() {
	c.t.Helper()
	eventually(c.t, "the node to be ready", func() bool {
		select {
		case <-c.done:
			c.t.Fatalf("ended with %d", c.status)
		default:
		}
		response, err := http.Get("http://" + c.addr + "/readyz")
		if err != nil {
			return false
		}
		_ = response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
}
