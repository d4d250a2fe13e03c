// Embedpod is a program whose pods call each other: it embeds the library, and
// the operator tells it who its peers are (docs/embedding.md). It shows by HTTP:
//
//	curl localhost:8080/greet                      # all pods greet
//	curl 'localhost:8080/greet?peer=NAME&text=hi'  # one does, NAME as the first wrote it
//	curl 'localhost:8080/sum?peer=NAME&n=1000'     # a stream of numbers there, their sums back
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/gridmesh/gridmesh/pkg/grid"
	"github.com/gridmesh/gridmesh/pkg/grid/gridpod"
)

var greet = grid.NewSingle[Greeting, Greeting]("greet")
var sum = grid.NewStreaming[grid.None, Number, Number]("sum")

func main() {
	dir := flag.String("dir", "/etc/gridmesh", "where the ConfigMap and the Secret of the Grid are mounted")
	addr := flag.String("http", ":8080", "where to serve HTTP")
	flag.Parse()
	if err := run(*dir, *addr); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(dir, addr string) error {
	pod, err := gridpod.FromDir(dir)
	if err != nil {
		return err
	}
	m, err := grid.NewManager(context.Background(), pod.Options())
	if err != nil {
		return err
	}
	answer := func(_ context.Context, g *Greeting) (*Greeting, error) {
		return &Greeting{From: m.Local(), Text: g.Text + ", " + g.From}, nil
	}
	if err := errors.Join(greet.Register(m, answer), sum.Register(m, serveSum, 16, 16)); err != nil {
		return err
	}
	web := &http.Server{Addr: addr, Handler: routes(m), ReadHeaderTimeout: 5 * time.Second}
	go func() { fmt.Fprintln(os.Stderr, web.ListenAndServe()) }()
	return pod.Serve(m) // until SIGTERM, and until what ran then has ended
}

// serveSum answers each number with the sum so far.
func serveSum(ctx context.Context, _ *grid.None, st *grid.TypedHandlerStream[Number, Number]) error {
	var total Number
	for n, err := range st.All() {
		if err != nil {
			return err
		}
		total.N += n.N
		if err := st.Send(ctx, &total); err != nil {
			return err
		}
	}
	return nil
}

func routes(m *grid.Manager) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /greet", func(w http.ResponseWriter, r *http.Request) {
		to := grid.FanOut{Local: true} // all pods
		if peer := r.FormValue("peer"); peer != "" {
			to = grid.FanOut{Peers: []string{peer}}
		}
		for result := range greet.FanOut(r.Context(), m, &Greeting{m.Local(), r.FormValue("text")}, to) {
			text := fmt.Sprintf("error: %v", result.Err)
			if result.Err == nil {
				text = result.Reply.Text
			}
			fmt.Fprintf(w, "%s: %s\n", result.Peer, text)
		}
	})
	mux.HandleFunc("GET /sum", func(w http.ResponseWriter, r *http.Request) {
		most, _ := strconv.ParseInt(r.FormValue("n"), 10, 64)
		total, err := addUp(r.Context(), m.Connection(r.FormValue("peer")), most)
		if err != nil {
			http.Error(w, "error: "+err.Error(), http.StatusBadGateway)
			return
		}
		_, _ = w.Write(fmt.Appendln(nil, total)) //nolint:gosec // a number
	})
	return mux
}

// addUp has a peer add up 1 to most.
func addUp(ctx context.Context, peer *grid.Connection, most int64) (total int64, err error) {
	if peer == nil {
		return 0, errors.New("there is no such peer")
	}
	st, err := sum.Open(ctx, peer, &grid.None{})
	if err != nil {
		return 0, err
	}
	go func() { // a stream goes both ways at once
		for i := int64(1); i <= most && st.Send(ctx, &Number{i}) == nil; i++ {
		}
		_ = st.CloseSend()
	}()
	for reply, err := range st.All() {
		if err != nil {
			return 0, err
		}
		total = reply.N
	}
	return total, nil
}
