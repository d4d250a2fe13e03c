package link

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gridmesh/gridmesh/pkg/grid/internal/wire"
)

// stageLimits are small where a test wants to reach them.
func stageLimits() Limits {
	l := testLimits()
	l.MaxMessage, l.RequestBytes = 1<<20, 1<<20
	return l
}

// stage gives a link in the middle of its life: whatever a peer may get wrong,
// there is something to get it wrong about.
//
//	the peer's   1 a stream, 2 a call being served, 3 one answered, 4 a stream without messages,
//	             5 a body begun and granted (transfer 1), 6 one that waits for memory (transfer 2)
//	the link's   1 a stream, 2 a call, 3 one answered, 4 a body that waits for a grant (transfer 1)
func stage(t *testing.T, checksum bool) (end, *hostile) {
	t.Helper()
	x, p := attack(t, stageLimits(), checksum)
	p.send(
		wire.Frame{Kind: wire.Open, Mine: true, ID: 1, Handler: numStream},
		wire.Frame{Kind: wire.Request, Mine: true, ID: 2, Handler: numBlock},
		wire.Frame{Kind: wire.Request, Mine: true, ID: 3, Handler: numEcho},
		wire.Frame{Kind: wire.Open, Mine: true, ID: 4, Handler: numSilent},
		wire.Frame{Kind: wire.Begin, Mine: true, Inner: wire.Request, ID: 5, Handler: numBlock, Xfer: 1, Total: 1 << 20, Ask: true},
	)
	p.next(wire.Reply)
	p.next(wire.Grant)
	p.send(wire.Frame{Kind: wire.Begin, Mine: true, Inner: wire.Request, ID: 6, Handler: numBlock, Xfer: 2, Total: 1, Ask: true})
	if _, err := x.Open(context.Background(), &Call{Handler: "stream"}); err != nil {
		t.Fatal(err)
	}
	p.next(wire.Open)
	var calls sync.WaitGroup
	call := func(handler string, size int) {
		calls.Go(func() { _, _ = x.Call(context.Background(), &Call{Handler: handler, Body: make([]byte, size)}) })
	}
	call("block", 0)
	p.next(wire.Request)
	call("echo", 0)
	p.send(wire.Frame{Kind: wire.Reply, ID: p.next(wire.Request).ID})
	call("block", 512<<10)
	p.next(wire.Begin)
	p.sync()
	t.Cleanup(func() {
		x.Terminate(CodeClosed, "test over")
		calls.Wait()
	})
	return x, p
}

// large is a large message of the peer's on a stream that it opened.
func large(id, xfer, total uint64) wire.Frame {
	return wire.Frame{Kind: wire.Begin, Mine: true, Inner: wire.Data, ID: id, Xfer: xfer, Total: total, Ask: true}
}

// begin is a body of the peer's that is begun without asking.
func begin(xfer, id, total uint64) wire.Frame {
	return wire.Frame{Kind: wire.Begin, Mine: true, Inner: wire.Request, ID: id, Handler: numBlock, Xfer: xfer, Total: total}
}

// data is a message of the peer's on its own stream.
func data(size int) wire.Frame {
	return wire.Frame{Kind: wire.Data, Mine: true, ID: 1, Body: make([]byte, size)}
}

// Whatever breaks the protocol ends that link, with a goodbye that names the
// frame and the field, and no other; what the link held is freed (fault rows
// 17, 18, 21, 22, 27, 30, 31, 33-35; field case 8).
func TestViolationEndsTheLinkAlone(t *testing.T) {
	const kib = 1 << 10
	for _, c := range []struct {
		name   string
		frames []wire.Frame
		raw    []byte // of frames, after them
		want   string // words of the goodbye, in order
	}{
		// Bytes.
		{name: "no frame", want: "empty batch"},
		{name: "a size that lies", raw: []byte{byte(wire.Reply), 100, 1}, want: "REPLY size 100"},
		{name: "a size of 2^63", raw: []byte{byte(wire.Data), 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1, 1}, want: "DATA size"},
		{name: "a size that never ends", raw: bytes.Repeat([]byte{0xff}, 100), want: "size uvarint"},
		{name: "a frame cut off", raw: []byte{byte(wire.Request)}, want: "REQUEST size"},
		{name: "a field that lies", raw: []byte{byte(wire.Request) | 0x80, 4, 7, 0, 0, 200}, want: "REQUEST header"},
		{name: "bytes too many", raw: []byte{byte(wire.End), 2, 1, 1}, want: "END 1 bytes after"},
		{name: "kind 0", raw: []byte{0, 0}, want: "does not know"},
		{name: "an unknown kind that carries a call", raw: []byte{63, 0}, want: "kind 63"},
		{name: "after frames that are right", frames: []wire.Frame{ping}, raw: []byte{20, 0}, want: "kind 20"},

		// Calls.
		{name: "id 0", frames: []wire.Frame{{Kind: wire.Request, Mine: true}}, want: "REQUEST id"},
		{name: "an id again", frames: []wire.Frame{{Kind: wire.Request, Mine: true, ID: 6}}, want: "REQUEST id"},
		{name: "an id again, of a stream", frames: []wire.Frame{{Kind: wire.Open, Mine: true, ID: 1, Handler: numStream}}, want: "OPEN id"},
		{name: "ids backwards", frames: []wire.Frame{{Kind: wire.Request, Mine: true, ID: 9}, {Kind: wire.Request, Mine: true, ID: 8}}, want: "REQUEST id"},
		{name: "an id again, of a body", frames: []wire.Frame{begin(3, 6, 1)}, want: "BEGIN id"},
		{name: "a call in our name", frames: []wire.Frame{{Kind: wire.Request, ID: 7}}, want: "REQUEST name of this side"},
		{name: "a stream in our name", frames: []wire.Frame{{Kind: wire.Open, ID: 7}}, want: "OPEN name of this side"},
		{name: "a header over the limit", frames: []wire.Frame{{Kind: wire.Request, Mine: true, ID: 7, Header: make([]byte, 4*kib+1)}}, want: "REQUEST header"},
		{name: "a reply to a call never made", frames: []wire.Frame{{Kind: wire.Reply, ID: 5}}, want: "REPLY never made"},
		{name: "an error to a call never made", frames: []wire.Frame{{Kind: wire.Error, ID: 5}}, want: "ERROR never made"},
		{name: "a refusal of a call never made", frames: []wire.Frame{{Kind: wire.Refused, ID: 0}}, want: "REFUSED never made"},
		{name: "a reply to its own call", frames: []wire.Frame{{Kind: wire.Reply, Mine: true, ID: 2}}, want: "REPLY own call"},
		{name: "an error to its own call", frames: []wire.Frame{{Kind: wire.Error, Mine: true, ID: 2}}, want: "ERROR own call"},
		{name: "a refusal of its own call", frames: []wire.Frame{{Kind: wire.Refused, Mine: true, ID: 2}}, want: "REFUSED own call"},
		{name: "a reply to a stream", frames: []wire.Frame{{Kind: wire.Reply, ID: 1}}, want: "REPLY stream"},
		{name: "a cancel of a call never made", frames: []wire.Frame{{Kind: wire.Cancel, Mine: true, ID: 7}}, want: "CANCEL never made"},
		{name: "a cancel of our call", frames: []wire.Frame{{Kind: wire.Cancel, ID: 2}}, want: "CANCEL name of this side"},

		// Streams and credit.
		{name: "data before open", frames: []wire.Frame{{Kind: wire.Data, Mine: true, ID: 7}}, want: "DATA never opened"},
		{name: "data before our open", frames: []wire.Frame{{Kind: wire.Data, ID: 5}}, want: "DATA never opened"},
		{name: "data to a single request", frames: []wire.Frame{{Kind: wire.Data, Mine: true, ID: 2}}, want: "DATA no stream"},
		{name: "data to our single request", frames: []wire.Frame{{Kind: wire.Data, ID: 2}}, want: "DATA no stream"},
		{name: "end of a single request", frames: []wire.Frame{{Kind: wire.End, ID: 2}}, want: "END no stream"},
		{name: "end before open", frames: []wire.Frame{{Kind: wire.End, Mine: true, ID: 7}}, want: "END never opened"},
		{name: "end twice", frames: []wire.Frame{{Kind: wire.End, Mine: true, ID: 1}, {Kind: wire.End, Mine: true, ID: 1}}, want: "END twice"},
		{name: "data after the end", frames: []wire.Frame{{Kind: wire.End, Mine: true, ID: 1}, data(0)}, want: "DATA after the end"},
		{name: "a message beyond the credit", frames: []wire.Frame{data(0), data(0), data(0)}, want: "DATA credit"},
		{name: "a byte beyond the credit", frames: []wire.Frame{data(32 * kib), data(32 * kib), data(1)}, want: "DATA credit"},
		{name: "data without any credit", frames: []wire.Frame{{Kind: wire.Data, Mine: true, ID: 4}}, want: "DATA credit"},
		{name: "data beyond the credit on our stream", frames: slices.Repeat([]wire.Frame{{Kind: wire.Data, ID: 1}}, 3), want: "DATA credit"},
		{name: "credit that was not used", frames: []wire.Frame{{Kind: wire.Credit, ID: 1, Msgs: 1}}, want: "CREDIT messages"},
		{name: "credit in bytes", frames: []wire.Frame{{Kind: wire.Credit, ID: 1, Bytes: 1}}, want: "CREDIT bytes"},
		{name: "credit that overflows", frames: []wire.Frame{{Kind: wire.Credit, ID: 1, Msgs: 1 << 63, Bytes: 1 << 63}}, want: "CREDIT"},
		{name: "credit of 2^64-1", frames: []wire.Frame{{Kind: wire.Credit, Mine: true, ID: 1, Msgs: 1<<64 - 1}}, want: "CREDIT"},
		{name: "credit before open", frames: []wire.Frame{{Kind: wire.Credit, Mine: true, ID: 7}}, want: "CREDIT never opened"},
		{name: "credit to a single request", frames: []wire.Frame{{Kind: wire.Credit, ID: 2}}, want: "CREDIT no stream"},

		// Bodies in chunks.
		{name: "begin twice", frames: []wire.Frame{begin(2, 7, 100)}, want: "BEGIN transfer"},
		{name: "begin backwards", frames: []wire.Frame{begin(9, 7, 100), begin(8, 8, 100)}, want: "BEGIN transfer"},
		{name: "transfer 0", frames: []wire.Frame{begin(0, 7, 100)}, want: "BEGIN transfer"},
		{name: "a total over the limit", frames: []wire.Frame{begin(3, 7, 1<<20+1)}, want: "BEGIN total limit"},
		{name: "a total of 2^63", frames: []wire.Frame{begin(3, 7, 1<<63)}, want: "BEGIN total limit"},
		{name: "a total of 2^64-1", frames: []wire.Frame{begin(3, 7, 1<<64-1)}, want: "BEGIN total limit"},
		{name: "a total of 0", frames: []wire.Frame{begin(3, 7, 0)}, want: "BEGIN total"},
		{name: "eager beyond its size", frames: []wire.Frame{begin(3, 7, 256*kib+1)}, want: "BEGIN eager"},
		{
			name: "eager beyond its window", want: "BEGIN eager window",
			frames: []wire.Frame{begin(3, 7, 256*kib), begin(4, 8, 256*kib), begin(5, 9, 256*kib), begin(6, 10, 256*kib), begin(7, 11, 1)},
		},
		{
			name: "a stream's message that did not ask", want: "BEGIN not asked",
			frames: []wire.Frame{{Kind: wire.Begin, Mine: true, Inner: wire.Data, ID: 1, Xfer: 3, Total: 10}},
		},
		{name: "a body for a ping", raw: []byte{byte(wire.Begin), 3, 3, 1, byte(wire.Ping)}, want: "BEGIN PING"},
		{name: "a body in our name", frames: []wire.Frame{{Kind: wire.Begin, Inner: wire.Request, ID: 7, Xfer: 3, Total: 10}}, want: "BEGIN name of this side"},
		{
			name: "a body's header over the limit", want: "BEGIN header",
			frames: []wire.Frame{{Kind: wire.Begin, Mine: true, Inner: wire.Request, ID: 7, Xfer: 3, Total: 10, Header: make([]byte, 4*kib+1)}},
		},
		{
			name: "a large reply to a call never made", want: "BEGIN never made",
			frames: []wire.Frame{{Kind: wire.Begin, Inner: wire.Reply, ID: 9, Xfer: 3, Total: 2}},
		},
		{
			name: "two large replies to a call", want: "BEGIN twice",
			frames: []wire.Frame{{Kind: wire.Begin, Inner: wire.Reply, ID: 2, Xfer: 3, Total: 2}, {Kind: wire.Begin, Inner: wire.Reply, ID: 2, Xfer: 4, Total: 2}},
		},
		{name: "a large reply to its own call", frames: []wire.Frame{{Kind: wire.Begin, Mine: true, Inner: wire.Reply, ID: 2, Xfer: 3, Total: 2}}, want: "BEGIN own call"},
		{name: "a large reply to a stream", frames: []wire.Frame{{Kind: wire.Begin, Inner: wire.Reply, ID: 1, Xfer: 3, Total: 2}}, want: "BEGIN stream"},
		{name: "a large message before open", frames: []wire.Frame{large(7, 3, 10)}, want: "BEGIN never opened"},
		{name: "a large message to a single request", frames: []wire.Frame{large(2, 3, 10)}, want: "BEGIN no stream"},
		{name: "a large message after the end", frames: []wire.Frame{{Kind: wire.End, Mine: true, ID: 1}, large(1, 3, 10)}, want: "BEGIN after the end"},
		{name: "a large message without any credit", frames: []wire.Frame{large(4, 3, 10)}, want: "BEGIN credit"},
		{name: "a large message beyond the credit", frames: []wire.Frame{data(0), data(0), large(1, 3, 1)}, want: "BEGIN credit"},
		{name: "a large message beyond the bytes", frames: []wire.Frame{data(32 * kib), large(1, 3, 32*kib), large(1, 4, 1)}, want: "BEGIN credit"},
		{
			name: "two large messages before their stream", want: "BEGIN more large messages",
			frames: []wire.Frame{{Kind: wire.Begin, Mine: true, Inner: wire.Open, ID: 7, Handler: numStream, Xfer: 3, Total: 2}, large(7, 4, 10), large(7, 5, 10)},
		},
		{
			name: "a large message before its stream, without credit", want: "BEGIN credit",
			frames: []wire.Frame{
				{Kind: wire.Begin, Mine: true, Inner: wire.Open, ID: 7, Handler: numSilent, Xfer: 3, Total: 2}, large(7, 4, 10),
				{Kind: wire.Chunk, Xfer: 3, Body: []byte("xy")},
			},
		},
		{name: "a chunk of what was never begun", frames: []wire.Frame{{Kind: wire.Chunk, Xfer: 3, Body: []byte("x")}}, want: "CHUNK never begun"},
		{name: "a chunk before its grant", frames: []wire.Frame{{Kind: wire.Chunk, Xfer: 2, Body: []byte("x")}}, want: "CHUNK not granted"},
		{
			name: "a chunk beyond the total", want: "CHUNK 101 bytes, 100",
			frames: []wire.Frame{begin(3, 7, 100), {Kind: wire.Chunk, Xfer: 3, Body: make([]byte, 101)}},
		},
		{
			name: "a byte beyond the total", want: "CHUNK 2 bytes, 1",
			frames: []wire.Frame{begin(3, 7, 100), {Kind: wire.Chunk, Xfer: 3, Body: make([]byte, 99)}, {Kind: wire.Chunk, Xfer: 3, Body: make([]byte, 2)}},
		},
		{name: "an empty chunk", frames: []wire.Frame{begin(3, 7, 100), {Kind: wire.Chunk, Xfer: 3}}, want: "CHUNK 0 bytes"},
		{name: "an abort of what was never begun", frames: []wire.Frame{{Kind: wire.Abort, Xfer: 3}}, want: "ABORT never begun"},
		{name: "a grant never asked for", frames: []wire.Frame{{Kind: wire.Grant, Xfer: 2}}, want: "GRANT never begun"},
		{name: "a grant twice", frames: []wire.Frame{{Kind: wire.Grant, Xfer: 1}, {Kind: wire.Grant, Xfer: 1}}, want: "GRANT twice"},
		{name: "an ack beyond what was sent", frames: []wire.Frame{{Kind: wire.Ack, Total: 1}}, want: "ACK never sent"},

		// The link itself.
		{name: "a pong never asked for", frames: []wire.Frame{{Kind: wire.Pong, Total: 1 << 62}}, want: "PONG ping never sent"},
		{name: "a pong for ping 0", frames: []wire.Frame{{Kind: wire.Pong}}, want: "PONG ping never sent"},
		{
			name: "a handler announced twice", want: "ANNOUNCE echo twice",
			frames: []wire.Frame{{Kind: wire.Announce, Body: wire.AppendHandlers(nil, []wire.Handler{{Name: "echo"}})}},
		},
		{name: "a handler without a name", frames: []wire.Frame{{Kind: wire.Announce, Body: []byte{0, 1, 0, 0, 0}}}, want: "ANNOUNCE name"},
		{name: "an announcement cut off", frames: []wire.Frame{{Kind: wire.Announce, Body: []byte{1, 'x', 9, 1, 0x80}}}, want: "ANNOUNCE capacity"},
	} {
		for _, checksum := range []bool{true, false} {
			name := c.name
			if checksum {
				name += ", sealed"
			}
			t.Run(name, func(t *testing.T) {
				x, p := stage(t, checksum)
				other, q := beside(t, x, checksum)
				b := append(frames(c.frames), c.raw...)
				if err := p.tr.WriteBatch(p.seal(b)); err != nil {
					t.Fatal(err)
				}
				said := string(p.goodbye(x.Link, CodeViolation).Message)
				rest := said
				for word := range strings.FieldsSeq(c.want) {
					_, after, ok := strings.Cut(rest, word)
					if !ok {
						t.Fatalf("goodbye says %q, want the words %q", said, c.want)
					}
					rest = after
				}
				balanced(t, x)
				q.send(wire.Frame{Kind: wire.Request, Mine: true, ID: 1, Handler: numEcho, Body: []byte("still here")})
				if f := q.next(wire.Reply); string(f.Body) != "still here" {
					t.Errorf("the other link answered %q", f.Body)
				}
				if other.Err() != nil {
					t.Errorf("the other link ended: %v", other.Err())
				}
			})
		}
	}
}

// frames gives the bytes of frames.
func frames(fs []wire.Frame) []byte {
	var b []byte
	for i := range fs {
		b = wire.Append(b, &fs[i])
	}
	return b
}

// beside gives another link of the same manager, with a peer that means well.
func beside(t *testing.T, x end, checksum bool) (end, *hostile) {
	t.Helper()
	ours, theirs := MemoryPair()
	return attackShared(t, x.shared, checksum, ours, theirs), newHostile(t, theirs, checksum)
}

// A batch whose bits were changed on the way, or that has no checksum, is
// none: nothing in it is acted upon.
func TestBatchWithoutItsChecksum(t *testing.T) {
	request := frames([]wire.Frame{{Kind: wire.Request, Mine: true, ID: 7, Handler: numEcho}})
	for name, b := range map[string][]byte{
		"too short for one": {1, 2, 3},
		"nothing":           {},
		"wrong":             append([]byte{1, 2, 3, 4}, request...),
		"not sealed":        request,
	} {
		t.Run(name, func(t *testing.T) {
			x, p := stage(t, true)
			if err := p.tr.WriteBatch(b); err != nil {
				t.Fatal(err)
			}
			p.goodbye(x.Link, CodeViolation)
			if n := p.seen(wire.Reply); n != 1 {
				t.Errorf("%d replies, want the one of before", n)
			}
			balanced(t, x)
		})
	}
}

// What crossed with an end on its way is no violation: the link lives on
// (fault rows 21, 34).
func TestLateFramesAreIgnored(t *testing.T) {
	for _, c := range []struct {
		name   string
		frames []wire.Frame
	}{
		{"a reply to a call that has ended", []wire.Frame{{Kind: wire.Reply, ID: 3}}},
		{"a large one", []wire.Frame{{Kind: wire.Begin, Inner: wire.Reply, ID: 3, Xfer: 3, Total: 2}, {Kind: wire.Chunk, Xfer: 3, Body: []byte("xy")}}},
		{"an error likewise", []wire.Frame{{Kind: wire.Error, ID: 3}}},
		{"a refusal likewise", []wire.Frame{{Kind: wire.Refused, ID: 3}}},
		{"a cancel of a call that has ended", []wire.Frame{{Kind: wire.Cancel, Mine: true, ID: 3}}},
		{"data, credit and end of a call that has ended", []wire.Frame{
			{Kind: wire.Data, Mine: true, ID: 3}, {Kind: wire.Credit, Mine: true, ID: 3, Msgs: 1 << 60}, {Kind: wire.End, Mine: true, ID: 3},
			{Kind: wire.Data, ID: 3}, {Kind: wire.Credit, ID: 3, Msgs: 1 << 60}, {Kind: wire.End, ID: 3},
		}},
		{"data after a cancel", []wire.Frame{{Kind: wire.Cancel, Mine: true, ID: 1}, data(1), data(1), data(1), {Kind: wire.End, Mine: true, ID: 1}}},
		{"a large message after a cancel", []wire.Frame{{Kind: wire.Cancel, Mine: true, ID: 1}, large(1, 3, 10), {Kind: wire.Chunk, Xfer: 3, Body: make([]byte, 10)}}},
		{"large messages that were aborted", []wire.Frame{
			large(1, 3, 64<<10), large(1, 4, 64<<10), {Kind: wire.Abort, Xfer: 3}, {Kind: wire.Abort, Xfer: 4},
			large(1, 5, 64<<10), large(1, 6, 1), {Kind: wire.Abort, Xfer: 6}, data(32 << 10),
		}},
		{"a large message before its stream", []wire.Frame{
			{Kind: wire.Begin, Mine: true, Inner: wire.Open, ID: 7, Handler: numStream, Xfer: 3, Total: 2}, large(7, 4, 10), {Kind: wire.Abort, Xfer: 4},
			large(7, 5, 10), {Kind: wire.Chunk, Xfer: 3, Body: []byte("xy")}, {Kind: wire.Abort, Xfer: 5}, {Kind: wire.Data, Mine: true, ID: 7}, {Kind: wire.Data, Mine: true, ID: 7},
		}},
		{"a large message and a stream that is not", []wire.Frame{
			{Kind: wire.Begin, Mine: true, Inner: wire.Open, ID: 7, Handler: numStream, Xfer: 3, Total: 2}, large(7, 4, 10), {Kind: wire.Abort, Xfer: 3},
			{Kind: wire.Abort, Xfer: 4},
		}},
		{"cancel twice", []wire.Frame{{Kind: wire.Cancel, Mine: true, ID: 1}, {Kind: wire.Cancel, Mine: true, ID: 1}}},
		{"abort twice, and chunks of it", []wire.Frame{{Kind: wire.Abort, Xfer: 1}, {Kind: wire.Abort, Xfer: 1}, {Kind: wire.Chunk, Xfer: 1, Body: []byte("x")}}},
		{"credit of nothing", []wire.Frame{{Kind: wire.Credit, ID: 1}}},
		{"drain again and again", []wire.Frame{{Kind: wire.Drain}, {Kind: wire.Drain}, {Kind: wire.Drain}}},
		{"an unknown handler", []wire.Frame{{Kind: wire.Request, Mine: true, ID: 7, Handler: 1 << 40}}},
		{"a stream's handler called as a single", []wire.Frame{{Kind: wire.Request, Mine: true, ID: 7, Handler: numStream}}},
		{"a single's handler opened as a stream", []wire.Frame{{Kind: wire.Open, Mine: true, ID: 7, Handler: numEcho}, {Kind: wire.Data, Mine: true, ID: 7}}},
		{"a timeout of 2^64-1 ms", []wire.Frame{{Kind: wire.Request, Mine: true, ID: 7, Handler: numEcho, Timeout: 1<<64 - 1}}},
		{"all the credit there is", []wire.Frame{data(32 << 10), data(32 << 10)}},
		{"all of the eager window", []wire.Frame{begin(3, 7, 256<<10), begin(4, 8, 256<<10), begin(5, 9, 256<<10), begin(6, 10, 256<<10)}},
		{"a header at the limit", []wire.Frame{{Kind: wire.Request, Mine: true, ID: 7, Handler: numEcho, Header: make([]byte, 4<<10)}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			x, p := stage(t, true)
			p.send(c.frames...)
			p.sync()
			if x.Err() != nil {
				t.Fatal(x.Err())
			}
			if c.name != "drain again and again" {
				p.send(wire.Frame{Kind: wire.Cancel, Mine: true, ID: 2})
				f := p.next(wire.Error)
				if f.ID != 2 {
					t.Errorf("the cancelled call answered for %d", f.ID)
				}
			}
		})
	}
}

// Hints of a later version are skipped and counted (fault row 21).
func TestUnknownHintsAreCounted(t *testing.T) {
	x, p := stage(t, true)
	var b []byte
	for kind := byte(wire.Announce) + 1; kind < 128; kind++ {
		b = append(b, kind, 3, 1, 2, 3, kind|0x80, 0)
	}
	before := x.Stats().Unknown
	if err := p.tr.WriteBatch(p.seal(b)); err != nil {
		t.Fatal(err)
	}
	p.sync()
	if got, want := x.Stats().Unknown-before, uint64(2*(127-wire.Announce)); got != want {
		t.Errorf("%d hints counted, want %d", got, want)
	}
}

// After the other side's goodbye nothing counts, not even in the same batch:
// the link is over, with the reason that was given, and a call behind it finds
// its context done.
func TestNothingCountsAfterGoodbye(t *testing.T) {
	causes := make(chan error, 2)
	wait := func(ctx context.Context) { <-ctx.Done(); causes <- context.Cause(ctx) }
	slow := single("wait", func(ctx context.Context, _ []byte) ([]byte, error) { wait(ctx); return nil, nil })
	slow.slow.Store(1 << 30)
	x, p := attack(t, testLimits(), true, slow, streaming("wait too", 1, 1, func(ctx context.Context, _ *Stream) error { wait(ctx); return nil }))
	p.send(
		wire.Frame{Kind: wire.Goodbye, Code: []byte("tired"), Message: []byte("good night")},
		wire.Frame{Kind: wire.Request, Mine: true, ID: 1, Handler: 0},
		wire.Frame{Kind: wire.Open, Mine: true, ID: 2, Handler: 1},
		wire.Frame{Kind: wire.Goodbye, Code: []byte("other")},
		wire.Frame{Kind: 20},
	)
	<-x.Done()
	var cut *CutError
	if !errors.As(x.Err(), &cut) || !cut.Remote || cut.Code != "tired" || cut.Message != "good night" {
		t.Fatalf("ended by %v", x.Err())
	}
	x.Wait()
	waitFor(t, func() bool { return x.serving.running.Load() == 0 }) // who has told its cause may be about to leave
	for range len(causes) {
		if err := <-causes; !errors.Is(err, ErrDisconnected) {
			t.Errorf("a handler's context ended by %v", err)
		}
	}
	balanced(t, x)
}
