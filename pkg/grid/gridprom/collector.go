package gridprom

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gridmesh/gridmesh/pkg/grid"
)

// New gives the collector of what m.Stats tells. It may be used concurrently,
// and goes on to work after m was closed.
func New(m *grid.Manager) prometheus.Collector {
	c := &collector{stats: m.Stats}
	for i := range table {
		r := &table[i]
		c.descs = append(c.descs, prometheus.NewDesc(r.name, r.help, r.labels, nil))
	}
	return c
}

type collector struct {
	stats func() grid.Stats
	descs []*prometheus.Desc // of table
}

// Describe sends all descriptions.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		ch <- d
	}
}

// Collect looks at the manager and sends what it sees.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	s := c.stats()
	v := view{Stats: &s}
	v.sumUp()
	for i := range table {
		r := &table[i]
		r.read(&v, func(value float64, labels ...string) {
			ch <- prometheus.MustNewConstMetric(c.descs[i], r.kind, value, labels...)
		})
	}
}

// view is the stats of a node and what is the same for all links.
type view struct {
	*grid.Stats

	states                                map[grid.State]int
	queue, fullest, limit                 int // bytes
	streams, waiting                      int
	longestWait, slowest                  time.Duration
	callsOut, callsIn, overdue, congested int
	expiry                                time.Time // the first; zero: there is none
}

func (v *view) sumUp() {
	v.states = map[grid.State]int{}
	for i := range v.Links {
		l := &v.Links[i]
		v.states[l.State]++
		v.queue += l.QueueBytes
		v.fullest = max(v.fullest, l.QueueBytes)
		v.limit = max(v.limit, l.QueueLimit)
		v.streams += l.StreamsOpen
		v.waiting += l.StreamsWaiting
		v.longestWait = max(v.longestWait, l.LongestCreditWait)
		v.slowest = max(v.slowest, l.RTT)
		v.callsOut += l.CallsOut
		v.callsIn += l.CallsIn
		v.overdue += l.HandlersOverdue
		if l.Congested {
			v.congested++
		}
		if !l.CertExpiry.IsZero() && (v.expiry.IsZero() || l.CertExpiry.Before(v.expiry)) {
			v.expiry = l.CertExpiry
		}
	}
}
