// Package member is what a server needs to be a member of a mesh, besides the
// grid.Manager that does the calling: peer lists that come by file, by push and
// from peers; certificates that are read again when they change; probes,
// metrics, status and acknowledgements on an admin port; the two listeners, and
// the order of starting and leaving. It has no handlers of its own and reads no
// settings: internal/node and pkg/grid/gridpod do, and both are members.
//
// The way through the files: config.go (what a member is told) → member.go
// (what is made of it: New, Options, Bind) → serve.go (Listen, Start, Drain,
// Stop) → feed.go (peer lists), certificate.go, resolve.go → admin.go, push.go
// (what is asked on the admin port) → ready.go, status.go, ack.go, metrics.go,
// rates.go (what it says).
//
// Goroutines, each started by Start and waited for by Stop: one serves the grid
// port, one the admin port, one reads peer lists, one polls certificates, and
// one waits for the first links. Requests on the admin port have one each.
//
// Locks: feed.mu (what is known of the list in use), feed.saving (one write of
// the saved list at a time), rates.mu (the samples of before). None but
// feed.saving is held while anything else is called that could block.
package member
