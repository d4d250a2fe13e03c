// Embed is a server in a grid. Start one for each name, its own name first:
// NAMES=localhost:7946,localhost:7947 go run ./examples/embed &
// NAMES=localhost:7947,localhost:7946 go run ./examples/embed
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/gridmesh/gridmesh/pkg/grid"
)

func main() {
	fmt.Fprintln(os.Stderr, run(context.Background(), strings.Split(os.Getenv("NAMES"), ",")))
	os.Exit(1)
}

func run(ctx context.Context, names []string) error {
	m, err := grid.NewManager(ctx, grid.Options{Local: names[0], InsecurePlainText: true}) // in production: TLS
	if err != nil {
		return err
	}
	greet := func(_ context.Context, name []byte) ([]byte, error) {
		return fmt.Appendf(nil, "%s greets %s", m.Local(), name), nil
	}
	if err := errors.Join(m.RegisterSingle("greet", greet), m.SetPeers(names)); err != nil {
		return err
	}
	for _, peer := range m.Connections() {
		go func() {
			peer = peer.With(grid.CallOptions{WaitForLink: true})
			reply, err := peer.Request(ctx, "greet", []byte(m.Local()))
			fmt.Fprintln(os.Stdout, string(reply), err)
		}()
	}
	server := m.NewServer()
	server.Addr = m.Local()
	return server.ListenAndServe()
}
