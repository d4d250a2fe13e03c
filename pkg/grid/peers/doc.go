// Package peers owns lists of peers: what a list says, the signed document that
// carries it, the text file that people write, where lists are read from, and
// which of two lists holds. docs/peer-list.md describes the document to the
// byte; testdata/vectors.json fixes it for this package and for others.
//
// A publisher (the operator, or a program of one's own) calls [Sign] and hands
// the bytes out by any road: a mounted directory, a push, another peer. A node
// reads them with [Verify], or ranges over a [Source], asks [Decide] what a
// list means to it, and keeps the last good one on disk with [Save] and [Load]:
//
//	for next, err := range peers.WatchDir("/etc/gridmesh", trust).Lists(ctx) {
//		if err != nil {
//			logger.Warn("peer list refused, the last good one stays", "error", err)
//			continue
//		}
//		if err := manager.SetPeerList(next); err != nil {
//			logger.Warn("peer list not applied", "error", err)
//		}
//	}
//
// The package never dials, never listens, never logs and starts no goroutine;
// it imports the standard library only, so that a program which only makes
// lists needs nothing else. It is called by pkg/grid ([ValidName], [NewList],
// [Decide]), by nodes (sources, Verify, Save, Load) and by publishers (Sign).
//
// All functions and methods may be called concurrently, [Save] for one path
// aside.
package peers
