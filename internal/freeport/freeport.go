// Package freeport finds ports for nodes that are told where to listen before
// they do: those of the demo and of tests. It opens no server and keeps no port
// for its caller; it keeps other processes that ask it away from it.
//
// A port that is free now may be anybody's a moment later. So a process takes a
// block of them, which it holds for as long as it lives by listening at the first
// one, and gives out the others in turn. Packages whose tests run at the same time,
// on a machine on which a moment is long, then do not give out the same ones.
package freeport

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

const (
	first = 10_000 // below those that systems give to outgoing connections
	last  = 30_000
	block = 100 // ports, one of which says whose the others are
	tries = 1000
)

// ports is the block of this process.
var ports struct {
	sync.Mutex // protects what follows

	held  net.Listener // at base
	base  int
	given int
}

// Addrs gives so many addresses of 127.0.0.1 that nobody listens at, none of them
// twice. It fails where so many are not free. It may be called concurrently; 99
// ports later it begins anew.
func Addrs(count int) ([]string, error) {
	ports.Lock()
	defer ports.Unlock()
	if err := holdLocked(); err != nil {
		return nil, err
	}
	var addrs []string
	for range block - 1 {
		if len(addrs) == count {
			break
		}
		addr := at(ports.base + 1 + ports.given%(block-1))
		ports.given++
		if l, err := listen(addr); err == nil && l.Close() == nil {
			addrs = append(addrs, addr)
		}
	}
	if len(addrs) < count {
		return nil, fmt.Errorf("only %d of %d ports between %d and %d are free", len(addrs), count, ports.base+1, ports.base+block-1)
	}
	return addrs, nil
}

// holdLocked takes a block, if there is none yet. ports must be locked.
func holdLocked() error {
	for range tries {
		if ports.held != nil {
			return nil
		}
		ports.base = first + block*rand.IntN((last-first)/block)
		ports.held, _ = listen(at(ports.base))
	}
	return errors.New("all blocks of ports are taken")
}

func listen(addr string) (net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", addr)
	if err != nil {
		return nil, err
	}
	return l, nil
}

func at(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
