// Package target takes entries of the log or of the audit from whoever makes
// them, without ever making that one wait, and delivers them to a receiver: in
// order, at least once, and what is missing is told of.
//
// The way of an entry through the files: target.go (Push: a copy into memory) →
// stage.go (what lies there) → intake.go (from there to disk, or to the sink
// itself) → internal/spool → sender.go (from disk into batches) → teller.go
// (what the receiver is told, gaps included) → delivery.go (again until it is
// taken) → sink.go (the seam behind which a receiver is). sequence.go gives the
// ids by which everything is found again, stats.go counts.
//
// Everything that can go wrong is a gap in the ids of what is delivered: a full
// queue, a killed process, a damaged disk, an entry that a receiver rejects.
// The teller sees it, and puts an entry in its place that says so.
//
// A target's own failures go to Options.Report, which is the console and
// nothing else, at most once in ten seconds for each kind, with a count. So no
// failure can make an entry for a target, and no loop can form.
//
// Goroutines, each started by Start and waited for by Close: intake, and for a
// target with a spool the sender. A console has one more, which is left behind
// if a write of it never ends. Locks: stage.mu for a copy into memory, Target.mu
// for who waits for the disk, failures.mu for what was told; none is held for
// I/O, or while another one is taken. Console.mu is held for a write: by those
// goroutines alone. A Target and its replacement share nothing at the same time:
// what one leaves, the other gets after it has ended.
//
// Sinks are in packages below. internal/logger and internal/audit have a set of
// targets each; they share none.
package target
