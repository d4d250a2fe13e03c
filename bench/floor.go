package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
)

// The floors are the least that can carry concurrent calls over one connection:
// an 8-byte header, one shared pending buffer and one writer an end, the handler
// run by the reader, one channel for each caller, used again for every call.
// They know no deadline, no cancelling and no limit, and a handler that blocked
// would stop everybody: all of that is what a real system has to pay for.

// streamFlag, in the length of a request, asks for a stream.
const streamFlag = 1 << 31

var errFloorClosed = errors.New("the floor's connection is closed")

// A floorPair is a Pair over two carriers that are linked with each other.
type floorPair struct {
	calling, serving  carrier
	requests, replies *outbox
	closeCarriers     func() error
	goroutines        sync.WaitGroup // readers, writers, and streams of the serving end
	closeOnce         sync.Once
	closeErr          error

	mu      sync.Mutex     // protects what follows
	waiting []*floorWaiter // by id; nil when nothing is awaited
	free    []*floorWaiter // whose owner has no more use for them
	broken  bool           // no reply will be read any more
}

// A floorWaiter is where the replies to one id go: a caller's for all of its
// calls, or a stream's.
type floorWaiter struct {
	id       uint32
	reply    []byte // the reply is appended to it
	messages int    // of a stream: still to come
	size     int    // of a stream: bytes of each message
	err      error
	done     chan struct{} // of capacity 1, so that the reader never waits
}

// newFloorPair starts the two ends; closeCarriers closes both carriers and what
// they stand on, and waits for it.
func newFloorPair(calling, serving carrier, closeCarriers func() error) *floorPair {
	p := &floorPair{
		calling: calling, serving: serving,
		requests: newOutbox(), replies: newOutbox(),
		closeCarriers: closeCarriers,
	}
	p.goroutines.Go(func() { p.requests.writeTo(calling) })
	p.goroutines.Go(func() { p.replies.writeTo(serving) })
	p.goroutines.Go(p.serve)
	p.goroutines.Go(p.receive)
	return p
}

// Caller returns a caller of Echo: a floor's handlers can't block.
func (p *floorPair) Caller(Method) Caller {
	return &floorCaller{pair: p, waiter: p.newWaiter()}
}

// StreamFrom asks for the messages; the reader of replies counts them.
func (p *floorPair) StreamFrom(_ context.Context, n, size int) error {
	w := p.newWaiter()
	w.messages, w.size = n, size
	err := p.await(w, askSize|streamFlag, newAsk(n, size))
	p.mu.Lock()
	p.free = append(p.free, w)
	p.mu.Unlock()
	return err
}

// Close ends both ends and waits for them.
func (p *floorPair) Close() error {
	p.closeOnce.Do(func() {
		p.requests.close()
		p.replies.close()
		p.closeErr = p.closeCarriers()
		p.goroutines.Wait()
	})
	return p.closeErr
}

type floorCaller struct {
	pair   *floorPair
	waiter *floorWaiter
}

func (c *floorCaller) Call(_ context.Context, req, dst []byte) ([]byte, error) {
	w := c.waiter
	w.reply = dst
	if err := c.pair.await(w, uint32(len(req)), req); err != nil {
		return nil, err
	}
	return w.reply, nil
}

// newWaiter returns a waiter with an id of its own.
func (p *floorPair) newWaiter() *floorWaiter {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.free); n > 0 {
		w := p.free[n-1]
		p.free = p.free[:n-1]
		w.messages, w.err = 0, nil
		return w
	}
	w := &floorWaiter{id: uint32(len(p.waiting)), done: make(chan struct{}, 1)}
	p.waiting = append(p.waiting, nil)
	return w
}

// await sends one request and waits until the reader is done with w.
func (p *floorPair) await(w *floorWaiter, length uint32, req []byte) error {
	p.mu.Lock()
	if p.broken {
		p.mu.Unlock()
		return errFloorClosed
	}
	p.waiting[w.id] = w
	p.mu.Unlock()
	p.requests.put(w.id, length, req)
	<-w.done
	return w.err
}

// serve is the serving end's reader, and runs its handlers.
func (p *floorPair) serve() {
	for {
		frames, err := p.serving.read()
		if err != nil {
			return
		}
		for len(frames) > 0 {
			id, length := binary.LittleEndian.Uint32(frames), binary.LittleEndian.Uint32(frames[4:])
			size := frameSize(frames)
			payload := frames[floorHeader:size]
			frames = frames[size:]
			if length&streamFlag == 0 {
				p.replies.put(id, length, payload)
				continue
			}
			n, each, err := parseAsk(payload)
			if err != nil {
				_ = p.serving.Close()
				return
			}
			p.goroutines.Go(func() { p.stream(id, n, each) })
		}
	}
}

// stream is the handler of a stream.
func (p *floorPair) stream(id uint32, n, size int) {
	message := make([]byte, size)
	for range n {
		if !p.replies.putBounded(id, uint32(size), message) {
			return
		}
	}
}

// receive is the calling end's reader.
func (p *floorPair) receive() {
	for {
		frames, err := p.calling.read()
		if err != nil {
			p.fail(fmt.Errorf("%w: %w", errFloorClosed, err))
			return
		}
		for len(frames) > 0 {
			size := frameSize(frames)
			p.deliver(binary.LittleEndian.Uint32(frames), frames[floorHeader:size])
			frames = frames[size:]
		}
	}
}

// deliver hands one reply, or one message of a stream, to its waiter.
func (p *floorPair) deliver(id uint32, payload []byte) {
	p.mu.Lock()
	w := p.waiting[id]
	if w.messages <= 1 {
		p.waiting[id] = nil
	}
	p.mu.Unlock()
	switch {
	case w.messages == 0:
		w.reply = append(w.reply, payload...)
	case len(payload) != w.size:
		w.err = fmt.Errorf("a stream's message has %d bytes, want %d", len(payload), w.size)
		fallthrough
	default:
		w.messages--
		if w.messages > 0 {
			return
		}
	}
	w.done <- struct{}{}
}

// fail ends the calls that wait, and those to come.
func (p *floorPair) fail(err error) {
	p.mu.Lock()
	p.broken = true
	waiting := p.waiting
	p.waiting = nil
	p.mu.Unlock()
	for _, w := range waiting {
		if w != nil {
			w.err = err
			w.done <- struct{}{}
		}
	}
}
