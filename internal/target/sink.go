package target

import (
	"context"
	"fmt"
	"time"
)

// Sink is where entries end up: the part of a target that knows how its
// receiver wants them. Send is called by one goroutine at a time.
type Sink interface {
	// Send delivers a batch: all of it, or an error. *Rejected says that the
	// receiver will never take it, *Later when to try again; any other error is
	// tried again with growing pauses. What it is given is lent until it returns.
	Send(ctx context.Context, b Batch) error
	// Close lets go of connections and files. Send is not running and is not
	// called again.
	Close() error
}

// Batch is some entries in their order, one at least.
type Batch struct {
	Origin string // who sends it, such as node-0:7700/audit: ids are unique there
	Run    string // stands in front of the ids of Items
	Items  []Item
}

// Key is the same whenever the same entries are sent, so that a receiver knows a
// batch that it has seen.
func (b Batch) Key() string {
	return fmt.Sprintf("%s/%s-%d-%d", b.Origin, b.Run, b.Items[0].ID, b.Items[len(b.Items)-1].ID)
}

// Item is one entry: a JSON object without a newline, or a line of text without
// one where a target was made for text.
type Item struct {
	ID   uint64
	Time time.Time // when it entered the queue, if it went through one on disk
	Data []byte
}

// Bytes is the length of all items, with a newline each.
func (b Batch) Bytes() int {
	size := 0
	for _, item := range b.Items {
		size += len(item.Data) + 1
	}
	return size
}

// Rejected is a receiver's last word on a batch.
type Rejected struct{ Reason string }

func (e *Rejected) Error() string { return "rejected for good: " + e.Reason }

// Later is a receiver's wish to be left alone for a while.
type Later struct {
	After  time.Duration
	Reason string
}

func (e *Later) Error() string { return fmt.Sprintf("%s; asked to wait %v", e.Reason, e.After) }
