package otlp

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	"google.golang.org/protobuf/proto"

	"github.com/gridmesh/gridmesh/internal/target"
)

// got is a request as a collector sees it.
type got struct {
	header  http.Header
	path    string
	records []*logspb.LogRecord
	// resource are the resource's attributes.
	resource map[string]string
}

// fakeCollector answers as it is told, after it has read a request as OTLP is.
func fakeCollector(t *testing.T, answer http.HandlerFunc) (handler http.HandlerFunc, requests chan got) {
	t.Helper()
	requests = make(chan got, 1000)
	return func(w http.ResponseWriter, r *http.Request) {
		g, err := read(r)
		if err != nil {
			t.Error(err)
		}
		requests <- g
		answer(w, r)
	}, requests
}

func serve(t *testing.T, answer http.HandlerFunc) (url string, requests chan got) {
	t.Helper()
	handler, requests := fakeCollector(t, answer)
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s.URL, requests
}

func read(r *http.Request) (got, error) {
	g := got{header: r.Header, path: r.URL.Path, resource: map[string]string{}}
	var body io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		zip, err := gzip.NewReader(r.Body)
		if err != nil {
			return g, err
		}
		body = zip
	}
	data, err := io.ReadAll(body)
	if err != nil {
		return g, err
	}
	var request collectorpb.ExportLogsServiceRequest
	if err := proto.Unmarshal(data, &request); err != nil {
		return g, err
	}
	for _, resource := range request.GetResourceLogs() {
		for _, a := range resource.GetResource().GetAttributes() {
			g.resource[a.GetKey()] = a.GetValue().GetStringValue()
		}
		for _, scope := range resource.GetScopeLogs() {
			g.records = append(g.records, scope.GetLogRecords()...)
		}
	}
	return g, nil
}

// takes answers as a collector that has taken all.
func takes(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Type", contentType) }

// rejects answers as one that has taken all but n.
func rejects(w http.ResponseWriter, n int64) {
	body, err := proto.Marshal(&collectorpb.ExportLogsServiceResponse{PartialSuccess: &collectorpb.ExportLogsPartialSuccess{
		RejectedLogRecords: n, ErrorMessage: "what was sent: secret-entry",
	}})
	if err != nil {
		panic(err)
	}
	w.Header().Set("Content-Type", contentType+"; charset=utf-8")
	_, _ = w.Write(body) // its loss would be seen
}

func open(t *testing.T, o Options) *Sink {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// silence fails the test if OpenTelemetry tells its global handler of anything:
// that one may lead to the log, and so to the target that has failed.
func silence(t *testing.T) {
	t.Helper()
	errorHandler.mu.Lock()
	defer errorHandler.mu.Unlock()
	errorHandler.t = t
	t.Cleanup(func() {
		errorHandler.mu.Lock()
		defer errorHandler.mu.Unlock()
		errorHandler.t = nil
	})
}

var errorHandler handler

type handler struct {
	mu sync.Mutex
	t  *testing.T
}

func (h *handler) Handle(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.t != nil {
		h.t.Errorf("OpenTelemetry's global handler was told: %v", err)
	}
}

// plain gives a value as Go has it.
func plain(v *commonpb.AnyValue) any {
	switch v := v.GetValue().(type) {
	case *commonpb.AnyValue_StringValue:
		return v.StringValue
	case *commonpb.AnyValue_IntValue:
		return v.IntValue
	case *commonpb.AnyValue_DoubleValue:
		return v.DoubleValue
	case *commonpb.AnyValue_BoolValue:
		return v.BoolValue
	case *commonpb.AnyValue_ArrayValue:
		var all []any
		for _, element := range v.ArrayValue.GetValues() {
			all = append(all, plain(element))
		}
		return all
	case *commonpb.AnyValue_KvlistValue:
		return attributes(v.KvlistValue.GetValues())
	}
	return nil
}

func attributes(all []*commonpb.KeyValue) map[string]any {
	named := make(map[string]any)
	for _, a := range all {
		named[a.GetKey()] = plain(a.GetValue())
	}
	return named
}

var batch = target.Batch{Origin: "node-0:7700/audit", Run: "0192f3a4b5c6", Items: []target.Item{
	{ID: 1, Data: []byte(`{"id":"0192f3a4b5c6-0000000000000001","time":"2026-03-01T10:00:00.000000001Z","event":"call"}`)},
	{ID: 2, Data: []byte(`{"id":"0192f3a4b5c6-0000000000000002","time":"2026-03-01T10:00:00.500000000Z","event":"stop"}`)},
}}
