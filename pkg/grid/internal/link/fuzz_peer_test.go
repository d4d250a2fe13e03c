package link

import (
	"slices"

	"github.com/gridmesh/gridmesh/pkg/grid/internal/wire"
)

// player is a peer that keeps to the protocol, whatever it is told to do next:
// it remembers what it may do. Its lock is the hostile's.
type player struct {
	l     Limits
	id    uint64 // its newest call
	xfer  uint64 // and transfer
	mine  []*talk
	their []*talk
	out   []*parcel
	in    []*parcel
	eager int // bytes of out that did not ask
	read  uint64
	acked uint64
	ping  uint64 // to be answered
}

// talk is a call that lives, as far as the player knows.
type talk struct {
	mine   bool
	id     uint64
	stream bool
	ended  bool  // our direction
	msgs   int64 // credit left to us
	bytes  int64
	unread []int // sizes of messages received and not credited
	busy   bool  // a large message is on its way
}

// parcel is a body in chunks.
type parcel struct {
	xfer    uint64
	inner   wire.Kind
	id      uint64
	left    int
	total   int
	eager   bool
	granted bool
	cost    int64 // of a message
}

// capacity of the streams of attacked and of the pipe, each way.
func capacity(handler uint64) int64 {
	if handler == numSilent {
		return 0
	}
	return 2
}

func (pl *player) newTalk(mine bool, id, handler uint64, stream bool) *talk {
	k := &talk{mine: mine, id: id, stream: stream, msgs: capacity(handler), bytes: int64(pl.l.StreamWindow)}
	if mine {
		pl.mine = append(pl.mine, k)
	} else {
		pl.their = append(pl.their, k)
	}
	return k
}

func find(ks []*talk, id uint64) *talk {
	if i := slices.IndexFunc(ks, func(k *talk) bool { return k.id == id }); i >= 0 {
		return ks[i]
	}
	return nil
}

func without(ks []*talk, id uint64) []*talk {
	return slices.DeleteFunc(ks, func(k *talk) bool { return k.id == id })
}

func (pl *player) price(n int) int64 { return min(int64(n), int64(pl.l.StreamWindow)/2) }

// heard takes a frame of the link's. It is the hostile's keep.
func (pl *player) heard(f *wire.Frame) bool {
	ours := f.Kind != wire.Begin && !f.Mine // about a call that we made
	switch f.Kind {
	case wire.Request, wire.Open:
		pl.newTalk(false, f.ID, f.Handler, f.Kind == wire.Open)
	case wire.Reply, wire.Error, wire.Refused:
		pl.mine = without(pl.mine, f.ID)
	case wire.End:
		if ours {
			pl.mine = without(pl.mine, f.ID)
		}
	case wire.Cancel:
		pl.their = without(pl.their, f.ID)
	case wire.Data:
		pl.message(ours, f.ID, len(f.Body))
	case wire.Credit:
		if k := find(pl.side(ours), f.ID); k != nil {
			k.msgs += int64(f.Msgs)
			k.bytes += int64(f.Bytes)
		}
	case wire.Begin:
		pl.in = append(pl.in, &parcel{
			xfer: f.Xfer, inner: f.Inner, id: f.ID, left: int(f.Total), total: int(f.Total), granted: !f.Ask, eager: f.Mine, cost: int64(f.Handler),
		})
	case wire.Chunk:
		pl.read += uint64(len(f.Body))
		for _, in := range slices.Clone(pl.in) {
			if in.xfer != f.Xfer {
				continue
			}
			if in.left -= len(f.Body); in.left == 0 {
				pl.arrived(in)
			}
		}
	case wire.Abort:
		pl.in = slices.DeleteFunc(pl.in, func(in *parcel) bool { return in.xfer == f.Xfer })
	case wire.Grant:
		for _, out := range pl.out {
			out.granted = out.granted || out.xfer == f.Xfer
		}
	case wire.Ping:
		pl.ping = f.Total
	}
	return f.Kind == wire.Pong || f.Kind == wire.Goodbye
}

func (pl *player) side(ours bool) []*talk {
	if ours {
		return pl.mine
	}
	return pl.their
}

func (pl *player) message(ours bool, id uint64, size int) {
	if k := find(pl.side(ours), id); k != nil {
		k.unread = append(k.unread, size)
	}
}

// arrived takes a whole body. For those that come in, eager is the frame's
// mine and cost its handler.
func (pl *player) arrived(in *parcel) {
	pl.in = slices.DeleteFunc(pl.in, func(other *parcel) bool { return other == in })
	switch in.inner {
	case wire.Request, wire.Open:
		pl.newTalk(false, in.id, uint64(in.cost), in.inner == wire.Open)
	case wire.Reply:
		pl.mine = without(pl.mine, in.id)
	case wire.Data:
		pl.message(!in.eager, in.id, in.total)
	}
}

// pick gives one of all, by a number.
func pick[T any](all []T, n byte) (v T, ok bool) {
	if len(all) == 0 {
		return v, false
	}
	return all[int(n)%len(all)], true
}

// anyTalk gives a call of either side.
func (pl *player) anyTalk(n byte) (*talk, bool) {
	return pick(slices.Concat(pl.mine, pl.their), n)
}

// move gives the next frame, by what a program's bytes say. ok is false when
// what they say can't be done now.
func (pl *player) move(what, which, size byte) (f wire.Frame, ok bool) {
	switch what % 13 {
	case 0:
		pl.id++
		f = wire.Frame{Kind: wire.Request, Mine: true, ID: pl.id, Handler: uint64(which % 2), Timeout: uint64(size) * 10, Body: make([]byte, size)}
		pl.newTalk(true, f.ID, f.Handler, false)
		return f, true
	case 1:
		pl.id++
		f = wire.Frame{Kind: wire.Open, Mine: true, ID: pl.id, Handler: uint64(numStream + which%3), Timeout: uint64(size) * 10, Body: make([]byte, size)}
		pl.newTalk(true, f.ID, f.Handler, true)
		return f, true
	case 2:
		if k, ok := pl.anyTalk(which); ok && k.stream && !k.ended && !k.busy && k.msgs > 0 && k.bytes >= pl.price(int(size)) {
			k.msgs--
			k.bytes -= pl.price(int(size))
			return wire.Frame{Kind: wire.Data, Mine: k.mine, ID: k.id, Body: make([]byte, size)}, true
		}
	case 3:
		if k, ok := pl.anyTalk(which); ok && k.stream && !k.ended && !k.busy {
			k.ended = true
			if !k.mine {
				pl.their = without(pl.their, k.id)
			}
			return wire.Frame{Kind: wire.End, Mine: k.mine, ID: k.id}, true
		}
	case 4:
		if k, ok := pick(pl.mine, which); ok && !k.busy { // a CANCEL must not overtake its call
			pl.mine = without(pl.mine, k.id)
			return wire.Frame{Kind: wire.Cancel, Mine: true, ID: k.id, Code: []byte(CodeCanceled)}, true
		}
	case 5:
		if k, ok := pick(pl.their, which); ok && !k.busy {
			pl.their = without(pl.their, k.id)
			f = wire.Frame{Kind: wire.Reply, ID: k.id, Code: []byte("code"), Message: []byte("text")}
			if k.stream || size%3 == 0 {
				f.Kind = wire.Error
			}
			if size%7 == 0 {
				f.Kind = wire.Refused
			}
			return f, true
		}
	case 6:
		if k, ok := pl.anyTalk(which); ok && k.stream && len(k.unread) > 0 {
			n := pl.price(k.unread[0])
			k.unread = k.unread[1:]
			return wire.Frame{Kind: wire.Credit, Mine: k.mine, ID: k.id, Msgs: 1, Bytes: uint64(n)}, true
		}
	case 7:
		total := int(size)*15 + 1 // mostly what needn't ask
		if size%4 == 0 {
			total *= 10
		}
		return pl.begin(which, total)
	case 8, 9:
		n := pl.l.Chunk
		if size%4 == 0 {
			n = int(size) + 1
		}
		return pl.chunk(which, n)
	case 10:
		if out, ok := pick(pl.out, which); ok && size%4 == 0 {
			return pl.abort(out), true
		}
	case 11:
		if in, ok := pick(pl.in, which); ok && size%5 == 0 && (in.inner == wire.Request || in.inner == wire.Open) {
			pl.in = slices.DeleteFunc(pl.in, func(other *parcel) bool { return other == in })
			return wire.Frame{Kind: wire.Refused, ID: in.id, Code: []byte(CodeOverloaded)}, true
		} else if ok && !in.granted {
			in.granted = true
			return wire.Frame{Kind: wire.Grant, Xfer: in.xfer}, true
		}
	default:
		switch {
		case pl.read > pl.acked:
			pl.acked = pl.read
			return wire.Frame{Kind: wire.Ack, Total: pl.acked}, true
		case pl.ping > 0:
			f, pl.ping = wire.Frame{Kind: wire.Pong, Total: pl.ping}, 0
			return f, true
		case which%16 == 0:
			return wire.Frame{Kind: wire.Drain}, true
		}
		return wire.Frame{Kind: wire.Ping, Total: uint64(which) + 1}, true
	}
	return f, false
}

func (pl *player) abort(out *parcel) wire.Frame {
	pl.sent(out, false)
	return wire.Frame{Kind: wire.Abort, Xfer: out.xfer}
}

// settle gives the frames that end all that is under way, as far as the player
// can: what it waits for must come first.
func (pl *player) settle() (fs []wire.Frame) {
	for _, out := range slices.Clone(pl.out) {
		fs = append(fs, pl.abort(out))
	}
	for _, in := range pl.in {
		if !in.granted {
			in.granted = true
			fs = append(fs, wire.Frame{Kind: wire.Grant, Xfer: in.xfer})
		}
	}
	for _, k := range pl.mine {
		fs = append(fs, wire.Frame{Kind: wire.Cancel, Mine: true, ID: k.id})
	}
	pl.mine = nil
	if pl.read > pl.acked {
		pl.acked = pl.read
		fs = append(fs, wire.Frame{Kind: wire.Ack, Total: pl.acked})
	}
	if pl.ping > 0 {
		fs = append(fs, wire.Frame{Kind: wire.Pong, Total: pl.ping})
		pl.ping = 0
	}
	return fs
}

// begin begins a body of a call, a stream's message, a reply or a list.
func (pl *player) begin(which byte, total int) (f wire.Frame, ok bool) {
	f = wire.Frame{Kind: wire.Begin, Ask: true, Total: uint64(total)}
	out := &parcel{left: total, total: total}
	switch which % 5 {
	case 0, 1:
		pl.id++
		f.Mine, f.ID, f.Inner, f.Handler = true, pl.id, wire.Request, uint64(which/5%2)
		if which%5 == 1 {
			f.Inner, f.Handler = wire.Open, uint64(numStream+which/5%3)
		}
		pl.newTalk(true, f.ID, f.Handler, f.Inner == wire.Open).busy = true
	case 2:
		k, ok := pl.anyTalk(which)
		if !ok || !k.stream || k.ended || k.busy || k.msgs < 1 || k.bytes < pl.price(total) {
			return f, false
		}
		out.cost = pl.price(total)
		k.msgs--
		k.bytes -= out.cost
		k.busy = true
		f.Mine, f.ID, f.Inner = k.mine, k.id, wire.Data
	case 3:
		k, ok := pick(pl.their, which)
		if !ok || k.stream {
			return f, false
		}
		pl.their = without(pl.their, k.id)
		f.ID, f.Inner = k.id, wire.Reply
	default:
		f.Inner = wire.List
	}
	if f.Inner != wire.Data && total <= pl.l.Eager && pl.eager+total <= pl.l.EagerWindow {
		f.Ask, out.eager, out.granted = false, true, true
		pl.eager += total
	}
	pl.xfer++
	f.Xfer = pl.xfer
	out.xfer, out.inner, out.id = pl.xfer, f.Inner, f.ID
	if !f.Mine {
		out.id = 1<<63 | f.ID // one of the link's
	}
	pl.out = append(pl.out, out)
	return f, true
}

// chunk sends the next bytes of a body that may go.
func (pl *player) chunk(which byte, n int) (wire.Frame, bool) {
	out, ok := pick(pl.out, which)
	if !ok || !out.granted {
		return wire.Frame{}, false
	}
	n = min(n, out.left, pl.l.Chunk)
	if out.left -= n; out.left == 0 {
		pl.sent(out, true)
	}
	return wire.Frame{Kind: wire.Chunk, Xfer: out.xfer, Body: make([]byte, n)}, true
}

// sent forgets a body that is whole, or that was given up.
func (pl *player) sent(out *parcel, whole bool) {
	pl.out = slices.DeleteFunc(pl.out, func(other *parcel) bool { return other == out })
	if out.eager {
		pl.eager -= out.total
	}
	all, id := pl.mine, out.id
	if id>>63 == 1 {
		all, id = pl.their, id&^(1<<63)
	}
	if k := find(all, id); k != nil {
		k.busy = false
		if !whole && out.inner == wire.Data { // it was never counted there
			k.msgs++
			k.bytes += out.cost
		}
		if !whole && (out.inner == wire.Request || out.inner == wire.Open) { // a call that was never made
			pl.mine = without(pl.mine, id)
		}
	}
}
