package node

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gridmesh/gridmesh/internal/adminapi"
	"github.com/gridmesh/gridmesh/internal/target/targettest"
	"github.com/gridmesh/gridmesh/pkg/grid"
)

// canary is a text that is nowhere else.
func canary(t *testing.T) string {
	t.Helper()
	return "canary-" + rand.Text()
}

// spelled are the ways in which a secret might be written.
func spelled(secret string) []string {
	raw := []byte(secret)
	all := []string{
		secret, base64.StdEncoding.EncodeToString(raw), base64.RawURLEncoding.EncodeToString(raw), hex.EncodeToString(raw),
		strings.Trim(fmt.Sprintf("%d", raw), "[]"),
	}
	if block, _ := pem.Decode([]byte(secret)); block != nil { // a key: any line of it is too much
		for line := range strings.Lines(secret) {
			if line = strings.TrimSpace(line); len(line) > 20 && !strings.HasPrefix(line, "-----") {
				all = append(all, line)
			}
		}
		all = append(all, hex.EncodeToString(block.Bytes))
	}
	return all
}

// Tokens, keys and payloads are said nowhere, whatever goes wrong with them and
// however much is logged (fault row 85): neither in the log, nor in the audit, nor
// on the pages that everybody may read.
func TestSecretsAreNotSaid(t *testing.T) {
	gridToken, adminToken, wrongToken, shortToken, payload := canary(t), canary(t), canary(t), "shrt-cnry-xyz", canary(t)
	receiverToken, receiverKey := canary(t), canary(t)
	dir := t.TempDir()
	tokens, admins := filepath.Join(dir, "tokens"), filepath.Join(dir, "admins")
	writeFile(t, tokens, gridToken+"\n")
	writeFile(t, admins, adminToken+"\n")
	writeFile(t, filepath.Join(dir, "receiver"), receiverToken+"\n")
	hook := targettest.NewHook(t)
	hook.Answer(http.StatusForbidden)
	away := fmt.Sprintf("webhook: {url: '%s/?key=%s', headers: {X-Key: %s}, tokenFile: %s}, batch: {age: 1ms}", hook.URL, receiverKey, receiverKey, filepath.Join(dir, "receiver"))
	ca, names := authority(t), freePorts(t, 2)
	folders := []string{certificate(t, ca, names[0]), certificate(t, ca, names[1])}
	var nodes []*running
	for i, name := range names {
		nodes = append(nodes, start(t, "--name="+name, "--peers="+strings.Join(names, ","), "--admin-addr=127.0.0.1:0", "--log-level=debug",
			"--logging={targets: [{name: away, "+away+"}]}",
			fmt.Sprintf("--audit={outgoing: true, targets: [{name: here, file: {path: %s/audit-%d}}, {name: away, %s}]}", dir, i, away),
			"--tls-dir="+folders[i], "--token-file="+tokens, "--admin-token-file="+admins))
	}
	a, b := nodes[0], nodes[1]
	for id, fn := range map[grid.HandlerID]grid.SingleHandler{
		"panics": func(context.Context, []byte) ([]byte, error) { panic("a handler's own words") },
		"fails":  func(_ context.Context, req []byte) ([]byte, error) { return nil, errors.New("no: " + string(req)) },
	} {
		if err := b.m.RegisterSingle(id, fn); err != nil {
			t.Fatal(err)
		}
	}
	a.waitReady()
	b.waitReady()
	eventually(t, "the handlers to be known", func() bool {
		return a.m.Connection(names[1]).Supports("fails") && a.m.Connection(names[1]).Supports("panics")
	})
	var secrets []string
	for _, folder := range folders {
		key, err := os.ReadFile(filepath.Join(folder, "tls.key"))
		if err != nil {
			t.Fatal(err)
		}
		secrets = append(secrets, string(key))
	}
	secrets = append(secrets, gridToken, adminToken, wrongToken, shortToken, receiverToken, receiverKey)

	// What works, and what fails.
	for _, token := range []string{adminToken, wrongToken} {
		header := map[string]string{"Authorization": "Bearer " + token}
		for _, to := range []string{names[1], "node-x:1"} {
			for _, handler := range []string{"echo", "fails", "panics", "none", "digest"} {
				a.send(http.MethodPost, call(to, handler), header, payload)
			}
			a.send(http.MethodPost, adminapi.PathStream+"/"+to+"/digest?framing=raw&payload="+payload, header, payload)
			a.send(http.MethodPost, adminapi.PathStream+"/"+to+"/none?framing=lines&payload="+payload, header, payload)
			a.send(http.MethodPost, adminapi.PathBench+"/"+to, header, payload)
		}
	}
	// Who has a certificate and no token, and who has neither.
	for _, certs := range [][]tls.Certificate{nil, mustLoad(t, folders[0])} {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, Certificates: certs}}}
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+names[1]+"/grid/v1", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+gridToken)
		if response, err := client.Do(request); err == nil {
			_, _ = io.Copy(io.Discard, response.Body)
			_ = response.Body.Close()
		}
		client.CloseIdleConnections()
	}
	// Files that are refused.
	writeFile(t, tokens, shortToken+"\n")
	writeFile(t, admins, strings.Repeat(adminToken+"\n", maxTokens+1))
	writeFile(t, filepath.Join(folders[0], "tls.key"), secrets[1]) // the other's
	writeFile(t, filepath.Join(folders[1], "tls.key"), secrets[1][:len(secrets[1])/2])
	for _, n := range nodes {
		refused := n.metric("gridmesh_node_token_files_refused_total")
		n.hangUp()
		eventually(t, "the files to be refused", func() bool {
			return n.metric("gridmesh_node_token_files_refused_total") == refused+2 && n.metric("gridmesh_node_certificates_refused_total") > 0
		})
	}
	// Nodes that do not even start.
	good := certificate(t, ca, names[0])
	for _, args := range [][]string{
		{"--tls-dir=" + good, "--token-file=" + tokens},
		{"--tls-dir=" + good, "--admin-token-file=" + admins},
		{"--tls-dir=" + folders[0]},
		{"--tls-dir=" + folders[1]},
	} {
		config := loadArgs(t, append([]string{"--name=" + names[0], "--peers=" + strings.Join(names, ","), "--admin-addr=127.0.0.1:0"}, args...)...)
		log := &logBuffer{}
		if status := Run(t.Context(), config, nil, nil, log); status != 1 {
			t.Fatalf("%v: started", args)
		}
		nodes = append(nodes, &running{log: log})
	}

	var public strings.Builder
	for i, n := range nodes[:2] {
		for _, path := range []string{"/statusz?format=json", "/statusz?format=html", "/statusz/mesh", "/metrics", adminapi.PathAck, adminapi.PathPeers, "/readyz"} {
			public.WriteString(n.get(path).body)
		}
		n.signals <- os.Interrupt
		<-n.done
		records, err := os.ReadFile(fmt.Sprintf("%s/audit-%d", dir, i))
		if err != nil || len(records) == 0 {
			t.Errorf("nothing was audited: %v", err)
		}
		_, _ = n.log.Write(records)
	}
	for _, n := range nodes {
		if n.log.String() == "" {
			t.Error("nothing was logged")
		}
		for _, secret := range append(secrets, payload) {
			for _, text := range spelled(secret) {
				if at := strings.Index(n.log.String(), text); at >= 0 {
					t.Errorf("the log has a secret: %.300s", n.log.String()[max(0, at-100):])
				}
			}
		}
	}
	for _, secret := range append(secrets, payload) {
		for _, text := range spelled(secret) {
			if at := strings.Index(public.String(), text); at >= 0 {
				t.Errorf("a page for everybody has a secret: %.300s", public.String()[max(0, at-100):])
			}
		}
	}
}

func mustLoad(t *testing.T, folder string) []tls.Certificate {
	t.Helper()
	cert, err := tls.LoadX509KeyPair(filepath.Join(folder, "tls.crt"), filepath.Join(folder, "tls.key"))
	if err != nil {
		t.Fatal(err)
	}
	return []tls.Certificate{cert}
}
