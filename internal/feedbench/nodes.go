package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"github.com/gridmesh/gridmesh/internal/adminapi"
	"github.com/gridmesh/gridmesh/internal/adminport"
	"github.com/gridmesh/gridmesh/internal/member"
	"github.com/gridmesh/gridmesh/pkg/grid"
)

// address is where the node of an ordinal listens.
func address(ordinal int) string {
	return fmt.Sprintf("127.77.%d.%d", ordinal/250, ordinal%250+1)
}

// adminPort is that of the bench's Grids.
const adminPort = 17701

// simulated is one node: the admin port of a member, and a manager that links
// with nobody.
type simulated struct {
	m      *grid.Manager
	server *http.Server

	mu      sync.Mutex // protects what follows
	applied map[int]time.Time
	came    chan struct{} // closed and replaced when applied has grown
}

// serveNodes is the process of the nodes. The parent writes how many names a list
// has to have, and how many nodes are to use one, and reads when each of these
// had applied it.
func serveNodes(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	flags := flag.NewFlagSet(roleNodes, flag.ContinueOnError)
	dir := flags.String("dir", "", "folder with grid/ and tls/, as a pod has it")
	count := flags.Int("count", 0, "how many nodes")
	namespace := flags.String("namespace", "", "of the Grid")
	if err := flags.Parse(args); err != nil {
		return err
	}
	cert, err := tls.LoadX509KeyPair(filepath.Join(*dir, "tls", "tls.crt"), filepath.Join(*dir, "tls", "tls.key"))
	if err != nil {
		return err
	}
	// A thousand managers know a million peers between them, and one of them does
	// not pay for the others' garbage on a machine of its own.
	debug.SetGCPercent(400)
	all := make([]*simulated, *count)
	defer func() {
		for _, n := range all {
			if n != nil {
				_ = n.server.Close() // it ends with the process
				_ = n.m.Close()
			}
		}
	}()
	for i := range all {
		if all[i], err = newSimulated(ctx, i, *namespace, *dir, &cert); err != nil {
			return err
		}
	}
	fmt.Fprintln(out, "ready")
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		var names, nodes int
		if _, err := fmt.Sscan(lines.Text(), &names, &nodes); err != nil {
			return fmt.Errorf("%q: %w", lines.Text(), err)
		}
		when := make([]int64, nodes)
		for i := range when {
			at, err := all[i].uses(ctx, names)
			if err != nil {
				return err
			}
			when[i] = at.UnixNano()
		}
		if err := json.NewEncoder(out).Encode(when); err != nil {
			return err
		}
	}
	return lines.Err()
}

func newSimulated(ctx context.Context, ordinal int, namespace, dir string, cert *tls.Certificate) (*simulated, error) {
	name := fmt.Sprintf("demo-%d.demo.%s.svc:7700", ordinal, namespace)
	log := slog.New(slog.DiscardHandler)
	me, err := member.New(member.Config{
		Name: name, Grid: namespace + "/demo", Version: "bench", Lists: member.Lists{Dir: filepath.Join(dir, "grid")},
	}, log)
	if err != nil {
		return nil, err
	}
	o := me.Options()
	// Nobody is linked with: one dial waits, and the others wait for it.
	o.Limits.Dials, o.Limits.DialTimeout = 1, time.Minute
	o.Dial = func(ctx context.Context, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	o.Resolve = func(_ context.Context, name string) (string, error) { return name, nil }
	m, err := grid.NewManager(ctx, o)
	if err != nil {
		return nil, err
	}
	me.Bind(m)
	n := &simulated{m: m, applied: make(map[int]time.Time), came: make(chan struct{})}
	mux := http.NewServeMux()
	for _, r := range me.Routes() {
		mux.Handle(r.Pattern, r.Handler)
	}
	push := me.Signed(http.NotFoundHandler())
	mux.HandleFunc("PUT "+adminapi.PathPeers, func(w http.ResponseWriter, r *http.Request) {
		push.ServeHTTP(w, r)
		n.note()
	})
	n.server = adminport.NewServer(mux, 1, func() (*tls.Certificate, error) { return cert, nil }, log)
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(address(ordinal), strconv.Itoa(adminPort)))
	if err != nil {
		return nil, errors.Join(err, m.Close())
	}
	go func() { _ = n.server.ServeTLS(l, "", "") }() // ends with serveNodes, which closes it
	return n, nil
}

// note keeps when a list of that many names was first in use.
func (n *simulated) note() {
	names := len(n.m.PeerList().Names)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.applied[names].IsZero() {
		n.applied[names] = time.Now()
		close(n.came)
		n.came = make(chan struct{})
	}
}

// uses waits until a list of at least that many names is in use, and says since
// when.
func (n *simulated) uses(ctx context.Context, names int) (first time.Time, err error) {
	for {
		n.mu.Lock()
		came := n.came
		for size, at := range n.applied {
			if size >= names && (first.IsZero() || at.Before(first)) {
				first = at
			}
		}
		n.mu.Unlock()
		if !first.IsZero() {
			return first, nil
		}
		select {
		case <-came:
		case <-ctx.Done():
			return first, ctx.Err()
		}
	}
}
