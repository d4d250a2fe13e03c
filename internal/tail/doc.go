// Package tail serves the newest entries of a node's log, and the newest records
// of its audit, to the members of its mesh: the streams behind node log tail and
// node audit tail. internal/adminapi says what goes over them.
//
// The way of an entry: the ring of internal/logger or internal/audit →
// stream.go (reads it, again and again) → log.go or audit.go (is it wanted?) →
// the stream. limits.go has the numbers.
//
// A tail keeps nobody waiting. Whoever logs leaves a copy in the ring and goes
// on; a reader that is slower than that misses entries, and reads how many. It
// never waits for the stream's credit either, which would count as congestion of
// the link: the reader says what it has read, and nothing is sent beyond that.
//
// Serving a tail logs nothing and makes one record, at its end, so that a tail
// of a node's own tails comes to rest.
//
// The package starts no goroutine: each tail runs on that of its handler.
package tail
