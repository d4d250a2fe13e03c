package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
)

// grpcSystem is grpc-go as it comes: its windows and buffers at their defaults,
// raw bytes instead of protobuf, so that no time goes into encoding.
type grpcSystem struct{}

func (grpcSystem) Name() string { return "grpc" }

func (grpcSystem) Can() Feature {
	return CanCall | CanEcho | CanBlock | CanStream | CanBulk | CanTLS | CanHold | CanLink
}

const (
	grpcEcho   = "/bench.Bench/Echo"
	grpcBlock  = "/bench.Bench/Block"
	grpcStream = "/bench.Bench/Stream"
	grpcHold   = "/bench.Bench/Hold"
)

// rawCodec passes *[]byte through.
type rawCodec struct{}

var _ encoding.CodecV2 = rawCodec{}

func (rawCodec) Name() string { return "raw" }

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	p, ok := v.(*[]byte)
	if !ok {
		return nil, fmt.Errorf("the raw codec takes a *[]byte, not a %T", v)
	}
	return mem.BufferSlice{mem.SliceBuffer(*p)}, nil
}

func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	p, ok := v.(*[]byte)
	if !ok {
		return fmt.Errorf("the raw codec takes a *[]byte, not a %T", v)
	}
	*p = data.Materialize()
	return nil
}

// grpcEnd is a server with the benchmark's methods.
type grpcEnd struct {
	server  *grpc.Server
	address string
	serving sync.WaitGroup
}

func startGRPC(ctx context.Context, s Settings) (*grpcEnd, error) {
	listener, err := listen(ctx)
	if err != nil {
		return nil, err
	}
	options := []grpc.ServerOption{grpc.ForceServerCodecV2(rawCodec{}), grpc.MaxRecvMsgSize(math.MaxInt32)}
	if s.TLS != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(s.TLS.Server())))
	}
	e := &grpcEnd{server: grpc.NewServer(options...), address: listener.Addr().String()}
	e.server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "bench.Bench",
		HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{
			{MethodName: "Echo", Handler: grpcUnary(0)},
			{MethodName: "Block", Handler: grpcUnary(blockFor)},
		},
		Streams: []grpc.StreamDesc{
			{StreamName: "Stream", ServerStreams: true, Handler: grpcSend},
			{StreamName: "Hold", ServerStreams: true, Handler: func(_ any, s grpc.ServerStream) error {
				// The header tells the caller that the handler runs.
				if err := s.SendHeader(nil); err != nil {
					return err
				}
				<-s.Context().Done()
				return nil
			}},
		},
	}, nil)
	e.serving.Go(func() { _ = e.server.Serve(listener) })
	return e, nil
}

func (e *grpcEnd) stop() {
	e.server.Stop()
	e.serving.Wait()
}

func (e *grpcEnd) dial(s Settings) (*grpc.ClientConn, error) {
	transport := insecure.NewCredentials()
	if s.TLS != nil {
		transport = credentials.NewTLS(s.TLS.Client())
	}
	conn, err := grpc.NewClient("passthrough:///"+e.address,
		grpc.WithTransportCredentials(transport),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(rawCodec{}), grpc.MaxCallRecvMsgSize(math.MaxInt32)))
	if err != nil {
		return nil, fmt.Errorf("make a grpc client: %w", err)
	}
	return conn, nil
}

func grpcUnary(wait time.Duration) grpc.MethodHandler {
	return func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		var payload []byte
		if err := decode(&payload); err != nil {
			return nil, err
		}
		if wait > 0 {
			if err := pause(ctx, wait); err != nil {
				return nil, err
			}
		}
		return &payload, nil
	}
}

func grpcSend(_ any, s grpc.ServerStream) error {
	var ask []byte
	if err := s.RecvMsg(&ask); err != nil {
		return err
	}
	n, size, err := parseAsk(ask)
	if err != nil {
		return err
	}
	message := make([]byte, size)
	for range n {
		if err := s.SendMsg(&message); err != nil {
			return err
		}
	}
	return nil
}

func (grpcSystem) Start(ctx context.Context, s Settings) (Pair, error) {
	server, err := startGRPC(ctx, s)
	if err != nil {
		return nil, err
	}
	conn, err := server.dial(s)
	if err != nil {
		server.stop()
		return nil, err
	}
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	return &grpcPair{server: server, conn: conn, life: life, end: end}, nil
}

type grpcPair struct {
	server *grpcEnd
	conn   *grpc.ClientConn
	life   context.Context // of the streams that Hold opens
	end    context.CancelFunc
	once   sync.Once
	err    error
}

func (p *grpcPair) Caller(m Method) Caller {
	if m == Block {
		return grpcCaller{conn: p.conn, method: grpcBlock}
	}
	return grpcCaller{conn: p.conn, method: grpcEcho}
}

type grpcCaller struct {
	conn   *grpc.ClientConn
	method string
}

func (c grpcCaller) Call(ctx context.Context, req, _ []byte) ([]byte, error) {
	var reply []byte
	err := c.conn.Invoke(ctx, c.method, &req, &reply)
	return reply, err
}

func (p *grpcPair) StreamFrom(ctx context.Context, n, size int) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := p.open(ctx, grpcStream, newAsk(n, size))
	if err != nil {
		return err
	}
	return countMessages(n, size, func() ([]byte, error) {
		var message []byte
		err := s.RecvMsg(&message)
		return message, err
	})
}

func (p *grpcPair) open(ctx context.Context, method string, payload []byte) (grpc.ClientStream, error) {
	s, err := p.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, method)
	if err != nil {
		return nil, fmt.Errorf("open a grpc stream: %w", err)
	}
	if err := s.SendMsg(&payload); err != nil {
		return nil, fmt.Errorf("send a grpc stream's request: %w", err)
	}
	return s, s.CloseSend()
}

// Hold opens n idle streams.
func (p *grpcPair) Hold(ctx context.Context, n int) error {
	for range n {
		if err := ctx.Err(); err != nil {
			return err
		}
		s, err := p.open(p.life, grpcHold, nil)
		if err != nil {
			return err
		}
		if _, err := s.Header(); err != nil {
			return fmt.Errorf("wait for a grpc stream's handler: %w", err)
		}
	}
	return nil
}

func (p *grpcPair) Close() error {
	p.once.Do(func() {
		p.end()
		p.err = p.conn.Close()
		p.server.stop()
	})
	return p.err
}

// grpcLinks is one server and its clients.
type grpcLinks struct {
	server *grpcEnd
	conns  []*grpc.ClientConn
}

// Links prepares n clients of one server.
func (grpcSystem) Links(ctx context.Context, n int) (Links, error) {
	return newGRPCLinks(ctx, n)
}

func newGRPCLinks(ctx context.Context, n int) (*grpcLinks, error) {
	server, err := startGRPC(ctx, Settings{})
	if err != nil {
		return nil, err
	}
	return &grpcLinks{server: server, conns: make([]*grpc.ClientConn, n)}, nil
}

func (l *grpcLinks) Link(ctx context.Context) (int, error) {
	for i := range l.conns {
		conn, err := l.server.dial(Settings{})
		if err != nil {
			return 0, err
		}
		l.conns[i] = conn
		if _, err := (grpcCaller{conn: conn, method: grpcEcho}).Call(ctx, make([]byte, smallSize), nil); err != nil {
			return 0, err
		}
	}
	return len(l.conns), nil
}

func (l *grpcLinks) Close() error {
	var err error
	for _, conn := range l.conns {
		if conn != nil {
			err = errors.Join(err, conn.Close())
		}
	}
	l.server.stop()
	return err
}

// Unlinked makes n clients that have not connected.
func (grpcSystem) Unlinked(ctx context.Context, n int) (io.Closer, error) {
	links, err := newGRPCLinks(ctx, n)
	if err != nil {
		return nil, err
	}
	for i := range links.conns {
		if links.conns[i], err = links.server.dial(Settings{}); err != nil {
			return nil, errors.Join(err, links.Close())
		}
	}
	return links, nil
}
