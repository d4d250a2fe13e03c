package gridpod

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gridmesh/gridmesh/internal/adminapi"
	"github.com/gridmesh/gridmesh/internal/certs"
	"github.com/gridmesh/gridmesh/pkg/grid"
)

func TestPodsCallEachOther(t *testing.T) {
	for name, withTLS := range map[string]bool{"with TLS": true, "plain": false} {
		t.Run(name, func(t *testing.T) {
			o := newOperator(t, withTLS)
			pods := o.grid(3)
			for _, from := range pods {
				for _, to := range pods {
					if reply, err := from.m.Connection(to.name()).Request(t.Context(), "echo", []byte("x")); err != nil || string(reply) != "x" {
						t.Errorf("%s to %s: %q, %v", from.name(), to.name(), reply, err)
					}
				}
				ack := from.ack()
				if ack.Name != from.name() || ack.Grid != "shop/web" || ack.MeshID != o.mesh || ack.Epoch != 1 || len(ack.Keys) != 1 || !ack.Contains || !ack.Ready ||
					ack.Links != (adminapi.Links{Up: 2, Expected: 2}) || ack.Version == "" || (ack.CertificateExpires != nil) != withTLS {
					t.Errorf("%+v", ack)
				}
			}
		})
	}
}

// The admin port says how the pod is, and takes nothing but signed lists.
func TestAdminPort(t *testing.T) {
	o := newOperator(t, true)
	pods := o.grid(2)
	a := pods[0]
	var status adminapi.Status
	if err := json.Unmarshal([]byte(a.get(adminapi.PathStatus).body), &status); err != nil || status.Node.Name != a.name() || !status.Ready || len(status.Peers) != 1 {
		t.Errorf("status %+v, %v", status, err)
	}
	if page := a.get(adminapi.PathStatus + "?format=html"); !strings.Contains(page.body, "<title>1/1 links · "+a.name()) || strings.Contains(page.body, "Links in the mesh") {
		t.Errorf("the page: %.2000s", page.body)
	}
	if _, err := a.m.Connection(pods[1].name()).Request(t.Context(), "echo", nil); err != nil {
		t.Fatal(err)
	}
	metrics := a.get(adminapi.PathMetrics).body
	for _, want := range []string{"gridmesh_node_ready 1", `gridmesh_calls_total{handler="echo",result="ok",side="caller"} 1`, "gridmesh_links{", "gridmesh_node_certificate_expiry_timestamp_seconds "} {
		if !strings.Contains(metrics, want) {
			t.Errorf("there is no %s in the metrics", want)
		}
	}
	for path, want := range map[string]int{
		"/livez": 200, "/readyz": 200, "/v1/ack": 200, "/v1/peers": 200, "/statusz/mesh": 404, "/debug/pprof/": 404, "/v1/call/" + a.name() + "/echo": 404,
	} {
		if got := a.get(path); got.status != want {
			t.Errorf("GET %s: status %d, want %d", path, got.status, want)
		}
	}
	if got := a.send(http.MethodPost, "/v1/call/"+a.name()+"/echo", "", "x"); got.status != http.StatusNotFound {
		t.Errorf("a call: status %d: %s", got.status, got.body)
	}
	if got := a.send(http.MethodPut, adminapi.PathPeers, adminapi.TypeNames, a.name()+"\n"); got.status != http.StatusUnsupportedMediaType {
		t.Errorf("an unsigned list: status %d: %s", got.status, got.body)
	}
	// Whom it is asked by does not matter, so it asks for no certificate; who
	// it is, does.
	if got := a.client.Transport.(*http.Transport).TLSClientConfig.Certificates; got != nil {
		t.Fatal("this test shows a certificate")
	}
	stranger, err := certs.NewAuthority("another")
	if err != nil {
		t.Fatal(err)
	}
	was := o.ca
	o.ca = stranger
	other := o.open(a.dir, a.name())
	defer func() { _ = other.m.Close() }()
	o.ca = was
	if got, err := other.ask(http.MethodGet, "/livez", "", ""); err == nil {
		t.Errorf("who trusts another authority gets an answer: %+v", got)
	}
	other.client.CloseIdleConnections()
}

// The certificate is read again for both ports, and no call fails.
func TestCertificateIsReadAgain(t *testing.T) {
	o := newOperator(t, true)
	pods := o.grid(2)
	before := *pods[0].ack().CertificateExpires
	issued, err := o.ca.Issue(certs.Leaf{Name: pods[0].name(), NotAfter: time.Now().Add(48 * time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	if err := issued.Write(filepath.Join(pods[0].dir, "tls"), o.ca.PEM); err != nil {
		t.Fatal(err)
	}
	pods[0].member.Reload() // it would be polled
	if after := *pods[0].ack().CertificateExpires; !after.After(before) {
		t.Errorf("expires at %v, and did at %v", after, before)
	}
	pods[0].client.CloseIdleConnections()
	response, err := pods[0].client.Get("https://127.0.0.1" + address(pods[0].Pod.dir.AdminPort) + "/livez")
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if got := response.TLS.PeerCertificates[0].NotAfter; !got.After(before) {
		t.Errorf("the admin port shows a certificate until %v", got)
	}
	pods[0].m.Rotate()
	eventually(t, "the link to be made again", func() bool { return pods[1].m.Stats().Reconnects["rotated"] > 0 })
	if got := pods[1].m.Stats().Links[0].CertExpiry; !got.After(before) {
		t.Errorf("the grid port shows a certificate until %v", got)
	}
}

// What runs when the pod is told to stop runs to its end, and new calls are
// refused in a way that says they did not run.
func TestServeDrains(t *testing.T) {
	o := newOperator(t, true)
	pods := o.grid(2)
	a, b := pods[0], pods[1]
	started, release := make(chan struct{}), make(chan struct{})
	if err := a.m.RegisterSingle("block", func(context.Context, []byte) ([]byte, error) { close(started); <-release; return nil, nil }); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the handler to be known", func() bool { return b.m.Connection(a.name()).Supports("block") })
	ran := make(chan error, 1)
	go func() {
		_, err := b.m.Connection(a.name()).Request(context.Background(), "block", nil)
		ran <- err
	}()
	<-started
	a.stop()
	eventually(t, "the pod to say that it is draining", func() bool { return a.get("/readyz").status == http.StatusServiceUnavailable })
	if ack := a.ack(); !ack.Draining || ack.Drained || ack.Removed || ack.Ready {
		t.Errorf("%+v", ack)
	}
	if got := a.get("/livez"); got.status != http.StatusOK {
		t.Errorf("while it drains, it is not alive: %d", got.status)
	}
	eventually(t, "new calls to be refused", func() bool {
		_, err := b.m.Connection(a.name()).Request(t.Context(), "echo", nil)
		if err != nil && grid.OutcomeOf(err) != grid.NotSent {
			t.Errorf("a call during the drain: %v", err)
		}
		return err != nil
	})
	close(release)
	if err := <-ran; err != nil {
		t.Errorf("the call that ran: %v", err)
	}
	<-a.done
	if a.err != nil {
		t.Errorf("Serve gives %v", a.err)
	}
	if _, err := a.m.Connection(a.name()).Request(t.Context(), "echo", nil); !errors.Is(err, grid.ErrClosed) {
		t.Errorf("the manager goes on: %v", err)
	}
}

func TestServeCutsInTheEnd(t *testing.T) {
	o := newOperator(t, false)
	o.file.DrainTimeout = "200ms"
	pods := o.grid(2)
	a, b := pods[0], pods[1]
	started := make(chan struct{})
	if err := a.m.RegisterSingle("block", func(ctx context.Context, _ []byte) ([]byte, error) { close(started); <-ctx.Done(); return nil, nil }); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the handler to be known", func() bool { return b.m.Connection(a.name()).Supports("block") })
	ran := make(chan error, 1)
	go func() {
		_, err := b.m.Connection(a.name()).Request(context.Background(), "block", nil)
		ran <- err
	}()
	<-started
	a.stop()
	<-a.done
	if a.err == nil || !errors.Is(a.err, context.DeadlineExceeded) || !strings.Contains(a.err.Error(), "drainTimeout of 200ms") {
		t.Errorf("Serve gives %v", a.err)
	}
	if err := <-ran; grid.OutcomeOf(err) != grid.MaybeProcessed {
		t.Errorf("the call that was cut: %v", err)
	}
}

// A removed pod says so, drains, says that too, and stays until it is told to stop.
func TestRemovedPod(t *testing.T) {
	o := newOperator(t, true)
	pods := o.grid(3)
	list := o.sign(pods[0].name(), pods[1].name())
	var ack adminapi.Ack
	got := pods[2].push(list)
	if err := json.Unmarshal([]byte(got.body), &ack); err != nil || got.status != http.StatusOK || !ack.Removed || ack.Contains || ack.Ready || ack.Epoch != 2 {
		t.Errorf("acknowledged with %d, %+v, %v", got.status, ack, err)
	}
	eventually(t, "the pod to have drained", func() bool { return pods[2].ack().Drained })
	if pods[2].get("/readyz").status != http.StatusServiceUnavailable || pods[2].get("/livez").status != http.StatusOK {
		t.Error("it is ready, or not alive")
	}
	pods[2].stop()
	<-pods[2].done
	if pods[2].err != nil {
		t.Errorf("Serve gives %v", pods[2].err)
	}
}

func TestMistakes(t *testing.T) {
	o := newOperator(t, true)
	dir, name := o.mount("web-0")
	open := func() *running {
		r := o.open(dir, name)
		t.Cleanup(func() { _ = r.m.Close() })
		return r
	}
	check := func(what string, err error, want string) {
		t.Helper()
		if err == nil || !strings.HasPrefix(err.Error(), "gridpod: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", what, err, want)
		}
	}
	check("no manager", open().Serve(nil), "make one of pod.Options()")

	other, err := grid.NewManager(t.Context(), grid.Options{Local: "a:1", InsecurePlainText: true})
	if err != nil {
		t.Fatal(err)
	}
	check("another manager", open().Serve(other), "the manager is a:1 of grid default, and the pod "+name+" of shop/web; make it of pod.Options()")

	// The context of the manager ends while the pod serves: at first by itself,
	// then by the very signal that the pod is to drain for.
	r := open()
	_ = r.m.Close()
	check("a manager that is closed", r.ServeContext(t.Context(), r.m), "give grid.NewManager a context that does not end with SIGTERM")
	r = open()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_ = r.m.Close()
	check("a manager that ends with the signal", r.ServeContext(ctx, r.m), "give grid.NewManager a context that does not end with SIGTERM")
	check("a second time", r.ServeContext(ctx, r.m), "a pod serves once")

	running := o.start(dir, name)
	eventually(t, "the ports to be open", func() bool { _, err := running.ask("GET", "/livez", "", ""); return err == nil })
	r = open()
	check("ports in use", r.ServeContext(t.Context(), r.m), "address already in use")

	if err := o.ca.Write(filepath.Join(dir, "tls"), certs.Leaf{Name: "web-1.web.shop.svc:1"}); err != nil {
		t.Fatal(err)
	}
	_, err = fromDir(dir, "web-0")
	check("the certificate of another", err, "neither for the host of this node's name")
	if err := os.RemoveAll(filepath.Join(dir, "tls")); err != nil {
		t.Fatal(err)
	}
	_, err = fromDir(dir, "web-0")
	check("no certificate", err, "mount the Secret <grid>-grid-tls as the directory "+filepath.Join(dir, "tls"))
	_, err = FromDir(t.TempDir())
	check("nothing mounted", err, "mount the ConfigMap <grid>-grid")
}

// A strict grid takes no certificate that all members share.
func TestIdentityPod(t *testing.T) {
	o := newOperator(t, true)
	o.file.Identity = "pod"
	dir, name := o.mount("web-0")
	if _, err := fromDir(dir, "web-0"); err == nil || !strings.Contains(err.Error(), "lacks the URI gridmesh://shop/web/"+name) {
		t.Errorf("a certificate without the URI: %v", err)
	}
	if err := o.ca.Write(filepath.Join(dir, "tls"), certs.Leaf{Grid: "shop/web", Name: name, NoHost: true}); err != nil {
		t.Fatal(err)
	}
	pod, err := fromDir(dir, "web-0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = pod.Close() }()
	if o := pod.Options(); !o.TLS.Strict {
		t.Error("peers need not be strict")
	}
}

// Limits of the Grid reach the library, and those that it does not set are the
// library's own.
func TestLimits(t *testing.T) {
	o := newOperator(t, false)
	o.file.MaxMessage, o.file.MaxCalls, o.file.MaxMemory = 1<<20, 7, 256<<20
	dir, _ := o.mount("web-0")
	for _, set := range []bool{true, false} {
		if !set {
			o.file.MaxMessage, o.file.MaxCalls, o.file.MaxMemory = 0, 0, 0
			dir, _ = o.mount("web-0")
		}
		pod, err := fromDir(dir, "web-0")
		if err != nil {
			t.Fatal(err)
		}
		options := pod.Options()
		if l := options.Limits; l.MaxMessage != int(o.file.MaxMessage) || l.MaxCalls != o.file.MaxCalls || l.ProcessBytes != int(o.file.MaxMemory) {
			t.Errorf("%+v", l)
		}
		if options.RemovalGrace != 30*time.Second || !options.InsecurePlainText || options.TLS != nil {
			t.Errorf("%+v", options)
		}
		m, err := grid.NewManager(t.Context(), options)
		if err != nil {
			t.Fatal(err)
		}
		_ = m.Close()
		_ = pod.Close()
	}
}

// TestServeOfAPodThatHasEnded: what it cannot serve is closed, as Serve says.
func TestServeOfAPodThatHasEnded(t *testing.T) {
	o := newOperator(t, false)
	dir, name := o.mount("web-0")
	o.publish(o.sign(name), dir)
	r := o.open(dir, name)
	if err := r.Pod.Close(); err != nil {
		t.Fatal(err)
	}
	if err := r.ServeContext(t.Context(), r.m); err == nil || !strings.Contains(err.Error(), "make another with FromDir") {
		t.Errorf("Serve gives %v", err)
	}
	if _, err := r.m.Connection(name).Request(t.Context(), "echo", nil); !errors.Is(err, grid.ErrClosed) {
		t.Errorf("the manager goes on: %v", err)
	}
}

// TestServeTwice: the second one fails, and leaves alone what the first one serves.
func TestServeTwice(t *testing.T) {
	o := newOperator(t, false)
	r := o.grid(1)[0]
	if err := r.ServeContext(t.Context(), r.m); err == nil || !strings.Contains(err.Error(), "serves once") {
		t.Errorf("Serve gives %v", err)
	}
	if _, err := r.m.Connection(r.name()).Request(t.Context(), "echo", nil); err != nil {
		t.Errorf("the pod that serves: %v", err)
	}
}
