package link

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/gridmesh/gridmesh/pkg/grid/internal/wire"
)

// headerRoom is what gorilla puts in front of a batch in its write buffer, and
// more than any header takes on the wire.
const headerRoom = 16

// WriteBuffers returns what a websocket.Dialer or Upgrader must be given so
// that a batch goes out as one WebSocket frame and one system call: the size
// of the write buffer, and the pool that idle links give it back to.
func WriteBuffers(l Limits) (size int, pool websocket.BufferPool) {
	return l.MaxBatch + headerRoom, &writePool
}

// writePool holds the write buffers of all links. gorilla boxes them itself.
var writePool sync.Pool

// wsTransport carries each batch as one binary message.
type wsTransport struct {
	ws   *websocket.Conn
	wire wireCounter
	max  int
}

// wireCounter is what Meter's connection offers; a transport over another one counts nothing.
type wireCounter interface {
	Wire() (in, out uint64)
	Delivered(n int)
}

// errControl ends a link whose other side sends WebSocket control frames of its own: our protocol has PING and GOODBYE.
var errControl = errors.New("WebSocket ping or pong received; this protocol has its own")

// NewWebSocket gives the transport over ws, whose net.Conn should be a Meter's.
// It clears the deadlines that an http.Server or a handshake left behind.
func NewWebSocket(ws *websocket.Conn, l Limits) Transport {
	ws.SetReadLimit(int64(l.MaxBatch))
	// gorilla's own handlers answer from the reader's goroutine, which then waits for the writer.
	ws.SetPingHandler(func(string) error { return errControl })
	ws.SetPongHandler(func(string) error { return errControl })
	ws.SetCloseHandler(func(int, string) error { return nil })
	conn := ws.NetConn()
	_ = conn.SetDeadline(time.Time{}) // fails only on a connection that is closed, which the first read reports
	t := &wsTransport{ws: ws, max: l.MaxBatch}
	t.wire, _ = conn.(wireCounter)
	return t
}

func (t *wsTransport) ReadBatch() (*batch, error) {
	kind, r, err := t.ws.NextReader()
	if err != nil {
		return nil, t.broken(err)
	}
	if kind != websocket.BinaryMessage {
		return nil, &wire.ViolationError{Reason: fmt.Sprintf("WebSocket message of type %d, want binary", kind)}
	}
	t.delivered(headerRoom) // a small batch may well be smaller than its own header
	buf := getBatch()
	for {
		if len(buf.b) == cap(buf.b) {
			buf.b = append(buf.b, 0)[:len(buf.b)]
		}
		n, err := r.Read(buf.b[len(buf.b):cap(buf.b)])
		buf.b = buf.b[:len(buf.b)+n]
		t.delivered(n)
		if err == io.EOF {
			return buf, nil
		}
		if err != nil {
			return nil, t.broken(err)
		}
	}
}

func (t *wsTransport) delivered(n int) {
	if t.wire != nil {
		t.wire.Delivered(n)
	}
}

// broken makes a violation of an error that says that the other side broke the
// rules, WebSocket's or ours about it. gorilla's own have no type, but a prefix.
func (t *wsTransport) broken(err error) error {
	var closed *websocket.CloseError
	switch {
	case errors.As(err, &closed):
		return err
	case errors.Is(err, websocket.ErrReadLimit):
		return &wire.ViolationError{Reason: fmt.Sprintf("batch larger than %d bytes", t.max)}
	case errors.Is(err, errControl), errors.Is(err, errOverhead), strings.HasPrefix(err.Error(), "websocket: "):
		return &wire.ViolationError{Reason: err.Error()}
	}
	return err
}

func (t *wsTransport) WriteBatch(b []byte) error {
	return t.ws.WriteMessage(websocket.BinaryMessage, b)
}

func (t *wsTransport) Close() error { return t.ws.Close() }

func (t *wsTransport) Wire() (in, out uint64) {
	if t.wire == nil {
		return 0, 0
	}
	return t.wire.Wire()
}
