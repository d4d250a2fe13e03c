// Package telemetry is what a program says and what it records, as one system
// that is told by one configuration: internal/logger and internal/audit with
// their targets, made and changed while entries flow.
//
// The way through the files: config.go (what can be told: the keys of the node's
// file, of a pod's telemetry.json, and of a Grid) → decode.go and scalar.go (from
// text, strictly) → check.go and limits.go (what is allowed) → follow.go (from a
// file, again when it changes) → system.go (Open, Apply, Close) → folders.go (is
// there what it names?) → sequences.go (ids for the log's targets) → build.go (a
// target of it) → leftover.go (what becomes of those that were removed) →
// leftqueues.go (and of their queues) → collector.go, status.go (how targets are).
//
// Log and audit share the configuration's form and the console, and nothing
// else: no target, no lock on the way of an entry.
//
// # Goroutines
//
//	of each target     package target   end with Close, or when the target was removed
//	a removed target   1 each           leftover.go; delivers what it holds for leftTime at most; Close waits for it
//	Follow             1                its caller's; ends with its context
//
// # Locks
//
// System.mu has one change at a time, and is held while a change reads and writes
// the disk; nothing on the way of an entry takes it, and nobody who asks how log
// and audit are. Those take the locks of leftovers, queueStates and refusals, each
// of which may be taken under System.mu and is held for a look at a map.
package telemetry
