// Package grid gives a set of servers one two-way WebSocket per pair, and runs
// requests and streams between all of them over it.
//
// Every server makes a [Manager] with its own name and those of its peers,
// registers handlers, and serves the Manager's http.Handler. It gets a
// [Connection] for each peer and calls it: there are no clients and no
// servers, both ends of a link make calls and serve them.
//
//	m, err := grid.NewManager(ctx, grid.Options{
//		Local: "node-0.demo.svc:7000",
//		Peers: []string{"node-0.demo.svc:7000", "node-1.demo.svc:7000"},
//		TLS:   grid.StaticTLS(cert, roots),
//	})
//	if err != nil {
//		return err
//	}
//	err = m.RegisterSingle("greet", func(ctx context.Context, req []byte) ([]byte, error) {
//		return append([]byte("hello "), req...), nil
//	})
//	if err != nil {
//		return err
//	}
//	srv := m.NewServer()
//	srv.Addr = ":7000"
//	go srv.ListenAndServeTLS("", "")
//
//	peer := m.Connection("node-1.demo.svc:7000")
//	if err := peer.Wait(ctx); err != nil {
//		return err
//	}
//	reply, err := peer.Request(ctx, "greet", []byte("from node-0"))
//
//	defer m.Shutdown(ctx) // finishes what runs, then says goodbye
//
// What holds, in short: a call ends exactly once, within its deadline, and its
// error says whether it may have run ([OutcomeOf]). A lost link fails all that
// was in flight on it; nothing of it reaches the next one. Within a stream,
// messages come in order and exactly once, or it ends with an error. A slow
// reader stops its own sender and nobody else. Every queue is bounded in bytes
// ([Limits]). docs/architecture.md says why, docs/protocol.md describes the
// bytes.
//
// # The path of a call, file by file
//
//	request.go, stream.go   the caller: options, deadline, and which link
//	connection.go           the view of a peer that callers hold
//	peer.go                 the peer: the link it has now, and its state
//	internal/link           the link: ids, batches, chunks, the socket, and on
//	                        the other side the same way up to its dispatch
//	handler.go              the handler that was registered
//
// typed.go puts generic, typed handlers on top; interceptor.go wraps calls on
// both sides; fanout.go calls many peers; self.go is the link to oneself.
//
// # How a link comes about
//
//	membership.go   a list: who is new, who is gone
//	name.go         which side of a pair dials
//	redial.go       when, and how many at once
//	dial.go         the dialer's side of the handshake
//	server.go       what a server lets in, and how much of it
//	accept.go       the acceptor's side: who is let in, and in whose place
//	greet.go, hello.go, msgpack.go   the greetings of both
//	identity.go, auth.go             certificates, and the shared token
//	refusal.go      what is told, logged and counted of those refused
//	rotate.go       links remade before they get old
//	drain.go        the end: Shutdown and Close
//
// # Goroutines
//
// The calling side starts none for a single request. Close waits for all of
// these, and for the links' own, which internal/link lists:
//
//	attend          one a link: waits for its end and has the peer dialled again
//	dialQueue.run   at most Limits.Dials: a dial and its handshake; a peer that
//	                waits for its next dial has a timer only
//	retire          one for each link that is on its way out
//	offerList       one for each list on its way to a peer
//	askForRenewal   one for each link that this side wants remade and can't dial
//	notices.run     at most one: calls Options.OnPeerList
//	serveHTTP       the server's goroutine, until the handshake is over
//
// A StreamHandler's Handle and Connection.NewStream, the forms with channels,
// have one goroutine for each channel; they end with the stream.
//
// # Locks
//
//	Manager.listMu   one change of the list at a time
//	peer.mu          the state of one peer; calls do not take it
//	Manager.mu       which goroutines and links there are
//	dialQueue.mu, gate.mu, refusalLog.mu, counts.mu, notices.mu   leaves
//
// They are taken in this order, never two of the same kind, and never held
// during I/O or a user's function, but that listMu is held while the change is
// logged. The peers are an immutable map, swapped whole, and each
// peer's live link is an atomic pointer: a call takes no lock of this package.
package grid
