package controllers

import (
	"context"
	"errors"

	"github.com/gridmesh/gridmesh/controllers/feed"
)

// reviewTelemetry looks whether pods would take what the spec says of log and
// audit. As long as they would not, they keep what they have.
func (s *scope) reviewTelemetry(context.Context) error {
	_, err := feed.Telemetry(s.grid)
	if p := (*feed.Problem)(nil); errors.As(err, &p) {
		return &problem{reason: p.Reason, message: p.Message}
	}
	return err
}
