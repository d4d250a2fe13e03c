package member

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/gridmesh/gridmesh/internal/certs"
	"github.com/gridmesh/gridmesh/internal/tlsreload"
)

func TestOwnCertificate(t *testing.T) {
	ca, err := certs.NewAuthority("test")
	if err != nil {
		t.Fatal(err)
	}
	const name = "127.0.0.1:7700"
	for _, tt := range []struct {
		test   string
		leaf   certs.Leaf
		strict bool
		want   string
	}{
		{"its URI and host", certs.Leaf{Grid: "default", Name: name}, false, ""},
		{"its URI", certs.Leaf{Grid: "default", Name: name, NoHost: true}, false, ""},
		{"its URI, strictly", certs.Leaf{Grid: "default", Name: name, NoHost: true}, true, ""},
		{"its host", certs.Leaf{Name: name}, false, ""},
		{"its host, strictly", certs.Leaf{Name: name}, true, "which tls-strict demands"},
		{"another's host", certs.Leaf{Name: "node-1:1"}, false, "neither for the host of this node's name"},
		{"another grid's URI", certs.Leaf{Grid: "other", Name: name, NoHost: true}, false, "nor for gridmesh://default/" + name},
	} {
		t.Run(tt.test, func(t *testing.T) {
			dir := t.TempDir()
			if err := ca.Write(dir, tt.leaf); err != nil {
				t.Fatal(err)
			}
			_, err := New(Config{Name: name, Grid: "default", Certificate: tlsreload.InDir(dir), Strict: tt.strict}, slog.New(slog.DiscardHandler))
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}
