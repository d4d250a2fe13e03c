// Package forward is what an admin port does in the mesh for whoever holds it: it
// finds the peer and the time of a call, says what became of one, and carries
// streams. It decides on nobody's right to that: internal/adminport does.
// internal/node uses all of it, pkg/grid/gridpod for tails alone.
//
// The way through the files: forward.go (a call's peer, time and errors) →
// stream.go (a stream between two bodies).
//
// Goroutines: each stream has one, which reads the request's body and ends before
// its request does.
package forward

// Tails is how many tails an admin port reads at once: those of two people who
// watch 32 nodes leave room for calls, which do not count.
const Tails = 64
