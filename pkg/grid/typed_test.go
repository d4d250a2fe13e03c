package grid_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tinylib/msgp/msgp"

	"github.com/gridmesh/gridmesh/pkg/grid"
	"github.com/gridmesh/gridmesh/pkg/grid/gridtest"
)

var (
	acquire  = grid.NewSingle[LockArgs, LockReply]("lock.acquire")
	tree     = grid.NewSingle[Tree, Tree]("tree")
	borrowed = grid.NewSingle[Borrowed, Borrowed]("borrowed")
)

// grant grants every lock.
func grant(_ context.Context, a *LockArgs) (*LockReply, error) {
	return &LockReply{Granted: true, Holder: a.Owner}, nil
}

// echoes answer with what they are asked.
func echoTree(_ context.Context, t *Tree) (*Tree, error)             { return t, nil }
func echoBorrowed(_ context.Context, b *Borrowed) (*Borrowed, error) { return b, nil }

// typedMesh is a mesh of n nodes with the typed handlers of these tests.
func typedMesh(tb testing.TB, n int, opts ...func(*grid.Options)) *gridtest.Mesh {
	tb.Helper()
	mesh := gridtest.New(tb, n, opts...)
	mesh.Register(func(m *grid.Manager) error {
		return errors.Join(acquire.Register(m, grant), tree.Register(m, echoTree), borrowed.Register(m, echoBorrowed))
	})
	mesh.WaitLinked()
	return mesh
}

// wantRemote wants a *RemoteError with code and a part of its message.
func wantRemote(t *testing.T, what string, err error, code grid.Code, message string) {
	t.Helper()
	var remote *grid.RemoteError
	if !errors.As(err, &remote) || remote.Code != code || !strings.Contains(remote.Message, message) {
		t.Errorf("%s: got %v, want code %s with %q", what, err, code, message)
	}
	if grid.OutcomeOf(err) != grid.Answered {
		t.Errorf("%s: outcome %v, want Answered", what, grid.OutcomeOf(err))
	}
}

func TestSingleCall(t *testing.T) {
	mesh := typedMesh(t, 2)
	if acquire.ID() != "lock.acquire" {
		t.Errorf("ID is %q", acquire.ID())
	}
	for to := range 2 { // oneself, and a peer
		reply, err := acquire.Call(t.Context(), mesh.Conn(0, to), &LockArgs{Name: "a", Owner: "me"})
		if err != nil || *reply != (LockReply{Granted: true, Holder: "me"}) {
			t.Errorf("node %d: got %+v and %v", to, reply, err)
		}
	}
}

// array32 and map32 claim n elements.
func array32(n uint32) []byte { return binary.BigEndian.AppendUint32([]byte{0xdd}, n) }
func map32(n uint32) []byte   { return binary.BigEndian.AppendUint32([]byte{0xdf}, n) }

// field gives the msgpack of a Tree with one field, whose value is raw.
func field(name string, raw ...byte) []byte {
	return append(msgp.AppendString([]byte{0x81}, name), raw...)
}

// malformed are messages that are no Tree, and what is said of them.
var malformed = []struct {
	name, want string
	b          []byte
}{
	{"empty", "cut short", nil},
	{"cut short", "cut short", field("name", 0xa5, 'a')},
	{"bytes after the end", "1 bytes after its end", []byte{0x80, 0x80}},
	{"no map", `is no grid_test.Tree: attempted to decode type "int"`, []byte{0x01}},
	{"wrong type of a field", "at Name", field("name", 0x01)},
	{"wrong type deep inside", "at Children/0/Size", field("children", 0x91, 0x81, 0xa4, 's', 'i', 'z', 'e', 0xa0)},
	{"too deep", "deeper than 64 levels", field("any", bytes.Repeat([]byte{0x91}, 100_000)...)},
	{"array bomb", "counts 20000000 values", field("words", array32(20_000_000)...)},
	{"array bomb of pointers", "counts 20000000 values", field("children", array32(20_000_000)...)},
	{"map bomb", "counts 40000000 values", field("labels", map32(20_000_000)...)},
	{"map bomb, top", "counts 40000000 values", map32(20_000_000)},
	{"map bomb in any", "counts 8589934590 values", field("any", map32(math.MaxUint32)...)},
	{"binary bomb", "only 5 are left", field("data", 0xc6, 0xff, 0xff, 0xff, 0xff)},
	{"bomb in a field that nobody knows", "counts 20000000 values", field("more", array32(20_000_000)...)},
}

// TestMalformedRequest: it is an error of that call alone, names the field
// where it can, and costs neither memory nor the link.
func TestMalformedRequest(t *testing.T) {
	mesh := typedMesh(t, 2)
	c := mesh.Conn(0, 1)
	before := mesh.Node(0).Stats().Links[0].Since
	for _, m := range malformed {
		if n := allocated(func() {
			_, err := c.Request(t.Context(), tree.ID(), m.b)
			wantRemote(t, m.name, err, grid.CodeInvalidArgument, m.want)
			wantRemote(t, m.name, err, grid.CodeInvalidArgument, `the request of "tree" `)
		}); n > 1<<20+uint64(20*len(m.b)) { // a message's bytes are copied on their way
			t.Errorf("%s: %d bytes allocated", m.name, n)
		}
		if _, err := tree.Call(t.Context(), c, &Tree{Name: "still here"}); err != nil {
			t.Fatalf("the call after %s: %v", m.name, err)
		}
	}
	if after := mesh.Node(0).Stats().Links[0].Since; !after.Equal(before) {
		t.Error("the link is another one")
	}
}

// allocated is how many bytes of memory the process asked for during f.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestMalformedReply: the caller's side has the same scan. The handler has
// run, so the outcome is Answered.
func TestMalformedReply(t *testing.T) {
	var body atomic.Pointer[[]byte]
	mesh := gridtest.New(t, 2)
	mesh.Register(func(m *grid.Manager) error {
		return m.RegisterSingle(tree.ID(), func(context.Context, []byte) ([]byte, error) { return *body.Load(), nil })
	})
	mesh.WaitLinked()
	for _, m := range malformed {
		body.Store(&m.b)
		_, err := tree.Call(t.Context(), mesh.Conn(0, 1), &Tree{})
		wantRemote(t, m.name, err, grid.CodeInternal, m.want)
		var remote *grid.RemoteError
		if errors.As(err, &remote) && (remote.Peer != gridtest.Name(1) || remote.Handler != tree.ID()) {
			t.Errorf("%s: the error is of %s at %s", m.name, remote.Handler, remote.Peer)
		}
	}
}

// TestOddMessages: what is well-formed and unusual is taken.
func TestOddMessages(t *testing.T) {
	mesh := typedMesh(t, 2)
	for _, c := range []struct {
		name string
		b    []byte
		want string // the name in the reply
	}{
		{"no fields", []byte{0x80}, ""},
		{"nil for any", field("any", 0xc0), ""},
		{"a field that nobody knows", append([]byte{0x82}, append(field("more", 0x92, 0x01, 0xc0)[1:], field("name", 0xa1, 'a')[1:]...)...), "a"},
		{"a key twice: the last one wins", append([]byte{0x82}, append(field("name", 0xa1, 'a')[1:], field("name", 0xa1, 'b')[1:]...)...), "b"},
	} {
		raw, err := mesh.Conn(0, 1).Request(t.Context(), tree.ID(), c.b)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		var got Tree
		if _, err := got.UnmarshalMsg(raw); err != nil || got.Name != c.want {
			t.Errorf("%s: got name %q and %v, want %q", c.name, got.Name, err, c.want)
		}
	}
}

// TestMistakesOfPrograms: nil and what has no encoding are errors that say so.
func TestMistakesOfPrograms(t *testing.T) {
	unsendable := func() {}
	mesh := gridtest.New(t, 2)
	mesh.Register(func(m *grid.Manager) error {
		return errors.Join(
			acquire.Register(m, func(context.Context, *LockArgs) (*LockReply, error) { return nil, nil }),
			tree.Register(m, func(context.Context, *Tree) (*Tree, error) { return &Tree{Any: unsendable}, nil }))
	})
	mesh.WaitLinked()
	ctx, c := t.Context(), mesh.Conn(0, 1)

	_, err := acquire.Call(ctx, c, &LockArgs{})
	wantRemote(t, "nil reply", err, grid.CodeInternal, `the handler of "lock.acquire" returned no reply and no error`)
	_, err = tree.Call(ctx, c, &Tree{})
	wantRemote(t, "reply without encoding", err, grid.CodeInternal, `the reply of "tree" can't be encoded`)

	for name, call := range map[string]func() error{
		"is a nil *grid_test.LockArgs": func() error { _, err := acquire.Call(ctx, c, nil); return err },
		"can't be encoded":             func() error { _, err := tree.Call(ctx, c, &Tree{Any: unsendable}); return err },
	} {
		err := call()
		var refused *grid.RefusedError
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), "the request "+name) || grid.OutcomeOf(err) != grid.NotSent {
			t.Errorf("got %v, want %q and NotSent", err, name)
		}
	}
	if err := acquire.Register(mesh.Node(0), nil); err == nil || !strings.Contains(err.Error(), "the handler is nil") {
		t.Errorf("a nil handler: got %v", err)
	}
}

// TestHandlersErrorKeepsItsIdentity: the typed layer adds nothing to it.
func TestHandlersErrorKeepsItsIdentity(t *testing.T) {
	errHeld := errors.New("held by another")
	mesh := gridtest.New(t, 2, func(o *grid.Options) { o.ErrorCodes = map[grid.Code]error{"held": errHeld} })
	mesh.Register(func(m *grid.Manager) error {
		return acquire.Register(m, func(context.Context, *LockArgs) (*LockReply, error) { return nil, errHeld })
	})
	mesh.WaitLinked()
	_, err := acquire.Call(t.Context(), mesh.Conn(0, 1), &LockArgs{})
	if !errors.Is(err, errHeld) {
		t.Errorf("got %v, want %v", err, errHeld)
	}
	wantRemote(t, "error", err, "held", errHeld.Error())
}

// TestMessagesAreTheirReceivers: memory is used again from call to call, and
// no message may notice, at the caller or at the handler: none that copies,
// and none that borrows.
func TestMessagesAreTheirReceivers(t *testing.T) {
	var copies []*Tree
	var loans []*Borrowed
	talked := grid.NewStreaming[grid.None, Tree, Borrowed]("talked")
	mesh := gridtest.New(t, 2)
	mesh.Register(func(m *grid.Manager) error {
		return errors.Join(
			tree.Register(m, func(_ context.Context, req *Tree) (*Tree, error) {
				copies = append(copies, req)
				return req, nil
			}),
			borrowed.Register(m, func(_ context.Context, req *Borrowed) (*Borrowed, error) {
				loans = append(loans, req)
				return req, nil
			}),
			talked.Register(m, func(ctx context.Context, _ *grid.None, s *grid.TypedHandlerStream[Tree, Borrowed]) error {
				for req, err := range s.All() {
					if err != nil {
						return err
					}
					copies = append(copies, req)
					if err := s.Send(ctx, &Borrowed{Inner: []BorrowedPart{{Data: req.Data}}}); err != nil {
						return err
					}
				}
				return nil
			}, 1, 1))
	})
	mesh.WaitLinked()
	ctx, c := t.Context(), mesh.Conn(0, 1)
	st, err := talked.Open(ctx, c, &grid.None{})
	if err != nil {
		t.Fatal(err)
	}
	const rounds = 20
	content := func(i int) []byte { return bytes.Repeat([]byte{byte(i)}, 100) }
	for i := range rounds {
		data := content(i)
		copied, err1 := tree.Call(ctx, c, &Tree{Data: data, Name: string(data)})
		lent, err2 := borrowed.Call(ctx, c, &Borrowed{Inner: []BorrowedPart{{Data: data}}})
		err3 := st.Send(ctx, &Tree{Data: data, Name: string(data)})
		said, err4 := st.Recv(ctx)
		if err := errors.Join(err1, err2, err3, err4); err != nil {
			t.Fatal(err)
		}
		copies, loans = append(copies, copied), append(loans, lent, said)
	}
	st.Cancel(nil)
	const perRound = 3 // of each kind
	for i := range rounds * perRound {
		want := content(i / perRound)
		if m := copies[i]; !bytes.Equal(m.Data, want) || m.Name != string(want) {
			t.Errorf("message %d has changed", i)
		}
		if !bytes.Equal(loans[i].Inner[0].Data, want) {
			t.Errorf("message %d, which borrows, has changed", i)
		}
	}
}

// TestLargeMessages: above and below what is kept for the next call.
func TestLargeMessages(t *testing.T) {
	mesh := typedMesh(t, 2)
	for _, size := range []int{0, 1, 60 << 10, 70 << 10, 1 << 20, 5, 2 << 20, 100} {
		data := bytes.Repeat([]byte{byte(size)}, size)
		reply, err := tree.Call(t.Context(), mesh.Conn(0, 1), &Tree{Data: data})
		if err != nil || !bytes.Equal(reply.Data, data) {
			t.Fatalf("%d bytes: got %v and %v", size, len(reply.Data), err)
		}
	}
}

// FuzzDecode: any bytes decode or are refused, without a panic, and what
// decodes can be encoded and decoded again.
func FuzzDecode(f *testing.F) {
	for _, m := range malformed {
		f.Add(m.b[:min(len(m.b), 200)])
	}
	full, err := (&Tree{Name: "a", Data: []byte{1}, Labels: map[string]string{"k": "v"}, Children: []*Tree{{Words: []string{"w"}}}, Any: 1.5}).MarshalMsg(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(full)
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := grid.Decode[Tree](b)
		if err != nil {
			return
		}
		again, err := v.MarshalMsg(nil)
		if err != nil {
			t.Fatalf("%x decodes, but can't be encoded: %v", b, err)
		}
		// Fields that were left out are encoded as empty ones, a level further down.
		if _, err := grid.Decode[Tree](again); err != nil && !strings.Contains(err.Error(), "nested deeper") {
			t.Fatalf("%x decodes, but not what it is encoded as, %x: %v", b, again, err)
		}
	})
}
