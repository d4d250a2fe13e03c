package gridprom

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/gridmesh/gridmesh/pkg/grid"
)

// row is one metric: its name and meaning, and how to read it off a view.
type row struct {
	name   string
	kind   prometheus.ValueType
	labels []string
	help   string
	read   func(v *view, put func(value float64, labels ...string))
}

const (
	gauge   = prometheus.GaugeValue
	counter = prometheus.CounterValue
)

// one reads a single value.
func one[N int | uint64 | float64](f func(*view) N) func(*view, func(float64, ...string)) {
	return func(v *view, put func(float64, ...string)) { put(float64(f(v))) }
}

// each reads a value for each label of a map.
func each(f func(*view) map[string]uint64) func(*view, func(float64, ...string)) {
	return func(v *view, put func(float64, ...string)) {
		for label, n := range f(v) {
			put(float64(n), label)
		}
	}
}

func yes(b bool) int {
	if b {
		return 1
	}
	return 0
}

var states = []grid.State{grid.StateDown, grid.StateDialing, grid.StateLinked, grid.StateDraining}

// table is all metrics that New collects.
var table = []row{
	{"gridmesh_info", gauge, []string{"grid", "node"}, "Always 1; the labels say which grid and node this is.",
		func(v *view, put func(float64, ...string)) { put(1, v.Grid, v.Local) }},
	{"gridmesh_draining", gauge, nil, "1 while the node is leaving the grid.",
		one(func(v *view) int { return yes(v.Draining) })},

	{"gridmesh_peer_list_epoch", gauge, nil, "Epoch of the peer list in force, 0 for a list without one.",
		one(func(v *view) uint64 { return v.ListEpoch })},
	{"gridmesh_peer_list_age_seconds", gauge, nil, "How long the peer list has been in force.",
		one(func(v *view) float64 { return v.ListAge.Seconds() })},
	{"gridmesh_peer_list_has_local", gauge, nil, "1 while the peer list contains the node itself.",
		one(func(v *view) int { return yes(v.Listed) })},

	{"gridmesh_links", gauge, []string{"state"}, "Peers by the state of the link with them: down, dialing, linked, draining.",
		func(v *view, put func(float64, ...string)) {
			for _, s := range states {
				put(float64(v.states[s]), s.String())
			}
		}},
	{"gridmesh_links_congested", gauge, nil, "Links that are congested: for 10 s on end the queue was half full, or a stream waited 1 s for credit.",
		one(func(v *view) int { return v.congested })},
	{"gridmesh_reconnects_total", counter, []string{"reason"}, "Links made again, by the reason for which the one before ended.",
		each(func(v *view) map[string]uint64 { return v.Reconnects })},
	{"gridmesh_dial_failures_total", counter, nil, "Dials that did not lead to a link.",
		one(func(v *view) uint64 { return v.DialFailures })},
	{"gridmesh_handshakes_refused_total", counter, []string{"code"}, "Handshakes refused by this node or its peers, by code.",
		each(func(v *view) map[string]uint64 { return v.Refused })},
	{"gridmesh_link_rtt_longest_seconds", gauge, nil, "Longest of the links' last ping times.",
		one(func(v *view) float64 { return v.slowest.Seconds() })},
	{"gridmesh_peer_certificate_expiry_timestamp_seconds", gauge, nil, "When the first of the peers' certificates expires. Absent without TLS.",
		func(v *view, put func(float64, ...string)) {
			if !v.expiry.IsZero() {
				put(float64(v.expiry.Unix()))
			}
		}},

	{"gridmesh_received_bytes_total", counter, nil, "Bytes received on all links, within TLS.",
		one(func(v *view) uint64 { return v.Total.BytesIn })},
	{"gridmesh_sent_bytes_total", counter, nil, "Bytes sent on all links, within TLS.",
		one(func(v *view) uint64 { return v.Total.BytesOut })},
	{"gridmesh_received_messages_total", counter, nil, "Requests, answers and stream messages received.",
		one(func(v *view) uint64 { return v.Total.MessagesIn })},
	{"gridmesh_sent_messages_total", counter, nil, "Requests, answers and stream messages sent.",
		one(func(v *view) uint64 { return v.Total.MessagesOut })},
	{"gridmesh_received_batches_total", counter, nil, "WebSocket messages received; each carries many small messages.",
		one(func(v *view) uint64 { return v.Total.BatchesIn })},
	{"gridmesh_sent_batches_total", counter, nil, "WebSocket messages sent; each carries many small messages.",
		one(func(v *view) uint64 { return v.Total.BatchesOut })},

	{"gridmesh_send_queue_bytes", gauge, nil, "Bytes that wait for the sockets of all links.",
		one(func(v *view) int { return v.queue })},
	{"gridmesh_send_queue_longest_bytes", gauge, nil, "Bytes that wait for the socket of the link where most do.",
		one(func(v *view) int { return v.fullest })},
	{"gridmesh_send_queue_limit_bytes", gauge, nil, "Bytes that may wait for the socket of one link.",
		one(func(v *view) int { return v.limit })},

	{"gridmesh_streams_open", gauge, nil, "Streams open on all links, both ways.",
		one(func(v *view) int { return v.streams })},
	{"gridmesh_streams_waiting", gauge, nil, "Streams whose sender waits for credit.",
		one(func(v *view) int { return v.waiting })},
	{"gridmesh_stream_wait_longest_seconds", gauge, nil, "How long the stream that has waited longest for credit has.",
		one(func(v *view) float64 { return v.longestWait.Seconds() })},

	{"gridmesh_calls_running", gauge, []string{"side"}, "Calls running: made by this node (caller), or served (handler).",
		func(v *view, put func(float64, ...string)) {
			put(float64(v.callsOut), sideCaller)
			put(float64(v.callsIn), sideHandler)
		}},
	{"gridmesh_handlers_overdue", gauge, nil, "Handlers that run on after the caller's deadline or cancellation.",
		one(func(v *view) int { return v.overdue })},
	{"gridmesh_overloads_refused_total", counter, nil, "Calls of peers refused because too many run.",
		one(func(v *view) uint64 { return v.Total.Overloads })},
}
