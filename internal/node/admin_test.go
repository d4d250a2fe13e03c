package node

import (
	"context"
	"encoding/json"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/gridmesh/gridmesh/internal/adminapi"
	"github.com/gridmesh/gridmesh/internal/adminport"
	"github.com/gridmesh/gridmesh/internal/forward"
	"github.com/gridmesh/gridmesh/internal/member"
	"github.com/gridmesh/gridmesh/pkg/grid/peers"
)

func TestStatusIsJSONOrAPage(t *testing.T) {
	a, b := pair(t)
	for _, tt := range []struct {
		path, accept string
		page         bool
	}{
		{"/statusz", "", false},
		{"/statusz", "*/*", false},
		{"/statusz", "application/json", false},
		{"/statusz", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", true},
		{"/statusz", "application/xml;q=0.9, text/html;q=0.8", true},
		{"/statusz?format=json", "text/html", false},
		{"/statusz?format=html", "", true},
		{"/", "text/html", true}, // by a redirect
	} {
		got := a.send(http.MethodGet, tt.path, map[string]string{"Accept": tt.accept}, "")
		kind := "application/json"
		if tt.page {
			kind = "text/html; charset=utf-8"
		}
		if got.status != http.StatusOK || got.header.Get("Content-Type") != kind || got.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("GET %s accepting %q: status %d, %v", tt.path, tt.accept, got.status, got.header)
		}
		if tt.page && (!strings.Contains(got.body, "<title>1/1 links · "+a.config.Name) || !strings.Contains(got.body, b.config.Name)) {
			t.Errorf("GET %s: the page does not name both nodes", tt.path)
		}
	}

	var status adminapi.Status
	if err := json.Unmarshal([]byte(a.get("/statusz").body), &status); err != nil {
		t.Fatal(err)
	}
	if status.Node.Name != a.config.Name || status.Node.Grid != "default" || !status.Ready || status.Links != (adminapi.Links{Up: 1, Expected: 1}) ||
		status.PeerList.Source != adminapi.SourceStatic || status.PeerList.Names != 2 || !status.PeerList.Contains ||
		len(status.Peers) != 1 || status.Peers[0].Name != b.config.Name || status.Peers[0].State != "linked" || status.Certificate != nil {
		t.Errorf("status is %+v", status)
	}

	var mesh adminapi.Mesh
	if err := json.Unmarshal([]byte(a.get("/statusz/mesh").body), &mesh); err != nil {
		t.Fatal(err)
	}
	if mesh.By != a.config.Name || len(mesh.Members) != 2 || mesh.Links != (adminapi.Links{Up: 2, Expected: 2}) {
		t.Errorf("mesh is %+v", mesh)
	}
	for _, m := range mesh.Members {
		if m.Status == nil || m.Status.Node.Name != m.Name || m.Error != "" {
			t.Errorf("member is %+v", m)
		}
	}
}

// Anybody may open the page: however many do, the mesh is asked once a second.
func TestMeshIsAskedOnceASecond(t *testing.T) {
	a, b := pair(t)
	before := b.served()
	var group sync.WaitGroup
	views := make([]adminapi.Mesh, 50)
	for i := range views {
		group.Go(func() { views[i] = a.mesh.get(t.Context()) })
	}
	group.Wait()
	for _, v := range views {
		if !v.Asked.Equal(views[0].Asked) || len(v.Members) != 2 {
			t.Fatalf("asked at %v and %v, %d members", v.Asked, views[0].Asked, len(v.Members))
		}
	}
	if rounds := b.served() - before; rounds != 1 {
		t.Errorf("%d views made %v rounds", len(views), rounds)
	}
	eventually(t, "a view that is newer", func() bool { return a.mesh.get(t.Context()).Asked.After(views[0].Asked) })

	// Whoever does not wait gets what there was.
	a.mesh.mu.Lock()
	a.mesh.until, a.mesh.round = time.Time{}, make(chan struct{})
	a.mesh.mu.Unlock()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if v := a.mesh.get(ctx); len(v.Members) != 2 {
		t.Errorf("without waiting: %d members", len(v.Members))
	}
}

// served is how many calls of the handler "status" this node has served.
func (r *running) served() float64 {
	r.t.Helper()
	const name = `gridmesh_calls_total{handler="status",result="ok",side="handler"}`
	if !strings.Contains(r.get("/metrics").body, name) {
		return 0
	}
	return r.metric(name)
}

func TestCondense(t *testing.T) {
	s := adminapi.Status{
		Peers:    []adminapi.Peer{{Name: "a", State: "linked"}, {Name: "b", State: "down"}, {Name: "c", State: "linked", Congested: true}, {Name: "d", State: "dialing"}},
		Refusals: make([]adminapi.Refusal, 5),
	}
	condense(&s, 2)
	if len(s.Peers) != 2 || s.Peers[0].Name != "b" || s.Peers[1].Name != "c" || len(s.Refusals) != 2 {
		t.Errorf("what is left is %+v", s)
	}
}

func TestMetricsHaveNothingToSayAgainst(t *testing.T) {
	a := authority(t)
	name := freePorts(t, 1)[0]
	n := start(t, "--name="+name, "--admin-addr=127.0.0.1:0", "--tls-dir="+certificate(t, a, name))
	n.waitReady()
	n.send("POST", "/v1/call/"+name+"/echo", nil, "x") // so that there are calls to speak of
	text := n.get("/metrics").body
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "gridmesh_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
	for _, want := range []string{
		"gridmesh_node_ready 1", "gridmesh_node_certificate_refused 0", "gridmesh_node_peer_lists_refused_total 0",
		"gridmesh_node_certificate_expiry_timestamp_seconds ", "gridmesh_node_build_info{", "gridmesh_calls_total{", "go_goroutines ",
	} {
		if !strings.Contains(text, "\n"+want) {
			t.Errorf("there is no %s", want)
		}
	}
}

func TestPeersPushed(t *testing.T) {
	names := freePorts(t, 2)
	n := start(t, "--name="+names[0], "--peers="+names[0], "--admin-addr=127.0.0.1:0", "--insecure-plain-text")
	n.waitReady()
	put := func(text string) answered {
		return n.send("PUT", "/v1/peers", map[string]string{"Content-Type": adminapi.TypeNames + "; charset=utf-8"}, text)
	}
	for _, tt := range []struct {
		name, text, want string
		status           int
	}{
		{"empty", "", "empty peer list", 422},
		{"half", lines(names...) + "node-1:77", "half-written", 422},
		{"without oneself", lines(names[1]), "this node is not in the peer list", 422},
		{"malformed", lines(names[0], "Node:1"), "line 2", 422},
		{"too large", strings.Repeat("#", peers.MaxText+1), "larger than allowed", 413},
		{"as large as may be", lines(names...) + strings.Repeat("#", peers.MaxText-len(lines(names...))-1) + "\n", "", 200},
		{"back to one", lines(names[0]), "", 200},
	} {
		got := put(tt.text)
		if got.status != tt.status {
			t.Errorf("%s: status %d: %.300s", tt.name, got.status, got.body)
			continue
		}
		if tt.status != http.StatusOK {
			if e := got.failure(t); !strings.Contains(e.Message, tt.want) {
				t.Errorf("%s: %+v", tt.name, e)
			}
			continue
		}
		var now adminapi.PeerNames
		if err := json.Unmarshal([]byte(got.body), &now); err != nil || now.Source != adminapi.SourceAdmin || !slices.Contains(now.Peers, names[0]) {
			t.Errorf("%s: %+v, %v", tt.name, now, err)
		}
	}
	if got := n.metric("gridmesh_node_peer_lists_refused_total"); got != 4 {
		t.Errorf("%v lists were refused, by the metric", got)
	}
	for kind, want := range map[string]int{"application/json": 415, "": 415, adminapi.TypeSigned: 409} {
		if got := n.send("PUT", "/v1/peers", map[string]string{"Content-Type": kind}, lines(names...)); got.status != want {
			t.Errorf("Content-Type %q: status %d, want %d", kind, got.status, want)
		}
	}
}

func TestPeersPushedWhereAFileRules(t *testing.T) {
	name := freePorts(t, 1)[0]
	file := filepath.Join(t.TempDir(), "peers")
	writeFile(t, file, lines(name))
	n := start(t, "--name="+name, "--peers-file="+file, "--admin-addr=127.0.0.1:0", "--insecure-plain-text")
	n.waitReady()
	got := n.send("PUT", "/v1/peers", map[string]string{"Content-Type": adminapi.TypeNames}, lines(name))
	if e := got.failure(t); got.status != http.StatusConflict || !strings.Contains(e.Message, file) {
		t.Errorf("status %d, %+v", got.status, e)
	}
}

// Whoever asks and does not read must not take all memory, nor keep probes waiting.
func TestPlaces(t *testing.T) {
	n := alone(t)
	n.waitReady()
	for _, tt := range []struct {
		places       adminport.Places
		most         int
		method, path string
		header       map[string]string
		with         int // status with a place left
	}{
		{n.member.Reads, member.Reads, "GET", "/statusz", nil, 200},
		{n.member.Reads, member.Reads, "GET", "/metrics", nil, 200},
		{n.tailing, forward.Tails, "POST", stream(n.config.Name, "log.tail") + "?framing=lines", nil, 200},
		{n.Node.running, adminCalls, "POST", stream(n.config.Name, "digest") + "?framing=lines", nil, 200},
		{n.Node.running, adminCalls, "PUT", "/v1/peers", map[string]string{"Content-Type": adminapi.TypeNames}, 422},
	} {
		for range tt.most - 1 {
			tt.places <- struct{}{}
		}
		if got := n.send(tt.method, tt.path, tt.header, ""); got.status != tt.with {
			t.Errorf("%s %s with a place left: status %d", tt.method, tt.path, got.status)
		}
		tt.places <- struct{}{}
		if got := n.send(tt.method, tt.path, tt.header, ""); got.status != http.StatusTooManyRequests || got.header.Get("Retry-After") == "" {
			t.Errorf("%s %s without: status %d", tt.method, tt.path, got.status)
		}
		for _, probe := range []string{"/livez", "/readyz"} {
			if got := n.get(probe); got.status != http.StatusOK {
				t.Errorf("%s while all places are taken: status %d", probe, got.status)
			}
		}
		for range tt.most {
			<-tt.places
		}
	}
}

func TestLargeHead(t *testing.T) {
	n := alone(t)
	for size, want := range map[int]int{adminport.MaxHeader / 2: http.StatusOK, 2 * adminport.MaxHeader: http.StatusRequestHeaderFieldsTooLarge} {
		if got := n.send("GET", "/livez", map[string]string{"X": strings.Repeat("x", size)}, ""); got.status != want {
			t.Errorf("a head of %d bytes: status %d", size, got.status)
		}
	}
}
