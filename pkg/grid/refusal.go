package grid

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// Codes of refusals, as they travel. docs/protocol.md says when each is given.
const (
	refusedGrid      = "unknown-grid"   // another grid's node
	refusedName      = "wrong-name"     // dialled under a name that is not this node's
	refusedCert      = "certificate"    // not valid, or for another name
	refusedDuplicate = "duplicate-name" // a node of that name is linked and alive
	refusedNotPeer   = "not-a-peer"     // not in the peer list
	refusedDialer    = "wrong-dialer"   // for this pair the other side dials
	refusedVersion   = "version"        // no version in common
	refusedToken     = "token"          // no proof of the shared token
	refusedSelf      = "self"           // a node has dialled itself
	refusedDraining  = "draining"       // shutting down
	refusedBusy      = "busy"           // too many handshakes at once
	refusedMalformed = "malformed"      // not a handshake, or none in time
	refusedOther     = "other"          // a code of a later version, in counts
)

var refusalCodes = []string{
	refusedGrid, refusedName, refusedCert, refusedDuplicate, refusedNotPeer, refusedDialer,
	refusedVersion, refusedToken, refusedSelf, refusedDraining, refusedBusy, refusedMalformed,
}

// Refusal is one handshake that was refused.
type Refusal struct {
	Time time.Time
	// Peer is the name that the other side gave, or its address if it gave none.
	Peer string
	// Code is unknown-grid, wrong-name, certificate, duplicate-name, not-a-peer,
	// wrong-dialer, version, token, self, draining, busy or malformed.
	Code string
	// Message says what is wrong, for people. If the other side wrote it, it is
	// up to 1 KiB of anything.
	Message string
	// Ours is true if this node refused, false if it was refused.
	Ours bool
}

const (
	keptRefusals = 32
	// loggedRefusals bounds what is remembered as logged. Names of strangers
	// are theirs to invent: with the memory full, they are only counted until
	// the oldest entries are a minute old.
	loggedRefusals = 1024
	relogAfter     = time.Minute

	// What else is remembered as logged, beside the codes.
	ofList   = "list"        // a peer handed over a list that is refused
	ofServer = "http server" // an error of a server that NewServer gave
)

// refusalLog keeps the last refusals, counts them by code, and sees to it that
// each is logged once per peer and code until a link to that peer comes up.
type refusalLog struct {
	log  *slog.Logger
	tell func(*Event) // nil: nobody is told

	mu     sync.Mutex // protects what follows
	last   []Refusal  // the newest last
	counts map[string]uint64
	logged map[loggedRefusal]time.Time
}

type loggedRefusal struct {
	peer, code string
	ours       bool
}

func newRefusalLog(log *slog.Logger) *refusalLog {
	return &refusalLog{log: log, counts: map[string]uint64{}, logged: map[loggedRefusal]time.Time{}}
}

// note records a refusal.
func (l *refusalLog) note(peer, code, message string, ours bool) {
	now := time.Now()
	known := slices.Contains(refusalCodes, code)
	l.mu.Lock()
	if len(l.last) == keptRefusals {
		l.last = slices.Delete(l.last, 0, 1)
	}
	l.last = append(l.last, Refusal{Time: now, Peer: peer, Code: code, Message: message, Ours: ours})
	counted := code
	if !known {
		counted = refusedOther // codes of a later version, or anything a stranger wrote: one label
	}
	l.counts[counted]++
	fresh := l.freshLocked(loggedRefusal{peer, counted, ours}, now)
	l.mu.Unlock()
	if l.tell != nil {
		kind := EventRefusedBy
		if ours {
			kind = EventRefused
		}
		l.tell(&Event{Kind: kind, Peer: peer, Code: counted, Reason: message})
	}
	if !fresh {
		return
	}
	level := slog.LevelWarn
	if code == refusedDraining || code == refusedBusy {
		level = slog.LevelInfo // part of every rolling restart
	}
	if ours {
		l.log.Log(context.Background(), level, "handshake refused", "peer", peer, "code", code, "reason", message)
	} else {
		l.log.Log(context.Background(), level, "a peer refused our handshake", "peer", peer, "code", code, "reason", message)
	}
}

// fresh reports whether something else that a peer was refused is to be logged.
func (l *refusalLog) fresh(peer, what string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.freshLocked(loggedRefusal{peer, what, true}, time.Now())
}

// freshLocked reports whether the refusal is to be logged, and remembers it.
// One name on two living nodes is an alarm that repeats, each minute, and so
// are errors of a server.
func (l *refusalLog) freshLocked(key loggedRefusal, now time.Time) bool {
	if at, ok := l.logged[key]; ok && (key.code != refusedDuplicate && key.code != ofServer || now.Sub(at) < relogAfter) {
		return false
	}
	if len(l.logged) >= loggedRefusals {
		for k, at := range l.logged {
			if now.Sub(at) >= relogAfter {
				delete(l.logged, k)
			}
		}
		if len(l.logged) >= loggedRefusals {
			return false
		}
	}
	l.logged[key] = now
	return true
}

// forget makes the next refusals of peer be logged again: a link to it came up.
func (l *refusalLog) forget(peer string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key := range l.logged {
		if key.peer == peer && key.code != refusedDuplicate { // that is refused because the link is up
			delete(l.logged, key)
		}
	}
}

// Refusals gives the last 32 handshakes that were refused, by this node or by
// peers, the newest last.
func (m *Manager) Refusals() []Refusal {
	m.refused.mu.Lock()
	defer m.refused.mu.Unlock()
	return slices.Clone(m.refused.last)
}
