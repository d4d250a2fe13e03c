package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"
)

const (
	firstNodes = 3
	fileBytes  = 64 << 20
)

// show is one run of the demo.
type show struct {
	*cluster
	traffic *traffic
	out     *screen
	end     time.Time // not before everything was shown; zero: until interrupted
	result  result
}

// demonstrate runs it all. Whatever happens, no process and no file is left.
// The result is nil if it did not get to its end.
func demonstrate(ctx context.Context, length time.Duration, out *screen) (final *result, err error) {
	dir, err := os.MkdirTemp("", "gridmesh-demo-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	a := newAdmin()
	defer a.close()

	out.sayf("building the node")
	binary, err := build(ctx, dir)
	if err != nil {
		return nil, err
	}
	c, err := newCluster(dir, binary, a)
	if err != nil {
		return nil, err
	}
	s := &show{cluster: c, traffic: &traffic{admin: a}, out: out}
	all, err := c.prepare(firstNodes + 1)
	if err != nil {
		return nil, err
	}
	defer c.kill(all)

	if err := s.begin(ctx, all[:firstNodes]); err != nil {
		return nil, err
	}
	if length > 0 {
		s.end = time.Now().Add(length)
	}
	working, rest := context.WithCancel(ctx)
	defer s.traffic.group.Wait()
	defer rest()
	unfollow := sync.OnceFunc(out.follow(s))
	defer unfollow()
	s.work(working, all[:firstNodes], nil)
	if err := s.scenes(ctx, working, all); err != nil {
		return nil, errors.Join(append([]error{err}, s.spoken()...)...)
	}
	if err := s.wait(ctx); err != nil {
		return nil, err
	}
	unfollow() // the last look is at a mesh that works
	rest()
	s.traffic.group.Wait()
	return s.finish()
}

// begin starts the first nodes and waits for their mesh.
func (s *show) begin(ctx context.Context, nodes []*node) error {
	s.nodes = nodes
	if err := s.writePeers(nodes); err != nil {
		return err
	}
	begin := time.Now()
	for _, n := range nodes {
		if err := s.start(n); err != nil {
			return err
		}
	}
	if err := s.whole(ctx); err != nil {
		return err
	}
	s.out.sayf("%d nodes with mutual TLS, every pair linked %d ms after their start", len(nodes), time.Since(begin).Milliseconds())
	for _, n := range nodes {
		s.out.sayf("  status page of %s: %s", n.name, n.page())
	}
	return nil
}

// work starts calls among the nodes, those among known aside.
func (s *show) work(ctx context.Context, nodes []*node, known []*node) {
	isKnown := make(map[*node]bool)
	for _, n := range known {
		isKnown[n] = true
	}
	for _, from := range nodes {
		for _, to := range nodes {
			if from != to && !(isKnown[from] && isKnown[to]) {
				s.traffic.pair(ctx, from, to)
			}
		}
	}
	s.traffic.askAll(ctx, nodes[len(nodes)-1], nodes)
}

// scenes shows one thing after the other.
func (s *show) scenes(ctx, working context.Context, all []*node) error {
	path := filepath.Join(s.dir, "file")
	sum, err := writeFile(path)
	if err != nil {
		return err
	}
	if err := s.send(ctx, path, sum, all[0], all[1]); err != nil {
		return err
	}
	if err := fanOut(ctx, s.admin, all[1], s.nodes); err != nil {
		return fmt.Errorf("ask all nodes: %w", err)
	}
	s.out.sayf("%s asked all nodes at once: %d answers", all[1].name, len(s.nodes))
	if err := s.pauseScenes(ctx); err != nil {
		return err
	}
	if err := s.killAndRevive(ctx, path, sum, all[2]); err != nil {
		return err
	}
	if err := s.pauseScenes(ctx); err != nil {
		return err
	}
	return s.grow(ctx, working, all)
}

func (s *show) pauseScenes(ctx context.Context) error {
	if !pause(ctx, time.Second) {
		return ctx.Err()
	}
	return nil
}

// writeFile makes a file of random bytes, and gives its SHA-256.
func writeFile(path string) (string, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return "", err
	}
	var seed [32]byte
	for i := range seed {
		seed[i] = byte(rand.Uint32())
	}
	h := sha256.New()
	_, err = io.CopyN(io.MultiWriter(f, h), rand.NewChaCha8(seed), fileBytes)
	return hex.EncodeToString(h.Sum(nil)), errors.Join(err, f.Close())
}

// send streams the file from one node to another, which digests it.
func (s *show) send(ctx context.Context, path, sum string, from, to *node) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	begin := time.Now()
	counted := &counter{r: f}
	got, err := s.admin.stream(ctx, from.admin, to.name, "digest", counted)
	if err != nil {
		return fmt.Errorf("stream a file from %s to %s: %w", from.name, to.name, err)
	}
	first := s.result.StreamBytes == 0
	s.result.StreamBytes += counted.n
	s.result.DigestOK = (first || s.result.DigestOK) && string(got) == sum
	if string(got) != sum {
		return fmt.Errorf("stream a file from %s to %s: its SHA-256 is %s there and %s here", from.name, to.name, got, sum)
	}
	took := time.Since(begin)
	s.out.sayf("a file of %d MiB streamed from %s to %s, its SHA-256 the same: %.0f MiB/s",
		counted.n>>20, from.name, to.name, float64(counted.n)/(1<<20)/took.Seconds())
	return nil
}

type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// killAndRevive kills a node, sees that the others work on, and starts it again.
func (s *show) killAndRevive(ctx context.Context, path, sum string, victim *node) error {
	s.out.sayf("killing %s (SIGKILL)", victim.name)
	victim.turn()
	victim.process.kill()
	if err := s.send(ctx, path, sum, s.nodes[1], s.nodes[0]); err != nil { // the others do not mind
		return err
	}
	begin := time.Now()
	if err := s.start(victim); err != nil {
		return err
	}
	if err := s.whole(ctx); err != nil {
		return err
	}
	s.result.ReconnectMillis = millis(time.Since(begin))
	s.out.sayf("%s is back, all its links up %.0f ms after its new start", victim.name, s.result.ReconnectMillis)
	return nil
}

// grow adds a node to the mesh that runs.
func (s *show) grow(ctx, working context.Context, all []*node) error {
	added := all[len(all)-1]
	s.out.sayf("adding %s to the peers file that all watch", added.name)
	begin := time.Now()
	if err := s.writePeers(all); err != nil {
		return err
	}
	if err := s.start(added); err != nil {
		return err
	}
	known := s.nodes
	s.out.change(func() { s.nodes = all })
	if err := s.whole(ctx); err != nil {
		return err
	}
	s.result.AddedNodeMillis = millis(time.Since(begin))
	s.out.sayf("%s is linked with all %d others %.0f ms after the change of the file", added.name, len(known), s.result.AddedNodeMillis)
	s.out.sayf("  status page of %s: %s", added.name, added.page())
	s.work(working, all, known)
	return nil
}

// wait lets it run until its time is over.
func (s *show) wait(ctx context.Context) error {
	if s.end.IsZero() {
		s.out.sayf("everything was shown; it runs on until Ctrl-C")
		<-ctx.Done()
		return nil // that is how it is meant to end
	}
	if left := time.Until(s.end); left > 0 && !pause(ctx, left) {
		return ctx.Err()
	}
	return nil
}

// finish takes stock and has the nodes leave.
func (s *show) finish() (*result, error) {
	ctx, cancel := context.WithTimeout(context.Background(), callTime)
	defer cancel()
	s.result.Nodes = len(s.nodes)
	s.result.LinksUp, s.result.LinksExpected = s.links(ctx)
	s.result.Calls, s.result.ErrorsUnexpected = s.traffic.calls.Load(), s.traffic.wrong.Load()
	audited := s.audited(ctx)
	for _, n := range s.nodes {
		n.turn()
	}
	begin := time.Now()
	err := s.stop()
	if err == nil {
		s.out.sayf("%d nodes left the mesh in %d ms", len(s.nodes), time.Since(begin).Milliseconds())
	}
	return &s.result, errors.Join(append([]error{err, audited}, s.spoken()...)...)
}

// audited sums up what the nodes have recorded.
func (s *show) audited(ctx context.Context) error {
	for _, n := range s.nodes {
		status, err := s.admin.status(ctx, n.admin)
		if err != nil {
			return fmt.Errorf("audit of %s: %w", n.name, err)
		}
		t := status.Telemetry
		if t == nil {
			return fmt.Errorf("%s says nothing of its audit", n.name)
		}
		s.result.AuditRecords += t.Records
		s.result.AuditDropped += t.RefusedCalls
		for i := range t.Targets {
			if t.Targets[i].System == "audit" {
				s.result.AuditDropped += t.Targets[i].Dropped + t.Targets[i].Rejected
			}
		}
	}
	s.out.sayf("%d calls and events in the audit of %d nodes, %d lost", s.result.AuditRecords, len(s.nodes), s.result.AuditDropped)
	return nil
}

// spoken are the errors among living nodes, to be printed.
func (s *show) spoken() []error {
	var all []error
	for _, words := range s.traffic.faults() {
		all = append(all, errors.New("unexpected: "+words))
	}
	return all
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
