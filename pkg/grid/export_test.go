package grid

import "github.com/gridmesh/gridmesh/pkg/grid/internal/link"

// Decode is the typed layer's decoding by itself. Fuzzing needs it without the
// goroutines of a link, whose steps look like new finds.
func Decode[T any, P msgPtr[T]](b []byte) (*T, error) {
	c := newCodec[T, P]()
	return c.decode(b)
}

// LinkOf is the link that c's calls are made on.
func LinkOf(c *Connection) *link.Link { return c.peer.live.Load() }

// SetLink has c's calls made on l. With one that has ended that is what calls
// find that come before the end was attended to.
func SetLink(c *Connection, l *link.Link) { c.peer.live.Store(l) }
