package logger

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"k8s.io/kube-openapi/pkg/validation/spec"
	"k8s.io/kube-openapi/pkg/validation/strfmt"
	"k8s.io/kube-openapi/pkg/validation/validate"

	"github.com/gridmesh/gridmesh/internal/target"
)

// schema is docs/log.schema.json.
func schema(t *testing.T) *validate.SchemaValidator {
	t.Helper()
	text, err := os.ReadFile("../../docs/log.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var s spec.Schema
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	return validate.NewSchemaValidator(&s, nil, "entry", strfmt.Default)
}

// TestSchema holds entries of every kind to the schema, and the schema to what it
// must refuse.
func TestSchema(t *testing.T) {
	validator := schema(t)
	valid := func(line string) bool { return validator.Validate(parse(t, line)).IsValid() }

	sink := &collector{}
	l := newLog(t, io.Discard, Options{Level: slog.LevelDebug})
	l.Swap([]*Output{{Target: target.New(target.Options{
		Name: "kept", Kind: "test", Sink: func() (target.Sink, error) { return sink, nil }, Sequence: target.NewSequence(), WithIDs: true,
		Gap: Gap(false, false), Report: l.Console(),
	})}})
	log := l.Logger()
	log.Debug("plain")
	log.Log(t.Context(), slog.LevelWarn+2, "odd level", "id", 1, "time", 2, "level", 3, "msg", 4, "source", 5) //nolint:sloglint // what a user might do
	log.With("n", 1).WithGroup("g").Error("all kinds", "error", errors.New("x"), "took", time.Second, "at", time.Now(), "list", []int{1}, "count", "many")
	log.Info("\x1b[31m\"}\n" + strings.Repeat("x", 1<<20)) //nolint:sloglint // the same
	flush(l)
	sink.mu.Lock()
	defer sink.mu.Unlock()
	if len(sink.lines) != 4 {
		t.Fatalf("%d entries", len(sink.lines))
	}
	for _, line := range sink.lines {
		if result := validator.Validate(parse(t, line)); !result.IsValid() {
			t.Errorf("%.300s: %v", line, errors.Join(result.Errors...))
		}
	}
	gap := string(Gap(false, false)(target.Missing{First: 3, Last: 5, Reason: target.MissingFull, FirstID: target.FormatID("0192f3a4b5c6", 3), LastID: target.FormatID("0192f3a4b5c6", 5)}))
	if e := parse(t, gap); !valid(gap) || e["count"] != 3.0 || e["reason"] != target.MissingFull {
		t.Errorf("%s is no gap", gap)
	}

	const good = `{"id":"0192f3a4b5c6-0000000000000001","time":"2026-03-01T10:00:00.000000001Z","level":"INFO","msg":"x","source":"a/b.go:1"}`
	if !valid(good) {
		t.Fatalf("%s is refused", good)
	}
	for _, change := range [][2]string{
		{`,"msg":"x"`, ``}, {`"level":"INFO",`, ``}, {`"time":"2026-03-01T10:00:00.000000001Z",`, ``}, {`00.000000001Z`, `00.5Z`}, {`00.000000001Z`, `00.000000001+01:00`},
		{`INFO`, `LOUD`}, {`"x"`, `7`}, {`b.go:1`, `b.go`}, {`c6-0`, `c6-`},
	} {
		if bad := strings.Replace(good, change[0], change[1], 1); bad == good || valid(bad) {
			t.Errorf("%s is taken", bad)
		}
	}
}
