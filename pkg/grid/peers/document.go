package peers

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
)

// magic is the first line of a document. It is signed before the payload, so
// that a signature made for anything else, or for another version, is none.
const magic = "gridmesh-peer-list 1\n"

// magicName is what every version of a document begins with.
const magicName = "gridmesh-peer-list "

const (
	signatureWord = "signature "
	payloadWord   = "payload "
)

// base64Length is the length of a signature as text, padding included.
var base64Length = base64.StdEncoding.EncodedLen(ed25519.SignatureSize)

// signature is one line of a document's head.
type signature struct {
	keyID string
	sig   []byte
}

// seal puts a document together: the payload and its signatures.
func seal(payload []byte, keys []ed25519.PrivateKey) ([]byte, error) {
	if len(keys) == 0 || len(keys) > MaxSignatures {
		return nil, fmt.Errorf("sign peer list: %d keys, allowed are 1 to %d", len(keys), MaxSignatures)
	}
	message := append([]byte(magic), payload...)
	doc := []byte(magic)
	seen := make(map[string]bool, len(keys))
	for i, key := range keys {
		if len(key) != ed25519.PrivateKeySize {
			return nil, fmt.Errorf("sign peer list: key %d of %d bytes, an Ed25519 key has %d", i+1, len(key), ed25519.PrivateKeySize)
		}
		id := KeyID(ed25519.PublicKey(key[ed25519.PrivateKeySize-ed25519.PublicKeySize:]))
		if seen[id] {
			return nil, fmt.Errorf("sign peer list: key %s is given twice", id)
		}
		seen[id] = true
		doc = append(doc, signatureLine(id, ed25519.Sign(key, message))...)
	}
	doc = fmt.Appendf(doc, "%s%d\n", payloadWord, len(payload))
	doc = append(doc, payload...)
	if len(doc) > MaxDocument {
		return nil, fmt.Errorf("sign peer list: the document has %d bytes, allowed are %d; shorten the names or drop the hints", len(doc), MaxDocument)
	}
	return doc, nil
}

func signatureLine(keyID string, sig []byte) string {
	return signatureWord + keyID + " " + base64.StdEncoding.EncodeToString(sig) + "\n"
}

// open takes a document apart without believing a word of it. The results are
// slices of raw.
func open(raw []byte) (signatures []signature, payload []byte, err error) {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: "+format, append([]any{ErrMalformed}, args...)...)
	}
	if len(raw) > MaxDocument {
		return nil, nil, bad("%d bytes, allowed are %d", len(raw), MaxDocument)
	}
	rest, ok := bytes.CutPrefix(raw, []byte(magic))
	if !ok {
		line, _, whole := bytes.Cut(raw[:min(len(raw), 64)], []byte("\n"))
		switch {
		case !whole && strings.HasPrefix(magic, string(line)):
			return nil, nil, bad("cut short after %d bytes; is the file whole?", len(raw))
		case whole && bytes.HasPrefix(line, []byte(magicName)):
			return nil, nil, fmt.Errorf("%w: first line %s, this build reads %q; update this program", ErrVersion, quote(string(line)), magic[:len(magic)-1])
		}
		return nil, nil, bad("first line %s is not %q", quote(string(line)), magic[:len(magic)-1])
	}
	for {
		text, after, ok := bytes.Cut(rest, []byte("\n"))
		if !ok {
			return nil, nil, bad("cut short in its head; is the file whole?")
		}
		line := string(text[:min(len(text), 256)])
		rest = after
		if size, ok := strings.CutPrefix(line, payloadWord); ok {
			return signatures, rest, checkSize(size, rest)
		}
		id, sig, ok := parseSignature(line)
		if !ok {
			return nil, nil, bad("line %d: %s is neither a signature nor the payload's length", len(signatures)+2, quote(line))
		}
		for _, s := range signatures {
			if s.keyID == id {
				return nil, nil, bad("line %d: a second signature of key %s", len(signatures)+2, id)
			}
		}
		if signatures = append(signatures, signature{id, sig}); len(signatures) > MaxSignatures {
			return nil, nil, bad("more than %d signatures", MaxSignatures)
		}
	}
}

// checkSize compares the length that the head gives with what is there. The
// signature would not hold anyway; this tells a cut file from a forged one.
func checkSize(size string, payload []byte) error {
	n, err := strconv.Atoi(size)
	switch {
	case err != nil || strconv.Itoa(n) != size || n < 0:
		return fmt.Errorf("%w: payload length %s is no plain number", ErrMalformed, quote(size))
	case len(payload) < n:
		return fmt.Errorf("%w: cut short: %d of the payload's %d bytes are there", ErrMalformed, len(payload), n)
	case len(payload) > n:
		return fmt.Errorf("%w: %d bytes after the payload", ErrMalformed, len(payload)-n)
	}
	return nil
}

func parseSignature(line string) (keyID string, sig []byte, ok bool) {
	fields, ok := strings.CutPrefix(line, signatureWord)
	if !ok {
		return "", nil, false
	}
	keyID, text, ok := strings.Cut(fields, " ")
	if !ok || !isHex(keyID, keyIDLength) || len(text) != base64Length {
		return "", nil, false
	}
	sig, err := base64.StdEncoding.Strict().DecodeString(text)
	return keyID, sig, err == nil && len(sig) == ed25519.SignatureSize
}
