//go:build !linux

package link

import "net"

// tune does nothing where these options have other names or none.
func tune(net.Conn, Limits) {}
