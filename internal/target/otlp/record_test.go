package otlp

import (
	"encoding/hex"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	logspb "go.opentelemetry.io/proto/otlp/logs/v1"

	"github.com/gridmesh/gridmesh/internal/target"
)

// send sends entries and gives the records that arrive.
func send(t *testing.T, o Options, origin string, entries ...string) []*logspb.LogRecord {
	t.Helper()
	url, requests := serve(t, takes)
	o.URL = url
	b := target.Batch{Origin: origin, Run: "0192f3a4b5c6"}
	for i, e := range entries {
		b.Items = append(b.Items, target.Item{ID: uint64(i + 1), Data: []byte(e)})
	}
	if err := open(t, o).Send(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	return (<-requests).records
}

// TestLogEntry: each field of an entry of the log in its place.
func TestLogEntry(t *testing.T) {
	silence(t)
	r := send(t, Options{}, "node-0/central", `{"id":"0192f3a4b5c6-0000000000000001","time":"2026-03-01T10:00:00.000000001Z","level":"WARN",`+
		`"msg":"say \"hi\"\u001b","source":"link/reader.go:12","n":-3,"big":18446744073709551615,"f":0.5,"on":true,"none":null,`+
		`"trace_id":"0af7651916cd43dd8448eb211c80319c","span_id":"b7ad6b7169203331","g":{"a":[1,"x",{"b":2}]},"dup":1,"dup":2,"":"e"}`)
	if len(r) != 1 {
		t.Fatalf("%d records", len(r))
	}
	if r[0].GetTimeUnixNano() != 1772359200000000001 || r[0].GetObservedTimeUnixNano() == 0 {
		t.Errorf("time %d, observed %d", r[0].GetTimeUnixNano(), r[0].GetObservedTimeUnixNano())
	}
	if r[0].GetSeverityNumber() != logspb.SeverityNumber_SEVERITY_NUMBER_WARN || r[0].GetSeverityText() != "WARN" {
		t.Errorf("severity %v %s", r[0].GetSeverityNumber(), r[0].GetSeverityText())
	}
	if body := plain(r[0].GetBody()); body != "say \"hi\"\x1b" || r[0].GetEventName() != "" {
		t.Errorf("body %q, event %q", body, r[0].GetEventName())
	}
	if hex.EncodeToString(r[0].GetTraceId()) != "0af7651916cd43dd8448eb211c80319c" || hex.EncodeToString(r[0].GetSpanId()) != "b7ad6b7169203331" {
		t.Errorf("trace %x, span %x", r[0].GetTraceId(), r[0].GetSpanId())
	}
	want := map[string]any{
		"log.record.uid": "node-0/central/0192f3a4b5c6-0000000000000001", "id": "0192f3a4b5c6-0000000000000001",
		"code.file.path": "link/reader.go", "code.line.number": int64(12), "n": int64(-3), "big": "18446744073709551615", "f": 0.5, "on": true, "none": nil,
		"g": map[string]any{"a": []any{int64(1), "x", map[string]any{"b": int64(2)}}}, "dup": int64(1), "dup_": int64(2), "_": "e",
	}
	if got := attributes(r[0].GetAttributes()); !reflect.DeepEqual(got, want) || r[0].GetDroppedAttributesCount() != 0 {
		t.Errorf("attributes\n%v, want\n%v", got, want)
	}
}

// TestAuditRecord: an event by its name, all that the record holds, and the
// resource that it comes from.
func TestAuditRecord(t *testing.T) {
	silence(t)
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
	url, requests := serve(t, takes)
	s := open(t, Options{URL: url, Node: "node-0:7700", Version: "v1.2"})
	err := s.Send(t.Context(), target.Batch{Origin: "node-0:7700/audit", Run: "0192f3a4b5c6", Items: []target.Item{
		{ID: 1, Data: []byte(`{"id":"0192f3a4b5c6-0000000000000001","time":"2026-03-01T10:00:00.000000001Z","event":"call","node":"node-0:7700","peer":"node-1:7700","handler":"lock.take","direction":"in","result":"ok","request_bytes":512,"reply_bytes":0,"duration_ns":99,"trace_id":"0af7651916cd43dd8448eb211c80319c"}`)},
		{ID: 2, Data: []byte(`{"id":"0192f3a4b5c6-0000000000000005","time":"2026-03-01T10:00:01.000000000Z","event":"gap","node":"node-0:7700","count":3,"first_id":"0192f3a4b5c6-0000000000000002","last_id":"0192f3a4b5c6-0000000000000004","reason":"queue full"}`)},
	}})
	if err != nil {
		t.Fatal(err)
	}
	g := <-requests
	for name, want := range map[string]string{
		"service.name": "gridmesh", "service.instance.id": "node-0:7700", "service.version": "v1.2", "deployment.environment.name": "test",
	} {
		if g.resource[name] != want {
			t.Errorf("resource: %s is %q, want %q", name, g.resource[name], want)
		}
	}
	call, gap := g.records[0], g.records[1]
	if call.GetEventName() != "gridmesh.call" || plain(call.GetBody()) != "call node-1:7700 lock.take ok" || call.GetSeverityNumber() != logspb.SeverityNumber_SEVERITY_NUMBER_INFO {
		t.Errorf("event %q, body %v, severity %v", call.GetEventName(), call.GetBody(), call.GetSeverityNumber())
	}
	if hex.EncodeToString(call.GetTraceId()) != "0af7651916cd43dd8448eb211c80319c" {
		t.Errorf("trace %x", call.GetTraceId())
	}
	a := attributes(call.GetAttributes())
	for name, want := range map[string]any{
		"log.record.uid": "node-0:7700/audit/0192f3a4b5c6-0000000000000001", "event": "call", "handler": "lock.take", "direction": "in",
		"request_bytes": int64(512), "reply_bytes": int64(0), "duration_ns": int64(99),
	} {
		if a[name] != want {
			t.Errorf("%s is %v, want %v", name, a[name], want)
		}
	}
	if gap.GetEventName() != "gridmesh.gap" || gap.GetSeverityNumber() != logspb.SeverityNumber_SEVERITY_NUMBER_WARN || attributes(gap.GetAttributes())["count"] != int64(3) {
		t.Errorf("gap: %v", gap)
	}
}

func TestSeverities(t *testing.T) {
	var entries []string
	levels := []string{"DEBUG-8", "DEBUG", "INFO", "INFO+2", "WARN", "ERROR", "ERROR+4", "ERROR+99", "DEBUG-99", "loud"}
	for _, level := range levels {
		entries = append(entries, fmt.Sprintf(`{"time":"2026-03-01T10:00:00.000000001Z","level":%q,"msg":"x"}`, level))
	}
	want := []int32{1, 5, 9, 11, 13, 17, 21, 24, 1, 9}
	for i, r := range send(t, Options{}, "k", entries...) {
		if int32(r.GetSeverityNumber()) != want[i] || r.GetSeverityText() != levels[i] {
			t.Errorf("%s: %d %s, want %d", levels[i], r.GetSeverityNumber(), r.GetSeverityText(), want[i])
		}
	}
}

// TestOddEntries: whatever an entry is, it arrives, and takes no other with it.
func TestOddEntries(t *testing.T) {
	silence(t)
	many := strings.Builder{}
	for i := range 500 {
		fmt.Fprintf(&many, `,"k%d":%d`, i, i)
	}
	long := strings.Repeat("x", 64<<10)
	entries := []string{
		"", "a line\xff of text", "[1]", "{", "null", `{"a":1}{`, strings.Repeat(`{"a":`, 9000) + "1" + strings.Repeat("}", 9000), strings.Repeat("[", 100_000),
		`{"time":7,"level":[],"msg":{},"id":1,"event":null,"trace_id":"0","span_id":"00000000000000000000","source":"x"}`,
		`{"time":"yesterday","bad":"` + "\xc3" + `","trace_id":"0af7651916cd43dd8448eb211c80319c","trace_id":"1af7651916cd43dd8448eb211c80319c"}`,
		`{"n":1` + many.String() + `}`, `{"long":"` + long + `"}`,
	}
	r := send(t, Options{Node: "a\xffb"}, "no", entries...)
	if len(r) != len(entries) {
		t.Fatalf("%d of %d arrived", len(r), len(entries))
	}
	if got := plain(r[1].GetBody()); got != "a line\ufffd of text" {
		t.Errorf("text became %q", got)
	}
	a := attributes(r[8].GetAttributes())
	if a["time"] != int64(7) || a["id"] != int64(1) || a["trace_id"] != "0" || a["source"] != "x" {
		t.Errorf("odd types became %v", a)
	}
	if a = attributes(r[9].GetAttributes()); a["trace_id"] != "1af7651916cd43dd8448eb211c80319c" || a["bad"] != "\ufffd" {
		t.Errorf("a second trace became %v", a)
	}
	if a = attributes(r[10].GetAttributes()); len(a) != 501 {
		t.Errorf("%d of 501 attributes", len(a))
	}
	if a = attributes(r[11].GetAttributes()); a["long"] != long {
		t.Error("a long value was cut")
	}
}

// TestTimeOfAnEntry: its own, or else when it was queued.
func TestTimeOfAnEntry(t *testing.T) {
	queued := time.Unix(1772359300, 7)
	r, _ := record(target.Item{Data: []byte(`{"time":"2026-03-01T10:00:00.000000001Z"}`), Time: queued}, "")
	if r.Timestamp().UnixNano() != 1772359200000000001 || !r.ObservedTimestamp().Equal(queued) {
		t.Errorf("%v, observed %v", r.Timestamp(), r.ObservedTimestamp())
	}
	if r, _ = record(target.Item{Data: []byte("text"), Time: queued}, ""); !r.Timestamp().Equal(queued) {
		t.Errorf("%v", r.Timestamp())
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// FuzzRecord: there is no entry that cannot be sent.
func FuzzRecord(f *testing.F) {
	for _, seed := range []string{"", "{}", `{"a":[{"b":null}]}`, `{"event":"call","id":"x"}`, "\xff", `{"a":1e999}`, `{"":""}`} {
		f.Add([]byte(seed))
	}
	var sent []*logspb.LogRecord
	s, err := Open(Options{URL: "http://collector"})
	if err != nil {
		f.Fatal(err)
	}
	s.wire.transport.RegisterProtocol("http", roundTripper(func(r *http.Request) (*http.Response, error) {
		g, err := read(r)
		sent = g.records
		return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Header: http.Header{}}, err
	}))
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := s.Send(t.Context(), target.Batch{Origin: "k", Items: []target.Item{{ID: 1, Data: data}}}); err != nil || len(sent) != 1 {
			t.Fatalf("%q: %v", data, err)
		}
	})
}
