// Package spool is a queue on disk: what is put in comes out in the same order,
// at least once, whatever the process or the machine does in between.
//
// A spool is a folder. Entries lie in segments, files to which is only ever
// added; each entry has an id, which rises, and a checksum. The file "ack" says
// up to where they are done with. An entry is safe when Append has returned
// with Sync; it is gone when Ack has returned, in this order on disk: data,
// ack, removal. After a crash at most the batch that was being delivered comes
// out again, cut as it was before.
//
// What is damaged never stops the rest: a torn tail is cut, a segment with a
// wrong checksum gives what is whole in it and is then set aside as a file
// ".bad", and a missing one is passed over. The ids tell its user which entries
// are not there: they rise by one, unless something is missing.
//
// The way of an entry through the files: append.go (into a segment) → frame.go
// (as bytes) → next.go (out of it) → ack.go (done). queue.go is what the two ends
// share, recover.go what happens when a spool is opened. What it asks of a file
// system is internal/fsys.
//
// The package has no goroutine, logs nothing and never waits. It is used by
// internal/target, which decides what happens when a spool is full.
package spool
