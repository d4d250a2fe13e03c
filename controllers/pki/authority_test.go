package pki

import (
	"crypto/tls"
	"crypto/x509"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	testGrid = "ns/demo"
	testHost = "*.demo.ns.svc"
)

// epoch is when every test begins. Certificates count whole seconds, clocks do
// not: the fraction is there to catch who forgets it.
var epoch = time.Date(2026, 3, 1, 12, 0, 0, 987654321, time.UTC)

func newAuthority(t *testing.T, now time.Time) *Authority {
	t.Helper()
	a, err := NewAuthority(testGrid, now)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func issue(t *testing.T, a *Authority, now time.Time) (Pair, *x509.Certificate) {
	t.Helper()
	pair, err := a.Issue(testHost, now)
	if err != nil {
		t.Fatal(err)
	}
	certs, err := ParseCerts(pair.Cert)
	if err != nil {
		t.Fatal(err)
	}
	return pair, certs[0]
}

func TestALeafIsGoodForEveryPodAndBothWays(t *testing.T) {
	a := newAuthority(t, epoch)
	pair, leaf := issue(t, a, epoch)
	if _, err := tls.X509KeyPair(pair.Cert, pair.Key); err != nil {
		t.Error(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(a.Cert)
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		if _, err := leaf.Verify(x509.VerifyOptions{
			Roots: roots, DNSName: "demo-12.demo.ns.svc", CurrentTime: epoch, KeyUsages: []x509.ExtKeyUsage{usage},
		}); err != nil {
			t.Error(err)
		}
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: "demo-12.other.ns.svc", CurrentTime: epoch}); err == nil {
		t.Error("a leaf of one Service is good for another")
	}
	if got := leaf.NotAfter.Sub(epoch); got > LeafLife || got < LeafLife-spread-time.Second {
		t.Errorf("life %v, want %v", got, LeafLife)
	}
	if _, second := issue(t, a, epoch); second.NotAfter.Equal(leaf.NotAfter) {
		t.Error("two leaves end at the same time")
	}
}

func TestALeafNeverOutlivesItsAuthority(t *testing.T) {
	a := newAuthority(t, epoch)
	_, leaf := issue(t, a, a.Cert.NotAfter.Add(-time.Hour))
	if !leaf.NotAfter.Equal(a.Cert.NotAfter) {
		t.Errorf("leaf until %v, authority until %v", leaf.NotAfter, a.Cert.NotAfter)
	}
}

func TestAuthoritySurvivesBeingKept(t *testing.T) {
	a := newAuthority(t, epoch)
	pair, err := a.PEM()
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseAuthority(pair)
	if err != nil || !got.Cert.Equal(a.Cert) {
		t.Fatalf("ParseAuthority = %v, %v", got, err)
	}
	if _, leaf := issue(t, got, epoch); leaf.CheckSignatureFrom(a.Cert) != nil {
		t.Error("what it issues is not of the authority")
	}
}

func TestParseAuthorityRefuses(t *testing.T) {
	a, other := newAuthority(t, epoch), newAuthority(t, epoch)
	good, _ := a.PEM()
	foreign, _ := other.PEM()
	leaf, _ := issue(t, a, epoch)
	for name, c := range map[string]struct {
		pair Pair
		want string
	}{
		"another's key":    {Pair{good.Cert, foreign.Key}, "not that of its certificate"},
		"a leaf":           {leaf, "not the certificate of one authority"},
		"two":              {Pair{append(slices.Clip(good.Cert), foreign.Cert...), good.Key}, "not the certificate of one"},
		"a key alone":      {Pair{nil, good.Key}, "no certificate"},
		"key for cert":     {Pair{good.Key, good.Key}, `a "PRIVATE KEY" among`},
		"no PEM":           {Pair{[]byte("x"), good.Key}, "no certificate"},
		"no PEM for a key": {Pair{good.Cert, []byte("x")}, "no key"},
		"broken key":       {Pair{good.Cert, encode("PRIVATE KEY", []byte("x"))}, "key: "},
		"broken cert":      {Pair{encode("CERTIFICATE", []byte("x")), good.Key}, "certificate 1"},
	} {
		got, err := ParseAuthority(c.pair)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, %v, want an error with %q", name, got, err, c.want)
		}
	}
	if got, err := ParseAuthority(Pair{}); got != nil || err != nil {
		t.Errorf("nothing: %v, %v", got, err)
	}
	if got, err := ParseAuthority(Pair{Cert: good.Cert}); err != nil || got.Key != nil {
		t.Errorf("without key: %v, %v", got, err)
	} else if _, err := got.Issue(testHost, epoch); err == nil {
		t.Error("an authority without key issues")
	}
}
