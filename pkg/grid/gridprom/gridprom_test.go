package gridprom

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"

	"github.com/gridmesh/gridmesh/pkg/grid"
	"github.com/gridmesh/gridmesh/pkg/grid/gridtest"
)

var update = flag.Bool("update", false, "write metrics.md anew")

// sample is what a registry has: values by metric and labels, as in
// `gridmesh_links{state="linked"}`. A histogram is its count.
type sample map[string]float64

func gather(t *testing.T, r *prometheus.Registry) ([]*dto.MetricFamily, sample) {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	s := sample{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			name := f.GetName()
			if len(labels) > 0 {
				name += "{" + strings.Join(labels, ",") + "}"
			}
			s[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return families, s
}

func (s sample) want(t *testing.T, name string, want float64) {
	t.Helper()
	if got, ok := s[name]; !ok || got != want {
		t.Errorf("%s is %v (there: %v), want %v", name, got, ok, want)
	}
}

// registry registers collectors with one that checks what they describe.
func registry(cs ...prometheus.Collector) *prometheus.Registry {
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(cs...)
	return r
}

// busy is a mesh in which all has happened that is counted: calls and streams
// that ended well and badly, a cut, a dial that failed.
func busy(t *testing.T, n int) (*gridtest.Mesh, *Calls) {
	t.Helper()
	calls := NewCalls(CallsOptions{})
	mesh := gridtest.New(t, n, func(o *grid.Options) {
		if o.Local == gridtest.Name(0) {
			o.Interceptors = []grid.Interceptor{calls.Interceptor()}
		}
	})
	mesh.Register(func(m *grid.Manager) error {
		return errors.Join(
			m.RegisterSingle("echo", func(_ context.Context, req []byte) ([]byte, error) {
				switch string(req) {
				case "panic":
					panic("planted")
				case "fail":
					return nil, grid.NewError("own.code", "planted")
				case "missing":
					return nil, grid.NewError(grid.CodeNotFound, "planted")
				}
				return req, nil
			}),
			m.RegisterStream("count", grid.StreamHandler{InCapacity: 2, OutCapacity: 2, Serve: func(ctx context.Context, s *grid.HandlerStream) error {
				for msg, err := range s.All() {
					if err != nil {
						return err
					}
					if err := s.Send(ctx, msg); err != nil {
						return err
					}
				}
				return nil
			}}))
	})
	mesh.WaitLinked()
	mesh.Cut(0, 1)
	mesh.WaitLinked()
	for _, pair := range [][2]int{{0, 1}, {1, 0}} {
		c := mesh.Conn(pair[0], pair[1])
		for _, req := range []string{"", "", "fail", "missing"} {
			_, _ = c.Request(t.Context(), "echo", []byte(req))
		}
		_, _ = c.Request(t.Context(), "unheard of", nil)
		st, err := c.OpenStream(t.Context(), "count", nil)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if err := st.Send(t.Context(), []byte("hi")); err != nil {
				t.Fatal(err)
			}
			if _, err := st.Recv(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		_ = st.CloseSend()
		if _, err := st.Recv(t.Context()); err != io.EOF {
			t.Fatalf("the stream ended with %v", err)
		}
		<-st.Done()
	}
	synctest.Wait()
	return mesh, calls
}

// TestLint: what promtool check metrics would say.
func TestLint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mesh, calls := busy(t, 3)
		families, _ := gather(t, registry(New(mesh.Node(0)), calls))
		problems, err := promlint.NewWithMetricFamilies(families).Lint()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range problems {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
		var names []string
		for _, f := range families {
			names = append(names, f.GetName())
		}
		for _, r := range documented() {
			if !slices.Contains(names, r.name) && !absent[r.name] {
				t.Errorf("%s is not there, so nobody looked at it", r.name)
			}
		}
	})
}

// absent is what a busy mesh in plain text has no value of.
var absent = map[string]bool{
	"gridmesh_peer_certificate_expiry_timestamp_seconds": true,
	"gridmesh_handshakes_refused_total":                  true,
}

type document struct {
	name, kind string
	labels     []string
	help       string
}

// documented is every metric of this package.
func documented() []document {
	var all []document
	for _, r := range table {
		kind := "gauge"
		if r.kind == counter {
			kind = "counter"
		}
		all = append(all, document{r.name, kind, r.labels, r.help})
	}
	return append(all,
		document{callsName, "counter", callsLabels, callsHelp},
		document{durationName, "histogram", durationLabels, durationHelp},
		document{streamsName, "counter", streamsLabels, streamsHelp},
		document{messagesName, "counter", messagesLabels, messagesHelp})
}

// TestDocument holds metrics.md to the code: names of metrics are an API.
func TestDocument(t *testing.T) {
	var b strings.Builder
	b.WriteString("# Metrics of a grid\n\nWritten by the tests of this package (`go test ./pkg/grid/gridprom -update`). No label has a value for each peer.\n\n")
	b.WriteString("| metric | type | labels | meaning |\n|---|---|---|---|\n")
	for _, d := range documented() {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", d.name, d.kind, strings.Join(d.labels, ", "), d.help)
	}
	names := slices.Clone(resultNames[:])
	slices.Sort(names)
	fmt.Fprintf(&b, "\nValues of `result`: %s.\n", strings.Join(names, ", "))
	if *update {
		if err := os.WriteFile("metrics.md", []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile("metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != b.String() {
		t.Error("metrics.md is not what the code says; see what changed, then go test -update")
	}
}

func TestValues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mesh, calls := busy(t, 4)
		_, s := gather(t, registry(New(mesh.Node(0)), calls))
		s.want(t, `gridmesh_info{grid="default",node="node-0.grid.test:7946"}`, 1)
		s.want(t, `gridmesh_links{state="linked"}`, 3)
		s.want(t, `gridmesh_links{state="down"}`, 0)
		s.want(t, `gridmesh_links_congested`, 0)
		s.want(t, `gridmesh_reconnects_total{reason="connection-lost"}`, 1)
		s.want(t, `gridmesh_peer_list_has_local`, 1)
		s.want(t, `gridmesh_draining`, 0)
		s.want(t, `gridmesh_streams_open`, 0)
		if s["gridmesh_send_queue_limit_bytes"] != float64(grid.DefaultLimits().SendQueue) {
			t.Errorf("queue limit is %v", s["gridmesh_send_queue_limit_bytes"])
		}
		for _, side := range []string{sideCaller, sideHandler} {
			s.want(t, fmt.Sprintf(`gridmesh_calls_total{handler="echo",result="ok",side=%q}`, side), 2)
			s.want(t, fmt.Sprintf(`gridmesh_calls_total{handler="echo",result="error",side=%q}`, side), 1)
			s.want(t, fmt.Sprintf(`gridmesh_calls_total{handler="echo",result="not_found",side=%q}`, side), 1)
			s.want(t, fmt.Sprintf(`gridmesh_call_duration_seconds{handler="echo",side=%q}`, side), 4)
			s.want(t, fmt.Sprintf(`gridmesh_streams_total{handler="count",result="ok",side=%q}`, side), 1)
			for _, direction := range []string{"sent", "received"} {
				s.want(t, fmt.Sprintf(`gridmesh_stream_messages_total{direction=%q,handler="count",side=%q}`, direction, side), 3)
			}
		}
		s.want(t, `gridmesh_calls_total{handler="unheard of",result="unknown_handler",side="caller"}`, 1)

		// What one side sends the others receive.
		var in, out float64
		for i := range mesh.Len() {
			_, s := gather(t, registry(New(mesh.Node(i))))
			in += s["gridmesh_received_messages_total"]
			out += s["gridmesh_sent_messages_total"]
		}
		if in != out || in == 0 {
			t.Errorf("%v messages were sent, %v received", out, in)
		}
	})
}

// TestTrouble: what is not well shows.
func TestTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := NewCalls(CallsOptions{})
		mesh := gridtest.New(t, 3, func(o *grid.Options) {
			o.Interceptors = []grid.Interceptor{calls.Interceptor()}
			o.Limits.MaxCalls = 2
			o.Logger = slog.New(slog.DiscardHandler) // a panic is planted
		})
		mesh.Register(func(m *grid.Manager) error {
			return errors.Join(
				m.RegisterSingle("late", func(ctx context.Context, _ []byte) ([]byte, error) {
					<-ctx.Done()
					<-time.After(5 * time.Second)
					return nil, ctx.Err()
				}),
				m.RegisterSingle("panic", func(context.Context, []byte) ([]byte, error) { panic("planted") }),
				m.RegisterStream("deaf", grid.StreamHandler{InCapacity: 1, Serve: func(ctx context.Context, _ *grid.HandlerStream) error {
					<-ctx.Done()
					return nil
				}}))
		})
		mesh.WaitLinked()
		r0, r1 := registry(New(mesh.Node(0)), calls), registry(New(mesh.Node(1)))

		_, _ = mesh.Conn(0, 1).Request(t.Context(), "panic", nil)
		st, err := mesh.Conn(0, 1).OpenStream(t.Context(), "deaf", nil)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for err := error(nil); err == nil; {
				err = st.Send(t.Context(), nil)
			}
		}()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, _ = mesh.Conn(0, 1).Request(ctx, "late", nil)
		_, _ = mesh.Conn(0, 1).Request(t.Context(), "late", nil) // the third at once
		<-time.After(time.Second)

		_, s := gather(t, r1)
		s.want(t, `gridmesh_handlers_overdue`, 1)
		s.want(t, `gridmesh_overloads_refused_total`, 1)
		s.want(t, `gridmesh_calls_running{side="handler"}`, 2)
		_, s = gather(t, r0)
		s.want(t, `gridmesh_streams_open`, 1)
		s.want(t, `gridmesh_streams_waiting`, 1)
		s.want(t, `gridmesh_stream_wait_longest_seconds`, 2)
		s.want(t, `gridmesh_links_congested`, 0)
		s.want(t, `gridmesh_calls_total{handler="late",result="deadline_exceeded",side="caller"}`, 1)
		s.want(t, `gridmesh_calls_total{handler="late",result="overloaded",side="caller"}`, 1)
		s.want(t, `gridmesh_calls_total{handler="panic",result="internal",side="caller"}`, 1)
		s.want(t, `gridmesh_calls_total{handler="panic",result="panic",side="handler"}`, 1)
		<-time.After(10 * time.Second)
		_, s = gather(t, r0)
		s.want(t, `gridmesh_links_congested`, 1)

		mesh.Isolate(1)
		_, _ = mesh.Conn(0, 1).Request(t.Context(), "late", nil)
		synctest.Wait()
		_, s = gather(t, r0)
		s.want(t, `gridmesh_links{state="linked"}`, 1)
		s.want(t, `gridmesh_streams_total{handler="deaf",result="disconnected",side="caller"}`, 1)
		s.want(t, `gridmesh_streams_total{handler="deaf",result="canceled",side="handler"}`, 1)
		s.want(t, `gridmesh_calls_total{handler="late",result="not_linked",side="caller"}`, 1)
		if down := s[`gridmesh_links{state="down"}`] + s[`gridmesh_links{state="dialing"}`]; down != 1 {
			t.Errorf("%v links are down or being dialled, want 1", down)
		}
	})
}

func TestRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mesh := gridtest.New(t, 2, func(o *grid.Options) { o.Grid = "of-" + o.Local[:6] })
		<-time.After(time.Second)
		for i := range 2 {
			_, s := gather(t, registry(New(mesh.Node(i))))
			if n := s[`gridmesh_handshakes_refused_total{code="unknown-grid"}`]; n < 1 {
				t.Errorf("node %d knows of %v refusals", i, n)
			}
		}
	})
}

// TestNoSeriesPerPeer: a larger grid has as many series as a small one.
func TestNoSeriesPerPeer(t *testing.T) {
	count := func(n int) (series int) {
		synctest.Test(t, func(t *testing.T) {
			mesh, calls := busy(t, n)
			_, s := gather(t, registry(New(mesh.Node(0)), calls))
			series = len(s)
			for name := range s {
				if strings.Contains(name, gridtest.Name(1)) {
					t.Errorf("%s names a peer", name)
				}
			}
		})
		return series
	}
	if small, large := count(3), count(12); small != large {
		t.Errorf("3 nodes have %d series, 12 have %d", small, large)
	}
}

// TestNoSeriesPerHandlerName: below, at and above the limit.
func TestNoSeriesPerHandlerName(t *testing.T) {
	for _, names := range []int{4, 5, 6, 1000} {
		c := NewCalls(CallsOptions{MaxHandlers: 5})
		call := c.Interceptor().CallSingle(func(context.Context, *grid.Call, []byte) ([]byte, error) { return nil, nil })
		serve := c.Interceptor().HandleSingle(func(context.Context, *grid.Call, []byte) ([]byte, error) { return nil, nil })
		for range 2 {
			for i := range names {
				h := &grid.Call{Handler: grid.HandlerID(fmt.Sprintf("made-up-%d", i))}
				_, _ = call(t.Context(), h, nil)
				_, _ = serve(t.Context(), h, nil)
			}
		}
		_, s := gather(t, registry(c))
		total, others := 0.0, 0.0
		for name, v := range s {
			if strings.HasPrefix(name, callsName) {
				total += v
				if strings.Contains(name, `handler="other"`) {
					others += v
				}
			}
		}
		if total != float64(4*names) || others != float64(4*max(0, names-5)) {
			t.Errorf("%d names: %v calls, %v of them of others", names, total, others)
		}
		if known := len(*c.series.Load()); known > 2*5+2 {
			t.Errorf("%d names: %d series are held", names, known)
		}
	}
}

// TestCountersNeverFall: when a peer is removed, when it comes back, and when
// both happen between two scrapes.
func TestCountersNeverFall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mesh, _ := busy(t, 3)
		node := mesh.Node(0)
		r := registry(New(node))
		_, before := gather(t, r)
		all := []string{gridtest.Name(0), gridtest.Name(1), gridtest.Name(2)}
		for i, lists := range [][][]string{{all[:2]}, {all}, {all[:1], all}, {nil}} {
			last := node.Connections() // what goes to who is removed right after it counts
			if _, err := last[len(last)-1].Request(t.Context(), "echo", make([]byte, 50_000)); err != nil {
				t.Fatal(err)
			}
			for _, list := range lists {
				if err := node.SetPeers(list); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute) // a removed peer's link has ended
			}
			_, now := gather(t, r)
			for _, row := range table {
				if row.kind == counter && row.labels == nil && now[row.name] < before[row.name] {
					t.Errorf("list %d: %s was %v and is %v", i, row.name, before[row.name], now[row.name])
				}
			}
			if name := "gridmesh_received_bytes_total"; now[name] < before[name]+50_000 {
				t.Errorf("list %d: %s was %v and is %v", i, name, before[name], now[name])
			}
			before = now
		}
	})
}

func TestResults(t *testing.T) {
	refused := func(reason error) error { return &grid.RefusedError{Reason: reason} }
	for _, c := range []struct {
		err             error
		caller, handler result
	}{
		{nil, resultOK, resultOK},
		{errors.New("any"), resultError, resultError},
		{context.Canceled, resultCanceled, resultCanceled},
		{fmt.Errorf("in vain: %w", context.DeadlineExceeded), resultDeadline, resultDeadline},
		{grid.NewError(grid.CodeNotFound, ""), resultNotFound, resultNotFound},
		{grid.NewError(grid.CodeDeadline, ""), resultDeadline, resultDeadline},
		{grid.NewError("made up", ""), resultError, resultError},
		{&grid.DisconnectedError{}, resultDisconnected, resultError},
		{refused(grid.ErrNotLinked), resultNotLinked, resultError},
		{refused(grid.ErrPeerRemoved), resultRemoved, resultError},
		{refused(grid.ErrUnknownHandler), resultUnknownHandler, resultError},
		{refused(grid.ErrOverloaded), resultOverloaded, resultError},
		{refused(grid.ErrDraining), resultDraining, resultError},
		{refused(grid.ErrMessageTooLarge), resultTooLarge, resultError},
		{refused(fmt.Errorf("%w: 5000", grid.ErrHeaderTooLarge)), resultTooLarge, resultError},
		{refused(grid.ErrClosed), resultClosed, resultError},
		{refused(errors.New("something new")), resultRefused, resultError},
	} {
		if got := callerResult(c.err); got != c.caller {
			t.Errorf("caller, %v: got %s, want %s", c.err, resultNames[got], resultNames[c.caller])
		}
		if got := handlerResult(c.err); got != c.handler {
			t.Errorf("handler, %v: got %s, want %s", c.err, resultNames[got], resultNames[c.handler])
		}
	}
}
