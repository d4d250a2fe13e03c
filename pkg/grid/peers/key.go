package peers

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
)

const (
	keyIDLength  = 16 // hex digits
	meshIDLength = 32 // hex digits

	privateKeyType = "PRIVATE KEY" // PKCS #8
	publicKeyType  = "PUBLIC KEY"  // PKIX
)

// KeyID names a public key: the first 16 hex digits of its SHA-256. It only
// says which key to try.
func KeyID(key ed25519.PublicKey) string {
	sum := sha256.Sum256(key)
	return hex.EncodeToString(sum[:])[:keyIDLength]
}

// NewMeshID makes the random id of a new mesh.
func NewMeshID() string {
	var id [meshIDLength / 2]byte
	_, _ = rand.Read(id[:]) // never fails, by its documentation
	return hex.EncodeToString(id[:])
}

// MarshalPrivateKey gives a key as PEM of PKCS #8, as openssl genpkey writes it.
func MarshalPrivateKey(key ed25519.PrivateKey) ([]byte, error) {
	if len(key) != ed25519.PrivateKeySize {
		return nil, fmt.Errorf("private key of %d bytes, an Ed25519 key has %d", len(key), ed25519.PrivateKeySize)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: privateKeyType, Bytes: der}), nil
}

// ParsePrivateKey reads what [MarshalPrivateKey] wrote. Its errors tell nothing
// of the key.
func ParsePrivateKey(text []byte) (ed25519.PrivateKey, error) {
	if len(text) > MaxKeyFile {
		return nil, fmt.Errorf("private key: %d bytes, allowed are %d", len(text), MaxKeyFile)
	}
	block, rest := pem.Decode(text)
	switch {
	case block == nil:
		return nil, errors.New("private key: no PEM block; write one with: openssl genpkey -algorithm ed25519")
	case block.Type != privateKeyType:
		return nil, fmt.Errorf("private key: PEM block %s, allowed is %q", quote(block.Type), privateKeyType)
	case len(bytes.TrimSpace(rest)) > 0:
		return nil, errors.New("private key: text after the PEM block, allowed is one key")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("private key: the PEM block holds no PKCS #8 key")
	}
	key, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, errors.New("private key: not an Ed25519 key")
	}
	return key, nil
}

// MarshalPublicKeys gives keys as PEM of PKIX, one block after the other.
func MarshalPublicKeys(keys ...ed25519.PublicKey) ([]byte, error) {
	var text []byte
	for i, key := range keys {
		if len(key) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("public key %d of %d bytes, an Ed25519 key has %d", i+1, len(key), ed25519.PublicKeySize)
		}
		der, err := x509.MarshalPKIXPublicKey(key)
		if err != nil {
			return nil, fmt.Errorf("public key %d: %w", i+1, err)
		}
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: publicKeyType, Bytes: der})...)
	}
	return text, nil
}

// ParsePublicKeys reads 1 to [MaxKeys] public keys, as [MarshalPublicKeys] or
// openssl pkey -pubout wrote them, one PEM block after the other.
func ParsePublicKeys(text []byte) ([]ed25519.PublicKey, error) {
	if len(text) > MaxKeyFile {
		return nil, fmt.Errorf("public keys: %d bytes, allowed are %d", len(text), MaxKeyFile)
	}
	var keys []ed25519.PublicKey
	for rest := text; len(bytes.TrimSpace(rest)) > 0; {
		n := len(keys) + 1
		var block *pem.Block
		block, rest = pem.Decode(rest)
		switch {
		case block == nil:
			return nil, fmt.Errorf("public key %d: no PEM block; is the file whole?", n)
		case block.Type != publicKeyType:
			return nil, fmt.Errorf("public key %d: PEM block %s, allowed is %q", n, quote(block.Type), publicKeyType)
		case n > MaxKeys:
			return nil, fmt.Errorf("public keys: more than %d", MaxKeys)
		}
		parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("public key %d: %w", n, err)
		}
		key, ok := parsed.(ed25519.PublicKey)
		if !ok {
			return nil, fmt.Errorf("public key %d: not an Ed25519 key", n)
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, errors.New("public keys: the file is empty; it holds PEM blocks of the keys to trust")
	}
	return keys, nil
}

func isHex(s string, length int) bool {
	if len(s) != length {
		return false
	}
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
