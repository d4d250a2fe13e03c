package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
)

// eachPair runs the test with a pair of each system that can do what is needed.
func eachPair(t *testing.T, needs Feature, settings Settings, test func(*testing.T, Pair)) {
	t.Helper()
	for _, s := range systems() {
		if s.Can()&needs != needs {
			continue
		}
		t.Run(s.Name(), func(t *testing.T) {
			pair, err := s.Start(t.Context(), settings)
			if err != nil {
				t.Fatal(err)
			}
			test(t, pair)
			if err := pair.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		})
	}
}

// payload is different for each n at every place.
func payload(n, size int) []byte {
	unit := fmt.Appendf(nil, "<%d>", n)
	return bytes.Repeat(unit, size/len(unit)+1)[:size]
}

func TestEchoIsRight(t *testing.T) {
	eachPair(t, CanEcho, Settings{}, echoIsRight)
}

func TestEchoIsRightOverTLS(t *testing.T) {
	certificate, err := NewCertificate()
	if err != nil {
		t.Fatal(err)
	}
	eachPair(t, CanEcho|CanTLS, Settings{TLS: certificate}, echoIsRight)
}

// echoIsRight has many callers at once send payloads of many sizes, some of them
// above a batch, and compares every byte.
func echoIsRight(t *testing.T, p Pair) {
	t.Helper()
	sizes := []int{0, 1, 511, 512, 4096, readSize, batchLimit, batchLimit + 1, 3 * batchLimit}
	errs := make(chan error)
	const callers = 32
	for i := range callers {
		caller := p.Caller(Echo)
		go func() {
			var dst []byte
			for j, size := range sizes {
				req := payload(i*len(sizes)+j, size)
				reply, err := caller.Call(t.Context(), req, dst[:0])
				if err != nil || !bytes.Equal(reply, req) {
					errs <- fmt.Errorf("caller %d, %d bytes: %d bytes came back, error %w", i, size, len(reply), err)
					return
				}
				dst = reply
			}
			errs <- nil
		}()
	}
	for range callers {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

func TestSmallCallsAreAnswered(t *testing.T) {
	eachPair(t, CanCall, Settings{}, func(t *testing.T, p Pair) {
		t.Helper()
		caller := p.Caller(Echo)
		for i := range 100 {
			req := payload(i, smallSize)
			if reply, err := caller.Call(t.Context(), req, nil); err != nil || !bytes.Equal(reply, payload(i, smallSize)) {
				t.Fatalf("call %d: %d bytes came back, error %v", i, len(reply), err)
			}
		}
	})
}

func TestBulkIsRight(t *testing.T) {
	eachPair(t, CanBulk, Settings{}, func(t *testing.T, p Pair) {
		t.Helper()
		req := payload(1, 32<<20)
		reply, err := p.Caller(Echo).Call(t.Context(), req, nil)
		if err != nil || !bytes.Equal(reply, req) {
			t.Errorf("%d bytes came back of %d, error %v", len(reply), len(req), err)
		}
	})
}

func TestStreamCountsAreRight(t *testing.T) {
	eachPair(t, CanStream, Settings{}, func(t *testing.T, p Pair) {
		t.Helper()
		errs := make(chan error)
		counts := []int{1, 2, 100, 2000, 3000}
		for _, n := range counts {
			go func() {
				// Twice: the second uses again what the first gave back.
				err := p.StreamFrom(t.Context(), n, smallSize)
				if err == nil {
					err = p.StreamFrom(t.Context(), n, smallSize+1)
				}
				errs <- err
			}()
		}
		for range counts {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
	})
}

func TestBlockedHandlerHoldsUpNobody(t *testing.T) {
	eachPair(t, CanBlock, Settings{}, func(t *testing.T, p Pair) {
		t.Helper()
		// A call that only ends after the blocked one would never be in time: many
		// of them fit into it, unless the machine stands still for as long.
		for late := time.Now().Add(time.Minute); besideBlocked(t, p) < 2; {
			if time.Now().After(late) {
				t.Fatal("no call is answered beside a blocked one")
			}
		}
	})
}

// besideBlocked is how many calls are answered while a handler blocks.
func besideBlocked(t *testing.T, p Pair) (calls int) {
	t.Helper()
	blocked := make(chan time.Duration)
	began := time.Now()
	go func() {
		reply, err := p.Caller(Block).Call(t.Context(), payload(1, smallSize), nil)
		if err != nil || len(reply) != smallSize {
			t.Errorf("the blocked call: %d bytes, error %v", len(reply), err)
		}
		blocked <- time.Since(began)
	}()
	for caller := p.Caller(Echo); ; calls++ {
		select {
		case took := <-blocked:
			if took < blockFor {
				t.Errorf("the handler blocked for %s, want at least %s", took, blockFor)
			}
			return calls
		default:
			if _, err := caller.Call(t.Context(), payload(2, smallSize), nil); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestHoldKeepsStreamsOpen(t *testing.T) {
	eachPair(t, CanHold, Settings{}, func(t *testing.T, p Pair) {
		t.Helper()
		if err := p.(Holder).Hold(t.Context(), 50); err != nil {
			t.Error(err)
		}
		if _, err := p.Caller(Echo).Call(t.Context(), payload(1, smallSize), nil); err != nil {
			t.Errorf("a call beside idle streams: %v", err)
		}
	})
}

func TestCloseEndsWhatRuns(t *testing.T) {
	eachPair(t, CanCall, Settings{}, func(t *testing.T, p Pair) {
		t.Helper()
		failed := make(chan error)
		for range 4 {
			caller := p.Caller(Echo)
			go func() {
				for {
					if _, err := caller.Call(t.Context(), payload(1, smallSize), nil); err != nil {
						failed <- err
						return
					}
				}
			}()
		}
		if err := p.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		for range 4 {
			if err := <-failed; err == nil {
				t.Error("a call ended without an error")
			}
		}
	})
}

func TestLinksLinkAndUnlinkedDoNot(t *testing.T) {
	for _, s := range systems() {
		if s.Can()&CanLink == 0 {
			continue
		}
		t.Run(s.Name(), func(t *testing.T) {
			linker := s.(Linker)
			links, err := linker.Links(t.Context(), 5)
			if err != nil {
				t.Fatal(err)
			}
			if n, err := links.Link(t.Context()); err != nil || n < 5 {
				t.Errorf("linked %d, error %v; want at least 5", n, err)
			}
			if err := links.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
			end, err := linker.Unlinked(t.Context(), 5)
			if err != nil {
				t.Fatal(err)
			}
			if err := end.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		})
	}
}

func TestMeshLinksAll(t *testing.T) {
	const n = 4
	for _, s := range systems() {
		if s.Can()&CanMesh == 0 {
			continue
		}
		t.Run(s.Name(), func(t *testing.T) {
			mesh, err := s.(Mesher).Mesh(t.Context(), n)
			if err != nil {
				t.Fatal(err)
			}
			for i := range n * (n - 1) {
				req := payload(i, smallSize)
				reply, err := everyPair(mesh, n).caller(i).Call(t.Context(), req, nil)
				if err != nil || !bytes.Equal(reply, req) {
					t.Errorf("pair %d: %d bytes came back, error %v", i, len(reply), err)
				}
			}
			if err := mesh.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		})
	}
}

func TestPickSystems(t *testing.T) {
	picked, err := pickSystems("grpc, tcpfloor")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range picked {
		names = append(names, s.Name())
	}
	if got := strings.Join(names, ","); got != "tcpfloor,grpc" {
		t.Errorf("picked %s, want them in the order of systems()", got)
	}
}
