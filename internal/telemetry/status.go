package telemetry

import (
	"strings"
	"sync"
	"time"

	"github.com/gridmesh/gridmesh/internal/adminapi"
	"github.com/gridmesh/gridmesh/internal/target"
)

// refusals counts configurations that were refused.
type refusals struct {
	mu    sync.Mutex // protects all below
	count uint64
	last  string // why the newest one is not in use; "": it is
}

func (r *refusals) note(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err == nil:
		r.last = ""
	case err.Error() != r.last:
		r.count++
		r.last = err.Error()
	}
}

func (r *refusals) get() (count uint64, last string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.count, r.last
}

// Refused notes a configuration that could not even be read: the one before
// stays in use.
func (s *System) Refused(err error) { s.refused.note(err) }

// stats gives how each target is doing, those of the log first.
func (s *System) stats() (logs, audits []target.Stats, records, refused uint64) {
	for _, o := range s.log.Outputs() {
		logs = append(logs, o.Target.Stats())
	}
	a := s.audit.Stats()
	return logs, a.Targets, a.Records, a.Refused
}

// maxWords bounds a sentence in a status.
const maxWords = 512

// Status says how log and audit are. It tells of no more than two times maxTargets
// targets, and as many queues.
func (s *System) Status() *adminapi.Telemetry {
	logs, audits, records, refused := s.stats()
	st := &adminapi.Telemetry{Records: records, RefusedCalls: refused, LeftQueues: s.leftQueues()}
	st.RefusedConfigs, st.LastError = s.refused.get()
	st.LastError = cut(st.LastError)
	for _, t := range logs {
		st.Targets = append(st.Targets, statusOf(dirLog, &t))
	}
	for _, t := range audits {
		st.Targets = append(st.Targets, statusOf(dirAudit, &t))
	}
	return st
}

func statusOf(system string, t *target.Stats) adminapi.Target {
	a := adminapi.Target{
		System: system, Name: t.Name, Kind: t.Kind,
		In: t.In, Out: t.Out, Dropped: t.Dropped, Rejected: t.Rejected, Retried: t.Retried, Damaged: t.Damaged,
		QueueEntries: t.QueueEntries, QueueBytes: t.QueueBytes, OldestSeconds: t.Oldest.Seconds(),
		Failing: t.Failing, LastError: cut(t.LastError),
	}
	if !t.LastErrorAt.IsZero() {
		at := t.LastErrorAt.Round(time.Millisecond)
		a.LastErrorAt = &at
	}
	return a
}

// cut leaves no part of a letter at the end.
func cut(words string) string { return strings.ToValidUTF8(words[:min(len(words), maxWords)], "") }
