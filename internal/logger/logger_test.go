package logger

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/slogtest"
	"testing/synctest"
	"time"

	"github.com/gridmesh/gridmesh/internal/entry"
	"github.com/gridmesh/gridmesh/internal/target"
)

// buffer is a console that a test reads.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) lines() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	text := b.text.String()
	b.text.Reset()
	if text == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}

func newLog(t *testing.T, w io.Writer, o Options) *Log {
	t.Helper()
	o.Console = target.NewConsole(w)
	l := New(o)
	t.Cleanup(func() { l.Close(context.Background()) })
	return l
}

// flush waits until the console has what was logged: it is closed for that.
func flush(l *Log) { l.Close(context.Background()) }

func parse(t *testing.T, line string) map[string]any {
	t.Helper()
	var e map[string]any
	if err := json.Unmarshal([]byte(line), &e); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	return e
}

// TestHandler holds the handler to what slog asks of handlers.
func TestHandler(t *testing.T) {
	var w *buffer
	var l *Log
	slogtest.Run(t, func(t *testing.T) slog.Handler {
		w = &buffer{}
		l = newLog(t, w, Options{})
		return l.Handler()
	}, func(t *testing.T) map[string]any {
		flush(l)
		lines := w.lines()
		if len(lines) != 1 {
			t.Fatalf("%d lines: %q", len(lines), lines)
		}
		return parse(t, lines[0])
	})
}

type panics struct{}

func (panics) String() string { panic("ouch") }

type secretive struct{}

func (secretive) LogValue() slog.Value { return slog.StringValue("hidden") }

// TestJSON: one line an entry, whatever is logged; nobody who is logged writes
// our fields (faults.md 84; field-history L14, L30, L40).
func TestJSON(t *testing.T) {
	w := &buffer{}
	l := newLog(t, w, Options{Level: slog.LevelDebug})
	log := l.Logger().With("node", "a:1").WithGroup("g").With("n", 1).WithGroup("empty")
	log.Info("100%s \x1b[31mred\nnext", "time", "forged") //nolint:sloglint // what a user might do
	l.Logger().Error("failed", append([]any{"id", "x", "time", "y", "level", "z", "msg", "m", "source", "s", "error", errors.New("no\nroute"),
		"nothing", nil, "took", 1500 * time.Millisecond, "inf", 1 / zero, "list", []string{"a", "b"}, "bad", make(chan int),
		"panic", panics{}, "secret", secretive{}, "big", strings.Repeat("x", 2*entry.MaxField), slog.Group("h", "a", true, "b", uint64(1))}, "odd")...)
	flush(l)
	lines := w.lines()
	if len(lines) != 2 {
		t.Fatalf("%d lines: %q", len(lines), lines)
	}
	e := parse(t, lines[0])
	if e["msg"] != "100%s \x1b[31mred\nnext" || strings.ContainsAny(lines[0], "\x1b") || e["node"] != "a:1" || e["level"] != "INFO" {
		t.Errorf("%s", lines[0])
	}
	if g := fmt.Sprint(e["g"]); g != "map[empty:map[time:forged] n:1]" {
		t.Errorf("group %s", g)
	}
	e = parse(t, lines[1])
	for key, want := range map[string]any{
		"id_": "x", "time_": "y", "level_": "z", "msg_": "m", "source_": "s", "level": "ERROR", "msg": "failed", "error": "no\nroute", "nothing": nil,
		"took": "1.5s", "inf": "+Inf", "panic": "!PANIC: ouch", "secret": "hidden", "!BADKEY": "odd",
		"bad": "!ERROR: json: unsupported type: chan int",
	} {
		if e[key] != want {
			t.Errorf("%s is %v, want %v", key, e[key], want)
		}
	}
	if big, _ := e["big"].(string); !strings.HasSuffix(big, "bytes more") || len(lines[1]) > entry.MaxField+2000 {
		t.Errorf("a field of 128 KiB became a line of %d bytes", len(lines[1]))
	}
	if at, err := time.Parse(time.RFC3339Nano, fmt.Sprint(e["time"])); err != nil || time.Since(at) > time.Minute || len(fmt.Sprint(e["time"])) != entry.TimeLength {
		t.Errorf("time %v, %v", e["time"], err)
	}
	if e["source"] != "logger/logger_test.go:99" {
		t.Errorf("source %v", e["source"])
	}
}

var zero float64

func TestText(t *testing.T) {
	for _, color := range []bool{false, true} {
		w := &buffer{}
		l := newLog(t, w, Options{Text: true, Color: color, Level: slog.LevelDebug})
		l.Logger().With("node", "a:1").WithGroup("g").Warn("slow link", "peer", "b:1", "why", "no route\x1b[2J", "n", 3, "empty", "", "took", time.Second, "err", errors.New("a b"))
		l.Logger().WithGroup("g").WithGroup("\x1b[2J").Info("named by a stranger", "key", 1)
		flush(l)
		lines := w.lines()
		line := lines[0]
		if strings.Contains(line, "\x1b[2J") {
			t.Errorf("what was logged reached the terminal: %q", line)
		}
		for code := range strings.SplitSeq("0 1 2 33", " ") {
			if color != strings.Contains(line, "\x1b["+code+"m") {
				t.Errorf("color %v: %q", color, line)
			}
			line = strings.ReplaceAll(line, "\x1b["+code+"m", "")
		}
		if strings.Contains(lines[1], "\x1b[2J") || !strings.Contains(lines[1], ` "g.\u001b[2J.key"=1 `) {
			t.Errorf("the name of a group reached the terminal: %q", lines[1])
		}
		if want := `WARN  slow link node=a:1 g.peer=b:1 g.why="no route\u001b[2J" g.n=3 g.empty="" g.took=1s g.err="a b" source=logger/logger_test.go:141`; line[entry.TimeLength+1:] != want {
			t.Errorf("got  %s\nwant %s", line[entry.TimeLength+1:], want)
		}
	}
}

// TestTimeIsTheCall's: an entry that is printed late says when it was made
// (field-history L40).
func TestTimeIsTheCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var w buffer
		l := New(Options{Console: target.NewConsole(writerFunc(func(p []byte) (int, error) {
			<-release
			return w.Write(p)
		}))})
		log := l.Logger()
		made := time.Now()
		log.Info("first")
		time.Sleep(time.Minute)
		close(release)
		l.Close(context.Background())
		if e := parse(t, w.lines()[0]); e["time"] != string(entry.AppendTime(nil, made)) {
			t.Errorf("time %v, made at %v", e["time"], made)
		}
	})
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// TestLevels: each target gets its level, and what nobody wants is not made.
func TestLevels(t *testing.T) {
	w := &buffer{}
	l := newLog(t, w, Options{Level: slog.LevelWarn})
	debug := slog.LevelDebug
	more := &collector{}
	l.Swap([]*Output{{Target: more.target(l, "more"), Level: &debug}})
	log := l.Logger()
	log.Debug("d")
	log.Info("i")
	log.Error("e")
	if l.Level() != slog.LevelWarn {
		t.Error(l.Level())
	}
	l.SetLevel(slog.LevelInfo)
	log.Info("i2")
	for _, left := range l.Swap(nil) {
		left.Close(t.Context())
	}
	if log.Enabled(t.Context(), slog.LevelDebug) {
		t.Error("debug is enabled, and nobody wants it")
	}
	l.SetLevel(slog.LevelError)
	log.Warn("w")
	flush(l)
	var console []string
	for _, line := range w.lines() {
		console = append(console, fmt.Sprint(parse(t, line)["msg"]))
	}
	if fmt.Sprint(console) != "[e i2]" || fmt.Sprint(more.messages(t)) != "[d i e i2]" {
		t.Errorf("console %v, more %v", console, more.messages(t))
	}
}

// collector is a sink that keeps entries.
type collector struct {
	mu    sync.Mutex
	lines []string
	fails error
}

func (c *collector) Send(_ context.Context, b target.Batch) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fails != nil {
		return c.fails
	}
	for _, item := range b.Items {
		c.lines = append(c.lines, string(item.Data))
	}
	return nil
}

func (c *collector) Close() error { return nil }

func (c *collector) target(l *Log, name string) *target.Target {
	return c.targetOf(l, name, target.NewSequence())
}

// targetOf makes a target that goes on with a sequence.
func (c *collector) targetOf(l *Log, name string, seq *target.Sequence) *target.Target {
	return target.New(target.Options{
		Name: name, Kind: "test", Sink: func() (target.Sink, error) { return c, nil }, Sequence: seq, WithIDs: true,
		BatchAge: time.Millisecond, Gap: Gap(false, false), Report: l.Console(), Origin: name,
		Buffer: 16 << 20, // a machine that is busy elsewhere drops nothing
	})
}

func (c *collector) messages(t *testing.T) (all []string) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, line := range c.lines {
		all = append(all, fmt.Sprint(parse(t, line)["msg"]))
	}
	return all
}

// TestFailingTarget: its failures are told on the console, and nowhere else:
// depth 0, whatever fails (faults.md 82; field-history L36, L38).
func TestFailingTarget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &buffer{}
		l := New(Options{Console: target.NewConsole(w)})
		bad, good := &collector{fails: errors.New("answered 500")}, &collector{}
		l.Swap([]*Output{{Target: bad.target(l, "bad")}, {Target: good.target(l, "good")}})
		for range 600 {
			l.Logger().Info("tick")
			time.Sleep(time.Second)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		l.Close(ctx)
		ticks, reports := 0, 0
		for _, line := range w.lines() {
			if strings.Contains(line, `"tick"`) {
				ticks++
			} else {
				reports++
			}
		}
		if ticks != 600 || reports < 5 || reports > 60 {
			t.Errorf("%d entries and %d reports on the console", ticks, reports)
		}
		if n := len(good.messages(t)); n != 600 {
			t.Errorf("the other target got %d entries: a report was among them, or one was lost", n)
		}
		for _, o := range l.Outputs()[1:] {
			if s := o.Target.Stats(); s.In != 600 {
				t.Errorf("%s was given %d entries", s.Name, s.In)
			}
		}
	})
}

// TestFullConsole: a console that takes nothing costs its lines and nothing
// else, not even a report (faults.md 82).
func TestFullConsole(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = full.Close() }()
	l := New(Options{Console: target.NewConsole(full)})
	good := &collector{}
	l.Swap([]*Output{{Target: good.target(l, "good")}})
	for range 1000 {
		l.Logger().Info("tick")
		l.Console().Info("a report")
	}
	l.Close(context.Background())
	if s := l.Outputs()[0].Target.Stats(); s.In != 2000 || s.Dropped != 2000 || s.Out != 0 {
		t.Errorf("console: %+v", s)
	}
	if n := len(good.messages(t)); n != 1000 {
		t.Errorf("the other target got %d of 1000 entries", n)
	}
}

// TestHangingConsole: nobody waits for a terminal that was stopped.
func TestHangingConsole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		l := New(Options{Console: target.NewConsole(writerFunc(func(p []byte) (int, error) {
			<-release
			return len(p), nil
		}))})
		good := &collector{}
		l.Swap([]*Output{{Target: good.target(l, "good")}})
		start := time.Now()
		for range 30_000 {
			l.Logger().Info("tick")
			synctest.Wait()
		}
		if took := time.Since(start); took > 0 {
			t.Errorf("calls waited %v", took)
		}
		time.Sleep(time.Minute)
		if n := len(good.messages(t)); n != 30_000 {
			t.Errorf("the other target got %d entries", n)
		}
		if s := l.Outputs()[0].Target.Stats(); s.Dropped == 0 {
			t.Errorf("console: %+v", s)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		start = time.Now()
		l.Close(ctx) // which a program does before it ends
		if took := time.Since(start); took > 3*time.Second {
			t.Errorf("the end took %v", took)
		}
		close(release)
	})
}

// TestSwapUnderLoad: sets change while entries flow; the console stays, nothing
// is lost or comes twice (field-history L10, L12, L13, L27, L31, L37, L39, L41,
// D5).
func TestSwapUnderLoad(t *testing.T) {
	const callers, each, swaps = 8, 2000, 50
	w := &buffer{}
	l := New(Options{Console: target.NewConsole(w)})
	var sinks []*collector
	var group, swapping sync.WaitGroup
	done, seq := make(chan struct{}), target.NewSequence()
	swap := func() {
		c := &collector{}
		sinks = append(sinks, c)
		l.Swap([]*Output{{Target: c.targetOf(l, "same", seq)}})
	}
	swap() // before the first entry: all of them have to come
	for c := range callers {
		group.Go(func() {
			log := l.Logger().With("caller", c)
			attrs := map[string]int{"n": 0}
			for n := range each {
				attrs["n"] = n
				log.Info("tick", "n", n, "map", attrs)
				for _, o := range l.Outputs() { // a set is good without a lock
					_ = o.Target.Name()
				}
			}
		})
	}
	swapping.Go(func() {
		for n := 0; ; n++ {
			swap()
			l.SetLevel(slog.LevelInfo)
			if n >= swaps {
				select {
				case <-done:
					return
				default:
				}
			}
		}
	})
	group.Wait()
	close(done)
	swapping.Wait()
	l.Close(context.Background())
	if n := len(w.lines()); n > callers*each+1 {
		t.Errorf("%d lines on the console", n)
	}
	if s := l.Outputs()[0].Target.Stats(); s.In != callers*each || s.Out+s.Dropped != s.In {
		t.Errorf("console: %+v", s)
	}
	next := make(map[float64]float64)
	for _, c := range sinks {
		for _, line := range c.lines {
			e := parse(t, line)
			caller, _ := e["caller"].(float64)
			n, _ := e["n"].(float64)
			if n != next[caller] {
				t.Fatalf("caller %v: entry %v came where %v should", caller, n, next[caller])
			}
			next[caller] = n + 1
		}
	}
	for c := range callers {
		if next[float64(c)] != each {
			t.Errorf("caller %d: the last entry is %v", c, next[float64(c)])
		}
	}
}

// TestSwapKeepsAndLeaves: what is in both sets goes on, what is in neither is
// given back to be closed.
func TestSwapKeepsAndLeaves(t *testing.T) {
	l := newLog(t, io.Discard, Options{})
	a, b := &collector{}, &collector{}
	stays, goes := &Output{Target: a.target(l, "a")}, &Output{Target: b.target(l, "b")}
	if left := l.Swap([]*Output{stays, goes}); len(left) != 0 {
		t.Errorf("%d left", len(left))
	}
	l.Logger().Info("1")
	left := l.Swap([]*Output{stays})
	if len(left) != 1 || left[0] != goes.Target {
		t.Fatalf("%v left", left)
	}
	l.Logger().Info("2")
	left[0].Close(t.Context())
	flush(l)
	if fmt.Sprint(a.messages(t), b.messages(t)) != "[1 2] [1]" {
		t.Error(a.messages(t), b.messages(t))
	}
}

// TestLimit: what repeats is told once, or now and then with a count; an error
// that changes makes no difference (field-history L33, D10, G15).
func TestLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &buffer{}
		l := New(Options{Console: target.NewConsole(w)})
		once, often := &Limit{}, &Limit{Every: time.Minute}
		for n := range 300 {
			once.Log(t.Context(), l.Logger(), slog.LevelWarn, "down", "peer is down", slog.Any("error", fmt.Errorf("port %d", n)))
			often.Log(t.Context(), l.Logger(), slog.LevelWarn, "down", "peer is still down")
			often.Log(t.Context(), l.Logger(), slog.LevelDebug, "other", "not wanted")
			time.Sleep(time.Second)
		}
		once.Forget("down")
		once.Log(t.Context(), l.Logger(), slog.LevelWarn, "down", "peer is down again")
		for n := range 3 * mostKeys {
			often.Log(t.Context(), l.Logger(), slog.LevelDebug+1, fmt.Sprint("key with a port ", n), "bad key")
			often.count(fmt.Sprint("key with a port ", n), time.Now())
		}
		if len(often.seen) > mostKeys {
			t.Errorf("%d keys are known", len(often.seen))
		}
		l.Close(context.Background())
		var got []string
		for _, line := range w.lines() {
			e := parse(t, line)
			got = append(got, fmt.Sprint(e["msg"], " ", e["left_out"]))
			if !strings.HasPrefix(fmt.Sprint(e["source"]), "logger/logger_test.go:") {
				t.Errorf("source %v", e["source"])
			}
		}
		if want := "[peer is down <nil> peer is still down <nil> peer is still down 59 peer is still down 59 peer is still down 59 peer is still down 59 peer is down again <nil>]"; fmt.Sprint(got) != want {
			t.Errorf("got  %v\nwant %s", got, want)
		}
	})
}

func TestQuiet(t *testing.T) {
	for _, c := range []struct {
		variable string
		args     []string
		want     slog.Level
	}{
		{"", nil, slog.LevelError},
		{"debug", nil, slog.LevelDebug},
		{"nonsense", nil, slog.LevelError},
		{"", []string{"x.test", "-test.v=true", "log=info"}, slog.LevelInfo},
		{"warn", []string{"x.test", "log=debug"}, slog.LevelDebug},
	} {
		if got := testLevel(c.variable, c.args); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
	t.Setenv(TestVariable, "")
	if got := DefaultLevel(); got != slog.LevelError {
		t.Errorf("in a test the level is %v", got)
	}
}

// TestRing: the newest entries, followed by readers that may be slow.
func TestRing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := target.NewRing(10, 1000)
		before := r.Read(5)
		for n := range 25 {
			r.Add(fmt.Append(nil, n))
		}
		next := func(reader *target.Reader) string {
			data, missed, err := reader.Next(t.Context())
			return fmt.Sprint(string(data), " ", missed, " ", err)
		}
		if got := next(before); got != "15 15 <nil>" {
			t.Error(got)
		}
		some := r.Read(3)
		if got := next(some) + next(some) + next(some); got != "22 0 <nil>23 0 <nil>24 0 <nil>" {
			t.Error(got)
		}
		go func() {
			time.Sleep(time.Hour)
			r.Add([]byte("late"))
		}()
		if got := next(some); got != "late 0 <nil>" {
			t.Error(got)
		}
		r.Add(make([]byte, 1001))
		r.Add(make([]byte, 999))
		if data, missed, err := some.Next(t.Context()); len(data) != 999 || missed != 1 || err != nil {
			t.Errorf("behind one that is too large: %d bytes, %d missed, %v", len(data), missed, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, _, err := r.Read(0).Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}

func TestIsTerminal(t *testing.T) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = null.Close() }()
	if IsTerminal(null) || IsTerminal(&bytes.Buffer{}) {
		t.Error("no terminal is one")
	}
}

// TestQuietRing: a log that is quiet and has no target keeps its newest entries
// all the same, those of its level.
func TestQuietRing(t *testing.T) {
	w := &buffer{}
	l := newLog(t, w, Options{Quiet: true})
	l.Logger().Debug("below")
	l.Logger().Info("kept")
	if n := l.Ring().End(); n != 1 {
		t.Errorf("%d entries are kept", n)
	}
	l.SetLevel(slog.LevelError)
	if l.Logger().Enabled(t.Context(), slog.LevelWarn) {
		t.Error("what nobody wants is encoded")
	}
	flush(l)
	if lines := w.lines(); len(lines) != 0 {
		t.Errorf("the console has %q", lines)
	}
}
