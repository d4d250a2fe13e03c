package logger

import "github.com/gridmesh/gridmesh/internal/target"

// Ring is the newest entries of a log.
type Ring = target.Ring

// NewRing makes a ring of RingEntries.
func NewRing() *Ring { return target.NewRing(target.RingEntries, target.RingBytes) }
