// Package gridprom shows a grid.Manager to Prometheus:
//
//	calls := gridprom.NewCalls(gridprom.CallsOptions{})
//	m, err := grid.NewManager(ctx, grid.Options{
//		Interceptors: []grid.Interceptor{calls.Interceptor()},
//		…
//	})
//	registry.MustRegister(gridprom.New(m), calls)
//
// New gives the health of the node and its links, from Manager.Stats at each
// scrape: it costs nothing in between. Calls counts and times calls and streams
// by handler; leave it out and they cost nothing more.
//
// There is no label for a peer: the number of series does not grow with the
// grid. What concerns all links is a sum, or the worst of them. Which link it
// is, Manager.Stats tells. All names are listed in metrics.md beside this file.
//
// For several Managers in one process, give each a registerer of
// prometheus.WrapRegistererWith. The package starts no goroutine.
package gridprom
