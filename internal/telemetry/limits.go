package telemetry

import "time"

// limits of a configuration, each against the mistake or the stranger that would
// have it fill memory, disk or /metrics.
const (
	maxText    = 1 << 20 // bytes; a ConfigMap holds no more
	maxTargets = 16      // of the log, and of the audit: each has goroutines, buffers and lines in /metrics
	maxName    = 63      // bytes, as RFC 1035 has labels

	maxPath    = 4096 // bytes, as Linux has them
	maxURL     = 2048 // bytes
	maxMembers = 32   // headers, labels, brokers
	maxValue   = 8 << 10

	minBatchEntries, maxBatchEntries = 1, 100_000
	minBatchBytes, maxBatchBytes     = 1 << 10, 16 << 20
	minBatchAge, maxBatchAge         = time.Millisecond, 5 * time.Minute

	minSpool, maxSpool = 1 << 20, 1 << 40 // of less a spool could hold no entry of the largest size
	maxMemory          = 256 << 20        // of a spool that has no disk
	defaultMemory      = 8 << 20

	minFileBytes, maxFileBytes = 64 << 10, 1 << 40
	minFileAge, maxFileAge     = time.Minute, 366 * 24 * time.Hour
	maxKeep                    = 1000

	maxTimeout                       = 5 * time.Minute
	minAuditTimeout, maxAuditTimeout = 10 * time.Millisecond, 5 * time.Minute
)
