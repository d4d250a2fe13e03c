package node

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gridmesh/gridmesh/internal/adminapi"
	"github.com/gridmesh/gridmesh/internal/certs"
	"github.com/gridmesh/gridmesh/internal/poddir"
	"github.com/gridmesh/gridmesh/internal/settings"
	"github.com/gridmesh/gridmesh/pkg/grid/peers"
)

// mount writes what the operator has a pod mount, and gives the folder.
func mount(t *testing.T, file poddir.File) string {
	t.Helper()
	file.Version, file.Grid, file.Namespace, file.Service = poddir.Version, "shop/web", "shop", "web"
	text, err := json.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "grid"), 0o700); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "grid", "grid.json"), string(text))
	return dir
}

func TestKubernetesDirSetsTheRest(t *testing.T) {
	file := poddir.File{
		Port: 7700, AdminPort: 7701, TLS: true, Identity: peers.IdentityPod, DrainTimeout: "45s", MaxMessage: 1 << 20, MaxCalls: 7, MaxMemory: 1 << 30,
	}
	dir := mount(t, file)
	load := func(dir string, args ...string) (Config, error) {
		config, _, err := LoadConfig(settings.Input{Args: append(args, "--kubernetes-dir="+dir), Environ: []string{"POD_NAME=web-3"}})
		return config, err
	}
	c, err := load(dir, "--peers-save=/var/lib/gridmesh/peers.signed", "--log-level=debug")
	if err != nil {
		t.Fatal(err)
	}
	if c.Name != "web-3.web.shop.svc:7700" || c.Grid != "shop/web" || c.Listen != ":7700" || c.AdminAddr != ":7701" || !c.AdminTLS || c.InsecurePlainText || !c.TLSStrict ||
		c.TLSDir != filepath.Join(dir, "tls") || c.PeersDir != filepath.Join(dir, "grid") || c.PeersSave != "/var/lib/gridmesh/peers.signed" ||
		c.DrainTimeout != 45*time.Second || c.RemovalGrace != 45*time.Second || c.MaxMessage != 1<<20 || c.MaxCalls != 7 || c.MaxMemory != 1<<30 {
		t.Errorf("%+v", c)
	}
	for name, value := range map[string]string{
		"name": "a:1", "grid": "shop/web", "listen": ":7700", "admin-addr": ":7701", "admin-tls": "true", "peers": "a:1", "peers-file": "f", "peers-dir": "d", "topology": "full-mesh",
		"tls-dir": "d", "tls-cert": "c", "tls-key": "k", "tls-ca": "a", "tls-strict": "true", "insecure-plain-text": "false", "drain-timeout": "45s", "removal-grace": "45s",
		"max-message": "1MiB", "max-calls": "7", "max-memory": "1GiB",
	} {
		want := name + " (flag --" + name + "): comes from kubernetes-dir (flag --kubernetes-dir); leave one"
		if _, err := load(dir, "--"+name+"="+value); err == nil || err.Error() != want {
			t.Errorf("with %s: %v, want %s", name, err, want)
		}
	}

	// What the Grid leaves open may be said; plain text is the Grid's word, too.
	open := mount(t, poddir.File{Port: 7700, AdminPort: 7701})
	c, err = load(open, "--max-message=2MiB", "--max-calls=8", "--max-memory=2GiB")
	if err != nil || c.MaxMessage != 2<<20 || c.MaxCalls != 8 || c.MaxMemory != 2<<30 || !c.InsecurePlainText || c.AdminTLS || c.TLSDir != "" || c.DrainTimeout != 30*time.Second {
		t.Errorf("%+v, %v", c, err)
	}
	if _, err := load(t.TempDir()); err == nil || !strings.Contains(err.Error(), "kubernetes-dir (flag --kubernetes-dir): ") || !strings.Contains(err.Error(), "mount the ConfigMap") {
		t.Errorf("with nothing mounted: %v", err)
	}
	file.MaxMemory = 1 << 20
	file.MaxMessage = 2 << 20
	if _, err := load(mount(t, file)); err == nil || !strings.Contains(err.Error(), "max-memory") {
		t.Errorf("with less memory than a message: %v", err)
	}
}

// A node of a Grid: its name and list from the mount, its admin port by TLS.
func TestNodeOfAGrid(t *testing.T) {
	ca := authority(t)
	s := newSigner(t)
	var ports []int
	for _, addr := range freePorts(t, 2) {
		_, text, _ := strings.Cut(addr, ":")
		port, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		ports = append(ports, port)
	}
	dir := mount(t, poddir.File{Port: ports[0], AdminPort: ports[1], TLS: true})
	name := "web-0.web.shop.svc:" + strconv.Itoa(ports[0])
	if err := ca.Write(filepath.Join(dir, "tls"), certs.Leaf{Name: name}); err != nil {
		t.Fatal(err)
	}
	keys, err := os.ReadFile(filepath.Join(s.dir, peers.KeysFile))
	if err != nil {
		t.Fatal(err)
	}
	s.dir, s.grid = filepath.Join(dir, "grid"), "shop/web"
	writeFile(t, filepath.Join(s.dir, peers.KeysFile), string(keys))
	s.publish(1, name)

	t.Setenv("POD_NAME", "web-0")
	start(t, "--kubernetes-dir="+dir)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.PEM)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "web-0.web.shop.svc"}}
	defer transport.CloseIdleConnections()
	var ack adminapi.Ack
	eventually(t, "the node to be ready", func() bool {
		request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "https://127.0.0.1:"+strconv.Itoa(ports[1])+adminapi.PathAck, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		response, err := transport.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		if err := json.NewDecoder(response.Body).Decode(&ack); err != nil {
			t.Fatal(err)
		}
		return ack.Ready
	})
	if ack.Name != name || ack.Grid != "shop/web" || ack.Epoch != 1 || !ack.Contains || ack.CertificateExpires == nil {
		t.Errorf("%+v", ack)
	}
}
