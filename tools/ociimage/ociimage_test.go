package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// untar reads a tar: names with contents, in the order written.
func untar(t *testing.T, data []byte) (names []string, contents map[string][]byte, headers map[string]*tar.Header) {
	t.Helper()
	contents, headers = make(map[string][]byte), make(map[string]*tar.Header)
	r := tar.NewReader(bytes.NewReader(data))
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return names, contents, headers
		}
		if err != nil {
			t.Fatal(err)
		}
		if contents[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
		names, headers[h.Name] = append(names, h.Name), h
	}
}

// built runs the command and returns what it wrote.
func built(t *testing.T, args ...string) []byte {
	t.Helper()
	dir := t.TempDir()
	source, out := filepath.Join(dir, "program"), filepath.Join(dir, "image.tar")
	if err := os.WriteFile(source, []byte("\x7fELF"), 0o600); err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	args = append([]string{"-o", out}, args...)
	if status := run(append(args, source+":/opt/bin/program", source+":/etc/text:644"), &stderr); status != 0 {
		t.Fatalf("status %d: %s", status, stderr.String())
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(out + ".*"); left != nil {
		t.Errorf("left beside the image: %v", left)
	}
	return data
}

// TestImage follows the documents from the index to the files, as what loads
// the image does, checking each digest and size on the way.
func TestImage(t *testing.T) {
	t.Parallel()
	data := built(t, "-name", "gridmesh/node:v1", "-arch", "arm64", "-label", "a=b=c")
	_, blobs, _ := untar(t, data)
	follow := func(d descriptor, into any) []byte {
		t.Helper()
		blob := blobs[blobPath(d)]
		if sum := sha256.Sum256(blob); "sha256:"+hex.EncodeToString(sum[:]) != d.Digest || len(blob) != d.Size {
			t.Fatalf("blob of %+v has %d bytes and another digest", d, len(blob))
		}
		if into != nil {
			if err := json.Unmarshal(blob, into); err != nil {
				t.Fatal(err)
			}
		}
		return blob
	}
	var (
		top index
		man manifest
		cfg config
	)
	if err := json.Unmarshal(blobs["index.json"], &top); err != nil || len(top.Manifests) != 1 {
		t.Fatalf("index %s: %v", blobs["index.json"], err)
	}
	if name := top.Manifests[0].Annotations["io.containerd.image.name"]; name != "docker.io/gridmesh/node:v1" {
		t.Errorf("containerd would name it %q", name)
	}
	follow(top.Manifests[0], &man)
	follow(man.Config, &cfg)
	if cfg.Architecture != "arm64" || cfg.OS != "linux" || cfg.Config.User != "65532:65532" ||
		len(cfg.Config.Entrypoint) != 1 || cfg.Config.Entrypoint[0] != "/opt/bin/program" || cfg.Config.Labels["a"] != "b=c" {
		t.Errorf("configuration is %+v", cfg)
	}
	if len(man.Layers) != 1 || len(cfg.RootFS.DiffIDs) != 1 || cfg.RootFS.DiffIDs[0] != man.Layers[0].Digest {
		t.Fatalf("layers %+v, of the configuration %+v", man.Layers, cfg.RootFS)
	}
	names, contents, headers := untar(t, follow(man.Layers[0], nil))
	if got, want := strings.Join(names, " "), "etc/ etc/passwd etc/group opt/ opt/bin/ opt/bin/program etc/text"; got != want {
		t.Errorf("the layer has %q, want %q", got, want)
	}
	if string(contents["opt/bin/program"]) != "\x7fELF" || headers["opt/bin/program"].Mode != 0o755 || headers["etc/text"].Mode != 0o644 {
		t.Errorf("program %q with mode %o, text with %o", contents["opt/bin/program"], headers["opt/bin/program"].Mode, headers["etc/text"].Mode)
	}
	for name, h := range headers {
		if h.Uid != 0 || h.Gid != 0 || h.ModTime.Unix() != 0 {
			t.Errorf("%s is of %d:%d and %v, want root's and no time", name, h.Uid, h.Gid, h.ModTime)
		}
	}
	if !bytes.Equal(data, built(t, "-name", "gridmesh/node:v1", "-arch", "arm64", "-label", "a=b=c")) {
		t.Error("the same input gave another image")
	}
}

func TestFullName(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"node:v1":                    "docker.io/library/node:v1",
		"gridmesh/node:v1":           "docker.io/gridmesh/node:v1",
		"localhost/node:v1":          "localhost/node:v1",
		"example.com/a/node:v1":      "example.com/a/node:v1",
		"registry:5000/a/b/node:v1":  "registry:5000/a/b/node:v1",
		"gridmesh/deep/er/node:v1.2": "docker.io/gridmesh/deep/er/node:v1.2",
	} {
		if got := fullName(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	out := filepath.Join(dir, "image.tar")
	source := filepath.Join(dir, "program")
	if err := os.WriteFile(source, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args   []string
		status int
		want   string
	}{
		{[]string{"-o", out, "-name", "a:b"}, 2, "usage:"},
		{[]string{"-o", out, "-name", "a", source + ":/a"}, 2, "usage:"},
		{[]string{"-name", "a:b", source + ":/a"}, 2, "usage:"},
		{[]string{"-o", out, "-name", "a:b", "-label", "x", source + ":/a"}, 2, "KEY=VALUE"},
		{[]string{"-o", out, "-name", "a:b", source}, 1, "SOURCE:PATH"},
		{[]string{"-o", out, "-name", "a:b", source + ":a"}, 1, "absolute PATH"},
		{[]string{"-o", out, "-name", "a:b", source + ":/a/../b"}, 1, "clean"},
		{[]string{"-o", out, "-name", "a:b", source + ":/a:999"}, 1, "octal"},
		{[]string{"-o", out, "-name", "a:b", source + ":/a", source + ":/a"}, 1, "given twice"},
		{[]string{"-o", out, "-name", "a:b", source + "none:/a"}, 1, "no such file"},
	} {
		var stderr strings.Builder
		if status := run(c.args, &stderr); status != c.status || !strings.Contains(stderr.String(), c.want) {
			t.Errorf("%q: status %d and %q, want %d and %q", c.args, status, stderr.String(), c.status, c.want)
		}
	}
	if left, _ := filepath.Glob(out + "*"); left != nil {
		t.Errorf("what failed has left %v", left)
	}
}
