package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// wsFloor is the floor over gorilla/websocket: each batch is one binary message
// that starts with its CRC-32C.
type wsFloor struct{}

// wsFrameHeader is the longest header that gorilla/websocket puts before what
// its write buffer holds.
const wsFrameHeader = 14

func (wsFloor) Name() string { return "wsfloor" }
func (wsFloor) Can() Feature { return CanCall | CanEcho | CanStream | CanTLS }

func (wsFloor) Start(ctx context.Context, s Settings) (Pair, error) {
	listener, err := listen(ctx)
	if err != nil {
		return nil, err
	}

	// A client cuts messages at its write buffer, at a system call each, so it
	// must hold a batch. It is not from a pool: putting one back allocates.
	bufferSize := headroom + batchLimit + wsFrameHeader
	upgrader := websocket.Upgrader{ReadBufferSize: readSize, WriteBufferSize: bufferSize}
	dialer := websocket.Dialer{ReadBufferSize: readSize, WriteBufferSize: bufferSize}

	accepted := make(chan *websocket.Conn, 1)
	server := &http.Server{
		ReadHeaderTimeout: 10 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			// Upgrade answers a bad request itself; Dial then fails.
			if ws, err := upgrader.Upgrade(w, r, nil); err == nil {
				accepted <- ws
			}
		}),
	}
	url := "ws://" + listener.Addr().String()
	var serving sync.WaitGroup
	if s.TLS == nil {
		serving.Go(func() { _ = server.Serve(listener) })
	} else {
		server.TLSConfig = s.TLS.Server()
		server.TLSConfig.NextProtos = []string{"http/1.1"} // h2 can't be upgraded
		dialer.TLSClientConfig = s.TLS.Client()
		url = "wss://" + listener.Addr().String()
		serving.Go(func() { _ = server.ServeTLS(listener, "", "") })
	}
	stop := func() error {
		err := server.Close()
		serving.Wait()
		return err
	}

	near, response, err := dialer.DialContext(ctx, url, nil)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("dial the WebSocket floor: %w", err), stop())
	}
	_ = response.Body.Close()
	far := <-accepted
	return newFloorPair(&wsCarrier{Conn: near}, &wsCarrier{Conn: far}, func() error {
		return errors.Join(near.Close(), far.Close(), stop())
	}), nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A wsCarrier sends each batch as one message.
type wsCarrier struct {
	*websocket.Conn
	buf []byte
}

func (c *wsCarrier) write(batch []byte) error {
	binary.LittleEndian.PutUint32(batch, crc32.Checksum(batch[headroom:], castagnoli))
	return c.WriteMessage(websocket.BinaryMessage, batch)
}

func (c *wsCarrier) read() ([]byte, error) {
	kind, message, err := c.NextReader()
	if err != nil {
		return nil, err
	}
	if kind != websocket.BinaryMessage {
		return nil, fmt.Errorf("a WebSocket message of type %d, want binary", kind)
	}
	c.buf, err = readAll(message, c.buf[:0])
	if err != nil {
		return nil, err
	}
	if len(c.buf) < headroom {
		return nil, fmt.Errorf("a batch of %d bytes has no checksum", len(c.buf))
	}
	if crc32.Checksum(c.buf[headroom:], castagnoli) != binary.LittleEndian.Uint32(c.buf) {
		return nil, errors.New("a batch's checksum is wrong")
	}
	return c.buf[headroom:], nil
}

// readAll appends all of r to buf: io.ReadAll that keeps its buffer.
func readAll(r io.Reader, buf []byte) ([]byte, error) {
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, make([]byte, max(readSize, len(buf)))...)[:len(buf)]
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if err == io.EOF {
			return buf, nil
		}
		if err != nil {
			return nil, err
		}
	}
}
