package link

import (
	"sync/atomic"

	"github.com/gridmesh/gridmesh/pkg/grid/internal/credit"
)

// Account is what one peer may hold of this process, over all links that it has
// and has had: a peer that makes its link anew holds no more for it, and what a
// handler still holds after the end of its link counts.
type Account struct {
	calls atomic.Int64 // handlers that run for it
	owed  atomic.Int64 // bytes of replies to it that wait to be taken

	requests *credit.Budget // large ones
	small    *credit.Budget // all others
	replies  *credit.Budget
	data     *credit.Budget
	windows  *credit.Budget // promised to it for the streams that it opens
}

// owesTooMuch reports whether so many bytes of replies wait for the other side,
// or for all, that there must not be more of them.
func (l *Link) owesTooMuch() bool {
	room := max(l.limits.ProcessBytes, int64(l.limits.MaxMessage))
	return l.owed.Load() > max(room/4, int64(l.limits.MaxMessage)) || l.shared.owed.Load() > room
}

// owe counts n bytes of a reply that begins to wait for the other side to take it.
// It reports false where twice of what owesTooMuch allows is there: many handlers
// may have begun before. A single reply, however large, always may wait.
func (l *Link) owe(n int) bool {
	room := max(l.limits.ProcessBytes, int64(l.limits.MaxMessage))
	mine, all := l.owed.Add(int64(n)), l.shared.owed.Add(int64(n))
	if mine == int64(n) || mine <= max(room/2, int64(l.limits.MaxMessage)) && all <= 2*room {
		return true
	}
	l.owes(-n)
	return false
}

// owes counts n bytes more, or less.
func (l *Link) owes(n int) {
	l.owed.Add(int64(n))
	l.shared.owed.Add(int64(n))
}

// NewAccount gives the account of one peer.
func (s *Shared) NewAccount() *Account {
	l := &s.Limits
	return &Account{
		requests: credit.NewBudget(l.RequestBytes, s.requests),
		small:    credit.NewBudget(l.RequestBytes, s.small),
		replies:  credit.NewBudget(l.ReplyBytes, s.replies),
		data:     credit.NewRanked(l.DataBytes, l.kept(l.DataBytes), s.data),
		// As many streams as calls may take the whole of the process's budget:
		// one peer must leave some to the others.
		windows: credit.NewBudget(max(l.ProcessBytes/4, int64(l.StreamWindow)), s.windows),
	}
}
