package tlsfiles

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gridmesh/gridmesh/internal/certs"
)

func write(t *testing.T, name string, text []byte) {
	t.Helper()
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestConfig: what is in the files counts once it is looked at, and only if it
// works: else the old one stays, with an error that names the file. Never is a
// certificate left out.
func TestConfig(t *testing.T) {
	authority, err := certs.NewAuthority("a")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	o := Options{CA: filepath.Join(dir, "ca"), Cert: filepath.Join(dir, "crt"), Key: filepath.Join(dir, "key"), ServerName: "receiver"}
	issue := func() (issued certs.Issued) {
		t.Helper()
		if issued, err = authority.Issue(certs.Leaf{Name: "sender:1"}); err != nil {
			t.Fatal(err)
		}
		return issued
	}
	first, second := issue(), issue()
	write(t, o.CA, authority.PEM)
	write(t, o.Cert, first.Cert)
	if _, err := Open(o); err == nil || !strings.Contains(err.Error(), o.Key) {
		t.Errorf("without the key: %v", err)
	}
	write(t, o.Key, first.Key)
	f, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	config, changed, err := f.Config()
	if err != nil || changed || config.ServerName != "receiver" || config.RootCAs == nil || len(config.Certificates) != 1 {
		t.Fatalf("%+v, changed %v, %v", config, changed, err)
	}
	write(t, o.CA, nil)
	if _, changed, err := f.Config(); changed || err != nil {
		t.Errorf("it looks again at once: %v, %v", changed, err)
	}
	for _, step := range []struct {
		name, file string
		text       []byte
		want       string // in the error
		changed    bool
	}{
		{"the same", o.CA, authority.PEM, "", false},
		{"a certificate without its key", o.Cert, second.Cert, o.Cert, false},
		{"and its key", o.Key, second.Key, "", true},
		{"no authority", o.CA, []byte("nonsense"), "no authority in it", false},
		{"mended", o.CA, authority.PEM, "", false},
		{"too large", o.CA, bytes.Repeat(authority.PEM, maxFile/len(authority.PEM)+1), "larger than", false},
	} {
		write(t, step.file, step.text)
		f.LookAgain()
		now, changed, err := f.Config()
		if (step.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), step.want) {
			t.Errorf("%s: %v, want %q", step.name, err, step.want)
		}
		if changed != step.changed || (now != config) != step.changed || len(now.Certificates) != 1 {
			t.Errorf("%s: changed %v", step.name, changed)
		}
		config = now
	}
	if err := (Options{Cert: "x"}).Check(); err == nil {
		t.Error("a certificate without a key is taken")
	}
}

// TestSecret: a secret is one line, and an error holds nothing of it.
func TestSecret(t *testing.T) {
	name := filepath.Join(t.TempDir(), "token")
	for text, want := range map[string]string{" a-word \n": "", "": "nothing in it", "\n \n": "nothing in it", "two\nlines": "more than a line", strings.Repeat("a", maxSecret+1): "longer than"} {
		write(t, name, []byte(text))
		got, err := Secret{name}.Read()
		switch {
		case want == "" && (err != nil || got != "a-word"):
			t.Errorf("%q, %v", got, err)
		case want != "" && (err == nil || got != "" || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "lines")):
			t.Errorf("%.20q: %q, %v", text, got, err)
		}
	}
	if got, err := (Secret{}).Read(); got != "" || err != nil {
		t.Errorf("none: %q, %v", got, err)
	}
	if _, err := (Secret{name + ".gone"}).Read(); err == nil {
		t.Error("a secret that is gone is none")
	}
}
