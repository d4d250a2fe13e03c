//go:build root

package netns

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gridmesh/gridmesh/pkg/grid"
)

// nodeEnv makes the test binary a node: own name, peer's name and addresses.
const nodeEnv = "GRIDMESH_NETNS_NODE"

func TestMain(m *testing.M) {
	if spec := os.Getenv(nodeEnv); spec != "" {
		if err := runNode(strings.Fields(spec)); err != nil {
			fmt.Fprintln(os.Stdout, "failed", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// runNode runs a node until its standard input ends. It takes commands there,
// a word a line, and answers each on standard output.
func runNode(spec []string) error {
	local, peer, listen, dial := spec[0], spec[1], spec[2], spec[3]
	m, err := grid.NewManager(context.Background(), grid.Options{
		Local: local, Peers: []string{local, peer}, InsecurePlainText: true,
		Resolve: func(context.Context, string) (string, error) { return dial, nil },
	})
	if err != nil {
		return err
	}
	defer func() { _ = m.Close() }()
	if err := m.RegisterSingle("echo", func(_ context.Context, req []byte) ([]byte, error) { return req, nil }); err != nil {
		return err
	}
	ln, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	go func() { _ = m.NewServer().Serve(ln) }()
	c := m.Connection(peer)
	commands := bufio.NewScanner(os.Stdin)
	for commands.Scan() {
		switch commands.Text() {
		case "wait": // until linked
			if err := c.Wait(context.Background()); err != nil {
				return err
			}
			fmt.Fprintln(os.Stdout, "linked")
		case "call": // one call without a deadline of its own; says how it ended and after how long
			began := time.Now()
			_, err := c.Request(context.Background(), "echo", []byte("hi"))
			fmt.Fprintln(os.Stdout, "called", grid.OutcomeOf(err), time.Since(began).Milliseconds(), err)
		}
	}
	return nil
}
