package link

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"runtime"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/gridmesh/gridmesh/pkg/grid/internal/wire"
)

// Bits of the first byte of a WebSocket frame.
const (
	fin  = 0x80
	rsv1 = 0x40
)

// rawFrame gives a WebSocket frame as a client writes it, with a length that may lie.
func rawFrame(first byte, length uint64, content []byte) []byte {
	b := []byte{first}
	switch {
	case length < 126:
		b = append(b, 0x80|byte(length))
	case length < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(length))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), length)
	}
	b = append(b, 0, 0, 0, 0) // a mask that changes nothing
	return append(b, content...)
}

// rawAttack gives a link over a real WebSocket whose other side is the test's,
// down to the bytes.
func rawAttack(t *testing.T, l Limits) (end, *hostile, net.Conn) {
	t.Helper()
	theirs, ours := webSockets(t, l)
	x, p := attackOver(t, l, false, ours, theirs)
	return x, p, theirs.(*wsTransport).ws.NetConn()
}

// What breaks WebSocket's rules or ours about it ends the link, allocates
// nothing to speak of, and touches no other link (fault rows 17-20, 22).
func TestWebSocketAbuseEndsTheLinkAlone(t *testing.T) {
	request := frames([]wire.Frame{{Kind: wire.Request, Mine: true, ID: 1, Handler: numEcho}})
	for _, c := range []struct {
		name string
		raw  []byte
		want string // words of the reason, in order
		said bool   // the goodbye says so, too
	}{
		{"a text message", rawFrame(fin|websocket.TextMessage, uint64(len(request)), request), "type 1, want binary", true},
		{"a ping", rawFrame(fin|websocket.PingMessage, 0, nil), "ping or pong", true},
		{"a pong", rawFrame(fin|websocket.PongMessage, 2, []byte("hi")), "ping or pong", true},
		{"an empty message", rawFrame(fin|websocket.BinaryMessage, 0, nil), "empty batch", true},
		{"a byte over the batch", rawFrame(fin|websocket.BinaryMessage, 256<<10+1, nil), "batch larger", false},
		{"2^31 bytes", rawFrame(fin|websocket.BinaryMessage, 1<<31, nil), "batch larger", false},
		{"2^32-1 bytes", rawFrame(fin|websocket.BinaryMessage, 1<<32-1, nil), "batch larger", false},
		{"2^63 bytes", rawFrame(fin|websocket.BinaryMessage, 1<<63, nil), "batch larger", false},
		{"2^64-1 bytes", rawFrame(fin|websocket.BinaryMessage, 1<<64-1, nil), "batch larger", false},
		{
			"over the batch by fragments",
			append(rawFrame(websocket.BinaryMessage, 256<<10, make([]byte, 256<<10)), rawFrame(fin, 1, []byte{0})...), "batch larger", false,
		},
		{"a compressed message", rawFrame(fin|rsv1|websocket.BinaryMessage, uint64(len(request)), request), "RSV1", false},
		{"a continuation of nothing", rawFrame(fin, 1, []byte{0}), "continuation", false},
		{
			"a message within another",
			append(rawFrame(websocket.BinaryMessage, 1, []byte{0}), rawFrame(websocket.BinaryMessage, 1, []byte{0})...), "data before FIN", false,
		},
		{"an unknown opcode", rawFrame(fin|7, 0, nil), "opcode", false},
		{"no mask", []byte{fin | websocket.BinaryMessage, 1, 0}, "MASK", false},
		{"a control frame in pieces", rawFrame(websocket.PingMessage, 0, nil), "FIN not set on control", false},
		{"garbage", bytes.Repeat([]byte{0x5a, 0xa5, 0x3c}, 100), "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			x, p, conn := rawAttack(t, testLimits())
			p.sync()
			other, q := beside(t, x, false)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			if _, err := conn.Write(c.raw); err != nil {
				t.Fatal(err)
			}
			<-x.Done()
			x.Wait()
			runtime.ReadMemStats(&after)
			var cut *CutError
			if !errors.As(x.Err(), &cut) || cut.Code != CodeViolation || cut.Remote {
				t.Errorf("ended by %v, want a violation", x.Err())
			}
			rest := cut.Message
			for word := range strings.FieldsSeq(c.want) {
				_, after, ok := strings.Cut(rest, word)
				if !ok {
					t.Fatalf("ended by %v, want the words %q", x.Err(), c.want)
				}
				rest = after
			}
			f, ok := p.wait(func(f *wire.Frame) bool { return f.Kind == wire.Goodbye })
			if c.said && (!ok || string(f.Code) != CodeViolation || string(f.Message) != cut.Message) {
				t.Errorf("goodbye: %v, %s %q", ok, f.Code, f.Message)
			}
			if p.seen(wire.Reply) != 0 {
				t.Error("what it carried was acted upon")
			}
			// Two write buffers, for the last words, and what arrived.
			if grown := after.TotalAlloc - before.TotalAlloc; grown > 512<<10+uint64(5*len(c.raw)) {
				t.Errorf("allocated %d bytes for %d", grown, len(c.raw))
			}
			q.send(wire.Frame{Kind: wire.Request, Mine: true, ID: 1, Handler: numEcho})
			q.next(wire.Reply)
			if other.Err() != nil {
				t.Errorf("the other link ended: %v", other.Err())
			}
		})
	}
}

// Batches cut into tiny fragments are found by what they cost beyond their
// content, at the limit and not much later (fault row 19): gorilla counts none.
func TestFragmentFloodIsCutAtTheLimit(t *testing.T) {
	for name, piece := range map[string][]byte{"one byte each": {0}, "empty": {}} {
		t.Run(name, func(t *testing.T) {
			l := testLimits()
			x, p, conn := rawAttack(t, l)
			p.sync()
			before := x.Stats().BytesIn
			flood := rawFrame(websocket.BinaryMessage, 0, nil)
			for len(flood) < 64<<10 {
				flood = append(flood, rawFrame(0, uint64(len(piece)), piece)...)
			}
			for i := 0; x.Err() == nil && i < 1000; i++ {
				if _, err := conn.Write(flood); err != nil {
					break
				}
				flood[0] = 0 // go on with the same message
			}
			<-x.Done()
			var cut *CutError
			if !errors.As(x.Err(), &cut) || cut.Code != CodeViolation || !strings.Contains(cut.Message, "fragments") {
				t.Errorf("ended by %v", x.Err())
			}
			if in := x.Stats().BytesIn - before; in > 2*uint64(l.WireOverhead) {
				t.Errorf("%d bytes were read, the limit is %d", in, l.WireOverhead)
			}
		})
	}
}

// However small batches are, an honest peer never comes near that limit: a
// message may be smaller than its own header.
func TestSmallBatchesAreNoOverhead(t *testing.T) {
	l := testLimits()
	l.WireOverhead = 1 << 10
	dialed, accepted := webSockets(t, l)
	t.Cleanup(func() { _ = dialed.Close(); _ = accepted.Close() })
	for _, dir := range [][2]Transport{{dialed, accepted}, {accepted, dialed}} {
		for _, size := range []int{1, 2, 3, 7, 125, 126, 1 << 10, l.MaxBatch} {
			for i := range 2000 {
				if size > 1<<10 && i == 10 {
					break
				}
				wrote := make(chan error, 1)
				go func() { wrote <- dir[0].WriteBatch(make([]byte, size)) }()
				b, err := dir[1].ReadBatch()
				if err != nil {
					t.Fatalf("batch %d of %d bytes: %v", i, size, err)
				}
				putBatch(b)
				if err := <-wrote; err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// A peer's close frame ends the link as lost, not as broken.
func TestWebSocketCloseIsAnEnd(t *testing.T) {
	x, p, conn := rawAttack(t, testLimits())
	p.sync()
	if _, err := conn.Write(rawFrame(fin|websocket.CloseMessage, 2, []byte{3, 232})); err != nil {
		t.Fatal(err)
	}
	<-x.Done()
	var cut *CutError
	if !errors.As(x.Err(), &cut) || cut.Code != CodeLost {
		t.Errorf("ended by %v", x.Err())
	}
}
