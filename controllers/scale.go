package controllers

import (
	"time"

	"github.com/gridmesh/gridmesh/controllers/names"
)

// scale is what the StatefulSet should say of its size.
type scale struct {
	replicas int32
	shrink   *names.Shrink
}

// sizes is what nextScale decides from.
type sizes struct {
	wish   int32         // spec.replicas of the Grid
	now    time.Time     //
	drain  time.Duration // how long removed pods have
	exists bool          // there is a StatefulSet
	is     scale         // what it says now

	// drained: the pods that it will lose have said that nothing runs on them
	// any more.
	drained bool
	// beyond: there are pods beyond those that are to stay.
	beyond bool
}

// nextScale decides how a Grid's own StatefulSet goes from the size that it has
// to the one wished for. Growing is one step. Shrinking is three: the pods that
// will go are taken out of the peer list while they run on; once they have
// drained, or have had their time, the StatefulSet drops them; once they are
// gone it is over. A wish for more meanwhile waits for the end, since a node that
// was taken out has stopped and does not come back: its pod must be a new one.
//
//	          wish < is               drained, or time over       pods gone
//	(steady) ───────────► (unpublished) ────────────► (dropped) ───────────► (steady)
//
// wake is when to decide again if nothing happens; zero for never.
func nextScale(in sizes) (next scale, wake time.Time) {
	shrink := in.is.shrink
	begin := func(to int32) (scale, time.Time) {
		since := in.now.Truncate(time.Second)
		return scale{in.is.replicas, &names.Shrink{To: to, Since: since}}, since.Add(in.drain)
	}
	switch {
	case !in.exists:
		return scale{replicas: in.wish}, time.Time{}
	case shrink == nil && in.wish >= in.is.replicas:
		return scale{replicas: in.wish}, time.Time{}
	case shrink == nil, in.wish < shrink.To:
		return begin(in.wish) // those who go from now on have their whole time
	case in.is.replicas <= shrink.To && in.beyond:
		return in.is, time.Time{}
	case in.is.replicas <= shrink.To:
		return scale{replicas: in.wish}, time.Time{}
	case shrink.Since.After(in.now):
		return begin(shrink.To) // another operator's clock was ahead
	}
	until := shrink.Since.Add(in.drain)
	if in.drained || !in.now.Before(until) {
		return scale{shrink.To, shrink}, time.Time{}
	}
	return in.is, until
}
