// Package link runs one link: the only writer and the only reader of one
// transport, the calls and streams that live on it in both directions, its
// budgets, its pings, and its end. A link dies whole: when it ends, everything
// on it ends with the same reason, and nothing of it reaches the next link to
// the same peer.
//
// # The path of a call, file by file
//
//	call.go       the caller: an id, a waiter, a frame into the pending buffer
//	outbound.go   the pending buffer: small frames first, chunks behind, bytes counted
//	transfer.go   a large body on its way out, chunk by chunk
//	writer.go     the goroutine that writes all that is pending in one go
//	websocket.go  batches as WebSocket messages (memory.go: within the process)
//	reader.go     the goroutine that reads a batch and takes its frames one by one
//	assembly.go   a large body on its way in
//	serve.go      a request becomes a handler's call, and its answer a frame
//	stream.go     messages, credit and ends of a stream, at both ends
//
// # Goroutines
//
//	writer        one a link, started by Start, ends with the link
//	reader        one a link at any time, and it is a role: whoever holds the
//	              read token. The holder runs handlers itself; when one blocks,
//	              the watch takes the token away and gives it to another
//	              goroutine (turn.go). Ends with the link.
//	workers       a pool for all links of a manager (workers.go): stream
//	              handlers, handlers known to block, substitute readers
//	watch         one timer for all links of a manager (watch.go), running only
//	              while some reader runs handlers
//	keepalive     one timer a link (keepalive.go)
//
// # Locks
//
//	outbound.mu   pending frames, waiters, ids, transfers out. Held for a copy
//	              of at most a chunk, never across I/O or user code.
//	serving.mu    calls being served
//	Stream.mu     one stream's queue and credit; never taken together with another stream's
//	offers.mu     large bodies that wait for memory
//
// Order where two are held: Stream.mu, then outbound.mu. No lock is held while
// a channel is sent to, but for channels with room by construction.
package link
