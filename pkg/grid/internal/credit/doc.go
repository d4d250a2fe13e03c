// Package credit holds the arithmetic that keeps memory bounded: what a sender
// may still send (Window), what a receiver owes its sender (Receipt), how many
// bytes a process may hold (Budget), and how much bulk may be on its way
// without making small calls wait (Pace).
//
// Everything here is plain integers with checked arithmetic: no I/O, no
// goroutine, no clock. Window, Receipt and Pace are not safe for concurrent
// use, their owner's lock protects them; Budget is.
package credit
