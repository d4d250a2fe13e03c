package member

import (
	"context"
	"errors"
	"math"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gridmesh/gridmesh/internal/adminapi"
	"github.com/gridmesh/gridmesh/pkg/grid"
)

func TestRates(t *testing.T) {
	var r rates
	at := time.Unix(1000, 0)
	links := func(n uint64) []grid.LinkStats {
		return []grid.LinkStats{{Peer: "a", BytesIn: 1000 * n, BytesOut: 100 * n, MessagesIn: 10 * n, MessagesOut: n}}
	}
	for _, tt := range []struct {
		after time.Duration
		n     uint64
		want  float64 // bytes in
	}{
		{0, 0, 0},                  // nothing to compare with
		{2 * time.Second, 2, 1000}, // since the first
		{2100 * time.Millisecond, 3, 3000.0 / 2.1}, // too soon for a new sample
		{4 * time.Second, 2 + 20, 10000},           // since the second
		{5 * time.Second, 1, 0},                    // a peer that came back counts from zero
	} {
		l := links(tt.n)
		if got := r.since(at.Add(tt.after), l)(&l[0]).BytesIn; math.Abs(got-tt.want) > 0.01 {
			t.Errorf("after %v: %v bytes a second, want %v", tt.after, got, tt.want)
		}
	}
	if got := r.since(at.Add(6*time.Second), nil)(&grid.LinkStats{Peer: "new", BytesIn: 5}); got != (adminapi.Rate{}) {
		t.Errorf("a new peer: %+v", got)
	}
}

func TestReadiness(t *testing.T) {
	var r readiness
	with := adminapi.PeerList{Names: 2, Contains: true}
	check := func(list adminapi.PeerList, want ...string) {
		t.Helper()
		if got := r.waiting(list); !slices.Equal(got, want) {
			t.Errorf("waiting for %q, want %q", got, want)
		}
	}
	const (
		notOpen  = "the grid port is not open yet"
		noList   = "there is no peer list yet"
		removed  = "this node is not in the peer list"
		draining = "draining"
		links    = "waiting for the first links, up to 10 s"
	)
	check(adminapi.PeerList{}, notOpen, noList, links)
	r.listening.Store(true)
	check(with, links)
	r.settled.Store(true)
	check(with)
	check(adminapi.PeerList{}, noList)
	check(adminapi.PeerList{Names: 2, Epoch: 3, Removed: true}, removed)
	check(adminapi.PeerList{Epoch: 3, Removed: true}, removed)
	r.draining.Store(true)
	check(with, draining)
}

// A peer that is down keeps a node from being ready only at its start, and not
// for longer than ten seconds.
func TestReadyWithoutAPeer(t *testing.T) {
	for name, peerNames := range map[string][]string{"a peer that is down": {"a:1", "b:1"}, "no list": nil} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, err := grid.NewManager(t.Context(), grid.Options{
					Local: "a:1", Peers: peerNames, InsecurePlainText: true,
					Dial: func(context.Context, string) (net.Conn, error) { return nil, errors.New("nobody is there") },
				})
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = m.Close() }()
				var r readiness
				go r.settle(t.Context(), m)
				time.Sleep(firstLinks - time.Millisecond)
				if synctest.Wait(); r.settled.Load() {
					t.Errorf("settled before %v, with no link", firstLinks)
				}
				time.Sleep(time.Millisecond)
				if synctest.Wait(); !r.settled.Load() {
					t.Errorf("not settled after %v", firstLinks)
				}
			})
		})
	}
}
