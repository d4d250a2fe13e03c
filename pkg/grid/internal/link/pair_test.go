package link

import (
	"bufio"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// testLimits are the library's defaults.
func testLimits() Limits {
	return Limits{
		MaxMessage: 64 << 20, Chunk: 64 << 10, Eager: 256 << 10, EagerWindow: 1 << 20, MaxBatch: 256 << 10,
		SendQueue: 4 << 20, QueueMark: 2 << 20, ControlQueue: 1 << 20, MaxCalls: 16384, MaxHandlers: 4096, MaxHeader: 4 << 10,
		MaxErrorText: 4 << 10, StreamWindow: 64 << 10,
		RequestBytes: 128 << 20, ReplyBytes: 128 << 20, DataBytes: 256 << 20, ProcessBytes: 1 << 30,
		MaxTimeout: 24 * time.Hour, PingEvery: 5 * time.Second, DeadAfter: 15 * time.Second,
		WriteTimeout: 10 * time.Second, GoodbyeWait: time.Second, WireOverhead: 1 << 20,
		InlineAfter: 256, Tick: 200 * time.Microsecond,
	}
}

// end is one end of a pair: a link with its own manager's share.
type end struct {
	*Link
	shared *Shared
}

// quiet drops all logs; tests that expect one bring their own logger.
var quiet = slog.New(slog.DiscardHandler)

type coded struct{ code, message string }

func (e *coded) Error() string { return e.message }

func encodeTest(err error) (code, message string) {
	if c, ok := errors.AsType[*coded](err); ok {
		return c.code, c.message
	}
	return CodeUnknown, err.Error()
}

// pairOver gives two linked ends over two transports, each with its handlers.
func pairOver(tb testing.TB, l Limits, ta, tb2 Transport, checksum bool, a, b []*Handler) (end, end) {
	tb.Helper()
	mk := func(hs []*Handler) *Shared {
		r := &Registry{}
		for _, h := range hs {
			if err := r.Add(h); err != nil {
				tb.Fatal(err)
			}
		}
		return NewShared(l, r, quiet, encodeTest)
	}
	sa, sb := mk(a), mk(b)
	side := Side{MaxMessage: l.MaxMessage, MaxCalls: l.MaxCalls, StreamWindow: l.StreamWindow, EagerWindow: l.EagerWindow}
	x := Start(Config{Transport: ta, Remote: "b:1", Checksum: checksum, Ours: side, Theirs: side, TheirHandlers: sb.Registry.Announcements(0), Announced: len(a), Shared: sa})
	y := Start(Config{Transport: tb2, Remote: "a:1", Checksum: checksum, Ours: side, Theirs: side, TheirHandlers: sa.Registry.Announcements(0), Announced: len(b), Shared: sb})
	tb.Cleanup(func() {
		x.Terminate(CodeClosed, "test over")
		y.Terminate(CodeClosed, "test over")
		x.Wait()
		y.Wait()
		sa.Close()
		sb.Close()
	})
	return end{x, sa}, end{y, sb}
}

// memoryPair is a pair within the process.
func memoryPair(tb testing.TB, l Limits, a, b []*Handler) (end, end) {
	ta, tb2 := MemoryPair()
	return pairOver(tb, l, ta, tb2, true, a, b)
}

// webSockets gives the two transports of a real WebSocket over loopback TCP.
func webSockets(tb testing.TB, l Limits) (dialed, accepted Transport) {
	tb.Helper()
	return webSocketsOver(tb, l, func(c net.Conn) net.Conn { return c })
}

// webSocketsOver has the dialer's connection wrapped.
func webSocketsOver(tb testing.TB, l Limits, wrap func(net.Conn) net.Conn) (dialed, accepted Transport) {
	tb.Helper()
	size, pool := WriteBuffers(l)
	got := make(chan *websocket.Conn, 1)
	up := websocket.Upgrader{WriteBufferSize: size, WriteBufferPool: pool}
	srv := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := up.Upgrade(hijack{w, l}, r, nil)
		if err != nil {
			return
		}
		got <- ws
	})}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	go func() { _ = srv.Serve(ln) }()
	tb.Cleanup(func() { _ = srv.Close() })
	d := websocket.Dialer{WriteBufferSize: size, WriteBufferPool: pool, NetDialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return Meter(wrap(c), l), nil
	}}
	ws, _, err := d.Dial("ws://"+ln.Addr().String(), nil)
	if err != nil {
		tb.Fatal(err)
	}
	return NewWebSocket(ws, l), NewWebSocket(<-got, l)
}

func echo() *Handler {
	return &Handler{Name: "echo", Single: func(_ context.Context, _ *Incoming, req []byte) ([]byte, error) { return req, nil }}
}

func wsPair(tb testing.TB, l Limits, a, b []*Handler) (end, end) {
	ta, tb2 := webSockets(tb, l)
	return pairOver(tb, l, ta, tb2, true, a, b)
}

// hijack puts a Meter around the connection that an upgrade takes over.
type hijack struct {
	http.ResponseWriter
	l Limits
}

func (h hijack) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := h.ResponseWriter.(http.Hijacker).Hijack()
	if err != nil {
		return nil, nil, err
	}
	metered := Meter(c, h.l)
	rw.Reader.Reset(metered) // as the grid package does: releases of gorilla/websocket differ in whether they do
	return metered, rw, nil
}
