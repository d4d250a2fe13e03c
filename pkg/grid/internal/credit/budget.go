package credit

import (
	"slices"
	"sync"
)

// Rank says how soon bytes will be given back.
type Rank int

// Claims of a higher rank are served first, and some of a budget may be kept
// for them, see NewRanked.
const (
	Ahead  Rank = iota // nobody waits for what the bytes are for: it may lie about for ever
	Handed             // somebody takes it, who may then wait for somebody else
	Wanted             // somebody waits for it, and takes it as soon as it is there
	ranks
)

// Budget is a number of bytes that may be held at once, by a link or by the
// process. A link's budget has the process's as its parent and takes from both.
// All methods may be called concurrently with each other.
type Budget struct {
	limit  int64
	keep   int64 // bytes that each rank leaves to the next higher one
	parent *Budget

	mu    sync.Mutex // protects what follows; never held while calling out
	used  int64
	queue [ranks][]*Claim // claims that wait, oldest first
}

// NewBudget gives a budget of limit bytes out of parent, which may be nil.
func NewBudget(limit int64, parent *Budget) *Budget {
	return &Budget{limit: limit, parent: parent}
}

// NewRanked gives a budget of which claims that are Ahead can't take the last
// 2*keep bytes, and those that are Handed not the last keep. So whatever lies
// about, a claim of keep bytes that is Wanted has to wait for others of its
// rank only, and those end.
func NewRanked(limit, keep int64, parent *Budget) *Budget {
	return &Budget{limit: limit, keep: keep, parent: parent}
}

// Claim is bytes taken from a budget, or waiting to be.
type Claim struct {
	b       *Budget
	n       int64
	granted func() // called once, when the bytes are there; not under a lock

	// Protected by b.mu.
	rank Rank
	own  bool // b's bytes are taken
	all  bool // and the parent's
	gone bool // released: bytes that come later go straight back
	up   *Claim
}

// Try takes n bytes at once or reports false. It doesn't overtake claims that wait.
func (b *Budget) Try(n int64) bool {
	b.mu.Lock()
	ok := b.waitingLocked() == 0 && b.used+n <= b.limit
	if ok {
		b.used += n
	}
	b.mu.Unlock()
	if ok && b.parent != nil && !b.parent.Try(n) {
		b.giveOwn(n) // the parent's were not taken
		return false
	}
	return ok
}

func (b *Budget) waitingLocked() (n int) {
	for _, q := range b.queue {
		n += len(q)
	}
	return n
}

// Give returns n bytes that Try took.
func (b *Budget) Give(n int64) {
	if b.parent != nil {
		b.parent.Give(n)
	}
	b.giveOwn(n)
}

// Claim takes n bytes for what is Wanted, calling granted as soon as they are
// there, perhaps before Claim returns. Claims of a rank are served in order, so
// a large one can't starve. n above the limit is never granted; callers check
// their maximum first.
func (b *Budget) Claim(n int64, granted func()) *Claim { return b.ClaimFor(Wanted, n, granted) }

// ClaimFor is Claim at a rank, which Raise may lift later.
func (b *Budget) ClaimFor(rank Rank, n int64, granted func()) *Claim {
	c := &Claim{b: b, n: n, rank: rank, granted: granted}
	b.mu.Lock()
	b.queue[rank] = append(b.queue[rank], c)
	next := b.nextLocked()
	b.mu.Unlock()
	start(next)
	return c
}

// Raise lifts a claim that waits to a higher rank, behind those that are there.
func (c *Claim) Raise(rank Rank) {
	b := c.b
	b.mu.Lock()
	if rank <= c.rank {
		b.mu.Unlock()
		return
	}
	var next []*Claim
	if !c.own && !c.gone {
		b.leaveLocked(c)
		b.queue[rank] = append(b.queue[rank], c)
	}
	c.rank = rank
	up := c.up
	next = b.nextLocked()
	b.mu.Unlock()
	start(next)
	if up != nil {
		up.Raise(rank)
	}
}

// leaveLocked takes a claim that waits out of its line.
func (b *Budget) leaveLocked(c *Claim) {
	q := b.queue[c.rank]
	switch i := slices.Index(q, c); i {
	case -1:
	case 0:
		q[0] = nil
		q = q[1:]
	default:
		q = slices.Delete(q, i, i+1)
	}
	if len(q) == 0 {
		q = nil
	}
	b.queue[c.rank] = q
}

// Release returns the claim's bytes, or gives up waiting for them. It may be called more than once.
func (c *Claim) Release() {
	c.b.mu.Lock()
	if c.gone {
		c.b.mu.Unlock()
		return
	}
	c.gone = true
	own, up := c.own, c.up
	if !own {
		c.b.leaveLocked(c)
	}
	c.b.mu.Unlock()
	if up != nil {
		up.Release()
	}
	if own {
		c.b.giveOwn(c.n)
	} else {
		c.b.giveOwn(0) // the head may have been this one
	}
}

func (b *Budget) giveOwn(n int64) {
	b.mu.Lock()
	b.used -= n
	next := b.nextLocked()
	b.mu.Unlock()
	start(next)
}

// nextLocked takes the bytes for as many waiting claims as there is room for. A
// claim that waits lets none of a lower rank pass: it would never have its turn.
func (b *Budget) nextLocked() []*Claim {
	var next []*Claim
	for rank := Wanted; rank >= Ahead; rank-- {
		room := b.limit - b.keep*int64(Wanted-rank)
		for len(b.queue[rank]) > 0 {
			c := b.queue[rank][0]
			if b.used+c.n > room {
				return next
			}
			b.leaveLocked(c)
			b.used += c.n
			c.own = true
			next = append(next, c)
		}
	}
	return next
}

// start goes on with claims whose own bytes are there: on to the parent, or done.
func start(claims []*Claim) {
	for _, c := range claims {
		if c.b.parent == nil {
			c.finish()
			continue
		}
		c.b.mu.Lock()
		rank := c.rank
		c.b.mu.Unlock()
		up := c.b.parent.ClaimFor(rank, c.n, c.finish)
		c.b.mu.Lock()
		c.up = up
		gone, now := c.gone, c.rank
		c.b.mu.Unlock()
		if gone {
			up.Release()
		} else if now > rank {
			up.Raise(now)
		}
	}
}

func (c *Claim) finish() {
	c.b.mu.Lock()
	gone := c.gone
	c.all = true
	c.b.mu.Unlock()
	if !gone {
		c.granted()
	}
}

// Used is the number of bytes taken now.
func (b *Budget) Used() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}
