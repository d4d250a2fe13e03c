package names

import (
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
)

// Annotations of a Grid's own StatefulSet while it shrinks. They stand on the
// StatefulSet, not on its pods, so they restart nothing; and as they stand in
// the API, an operator that starts in the middle goes on where the last one was.
const (
	// AnnotationShrinkTo is how many pods stay. The others are taken out of the
	// peer list while they still run.
	AnnotationShrinkTo = "gridmesh.io/shrink-to"
	// AnnotationShrinkSince is when that was written.
	AnnotationShrinkSince = "gridmesh.io/shrink-since"
)

// Shrink is a scale down under way.
type Shrink struct {
	To    int32
	Since time.Time
}

// ShrinkOf reads the annotations of a StatefulSet; nil if it does not shrink.
func ShrinkOf(s *appsv1.StatefulSet) *Shrink {
	to, err := strconv.ParseInt(s.Annotations[AnnotationShrinkTo], 10, 32)
	if err != nil || to < 0 {
		return nil
	}
	// One that cannot be read has begun long ago: it must not wait for ever.
	since, _ := time.Parse(time.RFC3339, s.Annotations[AnnotationShrinkSince])
	return &Shrink{To: int32(to), Since: since}
}

// Replicas is how many pods a StatefulSet asks for.
func Replicas(s *appsv1.StatefulSet) int32 {
	if s.Spec.Replicas == nil {
		return 1
	}
	return *s.Spec.Replicas
}

// Wished is how many pods belong into the peer list, from Start on: as many as
// the StatefulSet asks for, less those on their way out.
func Wished(s *appsv1.StatefulSet) int32 {
	if shrink := ShrinkOf(s); shrink != nil {
		return min(shrink.To, Replicas(s))
	}
	return Replicas(s)
}
