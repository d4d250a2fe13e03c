package targettest

import (
	"os"
	"testing"

	"github.com/gridmesh/gridmesh/internal/certs"
)

// Authority makes an authority of this name.
func Authority(t *testing.T, name string) *certs.Authority {
	t.Helper()
	a, err := certs.NewAuthority(name)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// Issue makes a certificate for a node of this name, in the grid "g".
func Issue(t *testing.T, a *certs.Authority, name string) certs.Issued {
	t.Helper()
	i, err := a.Issue(certs.Leaf{Grid: "g", Name: name})
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// Write writes a file.
func Write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
