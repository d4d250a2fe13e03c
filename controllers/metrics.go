package controllers

import (
	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are what the operator counts about itself.
type Metrics struct {
	repairs *prometheus.CounterVec
	status  *prometheus.CounterVec
}

// NewMetrics registers the metrics.
func NewMetrics(registry prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		repairs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gridmesh_operator_drift_repairs_total",
			Help: "Objects that somebody had changed and that were put back, by kind.",
		}, []string{"kind"}),
		status: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gridmesh_operator_status_writes_total",
			Help: "Writes of a Grid's status, by result.",
		}, []string{"result"}),
	}
	for _, c := range []prometheus.Collector{m.repairs, m.status} {
		if err := registry.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *Metrics) drift(kind string) { m.repairs.WithLabelValues(kind).Inc() }

func (m *Metrics) statusWritten(err error) {
	result := "ok"
	if err != nil {
		result = "error"
	}
	m.status.WithLabelValues(result).Inc()
}
