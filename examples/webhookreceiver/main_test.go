package main

import (
	"bytes"
	"compress/gzip"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestMain makes this binary the program itself where the environment says so.
func TestMain(m *testing.M) {
	if os.Getenv("WEBHOOKRECEIVER") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// certificate writes one that is its own authority, for both ends.
func certificate(t *testing.T, dir string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	of := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, of, of, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	text, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	chain, secret := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: text})
	for name, text := range map[string][]byte{"tls.crt": chain, "ca.crt": chain, "tls.key": secret, "token": []byte("secret\n")} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pair, err := tls.X509KeyPair(chain, secret)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(chain)
	return pair, roots
}

// start runs the program; it gives what kills it.
func start(t *testing.T, address, certs, dir string) (kill func()) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-listen", address, "-dir", dir, "-client-ca", certs+"/ca.crt", "-cert", certs+"/tls.crt", "-key", certs+"/tls.key", "-token-file", certs+"/token")
	cmd.Env = append(os.Environ(), "WEBHOOKRECEIVER=1")
	cmd.Stderr = t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill = func() {
		_ = cmd.Process.Kill() // SIGKILL, as a machine that dies
		_ = cmd.Wait()
	}
	t.Cleanup(kill)
	return kill
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// post sends a batch until somebody answers.
func post(t *testing.T, client *http.Client, address, key, token, batch string, packed bool) int {
	t.Helper()
	body := []byte(batch)
	if packed {
		var b bytes.Buffer
		zip := gzip.NewWriter(&b)
		_, _ = zip.Write(body) // to memory
		_ = zip.Close()
		body = b.Bytes()
	}
	for {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+address, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Idempotency-Key", `"`+key+`"`)
		request.Header.Set("Authorization", "Bearer "+token)
		if packed {
			request.Header.Set("Content-Encoding", "gzip")
		}
		response, err := client.Do(request)
		if err != nil {
			if t.Context().Err() != nil || !strings.Contains(err.Error(), "refused") {
				t.Fatal(err)
			}
			continue // not up yet
		}
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
		return response.StatusCode
	}
}

// TestReceives runs the program, kills it, damages its file as a death in the
// middle of a write does, and runs it again: each entry is there once.
func TestReceives(t *testing.T) {
	certs, dir, address := t.TempDir(), t.TempDir(), freeAddress(t)
	pair, roots := certificate(t, certs)
	transport := &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots, Certificates: []tls.Certificate{pair}}}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	file := filepath.Join(dir, "node-0:7700%2Faudit.ndjson")
	holds := func(want string) {
		t.Helper()
		if text, err := os.ReadFile(file); err != nil || string(text) != want {
			t.Fatalf("the file holds %q, %v, want %q", text, err, want)
		}
	}
	entry := func(n string) string { return `{"id":"0192f3a4b5c6-000000000000000` + n + `","event":"call"}` + "\n" }
	const key = "node-0:7700/audit/0192f3a4b5c6-"

	kill := start(t, address, certs, dir)
	if code := post(t, client, address, key+"1-2", "wrong", entry("1")+entry("2"), false); code != http.StatusUnauthorized {
		t.Errorf("a wrong token: %d", code)
	}
	stranger := &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots}}
	defer stranger.CloseIdleConnections()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+address, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if response, err := stranger.RoundTrip(request); err == nil {
		_ = response.Body.Close()
		t.Errorf("without a certificate: %s", response.Status)
	}
	for _, packed := range []bool{false, true} { // twice, the second time with gzip
		if code := post(t, client, address, key+"1-2", "secret", entry("1")+entry("2"), packed); code != http.StatusOK {
			t.Errorf("gzip %v: %d", packed, code)
		}
		holds(entry("1") + entry("2"))
	}
	kill()
	torn, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := torn.WriteString(strings.Repeat(entry("3")[:20], 50)); err != nil {
		t.Fatal(err)
	}
	if err := torn.Close(); err != nil {
		t.Fatal(err)
	}
	start(t, address, certs, dir)
	if code := post(t, client, address, key+"2-3", "secret", entry("2")+entry("3"), true); code != http.StatusOK {
		t.Errorf("after a restart: %d", code)
	}
	holds(entry("1") + entry("2") + entry("3"))
	if code := post(t, client, address, key+"4-4", "secret", strings.Repeat("x", 17<<20), true); code != http.StatusServiceUnavailable {
		t.Errorf("a bomb: %d", code)
	}
	holds(entry("1") + entry("2") + entry("3"))
	if code := post(t, client, address, "node-1:7700/audit/0192f3a4b5c6-1-1", "secret", entry("1"), false); code != http.StatusOK {
		t.Errorf("another sender: %d", code)
	}
	holds(entry("1") + entry("2") + entry("3"))
}

// TestErrorsAreSaid: nobody may send as long as no authority says who.
func TestErrorsAreSaid(t *testing.T) {
	dir := t.TempDir()
	certificate(t, dir)
	for _, wrong := range [][3]string{{dir, "none", os.DevNull}, {dir, dir + "/tls.key", os.DevNull}, {dir, dir + "/ca.crt", "none"}, {"none", dir + "/ca.crt", os.DevNull}} {
		if err := run("127.0.0.1:0", wrong[0], dir+"/tls.crt", dir+"/tls.key", wrong[1], wrong[2]); err == nil || !strings.Contains(err.Error(), "have to be there") {
			t.Errorf("%v: %v", wrong, err)
		}
	}
}
