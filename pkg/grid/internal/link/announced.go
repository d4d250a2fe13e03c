package link

import (
	"maps"

	"github.com/gridmesh/gridmesh/pkg/grid/internal/wire"
)

// recentMost is from how many handlers on new ones are merged with the others.
const recentMost = 64

// theirs is the handlers that the other side has announced. It is immutable and
// swapped whole, so that looking one up takes no lock. In two parts, so that an
// announcement of one handler copies some and not thousands: the other side says
// how many come, and each in a frame of its own if it likes.
type theirs struct {
	most, recent map[string]wire.Handler
}

func newTheirs(all []wire.Handler) *theirs {
	t := &theirs{most: make(map[string]wire.Handler, len(all))}
	for _, h := range all {
		t.most[h.Name] = h
	}
	return t
}

func (t *theirs) find(name string) (h wire.Handler, ok bool) {
	if h, ok = t.most[name]; !ok {
		h, ok = t.recent[name]
	}
	return h, ok
}

func (t *theirs) len() int { return len(t.most) + len(t.recent) }

// with gives t and more, none of which is in t.
func (t *theirs) with(more map[string]wire.Handler) *theirs {
	next := &theirs{most: t.most, recent: make(map[string]wire.Handler, len(t.recent)+len(more))}
	maps.Copy(next.recent, t.recent)
	maps.Copy(next.recent, more)
	if len(next.recent) > recentMost {
		next.most = make(map[string]wire.Handler, t.len()+len(more))
		maps.Copy(next.most, t.most)
		maps.Copy(next.most, next.recent)
		next.recent = nil
	}
	return next
}
