package grid

import (
	"context"
	"fmt"
	"iter"
)

// TypedResult is one peer's answer to a typed fan-out: Reply, or Err.
type TypedResult[R any] struct {
	Peer  string
	Reply *R
	Err   error
}

// FanOut calls the handler with the same request at all peers that to names,
// like Manager.FanOut.
func (s *Single[Q, R]) FanOut(ctx context.Context, m *Manager, req *Q, to FanOut) iter.Seq[TypedResult[R]] {
	return func(yield func(TypedResult[R]) bool) {
		to = FanOut{Peers: m.fanOutTo(to)}
		payload, err := s.req.encode(req, nil)
		if err != nil {
			err = fmt.Errorf("the request %w", err)
			for _, name := range to.Peers {
				if !yield(TypedResult[R]{Peer: name, Err: &RefusedError{Peer: name, Handler: s.id, Reason: err}}) {
					return
				}
			}
			return
		}
		for r := range m.FanOut(ctx, s.id, payload, to) {
			result := TypedResult[R]{Peer: r.Peer, Err: r.Err}
			if r.Err == nil {
				result.Reply, result.Err = s.decodeReply(r.Peer, r.Msg)
			}
			if !yield(result) {
				return
			}
		}
	}
}

// Quorum calls the handler like FanOut and returns the first n good answers,
// cancelling the rest. A reply that does not decode is no good answer. As soon
// as n can't be reached any more it fails with a *QuorumError.
func (s *Single[Q, R]) Quorum(ctx context.Context, m *Manager, req *Q, n int, to FanOut) ([]TypedResult[R], error) {
	var good []TypedResult[R]
	var all []Result
	to = FanOut{Peers: m.fanOutTo(to)} // one look at the list: it may change
	left := len(to.Peers)
	for r := range s.FanOut(ctx, m, req, to) {
		all = append(all, Result{Peer: r.Peer, Err: r.Err})
		left--
		if r.Err == nil {
			good = append(good, r)
		}
		if len(good) >= n || len(good)+left < n {
			break
		}
	}
	if len(good) < n {
		return good, &QuorumError{Want: n, Results: all}
	}
	return good, nil
}
