package adminport

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Connections that do nothing must not keep probes out.
func TestIdleConnectionsMakeRoom(t *testing.T) {
	limit := &connLimit{most: 2}
	var conns []net.Conn
	closed := make(map[net.Conn]bool)
	connect := func() net.Conn {
		c := &closeRecorder{closed: closed}
		conns = append(conns, c)
		limit.state(c, http.StateNew)
		return c
	}
	first, second := connect(), connect()
	limit.state(first, http.StateActive)
	if len(closed) != 0 {
		t.Fatal("something was closed at the limit")
	}
	third := connect()
	if !closed[second] || closed[first] || closed[third] {
		t.Error("not the one that was idle for longest was closed")
	}
	limit.state(second, http.StateClosed)
	limit.state(first, http.StateIdle)
	connect()
	if !closed[third] || closed[first] {
		t.Error("the one that was busy of late was closed")
	}
	limit.state(third, http.StateClosed)
	if limit.count != 2 || len(limit.idle) != 2 {
		t.Errorf("%d connections, %d idle", limit.count, len(limit.idle))
	}
}

type closeRecorder struct {
	net.Conn
	closed map[net.Conn]bool
}

func (c *closeRecorder) Close() error { c.closed[c] = true; return nil }

// oneConn is a listener that has one connection to give.
type oneConn struct {
	conn chan net.Conn
	done chan struct{}
}

func (l *oneConn) Accept() (net.Conn, error) {
	select {
	case c := <-l.conn:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}
func (l *oneConn) Close() error   { close(l.done); return nil }
func (l *oneConn) Addr() net.Addr { return &net.TCPAddr{} }

// Who sends a head byte by byte is cut in time.
func TestSlowHead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := NewServer(http.NotFoundHandler(), 1, nil, slog.New(slog.DiscardHandler))
		listener := &oneConn{conn: make(chan net.Conn, 1), done: make(chan struct{})}
		ours, theirs := net.Pipe()
		listener.conn <- theirs
		var serving sync.WaitGroup
		serving.Go(func() { _ = server.Serve(listener) })
		go func() { _, _ = io.Copy(io.Discard, ours) }() // what the server says to it
		defer func() {
			_ = server.Close()
			serving.Wait()
		}()
		begin := time.Now()
		for _, b := range []byte("GET /livez HTTP/1.1\r\nHost: 127.0.0.1") {
			if _, err := ours.Write([]byte{b}); err != nil {
				break
			}
			time.Sleep(time.Second)
		}
		if took := time.Since(begin); took < HeaderTime || took > HeaderTime+time.Second {
			t.Errorf("cut after %v, the limit is %v", took, HeaderTime)
		}
	})
}

// What finds no place is refused at once, and a place is free when what had it
// has ended.
func TestPlaces(t *testing.T) {
	places := make(Places, 2)
	started, release := make(chan struct{}), make(chan struct{})
	handler := places.Wrap("questions", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		started <- struct{}{}
		<-release
	}))
	ask := func() int {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody))
		if w.Code == http.StatusTooManyRequests && w.Header().Get("Retry-After") == "" {
			t.Error("no word on when to come back")
		}
		return w.Code
	}
	var group sync.WaitGroup
	fill := func() {
		for range cap(places) {
			group.Go(func() {
				if got := ask(); got != http.StatusOK {
					t.Errorf("with a place: status %d", got)
				}
			})
			<-started
		}
	}
	fill()
	if got := ask(); got != http.StatusTooManyRequests {
		t.Errorf("without a place: status %d", got)
	}
	for range cap(places) {
		release <- struct{}{}
	}
	group.Wait()
	fill()
	close(release)
	group.Wait()
}

// Connections that are busy are bounded, too, or who sends bodies slowly keeps
// as many as it can open: beyond twice the limit the one that has been busy for
// longest makes room, and who has just come is served.
func TestBusyConnectionsMakeRoom(t *testing.T) {
	limit := &connLimit{most: 2}
	closed := make(map[net.Conn]bool)
	var conns []net.Conn
	connect := func() {
		c := &closeRecorder{closed: closed}
		conns = append(conns, c)
		limit.state(c, http.StateNew)
		limit.state(c, http.StateActive)
	}
	for range 4 {
		connect()
	}
	limit.state(conns[0], http.StateIdle)
	limit.state(conns[0], http.StateActive) // a second request: the longest is now 1
	if len(closed) != 0 {
		t.Fatal("something was closed at the limit")
	}
	connect()
	if len(closed) != 1 || !closed[conns[1]] {
		t.Errorf("closed are %v, not the one that was busy for longest", closed)
	}
	limit.state(conns[1], http.StateClosed)
	if limit.count != 4 || len(limit.busy) != 4 || len(limit.idle) != 0 {
		t.Errorf("%d connections, %d busy, %d idle", limit.count, len(limit.busy), len(limit.idle))
	}
}

// Whoever sends bodies slowly, on however many connections: the server holds a
// bounded number of them, and answers probes.
func TestSlowBodiesDoNotPileUp(t *testing.T) {
	const attackers = 4 * maxConnections
	asked := make(chan struct{}, attackers+1)
	server := NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked <- struct{}{}
		Text(w, http.StatusOK, "ok\n") // the server waits for the body before it says so
	}), 1, nil, slog.New(slog.DiscardHandler))
	server.ReadTimeout = 0 // so that nothing but the limit ends them
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) })
	defer func() {
		_ = server.Close()
		serving.Wait()
	}()
	ended := make(chan struct{}, attackers)
	for range attackers {
		c, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		if _, err := io.WriteString(c, "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		<-asked // it is busy: none but the newest is idle at any time
		go func() {
			_, _ = io.Copy(io.Discard, c)
			ended <- struct{}{}
		}()
	}
	for range attackers - 2*maxConnections {
		<-ended
	}
	response, err := http.Get("http://" + listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if response.StatusCode != http.StatusOK {
		t.Errorf("a probe is answered %s", response.Status)
	}
}
