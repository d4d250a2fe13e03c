package grid

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
)

// Auth is a token that all nodes of a grid share. It never travels: each side
// sends a nonce with the upgrade and proves with an HMAC over both nonces, both
// names, the grid and, under TLS, the channel itself that it knows the token.
//
// Without TLS a token keeps strangers out of the handshake; it neither hides
// nor protects what the link carries after it.
type Auth struct {
	// Tokens gives the tokens in force, each of at least 16 bytes that nobody
	// can guess. It is called at every handshake: return something new to
	// rotate. The first one proves, each is accepted; so a new token is first
	// appended everywhere, then moved to the front everywhere, then alone.
	Tokens func() [][]byte
}

// SharedToken is an Auth whose tokens never change. The first one proves, each is accepted.
func SharedToken(tokens ...[]byte) *Auth {
	kept := make([][]byte, len(tokens))
	for i, t := range tokens {
		kept[i] = append([]byte(nil), t...)
	}
	return &Auth{Tokens: func() [][]byte { return kept }}
}

const (
	minToken  = 16 // bytes
	nonceSize = 32 // bytes
	proofSize = sha256.Size

	proofOfDialer   = "gridmesh.v1 dialer proof"
	proofOfAcceptor = "gridmesh.v1 acceptor proof"

	// exporterLabel names what both ends of a TLS connection, and nobody
	// between them, can derive: a proof made for one connection is worth
	// nothing on another.
	exporterLabel = "EXPORTER-gridmesh-v1"
)

// tokens are those in force, checked.
func (a *Auth) tokens() ([][]byte, error) {
	all := a.Tokens()
	if len(all) == 0 {
		return nil, errors.New("options: Auth.Tokens gives none; give at least one of 16 bytes or more")
	}
	for i, t := range all {
		if len(t) < minToken {
			return nil, fmt.Errorf("options: Auth.Tokens[%d] has %d bytes; allowed are %d or more", i, len(t), minToken)
		}
	}
	return all, nil
}

// transcript is what a proof is about: all that makes this one connection.
type transcript struct {
	dialerNonce, acceptorNonce []byte
	dialer, acceptor, grid     string
	exporter                   []byte // nil without TLS
}

// prove is the proof of one side, which role names, that it knows the token.
func (t *transcript) prove(token []byte, role string) (proof [proofSize]byte) {
	mac := hmac.New(sha256.New, token)
	mac.Write([]byte(role))
	for _, part := range [...][]byte{
		t.dialerNonce, t.acceptorNonce, []byte(t.dialer), []byte(t.acceptor), []byte(t.grid), t.exporter,
	} {
		// Lengths go in front, so that no two transcripts run into the same bytes.
		_ = binary.Write(mac, binary.BigEndian, uint32(len(part)))
		mac.Write(part)
	}
	mac.Sum(proof[:0])
	return proof
}

// proved is the token whose proof this is, nil if it is none's. It takes the
// same time whichever token it was.
func (t *transcript) proved(tokens [][]byte, role string, proof [proofSize]byte) []byte {
	var found []byte
	for _, token := range tokens {
		if want := t.prove(token, role); hmac.Equal(want[:], proof[:]) {
			found = token
		}
	}
	return found
}

func newNonce() []byte {
	nonce := make([]byte, nonceSize)
	_, _ = rand.Read(nonce) // never fails: crypto/rand ends the process instead
	return nonce
}

// encodeNonce is a nonce as it stands in an HTTP header.
func encodeNonce(nonce []byte) string { return base64.RawURLEncoding.EncodeToString(nonce) }

func decodeNonce(header string) ([]byte, error) {
	nonce, err := base64.RawURLEncoding.Strict().DecodeString(header)
	if err != nil || len(nonce) != nonceSize {
		return nil, fmt.Errorf("header %s is not %d bytes in base64url", headerNonce, nonceSize)
	}
	return nonce, nil
}
