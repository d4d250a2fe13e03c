package grid_test

import (
	"context"
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"

	"github.com/gridmesh/gridmesh/pkg/grid"
	"github.com/gridmesh/gridmesh/pkg/grid/gridtest"
)

var (
	talk  = grid.NewStreaming[LockArgs, Tree, Tree]("talk")            // opened with an owner; each Tree comes back with that name
	count = grid.NewStreaming[LockArgs, grid.None, LockReply]("count") // opened with a number of replies
)

// talkHandler names each tree by the owner in the payload, until the caller
// has no more.
func talkHandler(ctx context.Context, p *LockArgs, s *grid.TypedHandlerStream[Tree, Tree]) error {
	for msg, err := range s.All() {
		if err != nil {
			return err
		}
		msg.Name = p.Owner
		if err := s.Send(ctx, msg); err != nil {
			return err
		}
	}
	return nil
}

// countHandler sends as many replies as the payload says, then fails if that
// has an owner.
func countHandler(ctx context.Context, p *LockArgs, s *grid.TypedHandlerStream[grid.None, LockReply]) error {
	for i := range p.Tries {
		if err := s.Send(ctx, &LockReply{Holder: strconv.Itoa(i)}); err != nil {
			return err
		}
	}
	if p.Owner != "" {
		return grid.NewError("owned", p.Owner)
	}
	return nil
}

func streamMesh(tb testing.TB) *gridtest.Mesh {
	tb.Helper()
	mesh := gridtest.New(tb, 2)
	mesh.Register(func(m *grid.Manager) error {
		return errors.Join(talk.Register(m, talkHandler, 4, 4), count.Register(m, countHandler, 0, 2))
	})
	mesh.WaitLinked()
	return mesh
}

func TestStreaming(t *testing.T) {
	mesh := streamMesh(t)
	if talk.ID() != "talk" {
		t.Errorf("ID is %q", talk.ID())
	}
	for to := range 2 {
		st, err := talk.Open(t.Context(), mesh.Conn(0, to), &LockArgs{Owner: "me"})
		if err != nil {
			t.Fatal(err)
		}
		for i := range int64(50) {
			if err := st.Send(t.Context(), &Tree{Size: i}); err != nil {
				t.Fatal(err)
			}
			got, err := st.Recv(t.Context())
			if err != nil || got.Name != "me" || got.Size != i {
				t.Fatalf("message %d: got %+v and %v", i, got, err)
			}
		}
		if err := st.CloseSend(); err != nil {
			t.Error(err)
		}
		if _, err := st.Recv(t.Context()); err != io.EOF {
			t.Errorf("after the end: got %v, want io.EOF", err)
		}
		<-st.Done()
		if st.Err() != nil {
			t.Errorf("Err after a clean end: %v", st.Err())
		}
	}
}

// TestStreamingAll: the loop ends with a clean end, and gives a bad one's error.
func TestStreamingAll(t *testing.T) {
	mesh := streamMesh(t)
	for _, owner := range []string{"", "someone"} {
		st, err := count.Open(t.Context(), mesh.Conn(0, 1), &LockArgs{Tries: 20, Owner: owner})
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		var end error
		for reply, err := range st.All() {
			if err != nil {
				end = err
				continue
			}
			if reply.Holder != strconv.Itoa(n) {
				t.Errorf("reply %d is %+v", n, reply)
			}
			n++
		}
		if n != 20 {
			t.Errorf("got %d replies, want 20", n)
		}
		if owner == "" && end != nil {
			t.Errorf("a clean end gave %v", end)
		}
		if owner != "" {
			wantRemote(t, "bad end", end, "owned", owner)
		}
	}
}

func TestStreamingCancel(t *testing.T) {
	mesh := streamMesh(t)
	st, err := talk.Open(t.Context(), mesh.Conn(0, 1), &LockArgs{})
	if err != nil {
		t.Fatal(err)
	}
	st.Cancel(nil)
	if _, err := st.Recv(t.Context()); !errors.Is(err, context.Canceled) {
		t.Errorf("Recv after Cancel: got %v", err)
	}
	<-st.Done()
	if !errors.Is(st.Err(), context.Canceled) {
		t.Errorf("Err after Cancel: got %v", st.Err())
	}
}

// TestStreamingMistakes: nil and what has no encoding are not sent, and a
// stream that is open goes on.
func TestStreamingMistakes(t *testing.T) {
	mesh := streamMesh(t)
	if _, err := talk.Open(t.Context(), mesh.Conn(0, 1), nil); grid.OutcomeOf(err) != grid.NotSent ||
		!strings.Contains(err.Error(), "the payload is a nil *grid_test.LockArgs") {
		t.Errorf("a nil payload: got %v", err)
	}
	st, err := talk.Open(t.Context(), mesh.Conn(0, 1), &LockArgs{Owner: "me"})
	if err != nil {
		t.Fatal(err)
	}
	for _, msg := range []*Tree{nil, {Any: func() {}}} {
		if err := st.Send(t.Context(), msg); grid.OutcomeOf(err) != grid.NotSent || !strings.Contains(err.Error(), "the message ") {
			t.Errorf("got %v, want NotSent", err)
		}
	}
	if err := st.Send(t.Context(), &Tree{}); err != nil {
		t.Error(err)
	}
	if got, err := st.Recv(t.Context()); err != nil || got.Name != "me" {
		t.Errorf("after the mistakes: got %+v and %v", got, err)
	}
	st.Cancel(nil)
	if err := talk.Register(mesh.Node(0), nil, 1, 1); err == nil || !strings.Contains(err.Error(), "the handler is nil") {
		t.Errorf("a nil handler: got %v", err)
	}
}

// TestMalformedPayload: the stream ends, the handler never runs.
func TestMalformedPayload(t *testing.T) {
	mesh := streamMesh(t)
	st, err := mesh.Conn(0, 1).OpenStream(t.Context(), talk.ID(), []byte{0x01})
	if err != nil {
		t.Fatal(err)
	}
	_, err = st.Recv(t.Context())
	wantRemote(t, "payload", err, grid.CodeInvalidArgument, `the payload of "talk" is no grid_test.LockArgs`)
}

// TestMalformedMessageFromCaller: the handler is told, and even if it does not
// heed that, the stream does not end cleanly.
func TestMalformedMessageFromCaller(t *testing.T) {
	deaf := grid.NewStreaming[grid.None, Tree, Tree]("deaf")
	seen := make(chan error, 3)
	mesh := streamMesh(t)
	mesh.Register(func(m *grid.Manager) error {
		return deaf.Register(m, func(ctx context.Context, _ *grid.None, s *grid.TypedHandlerStream[Tree, Tree]) error {
			for range 3 {
				_, err := s.Recv(ctx)
				seen <- err
			}
			return nil
		}, 4, 4)
	})
	mesh.WaitLinked()
	for _, h := range []grid.HandlerID{talk.ID(), deaf.ID()} {
		st, err := mesh.Conn(0, 1).OpenStream(t.Context(), h, []byte{0x80})
		if err != nil {
			t.Fatal(err)
		}
		for _, msg := range [][]byte{{0x80}, field("name", 0x01), {0x80}} {
			if err := st.Send(t.Context(), msg); err != nil {
				break // it may have ended already
			}
		}
		for _, e := range st.All() {
			err = e
		}
		wantRemote(t, string(h), err, grid.CodeInvalidArgument, `a request of "`+string(h)+`" is no grid_test.Tree`)
	}
	if err := <-seen; err != nil {
		t.Errorf("the good message: %v", err)
	}
	for range 2 {
		if err := <-seen; err == nil || !strings.Contains(err.Error(), "at Name") {
			t.Errorf("the bad message, and what follows: got %v", err)
		}
	}
}

// TestMalformedMessageFromHandler: the caller's stream ends, and the handler's
// context with it.
func TestMalformedMessageFromHandler(t *testing.T) {
	ended := make(chan struct{})
	mesh := gridtest.New(t, 2)
	mesh.Register(func(m *grid.Manager) error {
		return m.RegisterStream(count.ID(), grid.StreamHandler{OutCapacity: 3, Serve: func(ctx context.Context, s *grid.HandlerStream) error {
			for _, msg := range [][]byte{{0x80}, {0xc1}, {0x80}} {
				_ = s.Send(ctx, msg)
			}
			<-ctx.Done()
			close(ended)
			return nil
		}})
	})
	mesh.WaitLinked()
	st, err := count.Open(t.Context(), mesh.Conn(0, 1), &LockArgs{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.Recv(t.Context()); err != nil {
		t.Errorf("the good message: %v", err)
	}
	for range 2 {
		_, err := st.Recv(t.Context())
		wantRemote(t, "response", err, grid.CodeInternal, "a response has 0xc1 at byte 0")
	}
	<-ended
}

// TestNone: it may be replaced by a type on either side.
func TestNone(t *testing.T) {
	newer := grid.NewStreaming[LockArgs, Tree, LockReply]("count") // what count became later
	older := grid.NewStreaming[grid.None, grid.None, LockReply]("count")
	mesh := streamMesh(t)
	for range 2 {
		st, err := older.Open(t.Context(), mesh.Conn(0, 1), &grid.None{})
		if err != nil {
			t.Fatal(err)
		}
		for _, err := range st.All() {
			t.Errorf("without a payload there should be no reply, there is one, or %v", err)
		}
		if newer, err := newer.Open(t.Context(), mesh.Conn(0, 1), &LockArgs{Tries: 1}); err != nil {
			t.Error(err)
		} else if _, err := newer.Recv(t.Context()); err != nil {
			t.Error(err)
		}
	}
}
