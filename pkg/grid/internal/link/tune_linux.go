package link

import (
	"net"
	"syscall"
)

// tcpNotsentLowat and tcpUserTimeout are missing from package syscall.
const (
	tcpUserTimeout  = 18
	tcpNotsentLowat = 25
)

// tune asks TCP to keep little unsent data in the kernel, so that a small call
// isn't queued behind bulk there, and to give up on a dead path as we do.
// Both only make things better: a kernel that refuses is fine.
func tune(c net.Conn, l Limits) {
	if t, ok := c.(interface{ NetConn() net.Conn }); ok { // crypto/tls
		c = t.NetConn()
	}
	s, ok := c.(syscall.Conn)
	if !ok {
		return
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(l.DeadAfter.Milliseconds()))
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpNotsentLowat, 2*l.Chunk)
	})
}
