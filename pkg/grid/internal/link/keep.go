package link

import "github.com/gridmesh/gridmesh/pkg/grid/internal/recycle"

// keep gives a copy of b that belongs to whoever receives it. It is never nil:
// an empty message is a message.
func keep(b []byte) []byte {
	own := recycle.Get(len(b))
	copy(own, b)
	return own
}
