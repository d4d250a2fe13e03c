package grid

import (
	"context"

	"github.com/gridmesh/gridmesh/pkg/grid/internal/link"
)

// Info says in a handler who called and how.
type Info struct {
	Peer     string    // the caller's name; one's own for calls to oneself
	Identity string    // what the peer's certificate says it is; empty without TLS
	Instance [16]byte  // the caller's process
	Handler  HandlerID // the handler that runs
	Header   Header    // nil unless one was sent
	Stream   bool
}

// CallInfo gives what is known of the call that ctx belongs to. Outside a
// handler it gives the zero Info.
func CallInfo(ctx context.Context) Info {
	in := link.FromContext(ctx)
	if in == nil {
		return Info{}
	}
	l, h := in.Link(), in.Handler()
	return Info{
		Peer: l.Remote(), Identity: l.Identity(), Instance: l.Instance(),
		Handler: HandlerID(h.Name), Header: decodeHeader(in.Header), Stream: h.Stream != nil,
	}
}

// peerOf gives the peer that made a call.
func peerOf(in *link.Incoming) *peer {
	p, _ := in.Link().Owner().(*peer) // all our links are made with one
	return p
}
