package grid

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
)

// FanOut says whom to call. The zero FanOut calls every peer but not oneself.
type FanOut struct {
	Peers []string // names; nil: all peers in the list now
	Local bool     // call oneself too
}

// Result is one peer's answer to a fan-out.
type Result struct {
	Peer string
	Msg  []byte
	Err  error
}

// QuorumError says that too few peers answered well. errors.Is looks into the peers' errors.
type QuorumError struct {
	Want    int
	Results []Result // what came until the quorum was out of reach

	left int // peers whose calls were cancelled then
}

// Error counts the answers and gives each failure.
func (e *QuorumError) Error() string {
	var failed []string
	for _, r := range e.Results {
		if r.Err != nil {
			failed = append(failed, r.Peer+": "+r.Err.Error())
		}
	}
	return fmt.Sprintf("%d of the %d good answers wanted came: %s", len(e.Results)-len(failed), e.Want, strings.Join(failed, "; "))
}

// outcome is NotSent if that holds for every peer.
func (e *QuorumError) outcome() Outcome {
	if e.left > 0 {
		return MaybeProcessed
	}
	for _, r := range e.Results {
		if OutcomeOf(r.Err) != NotSent {
			return MaybeProcessed
		}
	}
	return NotSent
}

// Unwrap gives the peers' errors.
func (e *QuorumError) Unwrap() []error {
	var errs []error
	for _, r := range e.Results {
		if r.Err != nil {
			errs = append(errs, r.Err)
		}
	}
	return errs
}

// FanOut calls h with the same payload at all peers that to names, at once, and
// gives their results as they arrive, each peer's once. Leaving the loop, or
// ctx's end, cancels what still runs. A name that is no peer fails with
// ErrPeerRemoved. Time-outs are those of Request.
func (m *Manager) FanOut(ctx context.Context, h HandlerID, payload []byte, to FanOut) iter.Seq[Result] {
	return func(yield func(Result) bool) {
		names := m.fanOutTo(to)
		ctx, cancel := context.WithCancel(ctx)
		results := make(chan Result, len(names))
		var calls sync.WaitGroup
		defer calls.Wait() // a cancelled call returns at once
		defer cancel()
		for _, name := range names {
			c := m.Connection(name)
			if c == nil {
				results <- Result{Peer: name, Err: &RefusedError{Peer: name, Handler: h, Reason: ErrPeerRemoved}}
				continue
			}
			calls.Go(func() {
				msg, err := c.Request(ctx, h, payload)
				results <- Result{name, msg, err}
			})
		}
		for range names {
			if !yield(<-results) {
				return
			}
		}
	}
}

// fanOutTo gives the names that a fan-out calls.
func (m *Manager) fanOutTo(to FanOut) []string {
	names := slices.Clone(to.Peers)
	if to.Peers == nil {
		for _, c := range m.Connections() {
			names = append(names, c.Name())
		}
	}
	if to.Local {
		names = append(names, m.Local())
	}
	slices.Sort(names)
	return slices.Compact(names) // nobody counts twice in a quorum
}

// Quorum calls h like FanOut and returns the first n good answers, cancelling
// the rest. As soon as n can't be reached any more it fails with a *QuorumError.
func (m *Manager) Quorum(ctx context.Context, h HandlerID, payload []byte, n int, to FanOut) ([]Result, error) {
	var good, all []Result
	to = FanOut{Peers: m.fanOutTo(to)} // one look at the list: it may change
	left := len(to.Peers)
	for r := range m.FanOut(ctx, h, payload, to) {
		all = append(all, r)
		left--
		if r.Err == nil {
			good = append(good, r)
		}
		if len(good) >= n || len(good)+left < n {
			break
		}
	}
	if len(good) < n {
		return good, &QuorumError{Want: n, Results: all, left: left}
	}
	return good, nil
}
