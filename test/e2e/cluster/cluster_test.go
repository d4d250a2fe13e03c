//go:build linux

package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestPKI: what is issued is believed by whom it is for, and by nobody else.
func TestPKI(t *testing.T) {
	p := place{Dir: t.TempDir()}
	if err := os.Mkdir(p.path("pki"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := writePKI(p); err != nil {
		t.Fatal(err)
	}
	pool := func(file string) *x509.CertPool {
		text, err := os.ReadFile(p.PKI(file))
		if err != nil {
			t.Fatal(err)
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(text)
		return pool
	}
	cluster, front := pool("ca.crt"), pool("front-proxy-ca.crt")
	for _, c := range []struct {
		file, host, user, group string
		roots, strangers        *x509.CertPool
	}{
		{"apiserver", nodeAddress, "kube-apiserver", "", cluster, front},
		{"apiserver", "kubernetes.default.svc", "kube-apiserver", "", cluster, front},
		{"kubelet-server", nodeAddress, nodeName, "", cluster, front},
		{"admin", "", "admin", "system:masters", cluster, front},
		{"kubelet", "", "system:node:" + nodeName, "system:nodes", cluster, front},
		{"front-proxy-client", "", "front-proxy-client", "", front, cluster},
	} {
		pair, err := tls.LoadX509KeyPair(p.PKI(c.file+".crt"), p.PKI(c.file+".key"))
		if err != nil {
			t.Fatal(err)
		}
		usage := x509.ExtKeyUsageClientAuth
		if c.host != "" {
			usage = x509.ExtKeyUsageServerAuth
		}
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: c.roots, DNSName: c.host, KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
			t.Errorf("%s for %q: %v", c.file, c.host, err)
		}
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: c.strangers, KeyUsages: []x509.ExtKeyUsage{usage}}); err == nil {
			t.Errorf("%s is believed by the other authority, too", c.file)
		}
		if name := pair.Leaf.Subject; name.CommonName != c.user || strings.Join(name.Organization, " ") != c.group {
			t.Errorf("%s is for %s, want user %q of group %q", c.file, name, c.user, c.group)
		}
	}
	if err := writePKI(place{Dir: p.path("none")}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("into a folder that is not there: got %v", err)
	}
}

// TestKillProcess: the process that was written down is killed, and no other
// that has its number.
func TestKillProcess(t *testing.T) {
	file := place{Dir: t.TempDir()}.pid()
	if err := killProcess(file); err != nil {
		t.Errorf("nothing written down: %v", err)
	}
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill() }()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()

	if err := os.WriteFile(file, fmt.Appendf(nil, "%d 12345\n", cmd.Process.Pid), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := killProcess(file); err != nil {
		t.Errorf("another process of that number: %v", err)
	}
	if _, err := startOf(cmd.Process.Pid); err != nil {
		t.Fatal("a process was killed that had only the number of the one written down")
	}

	if err := recordProcess(file, cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	if err := killProcess(file); err != nil {
		t.Error(err)
	}
	if err := <-ended; err == nil || err.Error() != "signal: killed" {
		t.Errorf("the process ended with %v", err)
	}
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file is left: %v", err)
	}
}

// TestConfigs: the components' files render.
func TestConfigs(t *testing.T) {
	p := place{Dir: t.TempDir()}
	if err := os.Mkdir(p.path("config"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := render(p, map[string]any{
		"Place": p, "Runc": "/runc", "ContainerdSocket": containerdSocket, "NodeName": nodeName, "PodRange": podRange, "DNSService": dnsService, "Plugins": "/cni",
	}); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		"containerd.toml": `BinaryName = "/runc"`,
		"coredns.yaml":    "clusterIP: " + dnsService,
		"e2e.conflist":    podRange,
		"kube-proxy.yaml": p.PKI("proxy.kubeconfig"),
		"kubelet.yaml":    containerdSocket,
	} {
		text, err := os.ReadFile(p.Config(file))
		if err != nil || !strings.Contains(string(text), want) || strings.Contains(string(text), "<no value>") {
			t.Errorf("%s lacks %q, or a value: %v\n%s", file, want, err, text)
		}
	}
}
