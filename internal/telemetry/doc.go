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
package telemetry
