// Package logger is what a program of this project says: a handler of log/slog
// over a set of targets that can be changed while entries flow.
//
// A call goes: Handler (handler.go) → is any target interested? (one atomic
// load) → the entry, encoded once as JSON (json.go) and, for a terminal, once as
// text (text.go), in a buffer that is used again → a copy into each target's
// memory (internal/target), and into the ring of the newest entries (ring.go).
// The caller waits for none of them. What happens behind, happens on the
// targets' goroutines; this package starts none.
//
// The set of targets is an immutable slice behind an atomic pointer: a call
// takes no lock to read it, and who has it can go on using it (Outputs). Swap
// puts another slice in its place, and what the old targets held is taken over
// or delivered.
//
// The console is always there and is never swapped. It is also the only place
// where targets tell of their own failures (Console): no failure of a target can
// make an entry for a target. What the console itself cannot print is counted.
//
// An entry whose level is off costs what log/slog takes to ask, and what its
// attributes take to be made before that. Where that is too much, ask first:
//
//	if log.Enabled(ctx, slog.LevelDebug) {
//		log.LogAttrs(ctx, slog.LevelDebug, ...)
//	}
//
// limit.go says less of what repeats, quiet.go says nothing in tests,
// logtest (below) has tests look at what was said.
package logger
