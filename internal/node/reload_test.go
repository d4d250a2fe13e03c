package node

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gridmesh/gridmesh/internal/adminapi"
	"github.com/gridmesh/gridmesh/internal/certs"
	"github.com/gridmesh/gridmesh/pkg/grid"
	"github.com/gridmesh/gridmesh/pkg/grid/peers"
)

// list is what the node says of its peer list.
func (r *running) list() adminapi.PeerNames {
	r.t.Helper()
	var names adminapi.PeerNames
	if err := json.Unmarshal([]byte(r.get("/v1/peers").body), &names); err != nil {
		r.t.Fatal(err)
	}
	return names
}

func TestWatchedFile(t *testing.T) {
	names := freePorts(t, 3)
	file := filepath.Join(t.TempDir(), "peers")
	writeFile(t, file, lines(names[:2]...))
	args := []string{"--admin-addr=127.0.0.1:0", "--insecure-plain-text"}
	a := start(t, append(args, "--name="+names[0], "--peers-file="+file, "--peers-poll=20ms")...)
	args = append(args, "--peers="+strings.Join(names, ","))
	start(t, append(args, "--name="+names[1])...)
	a.waitReady()
	refused := 0.0
	for _, tt := range []struct{ name, text, want string }{
		{"empty", "", "empty peer list"},
		{"comments only", "# nobody\n", "empty peer list"},
		{"half-written", lines(names[:2]...) + names[2][:len(names[2])-2], "half-written"},
		{"malformed", lines(names[0], "no port"), "line 2"},
		{"without oneself", lines(names[1:]...), "this node is not in the peer list"},
	} {
		writeFile(t, file, tt.text)
		refused++
		eventually(t, tt.name+" to be refused", func() bool { return a.metric("gridmesh_node_peer_lists_refused_total") == refused })
		list := a.list()
		if !slices.Equal(list.Peers, slices.Sorted(slices.Values(names[:2]))) || !strings.Contains(list.LastError, tt.want) || list.Source != adminapi.SourceFile {
			t.Errorf("%s: the list is %+v", tt.name, list)
		}
		eventually(t, tt.name+" in the log", func() bool {
			return strings.Contains(a.log.String(), `"msg":"peer list refused, the last good one stays in use"`) && strings.Contains(a.log.String(), tt.want)
		})
		if got := a.metric("gridmesh_node_peer_list_refused"); got != 1 {
			t.Errorf("%s: the gauge is %v", tt.name, got)
		}
		if got := a.send("POST", call(names[1], "echo"), nil, "x"); got.status != http.StatusOK {
			t.Errorf("%s: a call fails: %d", tt.name, got.status)
		}
		if got := a.get("/readyz"); got.status != http.StatusOK {
			t.Errorf("%s: not ready: %s", tt.name, got.body)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	refused++
	eventually(t, "the missing file to be noticed", func() bool { return a.metric("gridmesh_node_peer_lists_refused_total") == refused })

	// Mended, it counts again: the third node comes, and one goes.
	start(t, append(args, "--name="+names[2])...)
	writeFile(t, file, lines(names...))
	eventually(t, "the new node to be linked", func() bool {
		return a.send("POST", call(names[2], "echo"), nil, "x").status == http.StatusOK
	})
	if list := a.list(); list.LastError != "" || list.Names != 3 || a.metric("gridmesh_node_peer_list_refused") != 0 {
		t.Errorf("after mending: %+v", list)
	}
	writeFile(t, file, lines(names[0], names[2]))
	eventually(t, "the node to be gone", func() bool { return a.m.Connection(names[1]) == nil })
}

func TestHangUpReadsAgain(t *testing.T) {
	names := freePorts(t, 2)
	dir := t.TempDir()
	list, config, token := filepath.Join(dir, "peers"), filepath.Join(dir, "node.yaml"), filepath.Join(dir, "token")
	writeFile(t, list, lines(names[0]))
	writeFile(t, token, rightToken)
	text := "name: " + names[0] + "\npeers-file: " + list + "\npeers-poll: 1h\nadmin-addr: 127.0.0.1:0\ninsecure-plain-text: true\nadmin-token-file: " + token + "\n"
	writeFile(t, config, text)
	n := start(t, "--config="+config)
	n.waitReady()

	// The file of peers, long before its next poll.
	writeFile(t, list, lines(names...))
	n.hangUp()
	eventually(t, "the list to be read", func() bool { return n.list().Names == 2 })

	// The tokens, and the log level.
	with := func(token string) int {
		return n.send("POST", call(names[0], "echo"), map[string]string{"Authorization": "Bearer " + token}, "x").status
	}
	if with(rightToken) != http.StatusOK || with(secondToken) != http.StatusUnauthorized {
		t.Fatal("the first token does not work, or the second does")
	}
	writeFile(t, token, secondToken)
	writeFile(t, config, text+"log-level: debug\ndrain-timeout: 1s\n")
	n.hangUp()
	eventually(t, "the new token to be accepted", func() bool { return with(secondToken) == http.StatusOK })
	if with(rightToken) != http.StatusUnauthorized {
		t.Error("the old token is still accepted")
	}
	eventually(t, "the log level to change", func() bool { return n.telemetry.Log().Level().String() == "DEBUG" })
	eventually(t, "a word on what needs a restart", func() bool {
		return strings.Contains(n.log.String(), `"these settings have changed and need a restart"`) && strings.Contains(n.log.String(), `"drain-timeout"`)
	})

	// A bad token file and a bad configuration keep what was.
	writeFile(t, token, "short")
	writeFile(t, config, text+"log-level: loud\n")
	n.hangUp()
	eventually(t, "the bad configuration to be refused", func() bool {
		return strings.Contains(n.log.String(), `"configuration refused, the old one stays"`) && strings.Contains(n.log.String(), "log-level = \\\"loud\\\"")
	})
	if with(secondToken) != http.StatusOK || n.metric("gridmesh_node_token_files_refused_total") != 1 || n.telemetry.Log().Level().String() != "DEBUG" {
		t.Error("something bad was taken over")
	}
	if strings.Contains(n.log.String(), rightToken) || strings.Contains(n.log.String(), secondToken) {
		t.Error("a token is in the log")
	}
}

func TestHangUpTakesPeersOfTheConfiguration(t *testing.T) {
	names := freePorts(t, 2)
	config := filepath.Join(t.TempDir(), "node.yaml")
	text := "name: " + names[0] + "\nadmin-addr: 127.0.0.1:0\ninsecure-plain-text: true\n"
	writeFile(t, config, text+"peers: ["+names[0]+"]\n")
	n := start(t, "--config="+config)
	n.waitReady()
	// What was pushed stays while the configuration says the same.
	n.send("PUT", "/v1/peers", map[string]string{"Content-Type": adminapi.TypeNames}, lines(names...))
	writeFile(t, config, text+"peers: ["+names[0]+"]\nlog-level: warn\n")
	n.hangUp()
	eventually(t, "the configuration to be read", func() bool { return n.telemetry.Log().Level().String() == "WARN" })
	if list := n.list(); list.Names != 2 || list.Source != adminapi.SourceAdmin {
		t.Errorf("the list that was pushed is gone: %+v", list)
	}
	writeFile(t, config, text+"peers: ["+names[0]+", 'other:1', 'third:1']\nlog-level: info\n")
	n.hangUp()
	eventually(t, "the new list", func() bool { list := n.list(); return list.Names == 3 && list.Source == adminapi.SourceStatic })
}

// signer publishes lists, as an operator does.
type signer struct {
	t    *testing.T
	key  ed25519.PrivateKey
	mesh string
	grid string
	dir  string
}

func newSigner(t *testing.T) *signer {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := peers.MarshalPublicKeys(public)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, peers.KeysFile), string(text))
	return &signer{t: t, key: private, mesh: peers.NewMeshID(), grid: "default", dir: dir}
}

func (s *signer) sign(epoch uint64, names ...string) string {
	s.t.Helper()
	raw, err := peers.Sign(peers.List{
		Names: slices.Sorted(slices.Values(names)), Epoch: epoch, Grid: s.grid, MeshID: s.mesh, Identity: peers.IdentityGrid, Topology: peers.TopologyFull,
	}, s.key)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(raw)
}

func (s *signer) publish(epoch uint64, names ...string) {
	s.t.Helper()
	writeFile(s.t, filepath.Join(s.dir, peers.ListFile), s.sign(epoch, names...))
}

// ownOrPeer: a peer that has read its folder first hands the list over.
func ownOrPeer(source string) bool {
	return source == adminapi.SourceSigned || source == adminapi.SourcePeer
}

func TestSignedLists(t *testing.T) {
	names := freePorts(t, 2)
	s := newSigner(t)
	s.publish(5, names...)
	save := filepath.Join(t.TempDir(), "saved")
	args := []string{"--peers-dir=" + s.dir, "--peers-poll=20ms", "--admin-addr=127.0.0.1:0", "--insecure-plain-text"}
	a := start(t, append(args, "--name="+names[0], "--peers-save="+save)...)
	b := start(t, append(args, "--name="+names[1])...)
	a.waitReady()
	b.waitReady()
	if list := a.list(); list.Epoch != 5 || !ownOrPeer(list.Source) || !list.Contains {
		t.Fatalf("the list is %+v", list)
	}

	put := func(text string, header ...string) answered {
		all := map[string]string{"Content-Type": adminapi.TypeSigned}
		for i := 0; i < len(header); i += 2 {
			all[header[i]] = header[i+1]
		}
		return a.send("PUT", "/v1/peers", all, text)
	}
	other := newSigner(t)
	for _, tt := range []struct {
		name, text, want string
		status           int
	}{
		{"a stranger's", other.sign(6, names...), "without a valid signature", 403},
		{"of a lower epoch", s.sign(4, names...), "stale", 409},
		{"the same epoch with other names", s.sign(5, names[0]), "two different peer lists of one epoch", 409},
		{"cut", s.sign(6, names...)[:100], "malformed", 403},
		{"nothing", "", "malformed", 403},
		{"too large", strings.Repeat("x", peers.MaxDocument+1), "larger than allowed", 413},
		{"the same again", s.sign(5, names...), "", 200},
		{"a newer one", s.sign(7, names...), "", 200},
	} {
		got := put(tt.text)
		switch {
		case got.status != tt.status:
			t.Errorf("%s: status %d: %.300s", tt.name, got.status, got.body)
		case tt.status == http.StatusOK:
			ack := got.ack(t)
			if ack.Epoch == 0 || ack.MeshID != s.mesh || !ack.Contains || !ack.Ready || ack.Links != (adminapi.Links{Up: 1, Expected: 1}) {
				t.Errorf("%s: acknowledged with %+v", tt.name, ack)
			}
		case !strings.Contains(got.failure(t).Message, tt.want):
			t.Errorf("%s: %+v", tt.name, got.failure(t))
		}
	}
	if got := a.metric("gridmesh_node_pushed_peer_lists_refused_total"); got != 5 { // all but the one that was too large to be read
		t.Errorf("%v pushed lists were refused, by the metric", got)
	}
	eventually(t, "the log of one", func() bool { return strings.Contains(a.log.String(), "pushed peer list refused") })
	if got := put(s.sign(8, names...), "Origin", "http://evil.example"); got.status != http.StatusForbidden {
		t.Errorf("from a page: status %d", got.status)
	}
	if got := a.send("PUT", "/v1/peers", map[string]string{"Content-Type": adminapi.TypeNames}, lines(names...)); got.status != http.StatusConflict {
		t.Errorf("unsigned: status %d", got.status)
	}
	if list := a.list(); list.Epoch != 7 || list.Source != adminapi.SourceAdmin {
		t.Errorf("after the push: %+v", list)
	}

	// The folder lags behind: no alarm. A peer that is behind is told.
	eventually(t, "the other node to hear of it from its peer", func() bool {
		list := b.list()
		if list.Epoch == 7 && list.Source == adminapi.SourcePeer {
			return true
		}
		b.m.Rotate()
		return false
	})
	// It is saved, and a restart begins with it although the folder has an older one.
	trust, err := peers.LoadTrust(s.dir, "default")
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the list to be saved", func() bool {
		list, err := peers.Load(save, trust)
		return err == nil && list.Epoch == 7
	})

	// A newer list without this node means that it is removed.
	s.publish(9, names[1])
	eventually(t, "the node to say that it was removed", func() bool {
		got := a.get("/readyz")
		return got.status == http.StatusServiceUnavailable && strings.Contains(got.body, "this node is not in the peer list")
	})
	if list := a.list(); !list.Removed || list.Contains || a.get("/livez").status != http.StatusOK {
		t.Errorf("after the removal: %+v", list)
	}
	if n := strings.Count(a.log.String(), "pushed peer list refused"); n != 1 { // anybody could fill the log
		t.Errorf("refused lists were logged %d times", n)
	}
}

// ack is what the node says of its list.
func (r *running) ack() adminapi.Ack {
	r.t.Helper()
	return r.get("/v1/ack").ack(r.t)
}

func (a answered) ack(t *testing.T) adminapi.Ack {
	t.Helper()
	var ack adminapi.Ack
	decoder := json.NewDecoder(strings.NewReader(a.body))
	decoder.DisallowUnknownFields() // it is an Ack, and not something else with an epoch
	if err := decoder.Decode(&ack); err != nil || a.status != http.StatusOK {
		t.Fatalf("status %d, %v: %s", a.status, err, a.body)
	}
	return ack
}

// A newer list without this node: it says so, lets what runs end within
// removal-grace, says that too, and stays. A list that has it again brings it
// back.
func TestRemovedNodeDrainsAndStays(t *testing.T) {
	names := freePorts(t, 2)
	s := newSigner(t)
	s.publish(1, names...)
	args := []string{"--peers-dir=" + s.dir, "--peers-poll=20ms", "--admin-addr=127.0.0.1:0", "--insecure-plain-text", "--drain-timeout=1h", "--removal-grace=1h"}
	a := start(t, append(args, "--name="+names[0])...)
	b := start(t, append(args, "--name="+names[1])...)
	started, release := make(chan struct{}), make(chan struct{})
	if err := a.m.RegisterSingle("block", func(context.Context, []byte) ([]byte, error) { close(started); <-release; return nil, nil }); err != nil {
		t.Fatal(err)
	}
	a.waitReady()
	b.waitReady()
	eventually(t, "the handler to be known", func() bool { return b.m.Connection(names[0]).Supports("block") })
	if ack := a.ack(); ack.Name != names[0] || ack.Grid != "default" || ack.Instance != a.m.Stats().Instance || ack.Version != Version() || ack.Epoch != 1 ||
		ack.MeshID != s.mesh || !ownOrPeer(ack.Source) || !slices.Equal(ack.Keys, []string{peers.KeyID(s.key.Public().(ed25519.PublicKey))}) ||
		!ack.Contains || ack.Removed || ack.Drained || !ack.Ready || ack.Draining || ack.Links != (adminapi.Links{Up: 1, Expected: 1}) ||
		ack.CertificateExpires != nil || ack.ListError != "" {
		t.Errorf("at first: %+v", ack)
	}
	ran := make(chan error, 1)
	go func() {
		_, err := b.m.Connection(names[0]).Request(context.Background(), "block", nil)
		ran <- err
	}()
	<-started
	s.publish(2, names[1])
	eventually(t, "the node to be removed", func() bool { return a.ack().Epoch == 2 })
	if ack := a.ack(); ack.Contains || !ack.Removed || ack.Drained || ack.Ready || !ack.Draining {
		t.Errorf("with a call that runs: %+v", ack)
	}
	if got := a.get("/readyz"); got.status != http.StatusServiceUnavailable {
		t.Errorf("ready: %s", got.body)
	}
	close(release)
	if err := <-ran; err != nil {
		t.Errorf("the call that ran: %v", err)
	}
	eventually(t, "the node to have drained", func() bool { return a.ack().Drained })
	if ack := a.ack(); !ack.Removed || ack.Ready || ack.Draining || ack.Links != (adminapi.Links{}) {
		t.Errorf("drained: %+v", ack)
	}
	select {
	case <-a.done:
		t.Fatal("the node has ended by itself")
	default:
	}
	s.publish(3, names...)
	eventually(t, "the node to be back", func() bool {
		ack := a.ack()
		return ack.Epoch == 3 && ack.Contains && !ack.Removed && !ack.Drained && ack.Ready && ack.Links.Up == 1 && b.ack().Links.Up == 1
	})
	if got := b.send("POST", call(names[0], "echo"), nil, "x"); got.status != http.StatusOK {
		t.Errorf("a call to it: %d", got.status)
	}

	// Told to stop, it goes.
	s.publish(4, names[1])
	eventually(t, "the node to have drained again", func() bool { return a.ack().Drained })
	a.signals <- syscall.SIGTERM
	<-a.done
	if a.status != 0 {
		t.Errorf("exit status %d", a.status)
	}
}

// What runs on a removed node is cut when removal-grace is over.
func TestRemovedNodeCutsWhatDoesNotEnd(t *testing.T) {
	names := freePorts(t, 2)
	s := newSigner(t)
	s.publish(1, names...)
	args := []string{"--peers-dir=" + s.dir, "--peers-poll=20ms", "--admin-addr=127.0.0.1:0", "--insecure-plain-text", "--removal-grace=300ms"}
	a := start(t, append(args, "--name="+names[0])...)
	b := start(t, append(args, "--name="+names[1])...)
	a.waitReady()
	b.waitReady()
	stream, err := b.m.Connection(names[0]).OpenStream(t.Context(), handlerDigest, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(t.Context(), []byte("half")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the stream to come", func() bool { return a.m.Stats().Links[0].StreamsOpen == 1 })
	begin := time.Now()
	s.publish(2, names[1])
	eventually(t, "the node to have drained", func() bool { return a.ack().Drained })
	if took := time.Since(begin); took < 300*time.Millisecond {
		t.Errorf("cut after %v", took)
	}
	if _, err := stream.Recv(t.Context()); grid.OutcomeOf(err) != grid.MaybeProcessed {
		t.Errorf("the stream ended with %v", err)
	}
}

func TestSavedListIsForColdStarts(t *testing.T) {
	names := freePorts(t, 2)
	s := newSigner(t)
	save := filepath.Join(t.TempDir(), "saved")
	writeFile(t, save, s.sign(3, names...))
	a := start(t, "--name="+names[0], "--peers-dir="+s.dir, "--peers-save="+save, "--peers-poll=20ms", "--admin-addr=127.0.0.1:0",
		"--insecure-plain-text", "--log-level=debug")
	eventually(t, "the saved list", func() bool { list := a.list(); return list.Epoch == 3 && list.Source == adminapi.SourceSaved })
	eventually(t, "the missing list to be noticed", func() bool { return a.list().LastError != "" })
	refused := a.list().Refused
	s.publish(2, names...) // older than the saved one: a mount that lags behind is no alarm
	eventually(t, "the older list to be seen", func() bool {
		return strings.Contains(a.log.String(), "the folder has an older peer list than the one in use")
	})
	if a.list().Refused != refused || strings.Contains(a.log.String(), "stale") {
		t.Error("an older list in the folder made an alarm")
	}
	s.publish(4, names...)
	eventually(t, "the newer list", func() bool { list := a.list(); return list.Epoch == 4 && list.Source == adminapi.SourceSigned })
	if a.list().LastError != "" {
		t.Errorf("the list is %+v", a.list())
	}

	broken := filepath.Join(t.TempDir(), "saved")
	writeFile(t, broken, s.sign(3, names...)[:50])
	bad := start(t, "--name="+names[1], "--peers-dir="+s.dir, "--peers-save="+broken, "--admin-addr=127.0.0.1:0", "--insecure-plain-text")
	eventually(t, "the list of the folder", func() bool { return bad.list().Epoch == 4 })
	eventually(t, "a word on the saved list that is broken", func() bool { return strings.Contains(bad.log.String(), "saved peer list not used") })
}

func TestCertificatesReload(t *testing.T) {
	ca := authority(t)
	names := freePorts(t, 2)
	dirs := []string{certificate(t, ca, names[0]), certificate(t, ca, names[1])}
	both := []string{"--peers=" + strings.Join(names, ","), "--admin-addr=127.0.0.1:0"}
	a := start(t, append(both, "--name="+names[0], "--tls-dir="+dirs[0])...)
	b := start(t, append(both, "--name="+names[1], "--tls-dir="+dirs[1])...)
	a.waitReady()
	b.waitReady()
	if got := a.send("POST", call(names[1], "info"), nil, ""); !strings.Contains(got.body, `"caller_identity":"gridmesh://default/`+names[0]+`"`) {
		t.Errorf("who called: %s", got.body)
	}

	// A good new one, and a bad one, which is refused.
	if err := ca.Write(dirs[0], certs.Leaf{Grid: "default", Name: names[0]}); err != nil {
		t.Fatal(err)
	}
	a.hangUp()
	eventually(t, "the certificate to be reloaded", func() bool { return a.metric("gridmesh_node_certificate_reloads_total") == 1 })
	if err := ca.Write(dirs[0], certs.Leaf{Grid: "default", Name: "other:1"}); err != nil {
		t.Fatal(err)
	}
	a.hangUp()
	eventually(t, "the certificate of another to be refused", func() bool { return a.metric("gridmesh_node_certificates_refused_total") == 1 })
	eventually(t, "the log to say why", func() bool {
		return strings.Contains(a.log.String(), "neither for the host of this node's name nor for gridmesh://default/"+names[0])
	})

	// A bundle with a second authority: links are made again, without a failed call.
	next := authority(t)
	bundle := append(bytes.Clone(ca.PEM), next.PEM...)
	stop, failed := make(chan struct{}), make(chan error, 1)
	go func() {
		defer close(failed)
		for ctx := context.Background(); ; {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := a.m.Connection(names[1]).Request(ctx, "echo", []byte("x")); err != nil {
				failed <- err
				return
			}
		}
	}()
	for i, r := range []*running{a, b} {
		issued, err := ca.Issue(certs.Leaf{Grid: "default", Name: names[i]})
		if err != nil {
			t.Fatal(err)
		}
		if err := issued.Write(dirs[i], bundle); err != nil {
			t.Fatal(err)
		}
		r.hangUp()
	}
	eventually(t, "the link to be made again", func() bool { return a.m.Stats().Reconnects["rotated"] > 0 })
	close(stop)
	if err := <-failed; err != nil {
		t.Errorf("a call failed during the rotation: %v", err)
	}
}
