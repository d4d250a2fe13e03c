package tail

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gridmesh/gridmesh/internal/adminapi"
	"github.com/gridmesh/gridmesh/pkg/grid"
	"github.com/gridmesh/gridmesh/pkg/grid/gridtest"
)

type (
	logTail   = adminapi.LogTail
	auditTail = adminapi.AuditTail
	head      = adminapi.Tail
)

// TestLogFilters: each node of the mesh gives what was logged at another one, and
// of it what was asked for.
func TestLogFilters(t *testing.T) {
	m := newMesh(t, 3)
	l := m.nodes[2].log.Logger()
	for i := range 20 {
		l.Debug("round", "n", i, "peer", fmt.Sprintf("node-%d:7700", i%3))
	}
	l.Info("hello", slog.Group("user", "name", "Ann", "id", 7))
	l.Warn("disk is nearly full", "free", "3%")
	l.Error("disk is full", "error", errors.New(`write "a": no space`))
	l.Log(t.Context(), slog.LevelInfo+2, "notice", "level_", "DEBUG")
	rounds := func(n ...int) (all []string) {
		for _, i := range n {
			all = append(all, fmt.Sprint("round ", i))
		}
		return all
	}
	for _, tt := range []struct {
		name string
		ask  any
		want []string
	}{
		{"the newest", logTail{Tail: head{Past: 2}}, []string{"disk is full", "notice"}},
		{"none", logTail{}, nil},
		{"a level", logTail{Tail: head{Past: 2}, Level: "warn"}, []string{"disk is nearly full", "disk is full"}},
		{"a level between", logTail{Tail: head{Past: 2}, Level: "INFO+1"}, []string{"disk is full", "notice"}},
		{"the newest that match", logTail{Tail: head{Past: 2}, Attrs: map[string]string{"peer": "node-1:*"}}, rounds(16, 19)},
		{"a text", logTail{Tail: head{Past: 9}, Text: []string{"DISK", "space"}}, []string{"disk is full"}},
		{"a text in quotes", logTail{Tail: head{Past: 9}, Text: []string{`"a": no`}}, []string{"disk is full"}},
		{"a text that is a level", logTail{Tail: head{Past: 9}, Text: []string{"warn"}}, nil},
		{"a group", logTail{Tail: head{Past: 9}, Attrs: map[string]string{"user.name": "A*n", "user.id": "7"}}, []string{"hello"}},
		{"half of them", logTail{Tail: head{Past: 9}, Attrs: map[string]string{"user.name": "A*n", "user.id": "8"}}, nil},
		{"all but", logTail{Tail: head{Past: 2}, Attrs: map[string]string{"peer": "!node-1:*"}}, rounds(17, 18)},
	} {
		got := m.tail(0, 2, adminapi.HandlerLogTail, tt.ask).rest()
		var found []string
		for i := range got {
			text := got[i].Msg
			if text == "round" {
				text = fmt.Sprint("round ", got[i].N)
			}
			found = append(found, text)
		}
		same(t, tt.name, found, tt.want)
	}
	s, err := m.Conn(1, 2).OpenStream(t.Context(), adminapi.HandlerLogTail, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := (&reader{t: t, CallerStream: s}).rest(); len(got) != defaultPast {
		t.Errorf("asked for nothing: %d entries", len(got))
	}
}

// TestFollow: entries come as they are logged, from the node itself, too.
func TestFollow(t *testing.T) {
	m := newMesh(t, 3)
	m.nodes[1].log.Logger().Info("before", "n", -1)
	for _, from := range []int{0, 1, 2} {
		r := m.tail(from, 1, adminapi.HandlerLogTail, logTail{Tail: head{Past: 1, Follow: true}, Attrs: map[string]string{"n": "*"}})
		if got := r.must(); got.Msg != "before" && got.N != 99 {
			t.Errorf("from %d: begins with %s", from, got.raw)
		}
		for i := range 100 {
			m.nodes[1].log.Logger().Info("now", "n", i)
		}
		for i := range 100 {
			if got := r.must(); got.N != i || got.Msg != "now" {
				t.Fatalf("from %d: got %s where %d belongs", from, got.raw, i)
			}
		}
		r.Cancel(nil)
		m.nodes[1].running(t, 0)
	}
}

// TestAuditFollow: records come without any target, and none are made once
// nobody looks.
func TestAuditFollow(t *testing.T) {
	m := newMesh(t, 3)
	calls := func() {
		for _, h := range []grid.HandlerID{"echo", "fail", "echo"} {
			_, _ = m.Conn(0, 1).Request(t.Context(), h, nil)
		}
		_, _ = m.Conn(2, 1).Request(t.Context(), "echo", nil)
	}
	calls()
	if n := m.nodes[1].audit.Ring().End(); n != 0 {
		t.Errorf("%d records that nobody wanted", n)
	}
	for _, tt := range []struct {
		name string
		ask  auditTail
		want []string
	}{
		{"all", auditTail{}, []string{"echo ok", "fail not_found", "echo ok", "echo ok"}},
		{"a result", auditTail{Results: []string{"not_*", "panic"}}, []string{"fail not_found"}},
		{"a peer and a handler", auditTail{Peers: []string{gridtest.Name(0)}, Handlers: []string{"e*"}}, []string{"echo ok", "echo ok"}},
		{"a direction", auditTail{Direction: "in", Events: []string{"call"}}, []string{"echo ok", "fail not_found", "echo ok", "echo ok"}},
	} {
		tt.ask.Follow = true
		r := m.tail(2, 1, adminapi.HandlerAuditTail, tt.ask)
		m.nodes[1].running(t, 1)
		calls()
		var got []string
		for range tt.want {
			msg := r.must()
			got = append(got, msg.Handler+" "+msg.Result)
		}
		same(t, tt.name, got, tt.want)
		r.Cancel(nil)
		m.nodes[1].running(t, 0)
	}
	none := m.tail(2, 1, adminapi.HandlerAuditTail, auditTail{Tail: head{Past: 10}, Direction: "out"}).rest()
	if len(none) != 0 {
		t.Errorf("%d records of calls made by the node, which are not recorded", len(none))
	}
}

// TestTailsComeToRest: a tail of the log logs nothing, however much it sends,
// and a tail of the audit makes one record, at its end.
func TestTailsComeToRest(t *testing.T) {
	m := newMesh(t, 3)
	l := m.nodes[1].log
	first := m.tail(0, 1, adminapi.HandlerLogTail, logTail{Tail: head{Follow: true}})
	second := m.tail(1, 1, adminapi.HandlerLogTail, logTail{Tail: head{Follow: true}})
	m.nodes[1].running(t, 2)
	const most = 500
	before := l.Ring().End()
	for i := range most {
		l.Logger().Info("entry", "n", i)
	}
	for _, r := range []*reader{first, second} {
		for i := range most {
			if got := r.must(); got.Msg != "entry" || got.N != i {
				t.Fatalf("between the entries: %s", got.raw)
			}
		}
		r.Cancel(nil)
	}
	m.nodes[1].running(t, 0)
	if got := l.Ring().End() - before; got != most {
		t.Errorf("%d entries were logged and %d are there", most, got)
	}

	watching := m.tail(0, 1, adminapi.HandlerAuditTail, auditTail{Tail: head{Follow: true}})
	m.nodes[1].running(t, 1)
	other := m.tail(2, 1, adminapi.HandlerAuditTail, auditTail{Tail: head{Follow: true}})
	m.nodes[1].running(t, 2)
	for range 10 {
		_, _ = m.Conn(2, 1).Request(t.Context(), "echo", nil)
		_ = other.must()
		_ = watching.must()
	}
	other.Cancel(nil)
	end := watching.must()
	if end.Event != "stream" || end.Handler != adminapi.HandlerAuditTail || end.Sent != 10 {
		t.Errorf("the end of the other tail: %s", end.raw)
	}
	_, _ = m.Conn(2, 1).Request(t.Context(), "echo", nil)
	if got := watching.must(); got.Handler != "echo" {
		t.Errorf("behind the one record of a tail: %s", got.raw)
	}
}

// TestSlowReader: who logs does not wait, what was missed is told as a number,
// and that the reader is slow makes the link no congested one.
func TestSlowReader(t *testing.T) {
	m := newMesh(t, 3)
	r := m.tail(0, 1, adminapi.HandlerLogTail, logTail{Tail: head{Follow: true}, Text: []string{"entry"}})
	m.nodes[1].running(t, 1)
	const most = 20_000
	l := m.nodes[1].log.Logger()
	for i := range most {
		l.Info("entry", "n", i, "filler", strings.Repeat("x", 100))
	}
	until(t, "the reader's window to be full", func() bool {
		return slices.ContainsFunc(m.Node(0).Stats().Links, func(l grid.LinkStats) bool { return l.Peer == gridtest.Name(1) && l.BytesIn > window })
	})
	for _, i := range []int{0, 1} {
		for _, l := range m.Node(i).Stats().Links {
			if l.StreamsWaiting > 0 {
				t.Errorf("at node %d a stream waits for credit", i)
			}
		}
	}
	got, missed := 0, 0
	for last := -1; last < most-1; {
		msg := r.must()
		if n := int(msg.Tail.Missed); n > 0 {
			missed += n
			last += n
			continue
		}
		if msg.N != last+1 {
			t.Fatalf("%d follows on %d", msg.N, last)
		}
		last = msg.N
		got++
	}
	if got+missed != most || missed == 0 || got < 100 {
		t.Errorf("%d came, %d were missed, of %d", got, missed, most)
	}
}

// TestFreeReader: who says nothing and has ended its side gets all, within the
// stream's own credit.
func TestFreeReader(t *testing.T) {
	m := newMesh(t, 2)
	for i := range 900 {
		m.nodes[1].log.Logger().Info("entry", "n", i, "filler", strings.Repeat("x", 200))
	}
	r := m.tail(0, 1, adminapi.HandlerLogTail, logTail{Tail: head{Past: 900}})
	if err := r.CloseSend(); err != nil {
		t.Fatal(err)
	}
	for i := range 900 {
		raw, err := r.Recv(t.Context())
		if err != nil || !strings.Contains(string(raw), fmt.Sprintf(`"n":%d,`, i)) {
			t.Fatalf("%d: %s, %v", i, raw, err)
		}
	}
	if _, err := r.Recv(t.Context()); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
}

// TestTooLarge: an entry that the reader's node does not take is told of, and the
// tail goes on.
func TestTooLarge(t *testing.T) {
	m := newMesh(t, 2, func(o *grid.Options) {
		if o.Local == gridtest.Name(0) {
			o.Limits.MaxMessage = 4 << 10
		}
	})
	r := m.tail(0, 1, adminapi.HandlerLogTail, logTail{Tail: head{Follow: true}})
	m.nodes[1].running(t, 1)
	l := m.nodes[1].log.Logger()
	l.Info("large", "text", strings.Repeat("x", 5<<10))
	l.Info("small")
	if got := r.must(); got.Tail.TooLarge < 5<<10 {
		t.Errorf("got %s", got.raw)
	}
	if got := r.must(); got.Msg != "small" {
		t.Errorf("got %s", got.raw)
	}
}

// TestNodeGoesAway: a tail ends with its node, and leaves nothing at that of its
// reader when this one goes.
func TestNodeGoesAway(t *testing.T) {
	m := newMesh(t, 3)
	r := m.tail(0, 1, adminapi.HandlerLogTail, logTail{Tail: head{Follow: true}})
	gone := m.tail(2, 1, adminapi.HandlerLogTail, logTail{Tail: head{Follow: true}})
	m.nodes[1].running(t, 2)
	m.Isolate(2)
	if err := gone.fails(); !errors.Is(err, grid.ErrDisconnected) {
		t.Errorf("at the node that was cut off: %v", err)
	}
	m.nodes[1].running(t, 1)
	m.Restart(1)
	if err := r.fails(); !errors.Is(err, grid.ErrDisconnected) {
		t.Errorf("at a node that lives on: %v", err)
	}
	m.nodes[1].running(t, 0)
}

// TestLeave: tails do not keep a node that leaves the mesh, neither those that it
// serves nor those that it reads.
func TestLeave(t *testing.T) {
	m := newMesh(t, 3)
	r := m.tail(0, 1, adminapi.HandlerLogTail, logTail{Tail: head{Follow: true}})
	own, stop := m.nodes[1].Until(t.Context())
	defer stop()
	reads, err := m.Conn(1, 2).OpenStream(own, adminapi.HandlerAuditTail, []byte(`{"follow":true}`))
	if err != nil {
		t.Fatal(err)
	}
	m.nodes[1].running(t, 1)
	m.nodes[2].running(t, 1)
	m.nodes[1].Leave()
	ctx, cancel := context.WithTimeout(t.Context(), hang)
	defer cancel()
	if err := m.Node(1).Shutdown(ctx); err != nil {
		t.Errorf("the drain: %v", err)
	}
	remote := new(grid.RemoteError)
	if err := r.fails(); !errors.As(err, &remote) || remote.Code != grid.CodeUnavailable || !strings.Contains(err.Error(), "shutting down") {
		t.Errorf("the reader of a node that left: %v", err)
	}
	if _, err := reads.Recv(t.Context()); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("a tail that the node read: %v", err)
	}
	m.nodes[2].running(t, 0)
	if err := m.nodes[1].enter("anybody"); !errors.Is(err, errLeaving) {
		t.Errorf("one more: %v", err)
	}
}

// TestOnly: a node that keeps its tails to itself shows other nodes nothing.
func TestOnly(t *testing.T) {
	m := newMesh(t, 3)
	m.nodes[1].only = gridtest.Name(1)
	m.nodes[1].log.Logger().Info("entry")
	for _, handler := range []string{adminapi.HandlerLogTail, adminapi.HandlerAuditTail} {
		remote := new(grid.RemoteError)
		if err := m.tail(0, 1, handler, head{Past: 1}).fails(); !errors.As(err, &remote) || remote.Code != grid.CodePermission {
			t.Errorf("%s from another node: %v", handler, err)
		}
		// Nor whether what it asked for was right.
		if err := m.tail(0, 1, handler, "nonsense").fails(); !errors.As(err, &remote) || remote.Code != grid.CodePermission {
			t.Errorf("%s from another node, asked for wrongly: %v", handler, err)
		}
		m.tail(1, 1, handler, head{Past: 1}).rest()
		m.tail(1, 0, handler, head{Past: 1}).rest()
	}
}

// TestBadReader: one that says nonsense of what it has read loses its tail.
func TestBadReader(t *testing.T) {
	m := newMesh(t, 2)
	for _, said := range []string{"x", "-1", "", strings.Repeat("9", 1000)} {
		r := m.tail(0, 1, adminapi.HandlerLogTail, logTail{Tail: head{Follow: true}})
		m.nodes[1].running(t, 1)
		if err := r.Send(t.Context(), []byte(said)); err != nil {
			t.Fatal(err)
		}
		for range 300 {
			m.nodes[1].log.Logger().Info("entry", "filler", strings.Repeat("x", 200))
		}
		if err := r.fails(); !strings.Contains(err.Error(), "where a number of bytes belongs") {
			t.Errorf("%.10q: %v", said, err)
		}
	}
}

// TestLyingReader: one that says it has read more than was sent has no credit for
// what comes later.
func TestLyingReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t, 2)
		r := m.tail(0, 1, adminapi.HandlerLogTail, logTail{Tail: head{Follow: true}})
		m.nodes[1].running(t, 1)
		_ = r.Send(t.Context(), []byte("9223372036854775807"))
		for range 300 {
			m.nodes[1].log.Logger().Info("entry", "filler", strings.Repeat("x", 200))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second) // of fake time: all that comes has come
		defer cancel()
		sum := 0
		for {
			raw, err := r.Recv(ctx)
			if err != nil {
				break
			}
			sum += len(raw)
		}
		if sum > 2*window+1<<10 || sum < window {
			t.Errorf("%d bytes came unread", sum)
		}
	})
}

// TestManyTails: tails come and go while entries flow.
func TestManyTails(t *testing.T) {
	m := newMesh(t, 3)
	stop := make(chan struct{})
	logged := make(chan struct{})
	go func() {
		defer close(logged)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				m.nodes[1].log.Logger().Info("entry", "n", i)
			}
		}
	}()
	each(6, func(i int) {
		for range 5 {
			r := m.tail(i%3, 1, adminapi.HandlerLogTail, logTail{Tail: head{Past: 10, Follow: true}, Text: []string{"entry"}})
			last := -1
			for range 50 {
				msg, err := r.next()
				if err != nil {
					t.Error(err)
					return
				}
				if msg.Tail.Missed == 0 && msg.N <= last {
					t.Errorf("%d follows on %d", msg.N, last)
				}
				last = max(last, msg.N)
			}
			r.Cancel(nil)
		}
	})
	close(stop)
	<-logged
	m.nodes[1].running(t, 0)
}

func TestIsTail(t *testing.T) {
	if !slices.ContainsFunc([]grid.HandlerID{"log.tail", "audit.tail"}, IsTail) || IsTail("echo") {
		t.Error("not told apart")
	}
}
