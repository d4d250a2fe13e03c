package pki

import (
	"bytes"
	"crypto/x509"
	"testing"
	"time"
)

// mesh is a Grid as the operator sees it, with nodes that take new Secrets
// when the test lets them.
type mesh struct {
	t     *testing.T
	state State
	leaf  *x509.Certificate
	trust []*x509.Certificate
	seen  Seen
	nodes []node
}

// node is what one node has read: always a leaf and a bundle that stood in the
// Secret together.
type node struct {
	leaf  *x509.Certificate
	trust []*x509.Certificate
}

func newMesh(t *testing.T, nodes int) *mesh {
	m := &mesh{t: t, seen: Seen{Grid: testGrid, Now: epoch}, nodes: make([]node, nodes)}
	m.reconcile()
	for i := range m.nodes {
		m.read(i)
	}
	return m
}

// reconcile does what the controller does, until nothing changes any more.
func (m *mesh) reconcile() (steps int) {
	m.t.Helper()
	for range 10 {
		m.seen.Leaf, m.seen.Trusted, m.seen.Everywhere = m.leaf, m.trust, true
		for _, n := range m.nodes {
			m.seen.Everywhere = m.seen.Everywhere && n.leaf != nil && m.leaf != nil && n.leaf.Equal(m.leaf)
		}
		next, changed, err := m.state.Step(m.seen)
		if err != nil {
			m.t.Fatal(err)
		}
		m.state = next
		if m.state.NeedsLeaf(testHost, m.seen) != "" {
			pair, err := m.state.Current.Issue(testHost, m.seen.Now)
			if err != nil {
				m.t.Fatal(err)
			}
			certs, _ := ParseCerts(pair.Cert)
			m.leaf, changed, m.seen.Renewed = certs[0], true, m.seen.Renew
		}
		if m.trust, err = ParseCerts(m.state.Bundle()); err != nil {
			m.t.Fatal(err)
		}
		if !changed {
			if wake := m.state.Wake(m.leaf); !wake.After(m.seen.Now) {
				m.t.Errorf("stage %s at %v: nothing is to be done, and yet it asks to be woken at %v", m.state.Stage, m.seen.Now, wake)
			}
			return steps
		}
		steps++
		if len(m.nodes) > 0 {
			m.mustTrustEachOther()
		}
	}
	m.t.Fatal("it never settles")
	return 0
}

func (m *mesh) read(i int) { m.nodes[i] = node{m.leaf, m.trust} }

// mustTrustEachOther: whoever has read whatever, every link can be made. A node
// that starts now has what the Secret holds.
func (m *mesh) mustTrustEachOther() {
	m.t.Helper()
	all := append([]node{{m.leaf, m.trust}}, m.nodes...)
	for i, from := range all {
		for j, to := range all {
			if from.leaf == nil || to.leaf == nil {
				continue
			}
			if !trusts(to, from, m.seen.Now) {
				m.t.Errorf("%s at %v: node %d refuses node %d", m.state.Stage, m.seen.Now, j-1, i-1)
			}
		}
	}
}

func trusts(to, from node, now time.Time) bool {
	roots := x509.NewCertPool()
	for _, c := range to.trust {
		roots.AddCert(c)
	}
	_, err := from.leaf.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	return err == nil
}

func (m *mesh) wantStage(want Stage) {
	m.t.Helper()
	if m.state.Stage != want {
		m.t.Fatalf("stage %s, want %s", m.state.Stage, want)
	}
}

func TestAFreshGridGetsAnAuthorityAndACertificate(t *testing.T) {
	m := newMesh(t, 3)
	m.wantStage(Steady)
	m.mustTrustEachOther()
	if m.state.NeedsLeaf(testHost, m.seen) != "" || len(m.trust) != 1 {
		t.Errorf("needs a leaf: %s, trusts %d", m.state.NeedsLeaf(testHost, m.seen), len(m.trust))
	}
	if got := m.reconcile(); got != 0 {
		t.Errorf("%d changes for nothing", got)
	}
}

func TestALeafIsRenewedAtAThirdOfItsLife(t *testing.T) {
	m := newMesh(t, 1)
	first := m.leaf
	m.seen.Now = epoch.Add(LeafLife*2/3 - 2*time.Hour)
	m.reconcile()
	if !m.leaf.Equal(first) {
		t.Error("renewed too early")
	}
	wake := m.state.Wake(m.leaf)
	if wake.Before(m.seen.Now) || wake.After(epoch.Add(LeafLife*2/3)) {
		t.Errorf("wakes at %v", wake)
	}
	m.seen.Now = wake
	m.reconcile()
	if m.leaf.Equal(first) || len(m.trust) != 1 {
		t.Error("not renewed at the time of waking")
	}
	m.mustTrustEachOther() // the node still has the first
}

func TestALeafIsRenewedOnceForEachWish(t *testing.T) {
	m := newMesh(t, 1)
	first := m.leaf
	m.seen.Renew = "please"
	if steps := m.reconcile(); steps != 1 || m.leaf.Equal(first) {
		t.Errorf("%d changes", steps)
	}
	if steps := m.reconcile(); steps != 0 {
		t.Errorf("%d further changes", steps)
	}
}

func TestAuthorityIsRotatedNodeByNode(t *testing.T) {
	m := newMesh(t, 3)
	first := m.state.Current.Cert
	m.seen.Rotate = "now"
	m.reconcile()
	m.wantStage(Announcing)
	for i := range m.nodes {
		m.seen.Now = m.seen.Now.Add(10 * time.Second)
		m.reconcile()
		m.wantStage(Announcing)
		m.read(i)
		m.mustTrustEachOther()
	}
	m.reconcile()
	m.wantStage(Retiring)
	for i := range m.nodes {
		m.seen.Now = m.seen.Now.Add(10 * time.Second)
		m.reconcile()
		m.wantStage(Retiring)
		m.read(i)
		m.mustTrustEachOther()
	}
	m.reconcile()
	m.wantStage(Steady)
	for i := range m.nodes {
		m.read(i)
		m.mustTrustEachOther()
	}
	if m.state.Current.Cert.Equal(first) || len(m.trust) != 1 || m.trust[0].Equal(first) {
		t.Error("the old authority is still there")
	}
	if m.reconcile() != 0 {
		t.Error("one wish rotates twice")
	}
}

func TestRotationWithoutNodesNeedsNobody(t *testing.T) {
	m := newMesh(t, 0)
	m.seen.Rotate = "now"
	m.reconcile()
	m.wantStage(Steady)
}

func TestSilentNodesAreWaitedForAnHour(t *testing.T) {
	m := newMesh(t, 2)
	m.seen.Rotate = "now"
	m.reconcile()
	m.read(0) // the other never says a word
	m.seen.Now = epoch.Add(Patience - time.Second)
	m.reconcile()
	m.wantStage(Announcing)
	m.read(1) // its kubelet worked all the same
	m.nodes = append(m.nodes, node{})
	m.seen.Now = m.state.Wake(m.leaf)
	m.reconcile()
	m.wantStage(Retiring)
}

func TestAnAuthorityIsRotatedBeforeItExpires(t *testing.T) {
	m := newMesh(t, 1)
	for m.seen.Now.Before(epoch.Add(3 * AuthorityLife)) {
		m.seen.Now = m.state.Wake(m.leaf)
		m.reconcile()
		m.read(0)
		m.reconcile()
		m.read(0)
		m.mustTrustEachOther()
		if left := m.leaf.NotAfter.Sub(m.seen.Now); left < LeafLife/4 {
			t.Fatalf("at %v the leaf has %v left", m.seen.Now, left)
		}
		if t.Failed() {
			return
		}
	}
}

func TestEverythingHasExpired(t *testing.T) {
	m := newMesh(t, 3)
	m.seen.Now = epoch.Add(2 * AuthorityLife)
	m.nodes = []node{{}, {}} // they wait for a certificate that works
	m.reconcile()
	if m.state.NeedsLeaf(testHost, m.seen) != "" || m.state.Stage != Steady || len(m.trust) != 1 {
		t.Errorf("stage %s, trusts %d", m.state.Stage, len(m.trust))
	}
	m.mustTrustEachOther()
}

func TestAnAuthorityExpiresWhileTheNextIsAnnounced(t *testing.T) {
	m := newMesh(t, 1)
	m.seen.Now = epoch.Add(AuthorityLife / 2)
	m.nodes[0] = node{}
	m.reconcile()
	m.seen.Rotate = "now"
	m.reconcile()
	next := m.state.Next.Cert
	m.seen.Now = epoch.Add(AuthorityLife + time.Hour)
	m.nodes[0] = node{}
	m.state.Since = m.seen.Now // as if the operator had been told so late
	m.reconcile()
	if !m.state.Current.Cert.Equal(next) {
		t.Error("nodes trust the announced one already; it must be used")
	}
}

func TestALostKeyCutsNobodyOff(t *testing.T) {
	m := newMesh(t, 2)
	leaf := m.leaf
	m.state = State{}
	m.reconcile()
	m.wantStage(Announcing)
	if !m.leaf.Equal(leaf) {
		t.Error("nodes do not trust the new authority yet, and are given its certificate")
	}
	m.read(0)
	m.mustTrustEachOther()
	m.read(1)
	m.seen.Now = epoch.Add(Patience)
	m.reconcile()
	m.wantStage(Retiring)
	m.mustTrustEachOther()
	for i := range m.nodes {
		m.read(i)
		m.mustTrustEachOther()
	}
	m.reconcile()
	m.wantStage(Steady)
}

func TestALostKeyAndACertificateThatIsDue(t *testing.T) {
	m := newMesh(t, 2)
	leaf := m.leaf
	m.seen.Now = leaf.NotAfter.Add(-time.Hour / 2) // the operator was away
	m.state = State{}
	m.reconcile()
	m.wantStage(Announcing)
	m.read(0)
	m.read(1)
	m.seen.Now = m.state.Wake(m.leaf) // that certificate has ended, sooner than Patience
	m.nodes = nil
	m.reconcile()
	if !usable(m.leaf, m.state.Current.Cert, m.seen.Now) {
		t.Errorf("stage %s at %v: the certificate ended at %v", m.state.Stage, m.seen.Now, m.leaf.NotAfter)
	}
}

func TestALostKeyAndNoCertificate(t *testing.T) {
	m := newMesh(t, 0)
	m.state, m.leaf = State{}, nil
	m.reconcile()
	if m.leaf == nil {
		t.Error("nodes have no certificate")
	}
}

func TestTheKeysOfTheNextAreLost(t *testing.T) {
	m := newMesh(t, 1)
	m.seen.Rotate = "now"
	m.reconcile()
	m.state.Next = nil
	m.reconcile()
	m.wantStage(Announcing)
	if m.state.Next == nil {
		t.Error("there is no next authority")
	}
}

func TestAnotherHostNeedsAnotherLeaf(t *testing.T) {
	m := newMesh(t, 0)
	if why := m.state.NeedsLeaf("*.web.ns.svc", m.seen); why == "" {
		t.Error("the leaf is for another Service")
	}
}

func TestBundleNamesTheIssuerFirst(t *testing.T) {
	m := newMesh(t, 1)
	m.seen.Rotate = "now"
	m.reconcile()
	certs, err := ParseCerts(m.state.Bundle())
	if err != nil || len(certs) != 2 || !bytes.Equal(certs[0].Raw, m.state.Current.Cert.Raw) {
		t.Errorf("%d certificates, %v", len(certs), err)
	}
	if ID(certs[0]) == ID(certs[1]) || len(ID(certs[0])) != 8 {
		t.Errorf("ids %s and %s", ID(certs[0]), ID(certs[1]))
	}
}
