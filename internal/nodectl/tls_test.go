package nodectl

import (
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gridmesh/gridmesh/internal/certs"
	"github.com/gridmesh/gridmesh/internal/poddir"
	"github.com/gridmesh/gridmesh/pkg/grid/peers"
)

// podDir is what a pod has mounted, with a list of itself alone.
type podDir struct {
	dir   string
	file  poddir.File
	name  string
	key   ed25519.PrivateKey
	mesh  string
	admin string
}

func write(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func newPodDir(t *testing.T, ca *certs.Authority) *podDir {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	var ports [2]int
	for i, addr := range freePorts(t, 2) {
		if ports[i], err = strconv.Atoi(strings.TrimPrefix(addr, "127.0.0.1:")); err != nil {
			t.Fatal(err)
		}
	}
	p := &podDir{dir: t.TempDir(), key: private, mesh: peers.NewMeshID(), admin: fmt.Sprintf("127.0.0.1:%d", ports[1])}
	p.file = poddir.File{Version: 1, Grid: "shop/web", Namespace: "shop", Service: "web", Port: ports[0], AdminPort: ports[1], TLS: ca != nil}
	p.name = fmt.Sprintf("web-0.web.shop.svc:%d", ports[0])
	text, err := json.Marshal(p.file)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := peers.MarshalPublicKeys(public)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(p.dir, "grid", "grid.json"), text)
	write(t, filepath.Join(p.dir, "grid", peers.KeysFile), keys)
	write(t, filepath.Join(p.dir, "grid", peers.ListFile), p.list(t, 1, p.name))
	if ca != nil {
		if err := ca.Write(filepath.Join(p.dir, "tls"), certs.Leaf{Name: p.name}); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func (p *podDir) list(t *testing.T, epoch uint64, names ...string) []byte {
	t.Helper()
	raw, err := peers.Sign(peers.List{
		Names: names, Epoch: epoch, Grid: p.file.Grid, MeshID: p.mesh, Identity: peers.IdentityGrid, Topology: peers.TopologyFull,
	}, p.key)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// until runs a command until it ends well.
func until(t *testing.T, environ []string, args ...string) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for {
		got := run(t, environ, nil, args...)
		if got.status == exitDone {
			return
		}
		select {
		case <-deadline.C:
			t.Fatalf("%q ends with %d: %s", args, got.status, got.stderr)
		case <-ticker.C:
		}
	}
}

func TestAdminPortWithTLS(t *testing.T) {
	ca, err := certs.NewAuthority("shop/web")
	if err != nil {
		t.Fatal(err)
	}
	other, err := certs.NewAuthority("another")
	if err != nil {
		t.Fatal(err)
	}
	p := newPodDir(t, ca)
	startOne(t, "--kubernetes-dir="+p.dir)
	plain := newPodDir(t, nil)
	startOne(t, "--kubernetes-dir="+plain.dir)
	inPod := []string{podName, "GRID_KUBERNETES_DIR=" + p.dir}
	until(t, inPod, "status")
	until(t, []string{"GRID_ADMIN_ADDR=" + plain.admin}, "status")

	cas := t.TempDir()
	right, wrong, none := filepath.Join(cas, "right"), filepath.Join(cas, "wrong"), filepath.Join(cas, "none")
	write(t, right, ca.PEM)
	write(t, wrong, other.PEM)
	write(t, none, []byte("no certificate\n"))
	admin, name := regexp.QuoteMeta(p.admin), regexp.QuoteMeta(p.name)
	ready := want{exitDone, name + `, grid shop/web, ready, .*`, ``}
	for _, tt := range []struct {
		name    string
		environ []string
		args    []string
		want    want
	}{
		{"in the pod", inPod, []string{"status"}, ready},
		{"in the pod, by flag", []string{podName}, []string{"status", "--kubernetes-dir", p.dir}, ready},
		{"in the pod, with an address", inPod, []string{"status", "--admin=localhost:" + strconv.Itoa(p.file.AdminPort)}, ready},
		{"a call in the pod", inPod, []string{"call", p.name, "echo", "-d", "x"}, want{exitDone, `x`, ``}},
		{"a stream in the pod", inPod, []string{"stream", p.name, "digest"}, want{exitDone, `[0-9a-f]{64}\n`, ``}},
		{"in a pod without TLS", []string{podName, "GRID_KUBERNETES_DIR=" + plain.dir}, []string{"status"}, want{exitDone, regexp.QuoteMeta(plain.name) + `.*`, ``}},
		{"forwarded, with the authority", nil, []string{"status", "--admin=" + p.admin, "--admin-ca=" + right}, ready},
		{"forwarded, looking at nothing", nil, []string{"status", "--admin=" + p.admin, "--admin-insecure"}, ready},
		{"with another authority", nil, []string{"status", "--admin=" + p.admin, "--admin-ca=" + wrong}, want{
			exitNoAdmin, ``, `node status: the certificate of the admin port at ` + admin + ` is not believed: .*\nHint: give the authority .* --admin-ca, .*\n`,
		}},
		{"with no authority", nil, []string{"status", "--admin=" + p.admin, "--admin-ca=" + none}, want{exitUsage, ``, `node status: .*none: no certificate in it\n`}},
		{"with no file", nil, []string{"status", "--admin=" + p.admin, "--admin-ca=" + none + "s"}, want{exitUsage, ``, `node status: .*no such file or directory\n`}},
		{"in plain text", nil, []string{"status", "--admin=" + p.admin}, want{exitMaybe, ``, `node status: the connection to the node's admin port broke: .*\nHint: .*If the node has admin-tls, say --admin-ca\.\n`}},
		{"TLS where there is none", nil, []string{"status", "--admin=" + plain.admin, "--admin-ca=" + right}, want{
			exitNoAdmin, ``, `node status: the admin port at .* does not speak TLS\nHint: leave --admin-ca and --admin-insecure out, .*\n`,
		}},
		{"both", nil, []string{"status", "--admin-insecure", "--admin-ca=" + right}, want{exitUsage, ``, `node status: --admin-insecure looks at no certificate, .*leave one\n`}},
		{"looking at nothing far away", nil, []string{"status", "--admin=web-0:7701", "--admin-insecure"}, want{
			exitUsage, ``, `node status: --admin-insecure is for loopback only, .* web-0 may be anybody; .* --admin-ca\n`,
		}},
		{"nothing mounted", []string{podName}, []string{"status", "--kubernetes-dir=" + cas}, want{exitUsage, ``, `node status: .*mount the ConfigMap.*`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			run(t, tt.environ, strings.NewReader(""), tt.args...).check(t, tt.want)
		})
	}
}

// The name of the certificate counts wherever a name was asked for.
func TestNameOfTheCertificate(t *testing.T) {
	ca, err := certs.NewAuthority("shop/web")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ca")
	write(t, file, ca.PEM)
	for host, checked := range map[string]bool{"127.0.0.1": false, "::1": false, "localhost": false, "10.0.0.7": true, "web-0.web.shop.svc": true, "localhost.evil.example": true} {
		config, err := (&options{ca: file}).clientTLS(host)
		if err != nil {
			t.Fatal(err)
		}
		if config.InsecureSkipVerify == checked || config.ServerName != host || (config.VerifyConnection != nil) == checked || config.RootCAs == nil {
			t.Errorf("%s: %+v", host, config)
		}
	}
}

func TestSignedListIsSet(t *testing.T) {
	p := newPodDir(t, nil)
	startOne(t, "--kubernetes-dir="+p.dir)
	environ := []string{"GRID_ADMIN_ADDR=" + p.admin}
	until(t, environ, "status")
	run(t, environ, strings.NewReader(string(p.list(t, 2, p.name))), "peers", "set", "-").check(t, want{
		exitDone, `# peer list .*epoch 2.*\(admin\)\n` + regexp.QuoteMeta(p.name) + `\n`, ``,
	})
	run(t, environ, strings.NewReader(string(p.list(t, 1, p.name))), "peers", "set", "-").check(t, want{
		exitFailed, ``, `node peers: .*stale peer list: epoch 1, in use is 2\nHint: the last good list stays in use\.\n`,
	})
}
