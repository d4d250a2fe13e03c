package telemetry

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/gridmesh/gridmesh/internal/target"
)

// metric is one of each target. Labels are system, target and kind: there are at
// most two times maxTargets targets, and a word of theirs is the user's own.
type metric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(*target.Stats) float64
}

func counter(name, help string, value func(*target.Stats) uint64) metric {
	return metric{describe(name, help), prometheus.CounterValue, func(s *target.Stats) float64 { return float64(value(s)) }}
}

func gauge(name, help string, value func(*target.Stats) float64) metric {
	return metric{describe(name, help), prometheus.GaugeValue, value}
}

func describe(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("gridmesh_target_"+name, help, []string{"system", "target", "kind"}, nil)
}

var metrics = []metric{
	counter("entries_in_total", "Entries of log or audit that a target was given.", func(s *target.Stats) uint64 { return s.In }),
	counter("entries_out_total", "Entries that its receiver has taken.", func(s *target.Stats) uint64 { return s.Out }),
	counter("entries_dropped_total", "Entries lost: there was no room, or no time at the end.", func(s *target.Stats) uint64 { return s.Dropped }),
	counter("entries_rejected_total", "Entries that its receiver will not take; they are set aside.", func(s *target.Stats) uint64 { return s.Rejected }),
	counter("batches_retried_total", "Batches that were sent once more.", func(s *target.Stats) uint64 { return s.Retried }),
	counter("damaged_files_total", "Files of its queue that were not what had been written.", func(s *target.Stats) uint64 { return s.Damaged }),
	gauge("queue_entries", "Entries that wait for it.", func(s *target.Stats) float64 { return float64(s.QueueEntries) }),
	gauge("queue_bytes", "Bytes that wait for it, on disk and in memory.", func(s *target.Stats) float64 { return float64(s.QueueBytes) }),
	gauge("oldest_entry_seconds", "How long the batch that it is delivering has waited.", func(s *target.Stats) float64 { return s.Oldest.Seconds() }),
	gauge("failing", "Whether the last try to begin or to deliver has failed: 1 or 0.", func(s *target.Stats) float64 { return truth(s.Failing) }),
	gauge("last_error_timestamp_seconds", "When it failed last, in seconds since 1970; 0: never.", func(s *target.Stats) float64 {
		if s.LastErrorAt.IsZero() {
			return 0
		}
		return float64(s.LastErrorAt.UnixMilli()) / 1000
	}),
}

var (
	descRecords = plain("gridmesh_audit_records_total", "Records that the audit has made, whatever became of them.")
	descRefused = plain("gridmesh_audit_refused_calls_total", "Calls that were refused or failed because their records could not be made safe.")
	descConfigs = plain("gridmesh_telemetry_configurations_refused_total",
		"Configurations of log and audit that were refused; the one before stayed in use.")
	descLeft = prometheus.NewDesc("gridmesh_left_queue_bytes",
		"Bytes on disk of a queue whose target was removed, or has no queue any more.", []string{"system", "target"}, nil)
	descBad = plain("gridmesh_telemetry_configuration_refused", "Whether the newest configuration of log and audit was refused: 1 or 0.")
)

func plain(name, help string) *prometheus.Desc { return prometheus.NewDesc(name, help, nil, nil) }

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// Collector gives how log and audit are as metrics.
func (s *System) Collector() prometheus.Collector { return collector{s} }

type collector struct{ s *System }

func (collector) Describe(to chan<- *prometheus.Desc) {
	for _, m := range metrics {
		to <- m.desc
	}
	for _, d := range []*prometheus.Desc{descRecords, descRefused, descConfigs, descBad, descLeft} {
		to <- d
	}
}

func (c collector) Collect(to chan<- prometheus.Metric) {
	logs, audits, records, refused := c.s.stats()
	for system, all := range map[string][]target.Stats{dirLog: logs, dirAudit: audits} {
		for i := range all {
			for _, m := range metrics {
				to <- prometheus.MustNewConstMetric(m.desc, m.kind, m.value(&all[i]), system, all[i].Name, all[i].Kind)
			}
		}
	}
	for _, q := range c.s.leftQueues() {
		to <- prometheus.MustNewConstMetric(descLeft, prometheus.GaugeValue, float64(q.Bytes), q.System, q.Name)
	}
	configs, last := c.s.refused.get()
	to <- prometheus.MustNewConstMetric(descRecords, prometheus.CounterValue, float64(records))
	to <- prometheus.MustNewConstMetric(descRefused, prometheus.CounterValue, float64(refused))
	to <- prometheus.MustNewConstMetric(descConfigs, prometheus.CounterValue, float64(configs))
	to <- prometheus.MustNewConstMetric(descBad, prometheus.GaugeValue, truth(last != ""))
}
