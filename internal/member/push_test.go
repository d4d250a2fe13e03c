package member

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gridmesh/gridmesh/internal/adminapi"
	"github.com/gridmesh/gridmesh/internal/adminport"
	"github.com/gridmesh/gridmesh/pkg/grid"
	"github.com/gridmesh/gridmesh/pkg/grid/peers"
)

const self = "a:1"

// publisher is the key of a member's lists.
type publisher struct {
	t    *testing.T
	key  ed25519.PrivateKey
	mesh string
	dir  string
}

func newPublisher(t *testing.T) *publisher {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := peers.MarshalPublicKeys(public)
	if err != nil {
		t.Fatal(err)
	}
	p := &publisher{t: t, key: private, mesh: peers.NewMeshID(), dir: t.TempDir()}
	if err := os.WriteFile(filepath.Join(p.dir, peers.KeysFile), text, 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *publisher) list(epoch uint64, names ...string) string {
	p.t.Helper()
	raw, err := peers.Sign(peers.List{
		Names: names, Epoch: epoch, Grid: "default", MeshID: p.mesh, Identity: peers.IdentityGrid, Topology: peers.TopologyFull,
	}, p.key)
	if err != nil {
		p.t.Fatal(err)
	}
	return string(raw)
}

// admin is a member with its admin port, which listens nowhere.
type admin struct {
	*Member
	t    *testing.T
	port http.Handler
}

func newAdmin(t *testing.T, lists Lists) *admin {
	t.Helper()
	me, err := New(Config{Name: self, Grid: "default", Version: "v1", Lists: lists}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	m, err := grid.NewManager(t.Context(), me.Options())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	me.Bind(m)
	mux := http.NewServeMux()
	for _, r := range me.Routes() {
		mux.Handle(r.Pattern, r.Handler)
	}
	mux.Handle("PUT "+adminapi.PathPeers, me.Signed(http.NotFoundHandler()))
	return &admin{Member: me, t: t, port: mux}
}

func (a *admin) send(method, path, body string, header ...string) *httptest.ResponseRecorder {
	a.t.Helper()
	r := httptest.NewRequestWithContext(a.t.Context(), method, path, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	a.port.ServeHTTP(w, r)
	return w
}

func (a *admin) push(list string, header ...string) *httptest.ResponseRecorder {
	a.t.Helper()
	return a.send(http.MethodPut, adminapi.PathPeers, list, append(header, "Content-Type", adminapi.TypeSigned)...)
}

func (a *admin) acknowledged() adminapi.Ack {
	a.t.Helper()
	var ack adminapi.Ack
	if err := json.Unmarshal(a.send(http.MethodGet, adminapi.PathAck, "").Body.Bytes(), &ack); err != nil {
		a.t.Fatal(err)
	}
	return ack
}

// Whoever brings lists, or asks for acknowledgements, and does not get on with
// it, keeps nobody from the rest.
func TestPlacesOfRoads(t *testing.T) {
	p := newPublisher(t)
	a := newAdmin(t, Lists{Dir: p.dir})
	list := p.list(1, self)
	for name, tt := range map[string]struct {
		places adminport.Places
		most   int
		ask    func() int
		others []func() int
	}{
		"pushes": {a.pushes, maxPushes, func() int { return a.push(list).Code }, []func() int{func() int { return a.send("GET", adminapi.PathAck, "").Code }}},
		"acks":   {a.acks, maxAcks, func() int { return a.send("GET", adminapi.PathAck, "").Code }, []func() int{func() int { return a.push(list).Code }}},
	} {
		for range tt.most - 1 {
			tt.places <- struct{}{}
		}
		if got := tt.ask(); got != http.StatusOK {
			t.Errorf("%s with a place left: status %d", name, got)
		}
		tt.places <- struct{}{}
		if got := tt.ask(); got != http.StatusTooManyRequests {
			t.Errorf("%s without: status %d", name, got)
		}
		for _, other := range append(tt.others, func() int { return a.send("GET", "/livez", "").Code }, func() int { return a.send("GET", "/metrics", "").Code }) {
			if got := other(); got != http.StatusOK {
				t.Errorf("something else while %s are taken: status %d", name, got)
			}
		}
		for range tt.most {
			<-tt.places
		}
	}
}

// Strangers who send lists as slowly as they may keep out nobody who has one: over
// HTTP/1 and HTTP/2, on a real server.
func TestSlowPushesKeepNobodyOut(t *testing.T) {
	for name, h2 := range map[string]bool{"HTTP/1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			p := newPublisher(t)
			a := newAdmin(t, Lists{Dir: p.dir})
			reading := make(chan struct{}, 2*maxPushes)
			server := adminport.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				r.Body = begun{r.Body, sync.OnceFunc(func() { reading <- struct{}{} })}
				a.port.ServeHTTP(w, r)
			}), 100, nil, slog.New(slog.DiscardHandler))
			server.ReadTimeout = 0 // so that they go on for as long as it takes
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			var group sync.WaitGroup
			group.Go(func() { _ = server.Serve(listener) })
			var protocols http.Protocols
			protocols.SetHTTP1(!h2)
			protocols.SetUnencryptedHTTP2(h2)
			client := &http.Client{Transport: &http.Transport{Protocols: &protocols}}
			push := func(body io.Reader, size int) int {
				request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://"+listener.Addr().String()+adminapi.PathPeers, body)
				if err != nil {
					t.Error(err)
					return 0
				}
				request.ContentLength = int64(size)
				request.Header.Set("Content-Type", adminapi.TypeSigned)
				response, err := client.Do(request)
				if err != nil {
					return 0
				}
				_ = response.Body.Close()
				return response.StatusCode
			}
			var bodies []*io.PipeWriter
			for range maxPushes {
				r, w := io.Pipe()
				bodies = append(bodies, w)
				group.Go(func() {
					if got := push(r, 1000); got == http.StatusOK {
						t.Error("a list that nobody sent is taken")
					}
				})
				if _, err := w.Write([]byte("x")); err != nil {
					t.Fatal(err)
				}
				<-reading
			}
			list := p.list(1, self)
			if got := push(strings.NewReader(list), len(list)); got != http.StatusOK {
				t.Errorf("beside them a good list is answered %d", got)
			}
			for _, w := range bodies {
				_ = w.CloseWithError(errors.New("the test is over"))
			}
			client.CloseIdleConnections()
			_ = server.Close()
			group.Wait()
		})
	}
}

// begun is a body that tells when it is read.
type begun struct {
	io.ReadCloser
	tell func()
}

func (b begun) Read(p []byte) (int, error) {
	b.tell()
	return b.ReadCloser.Read(p)
}

// The road by which a list came first is its source, whoever brings it again.
func TestSourceOfAList(t *testing.T) {
	p := newPublisher(t)
	a := newAdmin(t, Lists{Dir: p.dir})
	if ack := a.acknowledged(); ack.Source != adminapi.SourceNone || ack.Epoch != 0 || ack.Contains || ack.Removed || ack.Drained || ack.Ready || len(ack.Keys) != 1 {
		t.Errorf("before any list: %+v", ack)
	}
	list, err := a.feed.verify([]byte(p.list(1, self)))
	if err != nil {
		t.Fatal(err)
	}
	if err := a.feed.apply(list, adminapi.SourceSigned); err != nil {
		t.Fatal(err)
	}
	if got := a.push(string(list.Raw())); got.Code != http.StatusOK {
		t.Fatalf("the same list: %d", got.Code)
	}
	if ack := a.acknowledged(); ack.Source != adminapi.SourceSigned || ack.Epoch != 1 || ack.MeshID != p.mesh || !ack.Contains || ack.Version != "v1" {
		t.Errorf("brought again: %+v", ack)
	}
	a.push(p.list(2, "b:1", "c:1"))
	if ack := a.acknowledged(); ack.Source != adminapi.SourceAdmin || ack.Epoch != 2 || !ack.Removed || !ack.Drained || ack.Draining {
		t.Errorf("a newer one, and no link to end: %+v", ack)
	}
}

// Two lists of one epoch, both signed: somebody has gone wrong, and that is the
// state of the list, whoever brings the second.
func TestConflictIsTheState(t *testing.T) {
	p := newPublisher(t)
	a := newAdmin(t, Lists{Dir: p.dir})
	a.push(p.list(3, self))
	if got := a.push(p.list(3, self, "b:1")); got.Code != http.StatusConflict || !strings.Contains(got.Body.String(), "two different peer lists of one epoch") {
		t.Errorf("%d %s", got.Code, got.Body)
	}
	a.push(p.list(2, self)) // an old one is not
	counts := a.feed.counts()
	if !strings.Contains(counts.lastError, "two different peer lists of one epoch") || counts.refused != 1 || counts.pushed != 2 {
		t.Errorf("%+v", counts)
	}
	if ack := a.acknowledged(); !strings.Contains(ack.ListError, "two different peer lists of one epoch: epoch 3") {
		t.Errorf("%+v", ack)
	}
	a.push(p.list(4, self))
	if counts := a.feed.counts(); counts.lastError != "" {
		t.Errorf("after a good one: %+v", counts)
	}
}

// Whoever brings a list that is older than the one in use, or another one of its
// epoch, is shown that one; nobody else is.
func TestRefusalShowsTheList(t *testing.T) {
	p := newPublisher(t)
	a := newAdmin(t, Lists{Dir: p.dir})
	used := p.list(3, self)
	a.push(used)
	mesh := p.mesh
	p.mesh = peers.NewMeshID()
	foreign := p.list(9, self)
	p.mesh = mesh
	stranger := newPublisher(t)
	stranger.mesh = mesh
	for name, tt := range map[string]struct {
		list   string
		status int
		want   string
	}{
		"older":             {p.list(2, self), http.StatusConflict, used},
		"of the same epoch": {p.list(3, self, "b:1"), http.StatusConflict, used},
		"of another mesh":   {foreign, http.StatusConflict, ""},
		"not signed by us":  {stranger.list(2, self), http.StatusForbidden, ""},
		"no list":           {"hello", http.StatusForbidden, ""},
	} {
		got := a.push(tt.list)
		var e adminapi.Error
		if err := json.Unmarshal(got.Body.Bytes(), &e); err != nil || got.Code != tt.status || string(e.List) != tt.want {
			t.Errorf("%s: status %d, %d bytes of a list, %v", name, got.Code, len(e.List), err)
		}
	}
}

// Without keys no signature counts; and pages of browsers bring nothing.
func TestWhoMayNotPush(t *testing.T) {
	p := newPublisher(t)
	if got := newAdmin(t, Lists{Names: []string{self}}).push(p.list(1, self)); got.Code != http.StatusConflict || !strings.Contains(got.Body.String(), "trusts nobody's signature") {
		t.Errorf("%d %s", got.Code, got.Body)
	}
	a := newAdmin(t, Lists{Dir: p.dir})
	if got := a.push(p.list(1, self), "Origin", "https://example.org"); got.Code != http.StatusForbidden || a.m.PeerList().Epoch != 0 {
		t.Errorf("%d %s", got.Code, got.Body)
	}
	if err := os.Remove(filepath.Join(p.dir, peers.KeysFile)); err != nil {
		t.Fatal(err)
	}
	if got := a.push(p.list(1, self)); got.Code != http.StatusForbidden || !strings.Contains(got.Body.String(), "no such file") {
		t.Errorf("%d %s", got.Code, got.Body)
	}
	if ack := a.acknowledged(); len(ack.Keys) != 0 || ack.Keys == nil {
		t.Errorf("keys: %v", ack.Keys)
	}
}

// A refused push is told for a minute, unless there is something worse to tell;
// and the log has it now and then.
func TestRefusedPushesAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		f := newFeed(&Config{}, slog.New(slog.NewTextHandler(&log, nil)))
		time.Sleep(time.Hour)
		for range 100 {
			f.refusePushed(errors.New("first"), "x:1")
		}
		if got := f.complaint(); got != "pushed by x:1: first" {
			t.Errorf("told is %q", got)
		}
		time.Sleep(relogPushed)
		f.refusePushed(errors.New("second"), "y:1")
		f.disagree(errors.New("worse"))
		if got := f.complaint(); got != "worse" {
			t.Errorf("told is %q", got)
		}
		f.taken("", 1)
		time.Sleep(showPushed - time.Millisecond)
		if got := f.complaint(); got != "pushed by y:1: second" {
			t.Errorf("told is %q", got)
		}
		time.Sleep(time.Millisecond)
		if got := f.complaint(); got != "" {
			t.Errorf("after a minute it is %q", got)
		}
		if strings.Count(log.String(), "\n") != 2 || !strings.Contains(log.String(), "refused_since_last=100") || f.counts().pushed != 101 {
			t.Errorf("logged is\n%s", &log)
		}
	})
}
