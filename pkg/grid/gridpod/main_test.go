package gridpod

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gridmesh/gridmesh/internal/adminapi"
	"github.com/gridmesh/gridmesh/internal/certs"
	"github.com/gridmesh/gridmesh/internal/freeport"
	"github.com/gridmesh/gridmesh/internal/poddir"
	"github.com/gridmesh/gridmesh/pkg/grid"
	"github.com/gridmesh/gridmesh/pkg/grid/peers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait of these tests: nothing takes that long.
const patience = time.Minute

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			t.Fatalf("waited for %v: %s", patience, what)
		case <-ticker.C:
		}
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	addrs, err := freeport.Addrs(1)
	if err != nil {
		t.Fatal(err)
	}
	return int(netip.MustParseAddrPort(addrs[0]).Port())
}

// operator does for the pods of a test what the real one does: it writes what
// they mount.
type operator struct {
	t     *testing.T
	file  poddir.File // of all pods, but for their ports
	key   ed25519.PrivateKey
	mesh  string
	ca    *certs.Authority // nil: no TLS
	epoch uint64
}

func newOperator(t *testing.T, withTLS bool) *operator {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	o := &operator{t: t, key: key, mesh: peers.NewMeshID()}
	o.file = poddir.File{Version: poddir.Version, Grid: "shop/web", Namespace: "shop", Service: "web", TLS: withTLS, DrainTimeout: "30s"}
	if withTLS {
		if o.ca, err = certs.NewAuthority("shop/web"); err != nil {
			t.Fatal(err)
		}
	}
	return o
}

// write replaces a file, whole.
func (o *operator) write(path string, text []byte) {
	o.t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		o.t.Fatal(err)
	}
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		o.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		o.t.Fatal(err)
	}
}

// sign makes the next list.
func (o *operator) sign(names ...string) []byte {
	o.t.Helper()
	o.epoch++
	raw, err := peers.Sign(peers.List{
		Names: slices.Sorted(slices.Values(names)), Epoch: o.epoch, Grid: o.file.Grid, MeshID: o.mesh, Identity: peers.IdentityGrid, Topology: peers.TopologyFull,
	}, o.key)
	if err != nil {
		o.t.Fatal(err)
	}
	return raw
}

func (o *operator) public() ed25519.PublicKey { return o.key.Public().(ed25519.PublicKey) }

// publish puts a list where pods mount it.
func (o *operator) publish(list []byte, dirs ...string) {
	o.t.Helper()
	for _, dir := range dirs {
		o.write(filepath.Join(dir, "grid", peers.ListFile), list)
	}
}

// mount makes the directory of a pod, and gives its name.
func (o *operator) mount(pod string) (dir, name string) {
	o.t.Helper()
	return o.mountAt(pod, freePort(o.t))
}

func (o *operator) mountAt(pod string, port int) (dir, name string) {
	o.t.Helper()
	dir = o.t.TempDir()
	file := o.file
	file.Port, file.AdminPort = port, freePort(o.t)
	text, err := json.Marshal(file)
	if err != nil {
		o.t.Fatal(err)
	}
	o.write(filepath.Join(dir, "grid", "grid.json"), text)
	keys, err := peers.MarshalPublicKeys(o.public())
	if err != nil {
		o.t.Fatal(err)
	}
	o.write(filepath.Join(dir, "grid", peers.KeysFile), keys)
	name = fmt.Sprintf("%s.web.shop.svc:%d", pod, file.Port)
	if o.ca != nil {
		o.certify(dir, name)
	}
	return dir, name
}

// certify gives a pod a new certificate.
func (o *operator) certify(dir, name string) {
	o.t.Helper()
	if err := o.ca.Write(filepath.Join(dir, "tls"), certs.Leaf{Name: name}); err != nil {
		o.t.Fatal(err)
	}
}

// running is a pod that serves.
type running struct {
	*Pod
	t      *testing.T
	m      *grid.Manager
	dir    string
	log    *logBuffer
	client *http.Client
	stop   context.CancelFunc
	done   chan struct{}
	err    error // of Serve, once done is closed
}

// logBuffer is what a pod has logged.
type logBuffer struct {
	mu   sync.Mutex // protects text
	text bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// loopback is where all pods of a test are.
func loopback(_ context.Context, name string) (string, error) {
	_, port, err := net.SplitHostPort(name)
	return net.JoinHostPort("127.0.0.1", port), err
}

// open makes a pod of a directory, without running it.
func (o *operator) open(dir, name string) *running {
	o.t.Helper()
	host, _, _ := strings.Cut(name, ".")
	pod, err := fromDir(dir, host)
	if err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(func() { _ = pod.Close() })
	r := &running{Pod: pod, t: o.t, dir: dir, log: &logBuffer{}, done: make(chan struct{})}
	r.Logger = slog.New(slog.NewTextHandler(r.log, nil))
	options := r.Options()
	options.Resolve = loopback
	if r.m, err = grid.NewManager(context.Background(), options); err != nil {
		o.t.Fatal(err)
	}
	echo := func(_ context.Context, req []byte) ([]byte, error) { return req, nil }
	if err := r.m.RegisterSingle("echo", echo); err != nil {
		o.t.Fatal(err)
	}
	transport := &http.Transport{}
	if o.ca != nil {
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(o.ca.PEM)
		transport.TLSClientConfig = &tls.Config{RootCAs: roots, ServerName: name[:strings.LastIndex(name, ":")]}
	}
	r.client = &http.Client{Transport: transport}
	return r
}

// start runs a pod until the test ends.
func (o *operator) start(dir, name string) *running {
	o.t.Helper()
	r := o.open(dir, name)
	ctx, cancel := context.WithCancel(context.Background())
	r.stop = cancel
	go func() {
		defer close(r.done)
		r.err = r.ServeContext(ctx, r.m)
	}()
	o.t.Cleanup(func() {
		cancel()
		<-r.done
		r.client.CloseIdleConnections()
		if o.t.Failed() {
			o.t.Logf("log of %s:\n%s", name, r.log)
		}
	})
	return r
}

// grid starts as many pods, all on the first list, and waits for them.
func (o *operator) grid(count int) []*running {
	o.t.Helper()
	var names, dirs []string
	for i := range count {
		dir, name := o.mount("web-" + strconv.Itoa(i))
		names, dirs = append(names, name), append(dirs, dir)
	}
	o.publish(o.sign(names...), dirs...)
	var all []*running
	for i, name := range names {
		all = append(all, o.start(dirs[i], name))
	}
	for _, r := range all {
		r.waitReady()
	}
	return all
}

type answered struct {
	status int
	header http.Header
	body   string
}

func (r *running) ask(method, path, kind, body string) (answered, error) {
	scheme := "http"
	if r.dir != "" && r.Pod.dir.TLS {
		scheme = "https"
	}
	request, err := http.NewRequestWithContext(r.t.Context(), method, fmt.Sprintf("%s://127.0.0.1:%d%s", scheme, r.Pod.dir.AdminPort, path), strings.NewReader(body))
	if err != nil {
		return answered{}, err
	}
	if kind != "" {
		request.Header.Set("Content-Type", kind)
	}
	response, err := r.client.Do(request)
	if err != nil {
		return answered{}, err
	}
	defer func() { _ = response.Body.Close() }()
	raw, err := io.ReadAll(response.Body)
	return answered{response.StatusCode, response.Header, string(raw)}, err
}

func (r *running) send(method, path, kind, body string) answered {
	r.t.Helper()
	got, err := r.ask(method, path, kind, body)
	if err != nil {
		r.t.Fatal(err)
	}
	return got
}

func (r *running) get(path string) answered {
	r.t.Helper()
	return r.send(http.MethodGet, path, "", "")
}

func (r *running) push(list []byte) answered {
	r.t.Helper()
	return r.send(http.MethodPut, adminapi.PathPeers, adminapi.TypeSigned, string(list))
}

func (r *running) ack() (ack adminapi.Ack) {
	r.t.Helper()
	if err := json.Unmarshal([]byte(r.get(adminapi.PathAck).body), &ack); err != nil {
		r.t.Fatal(err)
	}
	return ack
}

// waitReady waits until the pod says that it is.
func (r *running) waitReady() {
	r.t.Helper()
	eventually(r.t, "the pod to be ready", func() bool {
		got, err := r.ask(http.MethodGet, adminapi.PathReady, "", "")
		return err == nil && got.status == http.StatusOK
	})
}

// name is the pod's in the list.
func (r *running) name() string { return r.Pod.dir.Name }
