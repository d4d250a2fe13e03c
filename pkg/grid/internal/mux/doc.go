// Package mux knows which calls live on a link: the table from call ids to
// whoever waits for them, and what may happen to a stream in which state.
// It is plain data without locks, clocks or I/O; its owner, the link, locks.
package mux
