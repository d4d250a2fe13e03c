package grid

import "github.com/gridmesh/gridmesh/pkg/grid/internal/recycle"

// Release gives the memory of a received message, request or reply back for
// the next ones. It is never needed; it saves programs with many calls an
// allocation each. buf must be what was received, not grown nor cut from the
// front; other slices are left alone. After Release its user must not touch
// buf, nor hand it to the library: who does harms only itself. A second release
// does nothing, and in race builds and under gridtest it panics and released
// memory is overwritten.
func Release(buf []byte) { recycle.Release(buf) }
