package peers

import (
	"crypto/ed25519"
	"errors"
	"fmt"
)

// Sign makes the document of a list: 1 to [MaxSignatures] keys sign it, two
// while keys are rotated. It refuses what [Verify] would refuse.
//
// The bytes of two calls for one list may differ. Sign a list once, publish
// those bytes everywhere, and raise the epoch for anything else, be it only
// another key.
func Sign(l List, keys ...ed25519.PrivateKey) ([]byte, error) {
	if err := l.check(); err != nil {
		return nil, fmt.Errorf("sign peer list: %w", err)
	}
	text, err := l.appendJSON(nil)
	if err != nil {
		return nil, fmt.Errorf("sign peer list: %w", err)
	}
	payload, err := deflate(text)
	if err != nil {
		return nil, fmt.Errorf("sign peer list: %w", err)
	}
	return seal(payload, keys)
}

// Trust says whose lists a node believes.
type Trust struct {
	Keys   []ed25519.PublicKey // 1 to MaxKeys; one valid signature of any is enough
	Grid   string              // the grid that the list must be of; required
	MeshID string              // the mesh that it must be of; "": any, and Decide keeps to the first
}

// Verify reads a document. Nothing of it is believed, nor inflated, before a
// trusted key's signature of it holds. The list keeps raw, which must not be
// changed afterwards.
//
// Verify does not compare epochs: that is for [Decide].
func Verify(raw []byte, trust Trust) (List, error) {
	if err := trust.check(); err != nil {
		return List{}, err
	}
	signatures, payload, err := open(raw)
	if err != nil {
		return List{}, err
	}
	if err := trust.verify(signatures, payload); err != nil {
		return List{}, err
	}
	text, err := inflate(payload)
	if err != nil {
		return List{}, err
	}
	l, err := parseJSON(text)
	if err != nil {
		return List{}, err
	}
	switch {
	case l.Grid != trust.Grid:
		return List{}, fmt.Errorf("%w: grid %s, this node's is %s", ErrForeign, quote(l.Grid), quote(trust.Grid))
	case trust.MeshID != "" && l.MeshID != trust.MeshID:
		return List{}, fmt.Errorf("%w: meshID %s, this node's is %s", ErrForeign, l.MeshID, quote(trust.MeshID))
	}
	l.raw, l.payload = raw, payload
	return l, nil
}

func (t Trust) check() error {
	if t.Grid == "" {
		return errors.New("trust: grid is empty; name the grid whose lists this node takes")
	}
	if len(t.Keys) == 0 || len(t.Keys) > MaxKeys {
		return fmt.Errorf("trust: %d public keys, allowed are 1 to %d", len(t.Keys), MaxKeys)
	}
	for i, key := range t.Keys {
		if len(key) != ed25519.PublicKeySize {
			return fmt.Errorf("trust: public key %d has %d bytes, an Ed25519 key has %d", i+1, len(key), ed25519.PublicKeySize)
		}
	}
	return nil
}

// verify looks for one valid signature of a trusted key. Those of unknown keys
// say nothing: they may be of a key that this node is yet to learn.
func (t Trust) verify(signatures []signature, payload []byte) error {
	message := append([]byte(magic), payload...)
	known := false
	for _, s := range signatures {
		for _, key := range t.Keys {
			if KeyID(key) != s.keyID {
				continue
			}
			known = true
			if ed25519.Verify(key, message, s.sig) {
				return nil
			}
		}
	}
	if known {
		return fmt.Errorf("%w: the signature does not match the payload", ErrSignature)
	}
	return fmt.Errorf("%w: none of its %d signatures is of a key that this node trusts", ErrSignature, len(signatures))
}
