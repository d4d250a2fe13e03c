package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gridmesh/gridmesh/internal/adminapi"
	"github.com/gridmesh/gridmesh/internal/latency"
)

const (
	callEvery   = 4 * time.Millisecond // pause between the calls of a pair
	askAllEvery = time.Second
	callTime    = time.Minute // for what hangs: how slow this machine is says nothing of the mesh
	keptErrors  = 5
)

// traffic is calls from every node to every other, one after the other for
// each pair, and now and then one to all.
type traffic struct {
	admin *admin
	group sync.WaitGroup

	calls  atomic.Uint64
	wrong  atomic.Uint64 // errors between nodes that were alive, and wrong answers
	byNode sync.Map      // *node to *latency.Histogram, of calls since the screen looked last

	mu    sync.Mutex // protects what follows
	words []string   // the first errors
}

func (t *traffic) times(n *node) *latency.Histogram {
	h, _ := t.byNode.LoadOrStore(n, &latency.Histogram{})
	times, ok := h.(*latency.Histogram)
	if !ok {
		return &latency.Histogram{} // nothing else is ever stored
	}
	return times
}

// pair keeps calling from one node to another until ctx ends.
func (t *traffic) pair(ctx context.Context, from, to *node) {
	t.group.Go(func() {
		random := rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
		for pause(ctx, callEvery) {
			payload := make([]byte, 64+random.IntN(2048))
			for i := range payload {
				payload[i] = byte(random.Uint32())
			}
			t.judge(ctx, []*node{from, to}, func(ctx context.Context) error {
				begin := time.Now()
				reply, err := t.admin.call(ctx, from.admin, to.name, "echo", payload)
				switch {
				case err != nil:
					return err
				case !bytes.Equal(reply, payload):
					return fmt.Errorf("echo of %d bytes came back as %d others", len(payload), len(reply))
				}
				t.times(from).Record(time.Since(begin))
				return nil
			})
		}
	})
}

// askAll keeps asking a node what all say, until ctx ends.
func (t *traffic) askAll(ctx context.Context, by *node, nodes []*node) {
	t.group.Go(func() {
		for pause(ctx, askAllEvery) {
			t.judge(ctx, nodes, func(ctx context.Context) error { return fanOut(ctx, t.admin, by, nodes) })
		}
	})
}

// fanOut has one node ask all, and sees whether all have answered. It asks again
// when one took longer than nodes have for that: on a busy machine none has
// failed by it.
func fanOut(ctx context.Context, a *admin, by *node, nodes []*node) error {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	for {
		err := askOnce(ctx, a, by, nodes)
		if err == nil || ctx.Err() != nil || !strings.Contains(err.Error(), context.DeadlineExceeded.Error()) {
			return err
		}
	}
}

func askOnce(ctx context.Context, a *admin, by *node, nodes []*node) error {
	reply, err := a.call(ctx, by.admin, by.name, "mesh", nil)
	if err != nil {
		return err
	}
	var mesh adminapi.Mesh
	if err := json.Unmarshal(reply, &mesh); err != nil {
		return err
	}
	answers := make(map[string]string)
	for _, m := range mesh.Members {
		answers[m.Name] = m.Error
	}
	for _, n := range nodes {
		if why, asked := answers[n.name]; !asked || why != "" {
			return fmt.Errorf("asked by %s, %s gave no answer: %q", by.name, n.name, why)
		}
	}
	return nil
}

// judge makes a call and counts it: an error is expected only if one of the
// nodes was not alive at some time during the call.
func (t *traffic) judge(ctx context.Context, nodes []*node, call func(context.Context) error) {
	lives := make([]uint64, len(nodes))
	for i, n := range nodes {
		if lives[i] = n.life.Load(); lives[i]%2 == 0 {
			return // nothing to be learnt from a node that is known to be dead
		}
	}
	limited, cancel := context.WithTimeout(ctx, callTime)
	err := call(limited)
	cancel()
	if err == nil {
		t.calls.Add(1)
		return
	}
	if ctx.Err() != nil {
		return // we gave it up ourselves
	}
	for i, n := range nodes {
		if n.life.Load() != lives[i] {
			return
		}
	}
	t.fault(err)
}

// fault counts an error that should not have been.
func (t *traffic) fault(err error) {
	t.wrong.Add(1)
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.words) < keptErrors {
		t.words = append(t.words, err.Error())
	}
}

// faults are the first errors that should not have been.
func (t *traffic) faults() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]string(nil), t.words...)
}

// pause waits, and reports whether ctx let it.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
