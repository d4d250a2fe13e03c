package feed

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics of the feed. No label has a value for each Grid or pod.
type metrics struct {
	lists    *prometheus.CounterVec // by why
	problems *prometheus.CounterVec // by reason
	attempts *prometheus.CounterVec // by kind, result
	acks     *prometheus.CounterVec // by whether proven
	delivery prometheus.Histogram
	commit   prometheus.Histogram
}

// Results of attempts.
const (
	resultOK      = "ok"
	resultRefused = "refused" // the node answered, and does not take it
	resultFailed  = "failed"  // no answer, or one that makes no sense
)

func newMetrics() *metrics {
	return &metrics{
		lists: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gridmesh_operator_peer_lists_total",
			Help: "Peer lists committed (result new), commits that failed and are tried again (failed), and what was found in place of a list and replaced (replaced).",
		}, []string{"result"}),
		problems: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gridmesh_operator_peer_list_problems_total",
			Help: "Times that a list could not be published for a reason that waits for a person.",
		}, []string{"reason"}),
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gridmesh_operator_node_requests_total",
			Help: "Requests to nodes' admin ports, by kind (push: a list, poll: a question) and result (ok, refused, failed).",
		}, []string{"kind", "result"}),
		acks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gridmesh_operator_acks_total",
			Help: "Acknowledgements, by whether a certificate proved whose they are.",
		}, []string{"verified"}),
		delivery: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "gridmesh_operator_peer_list_delivery_seconds",
			Help:    "Time from a list's commit, or the pod's address if that came later, to the pod's acknowledgement.",
			Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}),
		commit: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "gridmesh_operator_peer_list_publish_seconds",
			Help:    "Time to look at a Grid's pods and ConfigMap and to commit a list if one is due.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5},
		}),
	}
}

// register makes the metrics known; nil is nowhere.
func (m *metrics) register(r prometheus.Registerer) error {
	if r == nil {
		return nil
	}
	var errs []error
	for _, c := range []prometheus.Collector{m.lists, m.problems, m.attempts, m.acks, m.delivery, m.commit} {
		errs = append(errs, r.Register(c))
	}
	return errors.Join(errs...)
}

// published counts a look at a Grid that took that long.
func (m *metrics) published(out *published, err error, took time.Duration) {
	m.commit.Observe(took.Seconds())
	problem := (*Problem)(nil)
	switch {
	case errors.As(err, &problem):
		m.problems.WithLabelValues(problem.Reason).Inc()
	case err != nil:
		m.lists.WithLabelValues("failed").Inc()
	case out.fresh:
		m.lists.WithLabelValues("new").Inc()
	}
	if out.broken != nil {
		m.lists.WithLabelValues("replaced").Inc()
	}
}

// attempt counts an attempt that took that long since there was reason for it.
func (m *metrics) attempt(push bool, err error, since time.Duration, verified bool) {
	kind, result := "poll", resultOK
	if push {
		kind = "push"
	}
	if err != nil {
		result = resultFailed
		if refused := (*refusal)(nil); errors.As(err, &refused) {
			result = resultRefused
		}
	}
	m.attempts.WithLabelValues(kind, result).Inc()
	if err != nil {
		return
	}
	if push {
		m.delivery.Observe(since.Seconds())
	}
	m.acks.WithLabelValues(map[bool]string{true: "true", false: "false"}[verified]).Inc()
}
