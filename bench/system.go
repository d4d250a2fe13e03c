package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"

	"github.com/gridmesh/gridmesh/pkg/grid"
)

// A System is one way of carrying calls between two programs. Its methods may
// be called concurrently; every Pair, Links or io.Closer that it returns is
// independent of the others and belongs to the caller.
type System interface {
	// Name is what -systems, the table and aims.yaml call it.
	Name() string

	// Can tells what it is able to do; cases that need more leave it out.
	Can() Feature

	// Start makes two ends in this process, linked by one loopback connection;
	// ctx is for that only.
	Start(ctx context.Context, s Settings) (Pair, error)
}

// listen opens a port on loopback.
func listen(ctx context.Context) (net.Listener, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen on loopback: %w", err)
	}
	return listener, nil
}

// Settings are the conditions that a case asks of every system alike.
type Settings struct {
	TLS *Certificate // nil: plain text; otherwise TLS 1.3 with this certificate

	Grid func(*grid.Options) // changes the options of each node of Gridmesh; nil: nothing
}

// A Pair is a calling end and a serving end with one connection between them.
// Its methods may be called concurrently.
type Pair interface {
	// Caller returns a new caller of the method.
	Caller(m Method) Caller

	// StreamFrom has the serving end send n messages of size bytes down one
	// stream, and returns when the calling end has received exactly those.
	StreamFrom(ctx context.Context, n, size int) error

	// Close ends both ends and waits for their goroutines; calls still running
	// fail. It may be called more than once.
	Close() error
}

// A Caller makes one call at a time. It is not safe for concurrent use: each
// goroutine has its own.
type Caller interface {
	// Call sends req and returns the reply, which is valid until the next Call.
	// A system that can avoid an allocation by it appends the reply to dst.
	Call(ctx context.Context, req, dst []byte) ([]byte, error)
}

// A Holder is a Pair that can keep streams open without using them.
type Holder interface {
	// Hold opens n more streams that stay open and idle until the pair closes.
	Hold(ctx context.Context, n int) error
}

// A Linker is a System that can make many connections in one process.
type Linker interface {
	// Links prepares at least n connections: every end exists and listens, none
	// is linked.
	Links(ctx context.Context, n int) (Links, error)

	// Unlinked makes one end that knows n peers, none of which can be reached.
	Unlinked(ctx context.Context, n int) (io.Closer, error)
}

// Links are connections that are prepared, then made.
type Links interface {
	// Link makes the connections, and one call over each, and says how many.
	Link(ctx context.Context) (int, error)

	// Close ends all and waits for their goroutines.
	Close() error
}

// A Mesher is a System that links each of n ends with every other.
type Mesher interface {
	// Mesh starts n ends and returns when all n(n-1)/2 connections are up.
	Mesh(ctx context.Context, n int) (Mesh, error)
}

// A Mesh is a set of ends, each linked with every other. Its methods may be
// called concurrently.
type Mesh interface {
	// Caller returns a new caller from one end of the mesh to another.
	Caller(from, to int) Caller

	// Close ends all and waits for their goroutines.
	Close() error
}

// Method is what the serving end does with a request.
type Method int

const (
	Echo  Method = iota // answer with the request
	Block               // wait blockFor, then answer with the request
)

// Feature is a set of things that a system is able to do.
type Feature uint

const (
	CanCall   Feature = 1 << iota // calls of 512 bytes whose handler doesn't block
	CanEcho                       // Echo really answers with the request, of any size
	CanBlock                      // handlers that block without stopping other calls
	CanStream                     // streams from the serving end
	CanBulk                       // payloads of 32 MiB beside small ones
	CanTLS                        // TLS 1.3
	CanHold                       // its pairs are Holders
	CanLink                       // it is a Linker
	CanMesh                       // it is a Mesher
	CanLog                        // its parts log and audit are measured
)

// systems lists every system, references before what is measured against them.
func systems() []System {
	return []System{tcpFloor{}, wsFloor{}, grpcSystem{}, gridmeshSystem{}, gridmeshSystem{appending: true}}
}

// knownSystem tells whether -systems and aims can name it.
func knownSystem(name string) bool {
	return slices.ContainsFunc(systems(), func(s System) bool { return s.Name() == name })
}

// pickSystems returns the named systems in the order of systems(); "" is all.
func pickSystems(names string) ([]System, error) {
	all := systems()
	if names == "" {
		return all, nil
	}
	wanted := make(map[string]bool)
	for name := range strings.SplitSeq(names, ",") {
		wanted[strings.TrimSpace(name)] = true
	}
	var picked []System
	var known []string
	for _, s := range all {
		known = append(known, s.Name())
		if wanted[s.Name()] {
			picked = append(picked, s)
			delete(wanted, s.Name())
		}
	}
	for name := range wanted {
		return nil, fmt.Errorf("-systems: no system %q: choose from %s", name, strings.Join(known, ", "))
	}
	return picked, nil
}
