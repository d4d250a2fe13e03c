// Package otlp is the sink of targets that send OTLP logs over HTTP, as
// protobuf, to an OpenTelemetry collector or whatever understands it.
//
// It is OpenTelemetry's own exporter behind the seam of internal/target. What
// has to wait waits in our spool: the SDK's batch processor, which drops what it
// has no room for, and the exporter's own retries, which give up after a minute,
// are not used. otlp.go hands a batch to the exporter, record.go makes records
// of entries, transport.go is under the exporter's HTTP client: it sets headers
// that change, and sees the answer as it came, which the exporter's errors do
// not tell.
//
// A batch comes at least once; the attribute log.record.uid tells twins.
//
// Nothing of OpenTelemetry's global state is touched or needed, and its
// variables of the environment count for nothing but OTEL_RESOURCE_ATTRIBUTES,
// which adds to the resource. The package starts no goroutine but those of
// net/http, and Close ends them.
package otlp
