package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gridmesh/gridmesh/internal/fsys/crashfs"
	"github.com/gridmesh/gridmesh/internal/logger/logtest"
	"github.com/gridmesh/gridmesh/internal/spool"
	"github.com/gridmesh/gridmesh/internal/target"
	"github.com/gridmesh/gridmesh/pkg/grid"
	"github.com/gridmesh/gridmesh/pkg/grid/gridtest"
)

const (
	canaryRequest = "canary-request-4711"
	canaryReply   = "canary-reply-4712"
	canaryError   = "canary-error-4713"
	traceParent   = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	traceID       = "0af7651916cd43dd8448eb211c80319c"
)

// running is told when the handler "waits" runs.
var running = make(chan struct{}, 1)

func register(m *grid.Manager) error {
	single := func(h grid.HandlerID, fn grid.SingleHandler) error { return m.RegisterSingle(h, fn) }
	return errors.Join(
		single("echo", func(context.Context, []byte) ([]byte, error) { return []byte(canaryReply), nil }),
		single("fails", func(context.Context, []byte) ([]byte, error) {
			return nil, grid.NewError(grid.CodeNotFound, canaryError)
		}),
		single("forges", func(context.Context, []byte) ([]byte, error) { return nil, grid.NewError("ok", "") }),
		single("strange", func(context.Context, []byte) ([]byte, error) { return nil, errors.New(canaryError) }),
		single("panics", func(context.Context, []byte) ([]byte, error) { panic("ouch") }),
		single("waits", func(ctx context.Context, _ []byte) ([]byte, error) {
			running <- struct{}{}
			<-ctx.Done()
			return nil, ctx.Err()
		}),
		m.RegisterStream("count", grid.StreamHandler{InCapacity: 5, OutCapacity: 5, Serve: func(ctx context.Context, s *grid.HandlerStream) error {
			for {
				msg, err := s.Recv(ctx)
				if err != nil {
					return nil //nolint:nilerr // its end, or a cut, which the grid sees itself
				}
				if err := s.Send(ctx, append(msg, msg...)); err != nil {
					return err
				}
			}
		}}),
	)
}

// TestRecords: one record a call and stream on either side, with what is known
// of it, and nothing of what was said (faults.md 77, 85).
func TestRecords(t *testing.T) {
	served, made := &receiver{}, &receiver{}
	audits := []*Audit{
		openAudit(t, Options{Node: gridtest.Name(0)}, served, nil),
		openAudit(t, Options{Node: gridtest.Name(1)}, made, func(_ *target.Options, c *Config) { c.Caller = true }),
	}
	log := logtest.New(t)
	log.Expect("handler panicked")
	mesh := gridtest.New(t, 2, func(o *grid.Options) {
		o.Logger = log.Logger()
		a := audits[0]
		if o.Local == gridtest.Name(1) {
			a = audits[1]
		}
		o.Interceptors, o.OnEvent = []grid.Interceptor{a.Interceptor(), grid.PropagateTrace()}, a.OnEvent
	})
	mesh.Register(register)
	mesh.WaitLinked()
	conn := mesh.Conn(1, 0)
	ctx := grid.WithTrace(t.Context(), traceParent, "")
	began := time.Now()
	for handler, want := range map[grid.HandlerID][2]string{ // as its caller sees it, and as its handler's side does
		"echo": {"ok", "ok"}, "fails": {"not_found", "not_found"}, "forges": {"code:ok", "code:ok"}, "strange": {"error", "error"},
		"panics": {"internal", "panic"}, "none": {"unknown_handler", ""},
	} {
		_, _ = conn.Request(ctx, handler, []byte(canaryRequest))
		for i, r := range []*receiver{made, served} {
			if want[i] == "" {
				continue
			}
			direction, node, peer := "out", gridtest.Name(1), gridtest.Name(0)
			if i == 1 {
				direction, node, peer = "in", gridtest.Name(0), gridtest.Name(1)
			}
			reply := 0.0
			if handler == "echo" {
				reply = float64(len(canaryReply))
			}
			got := r.wait(t, map[string]any{
				"event": "call", "node": node, "peer": peer, "handler": string(handler), "direction": direction, "result": want[i],
				"request_bytes": float64(len(canaryRequest)), "reply_bytes": reply, "trace_id": traceID,
			})
			at, err := time.Parse(time.RFC3339Nano, fmt.Sprint(got["time"]))
			if err != nil || at.Before(began) || time.Since(at) < 0 {
				t.Errorf("time %v, %v", got["time"], err)
			}
		}
	}

	// A call that is cancelled is recorded, too.
	cancelled, cancel := context.WithCancel(ctx)
	go func() {
		<-running
		cancel()
	}()
	_, _ = conn.Request(cancelled, "waits", nil)
	served.wait(t, map[string]any{"handler": "waits", "result": "canceled"})
	made.wait(t, map[string]any{"handler": "waits", "result": "canceled"})

	s, err := conn.OpenStream(ctx, "count", []byte(canaryRequest))
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := s.Send(ctx, []byte("abcd")); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Recv(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Recv(ctx); !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	stream := map[string]any{"event": "stream", "handler": "count", "result": "ok", "request_bytes": float64(len(canaryRequest)), "trace_id": traceID}
	for r, sizes := range map[*receiver][4]float64{served: {3, 12, 3, 24}, made: {3, 24, 3, 12}} {
		got := r.wait(t, stream)
		if [4]any{got["received"], got["received_bytes"], got["sent"], got["sent_bytes"]} != [4]any{sizes[0], sizes[1], sizes[2], sizes[3]} {
			t.Errorf("stream %v, want %v", got, sizes)
		}
	}
	served.wait(t, map[string]any{"event": "handshake", "result": "accepted", "peer": gridtest.Name(1)})
	served.wait(t, map[string]any{"event": "peers", "peers": 1.0, "added": 1.0})
	if err := mesh.Node(1).Shutdown(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
	made.wait(t, map[string]any{"event": "drain"})
	served.wait(t, map[string]any{"event": "link_end", "code": "drained"})

	for _, r := range []*receiver{served, made} {
		ids := make(map[any]bool)
		last := ""
		for _, record := range r.records(t) {
			id := fmt.Sprint(record["id"])
			if ids[id] || id <= last {
				t.Errorf("id %s after %s", id, last)
			}
			ids[id], last = true, id
		}
		for _, line := range r.got() { // more may come
			if bytes.Contains(line, []byte("canary")) {
				t.Errorf("what was said is in the record: %s", line)
			}
		}
	}
}

// TestEventRecords holds records of all events to the schema, with what
// strangers may write in them (faults.md 84).
func TestEventRecords(t *testing.T) {
	r := &receiver{}
	a := openAudit(t, Options{Node: "node\n0", Version: "v1"}, r, nil)
	a.Start()
	evil := "line\nline\x1b[2J\",\"event\":\"forged\xff" + strings.Repeat("é", 2000)
	for _, kind := range []grid.EventKind{
		grid.EventLinked, grid.EventUnlinked, grid.EventRefused, grid.EventRefusedBy, grid.EventPeers, grid.EventDraining, "of a later version",
	} {
		a.OnEvent(grid.Event{Time: time.Now(), Kind: kind, Peer: evil, Identity: evil, Code: evil, Reason: evil, Epoch: 1 << 40})
	}
	a.Stop()
	r.wait(t, map[string]any{"event": "stop", "version": "v1"})
	var events []string
	for _, record := range r.records(t) {
		events = append(events, fmt.Sprint(record["event"]))
		if reason := fmt.Sprint(record["reason"]); len(reason) > maxReason+10 {
			t.Errorf("a reason of %d bytes", len(reason))
		}
	}
	if got := strings.Join(events, ","); got != "start,handshake,link_end,handshake,handshake,peers,drain,stop" {
		t.Error(got)
	}
}

// TestFilter: what is not wanted is not recorded, and costs no id.
func TestFilter(t *testing.T) {
	f := Filter{
		{Handlers: []string{"node.*"}, Results: []string{"ok"}, Drop: true},
		{Peers: []string{"quiet*"}, Direction: In, Drop: true},
		{Handlers: []string{"!lock.*"}, Results: []string{"!ok"}},
		{Handlers: []string{"!lock.*"}, Drop: true},
	}
	if err := f.Check(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		handler, peer, direction, result string
		kept, skipped                    bool
	}{
		{"node.status", "a", In, "ok", false, false},
		{"node.status", "a", In, "error", true, false},
		{"lock.take", "quiet-1", In, "ok", false, true},
		{"lock.take", "quiet-1", Out, "ok", true, false},
		{"lock.take", "a", In, "ok", true, false},
		{"echo", "a", In, "ok", false, false},
		{"echo", "a", In, "panic", true, false},
	} {
		r := &Record{Handler: c.handler, Peer: c.peer, Direction: c.direction, Result: c.result}
		if got := f.keeps(r); got != c.kept {
			t.Errorf("%+v: kept %v", c, got)
		}
		if got := f.skips(c.handler, c.peer, c.direction); got != c.skipped {
			t.Errorf("%+v: skipped %v", c, got)
		}
	}
	for _, c := range []struct {
		pattern, s string
		want       bool
	}{
		{"*", "", true}, {"*", "x", true}, {"a", "a", true}, {"a", "ab", false}, {"a*", "ab", true}, {"*b", "ab", true}, {"*b", "ba", false},
		{"a*c*e", "abcde", true}, {"a*c*e", "ace", true}, {"a*c*e", "aec", false}, {"a**", "a", true}, {"*ab*ab", "xabab", true}, {"*ab*ab", "xab", false},
		{"!a*", "ab", false}, {"!a*", "b", true}, {"a*a", "a", false},
	} {
		if got := Match(c.pattern, c.s); got != c.want {
			t.Errorf("%q of %q: %v", c.pattern, c.s, got)
		}
	}
	for _, c := range []struct {
		f    Filter
		want string
	}{
		{Filter{{}, {Direction: "up"}}, "[1].direction"},
		{Filter{{Handlers: []string{"a", ""}}}, "[0].handlers"},
		{Filter{{Results: []string{"!"}}}, "[0].results"},
		{Filter{{Peers: []string{strings.Repeat("x", 257)}}}, "[0].peers"},
		{make(Filter, 101), "101 rules"},
	} {
		if err := c.f.Check(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
}

// call makes one call of a handler through the interceptor.
func call(a *Audit, handler grid.SingleFunc) ([]byte, error) {
	return a.Interceptor().HandleSingle(handler)(context.Background(), &grid.Call{Peer: "node-1:7700", Handler: "lock.take"}, nil)
}

func answers(context.Context, *grid.Call, []byte) ([]byte, error) { return []byte("done"), nil }

// TestBlock: with a target that blocks no call is answered before its record is
// on disk. Where that does not work calls fail, and those that come then do not
// run at all; it goes on by itself (faults.md 78).
func TestBlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs, r := crashfs.New(1), &receiver{hangs: true}
		a := openAudit(t, Options{}, r, func(o *target.Options, c *Config) {
			o.Block, o.Spool = true, spool.Options{Dir: "q", FS: fs, MaxBytes: 64 << 10}
			c.Timeout, c.Caller = 2*time.Second, true
		})
		var runs, answered int
		handler := func(ctx context.Context, c *grid.Call, req []byte) ([]byte, error) {
			runs++
			return answers(ctx, c, req)
		}
		start := time.Now()
		for range 1000 { // until the spool is full: the receiver takes nothing
			if reply, err := call(a, handler); err != nil {
				if reply != nil || !isUnavailable(err) {
					t.Fatalf("%q, %v", reply, err)
				}
				break
			}
			answered++
		}
		if took := time.Since(start); answered < 100 || runs != answered+1 || took < 2*time.Second || took > 3*time.Second {
			t.Fatalf("%d calls ran, %d were answered, the last one after %v", runs, answered, took)
		}
		start = time.Now()
		for range 100 {
			if _, err := call(a, handler); !isUnavailable(err) {
				t.Fatal(err)
			}
		}
		if runs != answered+1 || time.Since(start) > 0 {
			t.Errorf("%d calls more ran, in %v", runs-answered-1, time.Since(start))
		}
		// A call that this node would make is not sent, and says so.
		made := &grid.Call{Peer: "node-1:7700", Handler: "lock.take"}
		if _, err := a.Interceptor().CallSingle(handler)(t.Context(), made, nil); grid.OutcomeOf(err) != grid.NotSent || !isUnavailable(err) {
			t.Errorf("%v: %v", grid.OutcomeOf(err), err)
		}
		if _, err := a.Interceptor().CallStream(nil)(t.Context(), made, nil); grid.OutcomeOf(err) != grid.NotSent || !isUnavailable(err) {
			t.Errorf("%v: %v", grid.OutcomeOf(err), err)
		}
		if s := a.Stats(); s.Refused != 103 || s.Records != uint64(runs) {
			t.Errorf("%+v", s)
		}
		r.mu.Lock()
		r.hangs = false
		r.mu.Unlock()
		again := target.New(a.TargetOptions(target.Options{ // the one before hangs for ever
			Name: "test", Sink: func() (target.Sink, error) { return r, nil }, Block: true, BatchAge: time.Millisecond,
			Spool: spool.Options{Dir: "q", FS: fs, MaxBytes: 64 << 10},
		}))
		a.Swap(Config{Targets: []*target.Target{again}})
		time.Sleep(time.Minute)
		if _, err := call(a, handler); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if n := len(r.records(t)); n != runs {
			t.Errorf("%d records of %d calls", n, runs)
		}
		_ = a.Close(t.Context())
	})
}

func isUnavailable(err error) bool {
	remote, ok := errors.AsType[*grid.RemoteError](err)
	return ok && remote.Code == grid.CodeUnavailable
}

// TestBlockSafe: a call that was answered has its record on disk, whatever
// happens the moment after.
func TestBlockSafe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for round := range 30 {
			fs := crashfs.New(uint64(round))
			a := openAudit(t, Options{}, &receiver{hangs: true}, func(o *target.Options, c *Config) {
				o.Block, o.Spool = true, spool.Options{Dir: "q", FS: fs, MaxBytes: 1 << 20}
				c.Timeout = time.Second
			})
			fs.CrashIn(10 + round*3)
			answered := 0
			for {
				if _, err := call(a, answers); err != nil {
					break
				}
				answered++
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			_ = a.Close(ctx)
			fs.Restart(true) // the machine lost its power
			q, err := spool.Open(spool.Options{Dir: "q", FS: fs, Damaged: func(string, int64, string) {}})
			if err != nil {
				t.Fatal(err)
			}
			if last := q.Stats().Last; last < uint64(answered) {
				t.Fatalf("%d calls were answered, and %d records are there", answered, last)
			}
			_ = q.Close()
		}
	})
}

// TestDrop: with a target that drops a call never waits, and what is missing is
// told of, exactly.
func TestDrop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs, r := crashfs.New(1), &receiver{hangs: true}
		spooled := func(o *target.Options, _ *Config) {
			o.Spool, o.Buffer = spool.Options{Dir: "q", FS: fs, MaxBytes: 64 << 10}, 16<<10
		}
		dir := t.TempDir()
		a := openAudit(t, Options{Dir: dir}, r, spooled)
		const calls = 2000
		for range calls {
			start := time.Now()
			if _, err := call(a, answers); err != nil || time.Since(start) > 0 {
				t.Fatalf("a call waited %v, %v", time.Since(start), err)
			}
			synctest.Wait()
		}
		dropped := a.Stats().Targets[0].Dropped
		if dropped == 0 {
			t.Fatal("nothing was dropped: that shows nothing")
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_ = a.Close(ctx)

		r = &receiver{}
		a = openAudit(t, Options{Dir: dir}, r, spooled)
		a.Stop()
		time.Sleep(time.Minute)
		_ = a.Close(t.Context())
		missing, next := uint64(0), 1
		for _, record := range r.records(t) {
			first, last := number(t, record["id"]), number(t, record["id"])
			if record["event"] == EventGap {
				first, last = number(t, record["first_id"]), number(t, record["last_id"])
				missing += uint64(last - first + 1)
				if count, _ := record["count"].(float64); int(count) != last-first+1 || record["id"] != record["last_id"] {
					t.Errorf("gap %v", record)
				}
			}
			if first != next {
				t.Fatalf("record %d came where %d should", first, next)
			}
			next = last + 1
		}
		if next != calls+2 || missing < dropped {
			t.Errorf("records to %d, %d missing, %d dropped", next-1, missing, dropped)
		}
	})
}

func number(t *testing.T, id any) (n int) {
	t.Helper()
	_, digits, _ := strings.Cut(fmt.Sprint(id), "-")
	if _, err := fmt.Sscanf(digits, "%d", &n); err != nil {
		t.Fatalf("id %v", id)
	}
	return n
}

// TestPanicIsRecorded: the panic goes on, and the record is there.
func TestPanicIsRecorded(t *testing.T) {
	r := &receiver{}
	a := openAudit(t, Options{}, r, nil)
	func() {
		defer func() {
			if p := recover(); p != "ouch" {
				t.Errorf("recovered %v", p)
			}
		}()
		_, _ = call(a, func(context.Context, *grid.Call, []byte) ([]byte, error) { panic("ouch") })
	}()
	r.wait(t, map[string]any{"event": "call", "result": "panic"})
}

// TestSwapUnderLoad: targets come, go and change while calls are recorded: no
// record is lost, doubled, or out of order (field-history L10, D5).
func TestSwapUnderLoad(t *testing.T) {
	all := &receiver{}
	a, err := Open(Options{Node: "node-0:7700", Report: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	makes := func(name string, r target.Sink) *target.Target {
		return target.New(a.TargetOptions(target.Options{Name: name, Sink: func() (target.Sink, error) { return r, nil }, BatchAge: time.Millisecond}))
	}
	a.Swap(Config{Targets: []*target.Target{makes("same", all)}})
	var group, swapping sync.WaitGroup
	done := make(chan struct{})
	swapping.Go(func() {
		other := makes("stays", &receiver{})
		for {
			select {
			case <-done:
				return
			default:
			}
			for _, left := range a.Swap(Config{Targets: []*target.Target{makes("same", all), other, makes("comes", &receiver{})}}) {
				left.Close(context.Background())
			}
			for _, left := range a.Swap(Config{Targets: []*target.Target{other, makes("same", all)}}) {
				left.Close(context.Background())
			}
			for _, target := range a.Targets() {
				_ = target.Stats()
			}
		}
	})
	const callers, each = 8, 300
	for range callers {
		group.Go(func() {
			for range each {
				if _, err := call(a, answers); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	close(done)
	swapping.Wait()
	if err := a.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	records := all.records(t)
	if len(records) != callers*each {
		t.Errorf("%d records of %d calls", len(records), callers*each)
	}
	for i, record := range records {
		if number(t, record["id"]) != i+1 {
			t.Fatalf("record %v at %d", record["id"], i)
		}
	}
}

// TestRing: the newest records can be looked at, and followed.
func TestRing(t *testing.T) {
	a := openAudit(t, Options{}, &receiver{}, nil)
	for range target.RingEntries + 10 {
		_, _ = call(a, answers)
	}
	reader := a.Ring().Read(2)
	line, missed, err := reader.Next(t.Context())
	if record := parse(t, line); number(t, record["id"]) != target.RingEntries+9 || missed != 0 || err != nil {
		t.Errorf("%v, %d, %v", record, missed, err)
	}
}

// TestNewTargetHasNoGap: records that were made between a target's making and its
// coming were not for it.
func TestNewTargetHasNoGap(t *testing.T) {
	first, late := &receiver{}, &receiver{}
	a := openAudit(t, Options{}, first, nil)
	second := target.New(a.TargetOptions(target.Options{
		Name: "second", BatchAge: time.Millisecond, Sink: func() (target.Sink, error) { return late, nil },
	}))
	a.Start()
	a.Swap(Config{Targets: []*target.Target{a.Targets()[0], second}})
	a.Stop()
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := first.records(t); len(got) != 2 {
		t.Errorf("%v", got)
	}
	if got := late.records(t); len(got) != 1 || got[0]["event"] != EventStop {
		t.Errorf("%v", got)
	}
}
