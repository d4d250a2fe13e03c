package member

import (
	"net/http"
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/gridmesh/gridmesh/pkg/grid/gridprom"
)

func (me *Member) serveMetrics() http.Handler {
	return promhttp.HandlerFor(me.Metrics, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
}

// collect has what the manager, the process and this package count collected.
func (me *Member) collect() {
	me.Metrics.MustRegister(
		gridprom.New(me.m), me.calls,
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "gridmesh_node_build_info", Help: "Always 1; which build this is, in its labels.",
			ConstLabels: prometheus.Labels{"version": me.config.Version, "go": runtime.Version()},
		}, func() float64 { return 1 }),
		Gauge("gridmesh_node_ready", "Whether the node is ready: 1 or 0.", func() float64 { return truth(len(me.waiting()) == 0) }),
		Counter("gridmesh_node_peer_lists_refused_total", "Peer lists that were refused; the last good one stayed in use.", func() uint64 {
			return me.feed.counts().refused
		}),
		Counter("gridmesh_node_pushed_peer_lists_refused_total", "Signed lists pushed to the admin port, by anybody, that were refused.", func() uint64 {
			return me.feed.counts().pushed
		}),
		Gauge("gridmesh_node_peer_list_refused", "Whether the newest peer list was refused: 1 or 0.", func() float64 {
			return truth(me.feed.counts().lastError != "")
		}),
	)
	if me.certs == nil {
		return
	}
	me.Metrics.MustRegister(
		Gauge("gridmesh_node_certificate_expiry_timestamp_seconds", "When this node's certificate expires, in seconds since 1970.", func() float64 {
			return float64(me.certs.Stats().Leaf.NotAfter.Unix())
		}),
		Gauge("gridmesh_node_certificate_refused", "Whether the certificate files are not in use because they are bad: 1 or 0.", func() float64 {
			return truth(me.certs.Stats().LastError != "")
		}),
		Counter("gridmesh_node_certificate_reloads_total", "New certificate files that were taken.", func() uint64 { return me.certs.Stats().Reloads }),
		Counter("gridmesh_node_certificates_refused_total", "New certificate files that were refused; the old ones stayed in use.", func() uint64 {
			return me.certs.Stats().Refused
		}),
	)
}

// Gauge is a metric that is asked for its value.
func Gauge(name, help string, value func() float64) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
}

// Counter is the same for one that only rises.
func Counter(name, help string, value func() uint64) prometheus.Collector {
	return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, func() float64 { return float64(value()) })
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
