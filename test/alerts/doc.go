// Package alerts tests what charts/gridmesh asks of a Prometheus: each alert on
// Prometheus' own engine, with series as nodes and operators give them, and the
// objects for the Prometheus operator against its own types. It holds tests only.
package alerts
