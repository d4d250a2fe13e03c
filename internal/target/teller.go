package target

import (
	"time"

	"github.com/gridmesh/gridmesh/internal/spool"
)

// teller turns entries into what the receiver is told: the entries, and in the
// place of those that are missing an item that says so. It knows from the ids.
type teller struct {
	id     uint64 // the last entry whose fate the receiver knows
	done   uint64 // the last one that is done with: above id, those between are to be told of as missing
	reason string // why they are

	gap     func(Missing) []byte
	run     string
	withIDs bool

	items   []Item
	entries int // among items; the others tell of missing ones
}

// tell makes items of entries, until it has so many or so many bytes, but one
// at least. They are valid until the next call.
func (l *teller) tell(entries []spool.Entry, count, bytes int) []Item {
	l.items, l.entries = l.items[:0], 0
	told, reason := l.id, l.reason
	size := 0
	for _, e := range entries {
		if len(l.items) >= count || size > 0 && size+len(e.Data) >= bytes {
			break
		}
		size += len(e.Data) + 1
		switch {
		case e.ID <= told: // thought lost, and then found: it was told of
			continue
		case e.Gap:
			l.missing(told+1, e.ID, string(e.Data), e.At)
		case e.ID > told+1:
			l.missing(told+1, e.ID-1, reason, e.At)
			if len(l.items) == count { // alone, if it must be: it may be this that is rejected
				return l.items
			}
			fallthrough
		default:
			l.items = append(l.items, Item{ID: e.ID, Time: e.At, Data: e.Data})
			l.entries++
		}
		told, reason = e.ID, MissingDamaged
	}
	return l.items
}

func (l *teller) missing(first, last uint64, reason string, at time.Time) {
	body := l.gap(Missing{First: first, Last: last, Reason: reason, FirstID: FormatID(l.run, first), LastID: FormatID(l.run, last)})
	if l.withIDs {
		whole := append(appendID(append(make([]byte, 0, len(body)+64), idKey...), l.run, last), '"', ',')
		body = append(whole, body[1:]...)
	}
	l.items = append(l.items, Item{ID: last, Time: at, Data: body})
}

// delivered notes that the receiver has all items.
func (l *teller) delivered() {
	l.id = l.items[len(l.items)-1].ID
	l.done, l.reason = l.id, MissingDamaged
}

// passed notes that the only item will not be delivered.
func (l *teller) passed(reason string) {
	l.done, l.reason = l.items[0].ID, reason
	if l.entries == 0 {
		l.id = l.done // not even that something is missing: it would be told of for ever
	}
}
