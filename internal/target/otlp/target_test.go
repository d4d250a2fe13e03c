package otlp

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	logspb "go.opentelemetry.io/proto/otlp/logs/v1"

	"github.com/gridmesh/gridmesh/internal/spool"
	"github.com/gridmesh/gridmesh/internal/target"
)

// TestBehindATarget: of a batch of which a collector rejects one record, all the
// others arrive, in order; that one is kept, and in its place stands a gap
// (field-history D8).
func TestBehindATarget(t *testing.T) {
	silence(t)
	const poison = 41
	isPoison := func(r *logspb.LogRecord) bool { return attributes(r.GetAttributes())["n"] == int64(poison) }
	requests := make(chan got, 1000)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g, err := read(r)
		if err != nil {
			t.Error(err)
		}
		kept := g.records[:0:0]
		for _, record := range g.records {
			if !isPoison(record) {
				kept = append(kept, record)
			}
		}
		n := len(g.records) - len(kept)
		g.records = kept
		requests <- g
		rejects(w, int64(n))
	}))
	defer server.Close()
	dir := t.TempDir()
	tgt := target.New(target.Options{
		Name: "collector", Kind: "otlp", Sequence: target.NewSequence(), WithIDs: true, Origin: "node-0/log",
		Spool: spool.Options{Dir: dir, MaxBytes: 1 << 20},
		Sink:  func() (target.Sink, error) { return Open(Options{URL: server.URL}) },
		Gap: func(m target.Missing) []byte {
			text, err := json.Marshal(map[string]any{"msg": "entries are missing here", "count": m.Last - m.First + 1, "first_id": m.FirstID, "reason": m.Reason})
			if err != nil {
				panic(err)
			}
			return text
		},
		Report: slog.New(slog.DiscardHandler),
	})
	for n := 1; n <= 100; n++ {
		tgt.Push(0, fmt.Appendf(nil, `{"time":"2026-03-01T10:00:00.000000001Z","level":"INFO","msg":"x","n":%d}`, n))
	}
	tgt.Start(nil)
	tgt.Close(context.Background())
	close(requests)
	next, gaps := int64(1), 0
	seen := map[any]bool{}
	for g := range requests {
		for _, r := range g.records {
			a := attributes(r.GetAttributes())
			if a["reason"] == target.MissingRejected {
				gaps++
				if first := fmt.Sprint(a["first_id"]); !strings.HasSuffix(first, fmt.Sprintf("%016d", poison)) {
					t.Errorf("the gap begins at %s", first)
				}
				continue
			}
			if seen[a[attrUID]] {
				continue // what was taken with the poison comes again, under its id
			}
			seen[a[attrUID]] = true
			if next == poison {
				next++
			}
			if a["n"] != next {
				t.Fatalf("%v came, want %d", a["n"], next)
			}
			next++
		}
	}
	if next != 101 || gaps != 1 {
		t.Errorf("up to %d arrived, %d gaps", next-1, gaps)
	}
	kept, err := os.ReadFile(filepath.Join(dir, "rejected.ndjson"))
	if err != nil || strings.Count(string(kept), "\n") != 1 || !strings.Contains(string(kept), `"n":41}`) {
		t.Errorf("kept %q, %v", kept, err)
	}
}
