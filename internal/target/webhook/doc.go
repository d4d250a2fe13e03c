// Package webhook is the sink of targets that post batches to an HTTP server:
// as lines of JSON, or as Loki or Elasticsearch want them.
//
// webhook.go makes a request, format.go its body; internal/target/posting tells
// from the answer whether the batch is done with, will never be taken, or is to
// be sent again. When, internal/target decides.
//
// What may be told of a failure is the receiver's status and the kind of
// failure: never an entry, a token, or what the receiver wrote, which may be
// both. The package starts no goroutine but those of net/http, and Close ends
// them.
package webhook
