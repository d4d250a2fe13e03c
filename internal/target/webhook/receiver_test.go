package webhook

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gridmesh/gridmesh/internal/certs"
	"github.com/gridmesh/gridmesh/internal/freeport"
	"github.com/gridmesh/gridmesh/internal/spool"
	"github.com/gridmesh/gridmesh/internal/target"
	"github.com/gridmesh/gridmesh/internal/target/targettest"
	"github.com/gridmesh/gridmesh/internal/target/tlsfiles"
)

// TestExampleReceiver: examples/webhookreceiver, killed again and again while
// entries flow to it over mutual TLS, has each of them once and in order.
func TestExampleReceiver(t *testing.T) {
	const entries, kills = 3000, 5
	dir := t.TempDir()
	program := filepath.Join(dir, "receiver")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "../../../examples/webhookreceiver").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	a := targettest.Authority(t, "audit")
	for name, i := range map[string]certs.Issued{"server": targettest.Issue(t, a, "127.0.0.1:1"), "client": targettest.Issue(t, a, "node-0:7700")} {
		targettest.Write(t, filepath.Join(dir, name+".crt"), string(i.Cert))
		targettest.Write(t, filepath.Join(dir, name+".key"), string(i.Key))
	}
	files := tlsfiles.Options{CA: filepath.Join(dir, "ca.crt"), Cert: filepath.Join(dir, "client.crt"), Key: filepath.Join(dir, "client.key")}
	targettest.Write(t, files.CA, string(a.PEM))
	token := filepath.Join(dir, "token")
	targettest.Write(t, token, "secret")
	addrs, err := freeport.Addrs(1)
	if err != nil {
		t.Fatal(err)
	}
	address := addrs[0]
	start := func() (kill func()) {
		cmd := exec.CommandContext(t.Context(), program, "-listen", address, "-dir", dir, "-client-ca", files.CA,
			"-cert", filepath.Join(dir, "server.crt"), "-key", filepath.Join(dir, "server.key"), "-token-file", token)
		cmd.Stderr = t.Output()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait() // it was killed
		}
	}

	tgt := target.New(target.Options{
		Name: "receiver", Kind: "webhook", Sequence: target.NewSequence(), WithIDs: true, Origin: "node-0:7700/audit",
		BatchCount: 20, BatchAge: -1, Buffer: 8 << 20, Spool: spool.Options{Dir: filepath.Join(dir, "spool"), MaxBytes: 8 << 20},
		Sink: func() (target.Sink, error) {
			return Open(Options{URL: "https://" + address, TLS: files, TokenFile: token, Compress: true})
		},
		Gap:    func(target.Missing) []byte { t.Error("something is missing"); return []byte("{}") },
		Report: slog.New(slog.DiscardHandler),
	})
	tgt.Start(nil)
	pushed := 0
	push := func(n int) {
		for range n {
			pushed++
			tgt.Push(0, fmt.Appendf(nil, `{"time":"2026-03-01T10:00:00.000000001Z","n":%d}`, pushed))
		}
	}
	push(entries / 2)
	for range kills { // each in the middle of what is on its way
		kill := start()
		goal := tgt.Stats().Out + 1 + rand.Uint64N(entries/2/kills)
		for tgt.Stats().Out < goal && tgt.Stats().Out < uint64(pushed) {
			if t.Context().Err() != nil {
				t.Fatal(tgt.Stats())
			}
			<-time.After(time.Millisecond)
		}
		kill()
		push(entries / 2 / kills)
	}
	kill := start()
	defer kill()
	tgt.Close(context.Background())

	text, err := os.ReadFile(filepath.Join(dir, url.PathEscape("node-0:7700/audit")+".ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	next := 1
	for line := range strings.Lines(string(text)) {
		var e struct {
			N int `json:"n"`
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.N != next {
			t.Fatalf("line %d is %q, %v", next, line, err)
		}
		next++
	}
	if next != pushed+1 {
		t.Errorf("%d of %d entries are there", next-1, pushed)
	}
}
