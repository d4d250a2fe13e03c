package peers

import (
	"context"
	"iter"
)

// Source tells who the peers are, again at every change.
type Source interface {
	// Lists gives a list or an error, one after the other, until ctx ends or
	// no more will come. An error says why what was read cannot be used: the
	// last good list stays. Nothing is read while the caller's loop body runs.
	// Several loops over one Source may run at once, each with its own view.
	Lists(ctx context.Context) iter.Seq2[List, error]
}

// Static gives one list of these names, or the error of [NewList], and ends.
func Static(names ...string) Source {
	return static(names)
}

type static []string

func (s static) Lists(ctx context.Context) iter.Seq2[List, error] {
	return func(yield func(List, error) bool) {
		if ctx.Err() == nil {
			yield(NewList(s))
		}
	}
}
