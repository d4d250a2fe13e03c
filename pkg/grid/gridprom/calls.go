package gridprom

import (
	"context"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gridmesh/gridmesh/pkg/grid"
)

// CallsOptions say how calls are counted. The zero value will do.
type CallsOptions struct {
	// Buckets are the upper bounds of the latency histogram in seconds, rising.
	// nil: 15 of them, from 50 µs to 10 s.
	Buckets []float64
	// MaxHandlers is how many handlers get a label of their own, on both sides
	// together, the first ones that are called; the rest is "other". 0: 100.
	// Against programs that make up handler names.
	MaxHandlers int
}

// Calls counts calls and streams, by handler and result, and how long they
// take. Give its Interceptor to a Manager, and itself to a registry. It may be
// used by several Managers, whose calls it adds up.
type Calls struct {
	calls    *prometheus.CounterVec
	duration *prometheus.HistogramVec
	streams  *prometheus.CounterVec
	messages *prometheus.CounterVec

	most   int
	series atomic.Pointer[map[key]*series] // read by every call, replaced whole
	mu     sync.Mutex                      // held to replace series
}

// Values of the label side.
const (
	sideCaller  = "caller"
	sideHandler = "handler"
)

// other is the handler label of all handlers above MaxHandlers.
const other = "other"

type key struct {
	handler grid.HandlerID
	side    string
}

// series are what one handler is counted in, on one side, looked up once.
type series struct {
	calls, streams results
	duration       prometheus.Observer
	sent, received prometheus.Counter
}

// results are counters by result, made when they are first needed: most never are.
type results struct {
	vec           *prometheus.CounterVec
	side, handler string
	by            [len(resultNames)]atomic.Pointer[prometheus.Counter]
}

func (r *results) count(of result) {
	c := r.by[of].Load()
	if c == nil {
		made := r.vec.WithLabelValues(r.side, r.handler, resultNames[of])
		c = &made
		r.by[of].Store(c) // of two that come at once either will do: it is the same counter
	}
	(*c).Inc()
}

// NewCalls makes one.
func NewCalls(o CallsOptions) *Calls {
	if o.Buckets == nil {
		o.Buckets = []float64{50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3, 1, 2.5, 10}
	}
	if o.MaxHandlers == 0 {
		o.MaxHandlers = 100
	}
	c := &Calls{most: o.MaxHandlers}
	c.calls = prometheus.NewCounterVec(prometheus.CounterOpts{Name: callsName, Help: callsHelp}, callsLabels)
	c.duration = prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: durationName, Help: durationHelp, Buckets: o.Buckets}, durationLabels)
	c.streams = prometheus.NewCounterVec(prometheus.CounterOpts{Name: streamsName, Help: streamsHelp}, streamsLabels)
	c.messages = prometheus.NewCounterVec(prometheus.CounterOpts{Name: messagesName, Help: messagesHelp}, messagesLabels)
	c.series.Store(&map[key]*series{})
	return c
}

// Names, labels and meanings of the metrics of Calls.
const (
	callsName    = "gridmesh_calls_total"
	callsHelp    = "Single requests that have ended, by side, handler and result."
	durationName = "gridmesh_call_duration_seconds"
	durationHelp = "How long single requests took, by side and handler: on the caller's side with the way there and back."
	streamsName  = "gridmesh_streams_total"
	streamsHelp  = "Streams that have ended, by side, handler and result."
	messagesName = "gridmesh_stream_messages_total"
	messagesHelp = "Messages of streams, by side, handler and direction (sent, received)."
)

var (
	callsLabels    = []string{"side", "handler", "result"}
	durationLabels = []string{"side", "handler"}
	streamsLabels  = []string{"side", "handler", "result"}
	messagesLabels = []string{"side", "handler", "direction"}
)

// Describe sends all descriptions.
func (c *Calls) Describe(ch chan<- *prometheus.Desc) {
	c.calls.Describe(ch)
	c.duration.Describe(ch)
	c.streams.Describe(ch)
	c.messages.Describe(ch)
}

// Collect sends all that was counted.
func (c *Calls) Collect(ch chan<- prometheus.Metric) {
	c.calls.Collect(ch)
	c.duration.Collect(ch)
	c.streams.Collect(ch)
	c.messages.Collect(ch)
}

// of gives the series of a handler on one side.
func (c *Calls) of(side string, h grid.HandlerID) *series {
	if s := (*c.series.Load())[key{h, side}]; s != nil {
		return s
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	old := *c.series.Load()
	if s := old[key{h, side}]; s != nil {
		return s
	}
	label, id := string(h), h
	if c.full(old, h) {
		label, id = other, other
		if s := old[key{other, side}]; s != nil {
			return s // not entered under its own name: the map has its bound, too
		}
	}
	s := &series{
		calls:    results{vec: c.calls, side: side, handler: label},
		streams:  results{vec: c.streams, side: side, handler: label},
		duration: c.duration.WithLabelValues(side, label),
		sent:     c.messages.WithLabelValues(side, label, "sent"),
		received: c.messages.WithLabelValues(side, label, "received"),
	}
	all := maps.Clone(old)
	all[key{id, side}] = s
	c.series.Store(&all)
	return s
}

// full reports whether h gets no label of its own any more.
func (c *Calls) full(all map[key]*series, h grid.HandlerID) bool {
	handlers := map[grid.HandlerID]bool{}
	for k := range all {
		if k.handler != other {
			handlers[k.handler] = true
		}
	}
	return !handlers[h] && len(handlers) >= c.most
}

// Interceptor counts the calls of the Managers that it is given to. Placed
// first it sees what their users see; after an interceptor that refuses calls,
// it sees the rest.
func (c *Calls) Interceptor() grid.Interceptor {
	return grid.Interceptor{
		CallSingle: func(next grid.SingleFunc) grid.SingleFunc {
			return func(ctx context.Context, call *grid.Call, req []byte) ([]byte, error) {
				s, began := c.of(sideCaller, call.Handler), time.Now()
				reply, err := next(ctx, call, req)
				s.ended(began, callerResult(err))
				return reply, err
			}
		},
		HandleSingle: func(next grid.SingleFunc) grid.SingleFunc {
			return func(ctx context.Context, call *grid.Call, req []byte) (reply []byte, err error) {
				s, began, of := c.of(sideHandler, call.Handler), time.Now(), resultPanic
				defer func() { s.ended(began, of) }()
				reply, err = next(ctx, call, req)
				of = handlerResult(err)
				return reply, err
			}
		},
		CallStream: func(next grid.OpenFunc) grid.OpenFunc {
			return func(ctx context.Context, call *grid.Call, payload []byte) (*grid.CallerStream, error) {
				s := c.of(sideCaller, call.Handler)
				stream, err := next(ctx, call, payload)
				if err != nil {
					s.streams.count(callerResult(err))
					return nil, err
				}
				o := s.observer()
				o.Ended = func(err error) { s.streams.count(callerResult(err)) }
				stream.Observe(o)
				return stream, nil
			}
		},
		HandleStream: func(next grid.ServeFunc) grid.ServeFunc {
			return func(ctx context.Context, call *grid.Call, stream *grid.HandlerStream) error {
				s, of := c.of(sideHandler, call.Handler), resultPanic
				defer func() { s.streams.count(of) }()
				stream.Observe(s.observer())
				err := next(ctx, call, stream)
				if err == nil {
					err = ctx.Err() // cut or cancelled: no clean end, whatever the handler says
				}
				of = handlerResult(err)
				return err
			}
		},
	}
}

func (s *series) ended(began time.Time, of result) {
	s.calls.count(of)
	s.duration.Observe(time.Since(began).Seconds())
}

func (s *series) observer() grid.StreamObserver {
	return grid.StreamObserver{
		Sent:     func(int) { s.sent.Inc() },
		Received: func(int) { s.received.Inc() },
	}
}
