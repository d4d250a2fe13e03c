package pki

import (
	"bytes"
	"crypto/x509"
	"slices"
	"time"
)

// Stage is how far a change of authority has come.
type Stage string

// The stages, in order. The zero Stage is Steady.
const (
	Steady     Stage = "steady"
	Announcing Stage = "announcing" // Next is trusted, Current issues
	Retiring   Stage = "retiring"   // Current issues, Old is trusted
)

// Patience is how long a stage waits for nodes that say nothing. By then every
// kubelet that works has brought a changed Secret to its pods.
const Patience = time.Hour

// State is the authorities of one Grid.
type State struct {
	Current *Authority          // nil: there is none yet, or it is lost
	Next    *Authority          // the one to come, while Announcing
	Old     []*x509.Certificate // trusted, but issuing nothing any more
	Stage   Stage
	Since   time.Time // of the stage
	Before  string    // ID of the leaf that nodes were given before the stage; "" if none
	Rotated string    // the last wish for a new authority that was granted
}

// Seen is what a decision is made from.
type Seen struct {
	Grid string
	Now  time.Time

	// Leaf is what nodes are given; nil if there is none that can be read.
	Leaf *x509.Certificate
	// Trusted is the bundle of authorities that nodes are given.
	Trusted []*x509.Certificate
	// Everywhere says that every node is known to use Leaf.
	Everywhere bool

	// Rotate is the user's wish for a new authority, told from the last one by
	// its text; "" for none. Renew and Renewed are the same for a certificate.
	Rotate         string
	Renew, Renewed string
}

// Step decides what comes after s. A State that it returns changed must be kept
// before a certificate of it is given to nodes: whoever forgets a key that is
// in use cannot follow it up.
func (s State) Step(in Seen) (State, bool, error) {
	expired := s.Current == nil || in.Now.After(s.Current.Cert.NotAfter)
	switch {
	case s.Stage == Announcing && s.Next != nil && s.Current != nil:
		stuck := s.Current.Key == nil && !usable(in.Leaf, s.Current.Cert, in.Now)
		if expired || stuck || s.reached(in) {
			return s.take(in), true, nil
		}
		return s, false, nil
	case expired:
		next, err := s.replace(in)
		return next, err == nil, err
	case s.Stage == Announcing:
		// Somebody took the keys of the one to come. Nobody uses it yet.
		return s.announce(in)
	case s.Stage == Retiring && (s.reached(in) || len(valid(s.Old, in.Now)) == 0):
		return State{Current: s.Current, Stage: Steady, Since: in.Now, Rotated: s.Rotated}, true, nil
	case s.Stage == Retiring:
		return s, false, nil
	case in.Rotate != "" && in.Rotate != s.Rotated, s.Current.Key == nil, due(s.Current.Cert, in.Now):
		return s.announce(in)
	}
	return s, false, nil
}

// replace starts anew. What nodes trust already and what is still valid stays
// trusted, so that those who have not read the new Secret yet are not cut off.
func (s State) replace(in Seen) (State, error) {
	fresh, err := NewAuthority(in.Grid, in.Now)
	if err != nil {
		return s, err
	}
	old := valid(in.Trusted, in.Now)
	issuer := slices.IndexFunc(old, func(c *x509.Certificate) bool { return usable(in.Leaf, c, in.Now) })
	if issuer >= 0 {
		// Only the key is lost: the certificate that nodes have goes on until
		// they trust the new authority.
		return State{
			Current: &Authority{Cert: old[issuer]}, Next: fresh, Old: slices.Delete(slices.Clone(old), issuer, issuer+1),
			Stage: Announcing, Since: in.Now, Before: leafID(in.Leaf), Rotated: in.Rotate,
		}, nil
	}
	stage := Steady
	if len(old) > 0 {
		stage = Retiring
	}
	return State{Current: fresh, Old: old, Stage: stage, Since: in.Now, Before: leafID(in.Leaf), Rotated: in.Rotate}, nil
}

// take lets the next authority issue.
func (s State) take(in Seen) State {
	return State{
		Current: s.Next, Old: valid(append([]*x509.Certificate{s.Current.Cert}, s.Old...), in.Now),
		Stage: Retiring, Since: in.Now, Before: leafID(in.Leaf), Rotated: s.Rotated,
	}
}

func (s State) announce(in Seen) (State, bool, error) {
	fresh, err := NewAuthority(in.Grid, in.Now)
	if err != nil {
		return s, false, err
	}
	return State{
		Current: s.Current, Next: fresh, Old: valid(s.Old, in.Now),
		Stage: Announcing, Since: in.Now, Before: leafID(in.Leaf), Rotated: in.Rotate,
	}, true, nil
}

// reached: nodes have what this stage gave them.
func (s State) reached(in Seen) bool {
	return in.Everywhere && s.issuedSince(in.Leaf) || in.Now.Sub(s.Since) >= Patience
}

// issuedSince reports whether the certificate was issued in this stage.
func (s State) issuedSince(leaf *x509.Certificate) bool {
	return leaf != nil && ID(leaf) != s.Before
}

func leafID(leaf *x509.Certificate) string {
	if leaf == nil {
		return ""
	}
	return ID(leaf)
}

// NeedsLeaf says why nodes need another certificate; "" if they do not.
func (s State) NeedsLeaf(host string, in Seen) string {
	issuer := s.Current
	switch {
	case in.Leaf == nil:
		return "there is none"
	case issuer.Key == nil:
		return "" // nobody can issue one: Next moves on before it expires
	case !usable(in.Leaf, issuer.Cert, in.Now):
		return "it is expired, or of another authority"
	case len(in.Leaf.DNSNames) != 1 || in.Leaf.DNSNames[0] != host:
		return "it is for another host"
	case due(in.Leaf, in.Now):
		return "a third of its life is left"
	case in.Renew != "" && in.Renew != in.Renewed:
		return "somebody asked for it"
	case s.Stage != Steady && !s.issuedSince(in.Leaf):
		return "the authority is being changed"
	}
	return ""
}

// Bundle is the authorities that nodes are to trust, the one that issues first.
func (s State) Bundle() []byte {
	var text bytes.Buffer
	text.Write(encode("CERTIFICATE", s.Current.Cert.Raw))
	if s.Next != nil {
		text.Write(encode("CERTIFICATE", s.Next.Cert.Raw))
	}
	for _, c := range s.Old {
		text.Write(encode("CERTIFICATE", c.Raw))
	}
	return text.Bytes()
}

// Wake is when Step or NeedsLeaf may decide otherwise, if nothing else happens.
// It lies ahead once they have nothing more to do.
func (s State) Wake(leaf *x509.Certificate) time.Time {
	wake := s.Current.Cert.NotAfter
	earlier := func(t time.Time) {
		if t.Before(wake) {
			wake = t
		}
	}
	switch s.Stage {
	case Steady:
		earlier(dueAt(s.Current.Cert))
	case Announcing, Retiring: // under way: that it is due changes nothing
		earlier(s.Since.Add(Patience))
	}
	switch {
	case leaf == nil:
	case s.Current.Key == nil: // nobody can issue another
		earlier(leaf.NotAfter)
	default:
		earlier(dueAt(leaf))
	}
	return wake
}

func dueAt(c *x509.Certificate) time.Time {
	return c.NotAfter.Add(-c.NotAfter.Sub(c.NotBefore) / renewAt)
}

func due(c *x509.Certificate, now time.Time) bool { return !now.Before(dueAt(c)) }

// usable: valid now, and of this authority.
func usable(leaf, authority *x509.Certificate, now time.Time) bool {
	return leaf != nil && !now.Before(leaf.NotBefore) && now.Before(leaf.NotAfter) && leaf.CheckSignatureFrom(authority) == nil
}

func valid(certs []*x509.Certificate, now time.Time) []*x509.Certificate {
	var good []*x509.Certificate
	for _, c := range certs {
		if c.IsCA && now.Before(c.NotAfter) {
			good = append(good, c)
		}
	}
	return good
}
