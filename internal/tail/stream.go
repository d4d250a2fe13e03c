package tail

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/gridmesh/gridmesh/internal/adminapi"
	"github.com/gridmesh/gridmesh/internal/target"
	"github.com/gridmesh/gridmesh/pkg/grid"
)

// filter reports whether an entry is wanted.
type filter func(entry []byte) bool

// stream is one tail.
type stream struct {
	hs     *grid.HandlerStream
	ring   *target.Ring
	end    uint64 // of what was there when it was asked for
	wanted filter

	unread int  // bytes sent of which the reader has not said that it read them
	free   bool // the reader has ended its side: it says nothing more
}

func (t *stream) run(ctx context.Context, ask adminapi.Tail) error {
	reader := t.past(ask.Past)
	for ctx.Err() == nil {
		var (
			entry  []byte
			missed uint64
			err    error
		)
		if ask.Follow {
			entry, missed, err = reader.Next(ctx)
		} else {
			var ok bool
			if entry, missed, ok = reader.Try(); !ok || reader.Number() >= t.end {
				return t.tellMissed(ctx, missed)
			}
		}
		if err != nil {
			return err
		}
		if err := t.tellMissed(ctx, missed); err != nil {
			return err
		}
		if !t.wanted(entry) {
			continue
		}
		if err := t.send(ctx, entry); err != nil {
			return err
		}
	}
	return context.Cause(ctx)
}

// past makes a reader that begins with the newest entries that are wanted, so
// many of them, of those that were there when the tail was asked for. What comes
// meanwhile is not looked at: it may come faster than it is.
func (t *stream) past(newest int) *target.Reader {
	scan := t.ring.Read(target.RingEntries)
	found := make([]uint64, 0, newest) // a ring, too
	next := 0
	for {
		entry, _, ok := scan.Try()
		if !ok || scan.Number() >= t.end {
			break
		}
		switch {
		case newest == 0 || !t.wanted(entry):
		case len(found) < newest:
			found = append(found, scan.Number())
		default:
			found[next] = scan.Number()
			next = (next + 1) % newest
		}
	}
	if len(found) == 0 {
		return t.ring.ReadFrom(t.end)
	}
	return t.ring.ReadFrom(found[next])
}

func (t *stream) tellMissed(ctx context.Context, missed uint64) error {
	if missed == 0 {
		return nil
	}
	return t.note(ctx, adminapi.TailEvent{Missed: missed})
}

func (t *stream) note(ctx context.Context, e adminapi.TailEvent) error {
	text, err := json.Marshal(adminapi.TailNote{Tail: e})
	if err != nil {
		return err
	}
	return t.send(ctx, text)
}

// send sends a message once the reader has read most of those before.
func (t *stream) send(ctx context.Context, msg []byte) error {
	for t.unread > window && !t.free {
		if err := t.hear(ctx); err != nil {
			return err
		}
	}
	err := t.hs.Send(ctx, msg)
	if errors.Is(err, grid.ErrMessageTooLarge) {
		return t.note(ctx, adminapi.TailEvent{TooLarge: len(msg)}) // which is not
	}
	t.unread += len(msg)
	return err
}

// hear takes what the reader says that it has read.
func (t *stream) hear(ctx context.Context) error {
	said, err := t.hs.Recv(ctx)
	if errors.Is(err, io.EOF) {
		t.free = true
		return nil
	}
	if err != nil {
		return err
	}
	if len(said) > maxAck {
		said = said[:maxAck]
	}
	n, err := strconv.Atoi(string(said))
	if err != nil || n < 0 {
		return invalid(fmt.Errorf("%q where a number of bytes belongs that were read", said))
	}
	t.unread -= min(n, t.unread)
	return nil
}
