// Package audit records who called what, with what result: one record for each
// call and stream, for handshakes, for changes of the peer list, for drains.
// What was said in a call is never in it, nor are tokens or keys.
//
// A call goes: interceptor.go (wraps the handler, measures) → filter.go (is it
// wanted?) → record.go (as JSON, in a buffer that is used again) → audit.go (an
// id, under a short lock, and a copy into the memory of each target) →
// internal/target. docs/audit.md and docs/audit.schema.json say what is in a
// record, and a test holds records to them.
//
// The id is one for all targets, and rises by one: a target, and whoever reads
// it, sees from the ids when a record is missing. The sequence lies in a file
// that outlives the process, kill -9 included.
//
// Each target has its policy. With drop a full queue costs records, and the
// record of event "gap" that stands in their place. With block no call is
// answered before its record is on disk; where that does not work in time, the
// call gets CodeUnavailable, and further ones are refused before they run.
//
// The package starts no goroutine. Its one lock, Audit.order, is held for the
// copies into the targets' memory, so that all of them get records in the order
// of ids. It shares no lock and no target with internal/logger.
package audit
