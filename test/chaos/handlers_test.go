package chaos

import (
	"context"
	"errors"

	"github.com/gridmesh/gridmesh/pkg/grid"
)

// register gives a node the handlers that these tests call.
func register(m *grid.Manager) error {
	return errors.Join(
		m.RegisterSingle("echo", func(_ context.Context, req []byte) ([]byte, error) { return req, nil }),
		m.RegisterSingle("until cancelled", func(ctx context.Context, _ []byte) ([]byte, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}),
		m.RegisterStream("echo stream", grid.StreamHandler{InCapacity: 4, OutCapacity: 4, Serve: func(ctx context.Context, s *grid.HandlerStream) error {
			for msg, err := range s.All() {
				if err != nil {
					return err
				}
				if err := s.Send(ctx, msg); err != nil {
					return err
				}
			}
			return nil
		}}),
	)
}
