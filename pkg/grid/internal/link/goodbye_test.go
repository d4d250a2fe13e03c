package link

import (
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gridmesh/gridmesh/pkg/grid/internal/wire"
)

// parting is a connection whose other side has written its last words and
// closed: writes fail, and what it said can still be read.
type parting struct {
	refuse error       // what writes get
	words  chan []byte // the last batches, then silence
	failed chan struct{}
	once   sync.Once
	closed chan struct{}
	end    sync.Once
}

func (p *parting) WriteBatch([]byte) error {
	p.once.Do(func() { close(p.failed) })
	return p.refuse
}

func (p *parting) ReadBatch() (*batch, error) {
	select {
	case <-p.failed:
	case <-p.closed:
		return nil, io.EOF
	}
	select {
	case b := <-p.words:
		buf := getBatch()
		buf.b = append(buf.b, b...)
		return buf, nil
	case <-p.closed:
		return nil, io.EOF
	}
}

func (p *parting) Close() error {
	p.end.Do(func() { close(p.closed) })
	return nil
}

func (p *parting) Wire() (in, out uint64) { return 0, 0 }

// The other side's GOODBYE is the reason of a link's end, also where a write
// finds out first that it has gone; and who said nothing is not waited for long.
func TestAFailedWriteWaitsForTheReason(t *testing.T) {
	goodbye := wire.Append(nil, &wire.Frame{Kind: wire.Goodbye, Code: []byte(CodeDrained), Message: []byte("shut down")})
	for name, c := range map[string]struct {
		refuse error
		words  [][]byte
		after  time.Duration
		code   string
		remote bool
	}{
		"it said why":         {syscall.ECONNRESET, [][]byte{goodbye}, 0, CodeDrained, true},
		"behind other frames": {syscall.EPIPE, [][]byte{wire.Append(nil, &ping), wire.Append(nil, &ping), goodbye}, 0, CodeDrained, true},
		"it said nothing":     {syscall.ECONNRESET, nil, time.Second, CodeLost, false},
		"it reads no more":    {os.ErrDeadlineExceeded, nil, 0, CodeLost, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tr := &parting{refuse: c.refuse, words: make(chan []byte, len(c.words)), failed: make(chan struct{}), closed: make(chan struct{})}
				for _, b := range c.words {
					tr.words <- b
				}
				s := NewShared(testLimits(), &Registry{}, quiet, encodeTest)
				defer s.Close()
				l := Start(Config{Transport: tr, Remote: "b:1", Shared: s})
				began := time.Now()
				l.append(&ping)
				<-l.Done()
				cut := l.cause.Load()
				if took := time.Since(began); cut.Code != c.code || cut.Remote != c.remote || took != c.after {
					t.Errorf("ended after %v: %v", took, cut)
				}
				if !c.remote && !strings.HasPrefix(cut.Message, "write: ") {
					t.Errorf("the reason is %q", cut.Message)
				}
				l.Wait()
			})
		})
	}
}

// So it is on a real socket: who closes with bytes unread resets the
// connection, right behind its GOODBYE.
func TestReasonSurvivesAReset(t *testing.T) {
	limits := testLimits()
	limits.GoodbyeWait = time.Minute // a busy machine may stand still for a second, and read later
	for range 50 {
		ours, theirs := webSockets(t, limits)
		s := NewShared(limits, &Registry{}, quiet, encodeTest)
		l := Start(Config{Transport: ours, Remote: "b:1", Shared: s})
		stop := make(chan struct{})
		var busy sync.WaitGroup
		busy.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					l.append(&ping)
				}
			}
		})
		if _, err := theirs.ReadBatch(); err != nil { // and there is more, which is never read
			t.Fatal(err)
		}
		if err := theirs.WriteBatch(wire.Append(nil, &wire.Frame{Kind: wire.Goodbye, Code: []byte(CodeDrained)})); err != nil {
			t.Fatal(err)
		}
		_ = theirs.Close()
		<-l.Done()
		close(stop)
		busy.Wait()
		if cut := l.cause.Load(); cut.Code != CodeDrained || !cut.Remote {
			t.Errorf("ended: %v", cut)
		}
		l.Wait()
		s.Close()
	}
}
