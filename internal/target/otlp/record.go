package otlp

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/log"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/trace"

	"github.com/gridmesh/gridmesh/internal/target"
)

// Attributes that are named as OpenTelemetry names them.
const (
	attrUID  = "log.record.uid"
	attrFile = "code.file.path"
	attrLine = "code.line.number"
	// eventPrefix stands before the event of a record of the audit.
	eventPrefix = "gridmesh."
)

// resource is whom all records come from.
func (o *Options) resource() *resource.Resource {
	attrs := []attribute.KeyValue{attribute.String("service.name", clean(o.Service))}
	if o.Node != "" {
		attrs = append(attrs, attribute.String("service.instance.id", clean(o.Node)))
	}
	if o.Version != "" {
		attrs = append(attrs, attribute.String("service.version", clean(o.Version)))
	}
	return resource.NewSchemaless(attrs...)
}

// clean keeps protobuf from refusing a whole batch for one byte.
func clean(s string) string { return strings.ToValidUTF8(s, "\ufffd") }

// collector is a processor of the SDK that keeps records for whoever emits them:
// only a logger of the SDK can give a record its resource.
type collector struct{ records []sdklog.Record }

func (c *collector) Enabled(context.Context, sdklog.EnabledParameters) bool { return true }
func (c *collector) Shutdown(context.Context) error                         { return nil }
func (c *collector) ForceFlush(context.Context) error                       { return nil }

func (c *collector) OnEmit(_ context.Context, r *sdklog.Record) error {
	c.records = append(c.records, r.Clone())
	return nil
}

// convert makes the records of a batch.
func (s *Sink) convert(ctx context.Context, b target.Batch) []sdklog.Record {
	clear(s.records.records)
	s.records.records = s.records.records[:0]
	for _, item := range b.Items {
		r, span := record(item, b.Origin)
		s.logger.Emit(trace.ContextWithSpanContext(ctx, span), r)
	}
	return s.records.records
}

// record makes one. What is no entry becomes a record with the text as it is:
// there is none that cannot be sent.
func record(item target.Item, sender string) (log.Record, trace.SpanContext) {
	e := entry{uid: sender, names: make(map[string]bool)}
	at := target.TimeOf(item.Data)
	if fields, err := parse(item.Data); err == nil {
		for _, f := range fields {
			e.field(f.Key, f.Value)
		}
	} else {
		e.body = string(item.Data)
	}
	if at.IsZero() {
		at = item.Time
	}
	var r log.Record
	r.SetTimestamp(at)
	r.SetObservedTimestamp(observed(item.Time, at))
	r.SetSeverity(e.severity())
	r.SetSeverityText(e.level)
	r.SetEventName(e.event)
	r.SetBody(attribute.StringValue(clean(cmp.Or(e.body, strings.Join(e.summary, " ")))))
	r.AddAttributes(e.attrs...)
	return r, trace.NewSpanContext(e.span)
}

// observed is when an entry entered the queue, if that is known.
func observed(queued, at time.Time) time.Time {
	if queued.IsZero() {
		return at
	}
	return queued
}

// entry is an entry of log or audit on its way to a record.
type entry struct {
	uid     string // of whom ids are
	body    string
	level   string
	event   string
	gap     bool
	summary []string // of an entry without a message
	span    trace.SpanContextConfig
	attrs   []attribute.KeyValue
	names   map[string]bool // of attrs
}

// field takes one field of the entry: to its place in a record if it has one, and
// else among the attributes.
func (e *entry) field(key attribute.Key, v attribute.Value) {
	text := v.AsString()
	switch {
	case v.Type() != attribute.STRING:
	case key == "time":
		return
	case key == "msg":
		e.body = text
		return
	case key == "level":
		e.level = text
		return
	case key == "trace_id" && e.span.TraceID.IsValid(), key == "span_id" && e.span.SpanID.IsValid(): // a second one
	case key == "trace_id" && decode(e.span.TraceID[:], text), key == "span_id" && decode(e.span.SpanID[:], text):
		return
	case key == "source":
		file, line, _ := strings.Cut(text, ":")
		if n, err := strconv.ParseInt(line, 10, 64); err == nil {
			e.add(attribute.String(attrFile, file), attribute.Int64(attrLine, n))
			return
		}
	case key == "id":
		e.add(attribute.String(attrUID, e.uid+"/"+text))
	case key == "event" && e.event == "":
		e.event, e.gap = eventPrefix+text, text == "gap"
		e.summary = append(e.summary, text)
	case key == "handler", key == "peer", key == "result":
		e.summary = append(e.summary, text)
	}
	e.add(attribute.KeyValue{Key: key, Value: v})
}

// add adds attributes. OTLP wants no two of a name, and none without.
func (e *entry) add(attrs ...attribute.KeyValue) {
	for _, a := range attrs {
		for a.Key == "" || e.names[string(a.Key)] {
			a.Key += "_"
		}
		e.names[string(a.Key)] = true
		e.attrs = append(e.attrs, a)
	}
}

// severity maps levels as OpenTelemetry's own bridge for log/slog does.
func (e *entry) severity() log.Severity {
	var level slog.Level
	switch {
	case e.gap:
		return log.SeverityWarn
	case e.level == "" || level.UnmarshalText([]byte(e.level)) != nil:
		return log.SeverityInfo
	}
	return log.Severity(min(max(int(level)+int(log.SeverityInfo), int(log.SeverityTrace1)), int(log.SeverityFatal4)))
}

// decode decodes an id; it reports whether the text is one, and not zero.
func decode(to []byte, text string) bool {
	id, err := hex.DecodeString(text)
	if err != nil || len(id) != len(to) || bytes.Count(id, []byte{0}) == len(id) {
		return false
	}
	copy(to, id)
	return true
}

var errNoObject = errors.New("no JSON object")

// parse reads a JSON object, its fields in their order.
func parse(data []byte) ([]attribute.KeyValue, error) {
	if !json.Valid(data) { // nor is it too deep
		return nil, errNoObject
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if token, err := d.Token(); err != nil || token != json.Delim('{') {
		return nil, errNoObject
	}
	return object(d)
}

func value(d *json.Decoder) (attribute.Value, error) {
	token, err := d.Token()
	if err != nil {
		return attribute.Value{}, err
	}
	switch token := token.(type) {
	case bool:
		return attribute.BoolValue(token), nil
	case string:
		return attribute.StringValue(token), nil
	case json.Number:
		return number(token), nil
	case json.Delim:
		if token == '{' {
			all, err := object(d)
			return attribute.MapValue(all...), err
		}
		return array(d)
	}
	return attribute.Value{}, nil // null
}

// number keeps every digit: a number that OTLP has no type for stays text.
func number(n json.Number) attribute.Value {
	if i, err := n.Int64(); err == nil {
		return attribute.Int64Value(i)
	}
	if f, err := n.Float64(); err == nil && strings.ContainsAny(n.String(), ".eE") {
		return attribute.Float64Value(f)
	}
	return attribute.StringValue(n.String())
}

// object reads the rest of an object.
func object(d *json.Decoder) (all []attribute.KeyValue, err error) {
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return nil, err
		}
		key, ok := token.(string)
		if !ok {
			return nil, errNoObject
		}
		v, err := value(d)
		if err != nil {
			return nil, err
		}
		all = append(all, attribute.KeyValue{Key: attribute.Key(key), Value: v})
	}
	_, err = d.Token() // the end
	return all, err
}

func array(d *json.Decoder) (attribute.Value, error) {
	var all []attribute.Value
	for d.More() {
		v, err := value(d)
		if err != nil {
			return attribute.Value{}, err
		}
		all = append(all, v)
	}
	_, err := d.Token() // the end
	return attribute.SliceValue(all...), err
}
