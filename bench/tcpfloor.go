package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
)

// tcpFloor is the floor over bare TCP: what the kernel and Go's scheduler cost.
type tcpFloor struct{}

// readSize is how much a floor asks of its socket at once.
const readSize = 64 << 10

func (tcpFloor) Name() string { return "tcpfloor" }
func (tcpFloor) Can() Feature { return CanCall | CanEcho | CanStream | CanTLS }

func (tcpFloor) Start(ctx context.Context, s Settings) (Pair, error) {
	near, far, err := socketPair(ctx)
	if err != nil {
		return nil, err
	}
	if s.TLS != nil {
		near, far = tls.Client(near, s.TLS.Client()), tls.Server(far, s.TLS.Server())
	}
	return newFloorPair(newTCPCarrier(near), newTCPCarrier(far), func() error {
		return errors.Join(near.Close(), far.Close())
	}), nil
}

// socketPair returns both ends of one loopback connection.
func socketPair(ctx context.Context) (near, far net.Conn, err error) {
	listener, err := listen(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer listener.Close()
	var dialer net.Dialer
	near, err = dialer.DialContext(ctx, "tcp", listener.Addr().String())
	if err != nil {
		return nil, nil, fmt.Errorf("dial loopback: %w", err)
	}
	far, err = listener.Accept()
	if err != nil {
		_ = near.Close()
		return nil, nil, fmt.Errorf("accept on loopback: %w", err)
	}
	return near, far, nil
}

// A tcpCarrier cuts the byte stream of a connection into whole frames.
type tcpCarrier struct {
	net.Conn
	buf      []byte
	from, to int // what was read and not yet returned
}

func newTCPCarrier(c net.Conn) *tcpCarrier {
	return &tcpCarrier{Conn: c, buf: make([]byte, readSize)}
}

func (c *tcpCarrier) write(batch []byte) error {
	_, err := c.Write(batch[headroom:])
	return err
}

func (c *tcpCarrier) read() ([]byte, error) {
	// The rest of the last read is the beginning of a frame.
	c.to = copy(c.buf, c.buf[c.from:c.to])
	c.from = 0
	for {
		whole, need := wholeFrames(c.buf[:c.to])
		if whole > 0 {
			c.from = whole
			return c.buf[:whole], nil
		}
		if need > len(c.buf) {
			c.buf = append(c.buf, make([]byte, need-len(c.buf))...)
		}
		n, err := c.Read(c.buf[c.to:])
		c.to += n
		if n == 0 && err != nil {
			return nil, err
		}
	}
}

// wholeFrames returns the length of the whole frames that buf starts with, and
// how long buf must become for the next one as far as that is known.
func wholeFrames(buf []byte) (whole, need int) {
	for {
		rest := buf[whole:]
		if len(rest) < floorHeader {
			return whole, whole + floorHeader
		}
		size := frameSize(rest)
		if len(rest) < size {
			return whole, whole + size
		}
		whole += size
	}
}
