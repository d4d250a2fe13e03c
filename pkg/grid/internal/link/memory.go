package link

import (
	"io"
	"sync"
	"sync/atomic"
)

// memoryTransport is one end of a pair within the process: calls to oneself
// take the same way as all others, so they have the same semantics, copies,
// limits and errors, but touch no socket.
type memoryTransport struct {
	in, out chan []byte // unbuffered: a batch is copied by its reader
	read    chan struct{}
	peer    *memoryTransport
	bytesIn atomic.Uint64
	closed  chan struct{} // shared by both ends
	once    *sync.Once    // closes it
}

// MemoryPair gives two transports that lead to each other.
func MemoryPair() (a, b Transport) {
	ab, ba, closed := make(chan []byte), make(chan []byte), make(chan struct{})
	once := new(sync.Once)
	x := &memoryTransport{in: ba, out: ab, read: make(chan struct{}), closed: closed, once: once}
	y := &memoryTransport{in: ab, out: ba, read: make(chan struct{}), closed: closed, once: once}
	x.peer, y.peer = y, x
	return x, y
}

func (t *memoryTransport) ReadBatch() (*batch, error) {
	select {
	case b := <-t.in:
		buf := getBatch()
		buf.b = append(buf.b, b...)
		t.bytesIn.Add(uint64(len(b)))
		t.read <- struct{}{} // the writer waits for it unconditionally: b is its own again
		return buf, nil
	case <-t.closed:
		return nil, io.EOF
	}
}

func (t *memoryTransport) WriteBatch(b []byte) error {
	select {
	case t.out <- b:
		<-t.peer.read
		return nil
	case <-t.closed:
		return io.ErrClosedPipe
	}
}

func (t *memoryTransport) Close() error {
	t.once.Do(func() { close(t.closed) })
	return nil
}

func (t *memoryTransport) Wire() (in, out uint64) {
	return t.bytesIn.Load(), t.peer.bytesIn.Load()
}
