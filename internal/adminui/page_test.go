package adminui

import (
	"bytes"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gridmesh/gridmesh/internal/adminapi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func status(name string, peers ...adminapi.Peer) adminapi.Status {
	s := adminapi.Status{
		Node: adminapi.Node{Name: name, Grid: "demo", Version: "v0.1.0", Go: "go1.26", PID: 7, Started: now.Add(-90 * time.Second), Now: now},
		PeerList: adminapi.PeerList{
			Source: "file", Names: len(peers) + 1, Applied: now.Add(-time.Minute), Contains: true,
		},
		Ready: true, Peers: peers, Links: adminapi.Links{Expected: len(peers)},
		Certificate: &adminapi.Certificate{Expires: now.Add(30 * 24 * time.Hour), Loaded: now.Add(-time.Hour)},
	}
	for i := range peers {
		if peers[i].Linked() {
			s.Links.Up++
		}
		if peers[i].Congested {
			s.Links.Congested++
		}
	}
	return s
}

func linked(name string) adminapi.Peer {
	t := now.Add(-time.Minute)
	return adminapi.Peer{Name: name, State: "linked", Since: &t, RTTMillis: 0.21, QueueLimit: 4 << 20}
}

func down(name, why string) adminapi.Peer {
	return adminapi.Peer{Name: name, State: "down", LastError: why}
}

// oneDown is a mesh of three of which the third does not answer.
func oneDown() View {
	slow := linked("node-1:7700")
	slow.Congested, slow.QueueBytes, slow.StreamsOpen, slow.StreamsWaiting, slow.CreditWaitMillis = true, 3<<20, 4, 2, 1800
	slow.Rate = adminapi.Rate{MessagesIn: 12345, BytesIn: 3 << 20, MessagesOut: 12001, BytesOut: 40 << 20}
	a := status("node-0:7700", slow, down("node-2:7700", "dial node-2:7700: connection refused"))
	b := status("node-1:7700", linked("node-0:7700"), down("node-2:7700", "dial node-2:7700: connection refused"))
	a.Refusals = []adminapi.Refusal{{Time: now.Add(-5 * time.Second), Peer: "node-9:7700", Code: "not-a-peer", Message: "node-9:7700 is not in the peer list", Ours: true}}
	a.Telemetry = &adminapi.Telemetry{RefusedCalls: 17, LastError: "audit.targets[0].webhook.url: is missing", Targets: []adminapi.Target{
		{System: "log", Name: "console", Kind: "console", In: 30, Out: 30},
		{System: "audit", Name: "trail", Kind: "webhook", In: 45678, Out: 40000, Dropped: 600, Rejected: 78, QueueEntries: 5000, QueueBytes: 2 << 20,
			OldestSeconds: 42, Failing: true, LastError: "503 from the receiver"},
	}, LeftQueues: []adminapi.LeftQueue{{System: "audit", Name: "old", Folder: "/data/audit/old", Bytes: 3 << 20}}}
	return View{Self: a, Mesh: adminapi.Mesh{
		Asked: now, By: "node-0:7700", Links: adminapi.Links{Up: 2, Expected: 6, Congested: 1},
		Members: []adminapi.Member{{Name: "node-0:7700", Status: &a}, {Name: "node-1:7700", Status: &b}, {Name: "node-2:7700", Error: "no link to the peer"}},
	}}
}

func render(t *testing.T, v View) (string, http.Header) {
	t.Helper()
	w := httptest.NewRecorder()
	if err := Write(w, v); err != nil {
		t.Fatal(err)
	}
	return w.Body.String(), w.Header()
}

func TestPageSaysWhatIsWrong(t *testing.T) {
	text, _ := render(t, oneDown())
	for _, want := range []string{
		"<title>1/2 links · node-0:7700 · Gridmesh</title>",
		`<p class="figure bad">1<small>/2</small></p>`,
		`<p class="figure bad">2<small>/6</small></p>`,
		`<td class="slow" title="node-0:7700 to node-1:7700: linked, congested, 210 µs there and back, queue 3.0 MiB">`,
		`<td class="down" title="node-1:7700 to node-2:7700: down: dial node-2:7700: connection refused">`,
		`<td class="unknown" title="node-2:7700 to node-0:7700: no answer from node-2:7700">`,
		`no answer <small class="error">no link to the peer</small>`,
		"12\u202f345/s", "40 MiB/s", "2 wait", "1.8 s", "in 30 days", "not-a-peer", "node-9:7700 is not in the peer list",
		`value="75"`, // of the queue
		"log, console", "audit, trail <small>webhook</small>", "45\u202f678", "678</span>", "5\u202f000", "2.0 MiB", "42.0 s", "503 from the receiver",
		"A queue of the audit has no target any more: /data/audit/old, 3.0 MiB.",
		"17 calls were refused or failed", "audit.targets[0].webhook.url: is missing",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %s", want)
		}
	}
	if first, second := strings.Index(text, "connection refused</small>"), strings.Index(text, "linked, congested</td>"); first > second {
		t.Error("the links that are down do not stand first")
	}
}

func TestPageSaysWhyItIsNotReady(t *testing.T) {
	v := oneDown()
	v.Self.Ready, v.Self.Waiting = false, []string{"draining"}
	v.Self.PeerList.LastError = "peers.txt: empty peer list"
	v.Self.Certificate.LastError = "tls.crt: expired"
	text, _ := render(t, v)
	for _, want := range []string{"not ready", "<li>draining</li>", "peers.txt: empty peer list", "tls.crt: expired"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	v.Self.Certificate = nil
	if text, _ = render(t, v); !strings.Contains(text, "plain text") {
		t.Error("the page does not say that there is no certificate")
	}
}

// What peers write is theirs: names, errors and refusals must not become markup.
func TestWhatPeersSayIsText(t *testing.T) {
	const evil = `<script>alert(1)</script>"'><img src=x onerror=alert(1)>`
	v := oneDown()
	v.Self.Peers[1].LastError = evil
	v.Self.Refusals[0].Peer, v.Self.Refusals[0].Message = evil, evil
	v.Mesh.Members[2].Name, v.Mesh.Members[2].Error = evil, evil
	v.Mesh.Members[1].Status.Node.Version = evil
	text, _ := render(t, v)
	if strings.Contains(text, "<script>alert") || strings.Contains(text, "<img") {
		t.Error("a peer's words became markup")
	}
	if !strings.Contains(text, "&lt;script&gt;") {
		t.Error("a peer's words are missing")
	}
}

func TestNothingFromElsewhere(t *testing.T) {
	text, header := render(t, oneDown())
	if policy := header.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
		t.Errorf("policy is %q", policy)
	}
	if regexp.MustCompile(`(?i)style=|<style|onclick=|https?:`).MatchString(text) {
		t.Error("the page has what its policy forbids")
	}
	for _, found := range regexp.MustCompile(`(?:src|href)="([^"]*)"`).FindAllStringSubmatch(text, -1) {
		path := found[1]
		if !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") {
			t.Errorf("%s is not of this node", path)
		}
		if !strings.HasPrefix(path, AssetPath) {
			continue
		}
		w := httptest.NewRecorder()
		Assets().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, http.NoBody))
		if w.Code != http.StatusOK || w.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: status %d, header %v", path, w.Code, w.Header())
		}
	}
	err := fs.WalkDir(assets, ".", func(name string, _ fs.DirEntry, err error) error {
		if text, readErr := fs.ReadFile(assets, name); readErr == nil && regexp.MustCompile(`https?://(?:[^w]|w[^w])|@import|url\(`).Match(text) {
			t.Errorf("%s asks for something from elsewhere", name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestEveryClassHasItsStyle(t *testing.T) {
	css, err := os.ReadFile("assets/page.css")
	if err != nil {
		t.Fatal(err)
	}
	text, _ := render(t, oneDown())
	for _, found := range regexp.MustCompile(`class="([^"]*)"`).FindAllStringSubmatch(text, -1) {
		for class := range strings.FieldsSeq(found[1]) {
			if !bytes.Contains(css, []byte("."+class)) {
				t.Errorf("class %q has no style", class)
			}
		}
	}
}

func TestManyNodes(t *testing.T) {
	mesh := func(n int) View {
		var peers []adminapi.Peer
		for i := 1; i < n; i++ {
			peers = append(peers, linked(fmt.Sprintf("node-%d:7700", i)))
		}
		if n > 10 {
			peers[n-2].State = "down"
		}
		v := View{Self: status("node-0:7700", peers...)}
		v.Mesh.Members = append(v.Mesh.Members, adminapi.Member{Name: "node-0:7700", Status: &v.Self})
		for i := range peers {
			v.Mesh.Members = append(v.Mesh.Members, adminapi.Member{Name: peers[i].Name, Error: "silent"})
		}
		return v
	}
	for _, tt := range []struct {
		n             int
		matrix        bool
		hidden, known int
	}{{1, true, 0, 0}, {maxMatrix, true, 13, 14}, {maxMatrix + 1, false, 14, 15}, {10_000, false, 9_949, 9_950}} {
		v := mesh(tt.n)
		if got := v.Matrix() != nil; got != tt.matrix {
			t.Errorf("%d nodes: a matrix is %v, want %v", tt.n, got, tt.matrix)
		}
		if v.Hidden() != tt.hidden || v.HiddenMembers() != tt.known {
			t.Errorf("%d nodes: %d links and %d nodes hidden, want %d and %d", tt.n, v.Hidden(), v.HiddenMembers(), tt.hidden, tt.known)
		}
		if tt.n > 10 && v.Links()[0].State != "down" {
			t.Errorf("%d nodes: the first link is %s", tt.n, v.Links()[0].State)
		}
		if text, _ := render(t, v); len(text) > 2<<20 {
			t.Errorf("%d nodes make a page of %d bytes", tt.n, len(text))
		}
	}
}

func TestWords(t *testing.T) {
	for _, tt := range []struct{ got, want string }{
		{span(0), "0s"}, {span(59 * time.Second), "59s"}, {span(90 * time.Second), "1m30s"}, {span(time.Hour), "1h"}, {span(47*time.Hour + time.Second), "47h"}, {span(48 * time.Hour), "2 days"},
		{since(now, time.Time{}), "never"}, {until(now, now.Add(time.Hour)), "in 1h"}, {until(now, now.Add(-time.Hour)), "expired 1h ago"},
		{millis(0), "–"}, {millis(0.25), "250 µs"}, {millis(2.5), "2.5 ms"}, {millis(25), "25 ms"}, {millis(2500), "2.5 s"},
		{bytesText(0), "0 B"}, {bytesText(1023), "1023 B"}, {bytesText(1024), "1.0 KiB"}, {bytesText(64 << 20), "64 MiB"}, {bytesText(1 << 60), "1024 PiB"},
		{count(0), "0"}, {count(999), "999"}, {count(1000), "1\u202f000"}, {count(1234567), "1\u202f234\u202f567"},
	} {
		if tt.got != tt.want {
			t.Errorf("got %q, want %q", tt.got, tt.want)
		}
	}
	for _, tt := range []struct{ part, whole, want int }{{1, 2, 50}, {3, 2, 100}, {1, 0, 0}} {
		if got := percent(tt.part, tt.whole); got != tt.want {
			t.Errorf("%d of %d: %d %%, want %d", tt.part, tt.whole, got, tt.want)
		}
	}
}

func TestBehind(t *testing.T) {
	v := oneDown()
	v.Mesh.Members[1].Status.PeerList.Epoch = 7
	if !v.Behind(6) || v.Behind(7) {
		t.Error("who is behind is wrong")
	}
	if !slices.ContainsFunc(v.Members(), func(m adminapi.Member) bool { return m.Name == "node-2:7700" }) || v.Members()[0].Name != "node-2:7700" {
		t.Error("the node that does not answer does not stand first")
	}
}
