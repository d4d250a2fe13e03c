package grid

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// authority issues certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

var serial atomic.Int64

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(serial.Add(1)), Subject: pkix.Name{CommonName: fmt.Sprint("CA ", serial.Load())}, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Unix(0, 0), NotAfter: time.Now().Add(1000 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert, key}
}

func (a *authority) pool(others ...*authority) *x509.CertPool {
	p := x509.NewCertPool()
	for _, o := range append(others, a) {
		p.AddCert(o.cert)
	}
	return p
}

// issue makes a certificate for names, of which those with :// are URIs.
func (a *authority) issue(t testing.TB, change func(*x509.Certificate), names ...string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(serial.Add(1)), Subject: pkix.Name{CommonName: "a node"}, KeyUsage: x509.KeyUsageDigitalSignature,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			tmpl.IPAddresses = append(tmpl.IPAddresses, ip)
		} else if strings.Contains(name, "://") {
			u, err := url.Parse(name)
			if err != nil {
				t.Fatal(err)
			}
			tmpl.URIs = append(tmpl.URIs, u)
		} else {
			tmpl.DNSNames = append(tmpl.DNSNames, name)
		}
	}
	if change != nil {
		change(tmpl)
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// secured gives node options of TLS.
func secured(t *TLS) func(*Options) {
	return func(o *Options) { o.TLS, o.InsecurePlainText = t, false }
}

func newTCP() *network {
	n := newNetwork()
	n.tcp = map[string]string{}
	return n
}

// eventually waits for a condition that other goroutines bring about over real sockets.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	late := time.After(time.Minute)
	for !ok() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("it did not come about that %s", what)
		}
	}
}

const (
	dialerName, dialerHost     = "node-0.mesh.test:7000", "node-0.mesh.test"
	acceptorName, acceptorHost = "node-1.mesh.test:7000", "node-1.mesh.test"
)

// Who has the right certificate is linked (fault row 54).
func TestCertificatesThatAreAccepted(t *testing.T) {
	ca := newAuthority(t)
	for name, c := range map[string]struct {
		dialer, acceptor []string
		strict           bool
		identity         string // that the acceptor sees
		grid             string
		more             []string // in the list
	}{
		"hosts":         {dialer: []string{dialerHost}, acceptor: []string{acceptorHost}, identity: dialerHost},
		"one wildcard":  {dialer: []string{"*.mesh.test"}, acceptor: []string{"*.mesh.test"}, identity: dialerHost},
		"URIs":          {dialer: []string{"gridmesh://default/" + dialerName}, acceptor: []string{"gridmesh://default/" + acceptorName}, identity: "gridmesh://default/" + dialerName},
		"strict":        {strict: true, dialer: []string{"gridmesh://default/" + dialerName}, acceptor: []string{"gridmesh://default/" + acceptorName}, identity: "gridmesh://default/" + dialerName},
		"URI and host":  {dialer: []string{"gridmesh://default/" + dialerName, dialerHost}, acceptor: []string{acceptorHost}, identity: "gridmesh://default/" + dialerName},
		"grid of two":   {grid: "ns/demo", strict: true, dialer: []string{"gridmesh://ns/demo/" + dialerName}, acceptor: []string{"gridmesh://ns/demo/" + acceptorName}, identity: "gridmesh://ns/demo/" + dialerName},
		"shared, URIs":  {more: []string{"node-0.mesh.test:7001"}, dialer: []string{"gridmesh://default/" + dialerName}, acceptor: []string{acceptorHost}, identity: "gridmesh://default/" + dialerName},
		"one of others": {dialer: []string{"gridmesh://other/" + dialerName, dialerHost}, acceptor: []string{"gridmesh://default/x:1", acceptorHost}, identity: dialerHost},
	} {
		t.Run(name, func(t *testing.T) {
			n := newTCP()
			list := append([]string{dialerName, acceptorName}, c.more...)
			with := func(names []string) func(*Options) {
				cfg := StaticTLS(ca.issue(t, nil, names...), ca.pool())
				cfg.Strict = c.strict
				return func(o *Options) { secured(cfg)(o); o.Grid = c.grid }
			}
			b := n.start(t, acceptorName, list, with(c.acceptor))
			seen := make(chan Info, 1)
			if err := b.RegisterSingle("who", func(ctx context.Context, _ []byte) ([]byte, error) { seen <- CallInfo(ctx); return nil, nil }); err != nil {
				t.Fatal(err)
			}
			a := n.start(t, dialerName, list, with(c.dialer))
			mustLink(t, a, b)
			if _, err := a.Connection(acceptorName).Request(t.Context(), "who", nil); err != nil {
				t.Fatal(err)
			}
			if info := <-seen; info.Identity != c.identity || info.Peer != dialerName || info.Instance != a.instance {
				t.Errorf("seen is %+v", info)
			}
			s := a.Connection(acceptorName).peer.stats()
			if until := time.Until(s.CertExpiry); until < 50*time.Minute || until > time.Hour {
				t.Errorf("the certificate's expiry is %v", s.CertExpiry)
			}
		})
	}
}

// Who has not is refused by the node that sees it, and both log why (fault
// rows 51, 54, 55; field case 10).
func TestCertificatesThatAreRefused(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	good := map[bool]tls.Certificate{true: ca.issue(t, nil, dialerHost), false: ca.issue(t, nil, acceptorHost)}
	host := map[bool]string{true: dialerHost, false: acceptorHost}
	uri := map[bool]string{true: "gridmesh://default/" + dialerName, false: "gridmesh://default/" + acceptorName}
	for name, c := range map[string]struct {
		cert   func(dialer bool) tls.Certificate
		strict bool
		shared bool // two names of the list are on its host
		words  string
	}{
		"expired": {words: "expired", cert: func(d bool) tls.Certificate {
			return ca.issue(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }, host[d])
		}},
		"not valid yet": {words: "expired", cert: func(d bool) tls.Certificate {
			return ca.issue(t, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }, host[d])
		}},
		"another authority": {words: "unknown", cert: func(d bool) tls.Certificate { return other.issue(t, nil, host[d]) }},
		"another host":      {words: "for another name", cert: func(bool) tls.Certificate { return ca.issue(t, nil, "node-2.mesh.test") }},
		"the peer's own":    {words: "for another name", cert: func(d bool) tls.Certificate { return good[!d] }},
		"another port's URI": {words: "for another name", cert: func(d bool) tls.Certificate {
			return ca.issue(t, nil, strings.Replace(uri[d], ":7000", ":7001", 1))
		}},
		"another grid's URI": {words: "for another name", cert: func(d bool) tls.Certificate {
			return ca.issue(t, nil, strings.Replace(uri[d], "default", "other", 1))
		}},
		"only a common name": {words: "for another name", cert: func(d bool) tls.Certificate {
			return ca.issue(t, func(c *x509.Certificate) { c.Subject.CommonName = host[d] })
		}},
		"wildcard, strict":    {strict: true, words: "does not carry the URI", cert: func(bool) tls.Certificate { return ca.issue(t, nil, "*.mesh.test") }},
		"host, shared by two": {shared: true, words: "does not carry the URI", cert: func(d bool) tls.Certificate { return good[d] }},
		"the wrong usage": {words: "certificate", cert: func(d bool) tls.Certificate {
			return ca.issue(t, func(c *x509.Certificate) {
				c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
				if !d {
					c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
				}
			}, host[d])
		}},
	} {
		for _, dialer := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, dialer %v", name, dialer), func(t *testing.T) {
				n := newTCP()
				list := []string{dialerName, acceptorName}
				if c.shared {
					list = append(list, host[dialer]+":9")
				}
				with := func(d bool) func(*Options) {
					cert := good[d]
					if c.strict {
						cert = ca.issue(t, nil, uri[d])
					}
					if d == dialer {
						cert = c.cert(d)
					}
					cfg := StaticTLS(cert, ca.pool())
					cfg.Strict = c.strict
					return secured(cfg)
				}
				b := n.start(t, acceptorName, list, with(false))
				a := n.start(t, dialerName, list, with(true))
				refusing, refused := b, a
				if !dialer {
					refusing, refused = a, b
				}
				for nd, ours := range map[*node]bool{refusing: true, refused: false} {
					eventually(t, fmt.Sprintf("%s notes it, ours: %v", nd.Local(), ours), func() bool {
						for _, r := range nd.Refusals() {
							if r.Code == refusedCert && r.Ours == ours {
								if ours && !strings.Contains(r.Message, c.words) {
									t.Errorf("%s says %q, and nothing of %q", nd.Local(), r.Message, c.words)
								}
								return true
							}
						}
						return false
					})
				}
				if a.Connection(acceptorName).State() == StateLinked || b.Connection(dialerName).State() == StateLinked {
					t.Error("they are linked")
				}
				for _, nd := range []*node{a, b} { // a refusal is counted before it is logged
					eventually(t, nd.Local()+" logs it", func() bool { return len(nd.logs.with("WARN", "code=certificate")) > 0 })
				}
				a.stop()
				b.stop()
				if lines := refusing.logs.with("WARN", "code=certificate"); len(lines) != 1 {
					t.Errorf("the one who refuses logs %q", lines)
				}
				if lines := refused.logs.with("WARN", "code=certificate"); len(lines) != 1 {
					t.Errorf("the one who is refused logs %q", lines)
				}
			})
		}
	}
}

// A server of the user's own that asks for no certificate does not weaken
// what the handler demands.
func TestHandlerVerifiesWhatAForeignServerDidNot(t *testing.T) {
	ca := newAuthority(t)
	other := newAuthority(t)
	for name, cert := range map[string]*tls.Certificate{"none": nil, "another authority's": new(other.issue(t, nil, dialerHost))} {
		t.Run(name, func(t *testing.T) {
			n := newTCP()
			b := n.start(t, acceptorName, []string{dialerName}, secured(StaticTLS(ca.issue(t, nil, acceptorHost), ca.pool())))
			mine := ca.issue(t, nil, acceptorHost)
			l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{mine}, ClientAuth: tls.RequestClientCert})
			if err != nil {
				t.Fatal(err)
			}
			hs := b.NewServer()
			hs.TLSConfig = nil
			go func() { _ = hs.Serve(l) }()
			defer func() { _ = hs.Close() }()
			cfg := &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: ca.pool(), ServerName: acceptorHost}
			if cert != nil {
				cfg.Certificates = []tls.Certificate{*cert}
			}
			c, err := tls.Dial("tcp", l.Addr().String(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Close() }()
			s := &stranger{t: t, ws: upgradeOver(t, c, dialerName, acceptorName)}
			s.hello(helloOf(dialerName, acceptorName))
			if _, ref := s.answer(); ref == nil || ref.Code != refusedCert {
				t.Errorf("answered %+v", ref)
			}
		})
	}
}

// No session is ever resumed: a trust that was changed holds at once (fault
// row 55; CVE-2025-68121).
func TestSessionsAreNotResumed(t *testing.T) {
	ca, next := newAuthority(t), newAuthority(t)
	var roots atomic.Pointer[x509.CertPool]
	roots.Store(ca.pool())
	cfg := StaticTLS(ca.issue(t, nil, acceptorHost), nil)
	cfg.Roots = func() (*x509.CertPool, error) { return roots.Load(), nil }
	n := newTCP()
	n.start(t, acceptorName, []string{dialerName}, secured(cfg))
	cache := tls.NewLRUClientSessionCache(8)
	dial := func() (bool, error) {
		c, err := tls.Dial("tcp", n.tcp[acceptorName], &tls.Config{
			MinVersion: tls.VersionTLS13, RootCAs: ca.pool(), ServerName: acceptorHost,
			Certificates: []tls.Certificate{ca.issue(t, nil, dialerHost)}, ClientSessionCache: cache,
		})
		if err != nil {
			return false, err
		}
		defer func() { _ = c.Close() }()
		if _, err = c.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n")); err == nil {
			_, err = c.Read(make([]byte, 100)) // tickets and alerts come with the first read
		}
		return c.ConnectionState().DidResume, err
	}
	for range 3 {
		if resumed, err := dial(); resumed || err != nil {
			t.Fatalf("resumed %v, %v", resumed, err)
		}
	}
	roots.Store(next.pool())
	if _, err := dial(); err == nil {
		t.Error("the old authority is still trusted")
	}
}
