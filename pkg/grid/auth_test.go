package grid

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"
)

func aTranscript() transcript {
	return transcript{
		dialerNonce: bytes.Repeat([]byte{1}, nonceSize), acceptorNonce: bytes.Repeat([]byte{2}, nonceSize),
		dialer: "a:1", acceptor: "b:2", grid: "default", exporter: bytes.Repeat([]byte{3}, 32),
	}
}

// The proof is on the wire: this value may never change.
func TestProofIsFixed(t *testing.T) {
	tr := aTranscript()
	got := tr.prove([]byte("0123456789abcdef"), proofOfDialer)
	const want = "36f6501fd19f5c835c1c3217c1f2a6226177da8343fdcf98d0ab5061bdfa49f3"
	if hex.EncodeToString(got[:]) != want {
		t.Fatalf("got %x", got)
	}
}

// A proof holds for one connection, one direction and one token only (fault row 56).
func TestProofHoldsForOneConnectionOnly(t *testing.T) {
	tokens := [][]byte{[]byte("the old token of 2025"), []byte("the new token of 2026")}
	tr := aTranscript()
	for _, token := range tokens {
		if got := tr.proved(tokens, proofOfDialer, tr.prove(token, proofOfDialer)); !bytes.Equal(got, token) {
			t.Errorf("%s: its own proof is taken for %q", token, got)
		}
	}
	proof := tr.prove(tokens[0], proofOfDialer)
	if tr.proved(tokens, proofOfAcceptor, proof) != nil {
		t.Error("a dialer's proof, sent back, proves the acceptor")
	}
	if tr.proved(tokens[1:], proofOfDialer, proof) != nil {
		t.Error("a proof of another token is accepted")
	}
	if tr.proved(tokens, proofOfDialer, [proofSize]byte{}) != nil {
		t.Error("no proof is a proof")
	}
	for what, change := range map[string]func(*transcript){
		"dialer's nonce":   func(tr *transcript) { tr.dialerNonce = newNonce() },
		"acceptor's nonce": func(tr *transcript) { tr.acceptorNonce = newNonce() },
		"dialer":           func(tr *transcript) { tr.dialer = "c:1" },
		"acceptor":         func(tr *transcript) { tr.acceptor = "c:1" },
		"grid":             func(tr *transcript) { tr.grid = "other" },
		"channel":          func(tr *transcript) { tr.exporter = nil },
		"moved boundary":   func(tr *transcript) { tr.dialer, tr.acceptor = "a:1b", ":2" },
	} {
		other := aTranscript()
		change(&other)
		if other.proved(tokens, proofOfDialer, proof) != nil {
			t.Errorf("the proof still holds with another %s", what)
		}
	}
}

func TestTokensAreChecked(t *testing.T) {
	for _, n := range []int{15, 16, 17} {
		_, err := SharedToken(make([]byte, 32), make([]byte, n)).tokens()
		if (err == nil) != (n >= minToken) {
			t.Errorf("%d bytes: %v", n, err)
		}
		if err != nil && !strings.Contains(err.Error(), "Auth.Tokens[1]") {
			t.Errorf("%d bytes: the error does not name the token: %v", n, err)
		}
	}
	if _, err := SharedToken().tokens(); err == nil {
		t.Error("no token is accepted")
	}
	mine := bytes.Repeat([]byte{7}, 16)
	auth := SharedToken(mine)
	mine[0] = 0
	if auth.Tokens()[0][0] != 7 {
		t.Error("SharedToken keeps the caller's slice")
	}
}

func TestNonces(t *testing.T) {
	a, b := newNonce(), newNonce()
	if bytes.Equal(a, b) {
		t.Fatal("two nonces are the same")
	}
	if got, err := decodeNonce(encodeNonce(a)); err != nil || !bytes.Equal(got, a) {
		t.Fatalf("%x, %v", got, err)
	}
	for _, bad := range []string{"", "AAAA", encodeNonce(a) + "=", encodeNonce(a[:31]), encodeNonce(append(a, 1)), strings.Repeat("*", 43)} {
		if _, err := decodeNonce(bad); err == nil {
			t.Errorf("%q: accepted", bad)
		}
	}
}
