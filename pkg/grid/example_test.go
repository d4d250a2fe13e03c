package grid_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/gridmesh/gridmesh/pkg/grid"
)

// twoNodes gives two linked nodes on loopback, with the handlers that register
// registers, for the examples. Tests have gridtest for that.
func twoNodes(ctx context.Context, register func(*grid.Manager) error) (a, b *grid.Manager, end func(), err error) {
	var listeners []net.Listener
	var names []string
	for range 2 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, nil, nil, err
		}
		listeners, names = append(listeners, l), append(names, l.Addr().String())
	}
	ctx, cancel := context.WithCancel(ctx)
	var nodes []*grid.Manager
	for _, l := range listeners {
		m, err := grid.NewManager(ctx, grid.Options{Local: l.Addr().String(), InsecurePlainText: true})
		if err != nil {
			cancel()
			return nil, nil, nil, err
		}
		server := m.NewServer()
		go func() { _ = server.Serve(l) }()
		context.AfterFunc(ctx, func() { _ = server.Close() })
		if err := errors.Join(register(m), m.SetPeers(names)); err != nil {
			cancel()
			return nil, nil, nil, err
		}
		nodes = append(nodes, m)
	}
	end = func() { cancel(); _ = nodes[0].Close(); _ = nodes[1].Close() }
	return nodes[0], nodes[1], end, errors.Join(nodes[0].WaitAll(ctx), nodes[1].WaitAll(ctx))
}

// Acquire is shared by who serves it and who calls it.
var Acquire = grid.NewSingle[LockArgs, LockReply]("lock.acquire")

func ExampleSingle() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	here, there, end, err := twoNodes(ctx, func(m *grid.Manager) error {
		return Acquire.Register(m, func(ctx context.Context, args *LockArgs) (*LockReply, error) {
			if args.Name == "" {
				return nil, grid.NewError(grid.CodeInvalidArgument, "the lock has no name")
			}
			return &LockReply{Granted: true, Holder: args.Owner}, nil
		})
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer end()

	reply, err := Acquire.Call(ctx, here.Connection(there.Local()), &LockArgs{Name: "a", Owner: "me"})
	fmt.Println(reply.Granted, reply.Holder, err)

	_, err = Acquire.Call(ctx, here.Connection(there.Local()), &LockArgs{})
	var remote *grid.RemoteError
	fmt.Println(errors.As(err, &remote), remote.Code, remote.Message)
	// Output:
	// true me <nil>
	// true invalid_argument the lock has no name
}

// Steps are streams of as many replies as their opener asks for.
var Steps = grid.NewStreaming[LockArgs, grid.None, LockReply]("steps")

func ExampleStreaming() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	here, there, end, err := twoNodes(ctx, func(m *grid.Manager) error {
		return Steps.Register(m, func(ctx context.Context, args *LockArgs, st *grid.TypedHandlerStream[grid.None, LockReply]) error {
			for i := range args.Tries {
				if err := st.Send(ctx, &LockReply{Holder: fmt.Sprint("step ", i)}); err != nil {
					return err
				}
			}
			return nil
		}, 0, 16)
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer end()

	st, err := Steps.Open(ctx, here.Connection(there.Local()), &LockArgs{Tries: 3})
	if err != nil {
		fmt.Println(err)
		return
	}
	for reply, err := range st.All() {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(reply.Holder)
	}
	// Output:
	// step 0
	// step 1
	// step 2
}

func ExampleSingle_Quorum() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	here, _, end, err := twoNodes(ctx, func(m *grid.Manager) error { return Acquire.Register(m, grant) })
	if err != nil {
		fmt.Println(err)
		return
	}
	defer end()

	granted, err := Acquire.Quorum(ctx, here, &LockArgs{Name: "a"}, 2, grid.FanOut{Local: true})
	fmt.Println(len(granted), err)

	_, err = Acquire.Quorum(ctx, here, &LockArgs{Name: "a"}, 3, grid.FanOut{Local: true})
	var missing *grid.QuorumError
	fmt.Println(errors.As(err, &missing))
	// Output:
	// 2 <nil>
	// true
}

func ExampleConnection_Request() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	here, there, end, err := twoNodes(ctx, func(m *grid.Manager) error {
		return m.RegisterSingle("greet", func(ctx context.Context, req []byte) ([]byte, error) {
			return append([]byte("hello "), req...), nil
		})
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer end()

	reply, err := here.Connection(there.Local()).Request(ctx, "greet", []byte("you"))
	fmt.Println(string(reply), err)

	// May it be called again? Only what has not been sent for sure.
	_, err = here.Connection(there.Local()).Request(ctx, "no such handler", nil)
	fmt.Println(errors.Is(err, grid.ErrUnknownHandler), grid.OutcomeOf(err))
	// Output:
	// hello you <nil>
	// true NotSent
}

func ExampleConnection_OpenStream() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	here, there, end, err := twoNodes(ctx, func(m *grid.Manager) error {
		return m.RegisterStream("upper", grid.StreamHandler{
			InCapacity: 8, OutCapacity: 8,
			Serve: func(ctx context.Context, s *grid.HandlerStream) error {
				for msg, err := range s.All() {
					if err != nil {
						return err
					}
					for i, c := range msg {
						if c >= 'a' && c <= 'z' {
							msg[i] = c - 'a' + 'A'
						}
					}
					if err := s.Send(ctx, msg); err != nil {
						return err
					}
				}
				return nil
			},
		})
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer end()

	s, err := here.Connection(there.Local()).OpenStream(ctx, "upper", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, word := range []string{"one", "two"} {
		if err := s.Send(ctx, []byte(word)); err != nil {
			fmt.Println(err)
		}
	}
	if err := s.CloseSend(); err != nil {
		fmt.Println(err)
	}
	for msg, err := range s.All() {
		fmt.Println(string(msg), err)
	}
	// Output:
	// ONE <nil>
	// TWO <nil>
}
