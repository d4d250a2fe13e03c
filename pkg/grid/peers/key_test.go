package peers

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"
)

func TestKeysRoundTrip(t *testing.T) {
	key := testKey(0)
	text, err := MarshalPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	if back, err := ParsePrivateKey(text); err != nil || !back.Equal(key) {
		t.Errorf("private key changed on the way: %v", err)
	}
	for n := 1; n <= MaxKeys+1; n++ {
		var keys []ed25519.PublicKey
		for i := range n {
			keys = append(keys, public(testKey(byte(i)))...)
		}
		text, err := MarshalPublicKeys(keys...)
		if err != nil {
			t.Fatal(err)
		}
		back, err := ParsePublicKeys(text)
		if n > MaxKeys {
			if err == nil || !strings.Contains(err.Error(), "more than 8") {
				t.Errorf("%d keys: %v", n, err)
			}
			continue
		}
		if err != nil || len(back) != n || !back[n-1].Equal(keys[n-1]) {
			t.Errorf("%d keys: got %d, %v", n, len(back), err)
		}
	}
}

func TestParseKeysRefuse(t *testing.T) {
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, der []byte, err error) string {
		if err != nil {
			t.Fatal(err)
		}
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	der, err := x509.MarshalPKCS8PrivateKey(testKey(0))
	private := block(privateKeyType, der, err)
	der, err = x509.MarshalPKCS8PrivateKey(curve)
	otherPrivate := block(privateKeyType, der, err)
	der, err = x509.MarshalPKIXPublicKey(&curve.PublicKey)
	otherPublic := block(publicKeyType, der, err)
	good, err := MarshalPublicKeys(public(testKey(0), testKey(1))...)
	if err != nil {
		t.Fatal(err)
	}

	for _, test := range []struct{ name, text, why string }{
		{"empty", "", "no PEM block"},
		{"cut", private[:len(private)-20], "no PEM block"},
		{"public", string(good), `"PUBLIC KEY", allowed is "PRIVATE KEY"`},
		{"two", private + private, "allowed is one key"},
		{"junk", block(privateKeyType, []byte("junk"), nil), "no PKCS #8"},
		{"other kind", otherPrivate, "not an Ed25519 key"},
		{"large", strings.Repeat("x", MaxKeyFile+1), "allowed are 65536"},
	} {
		if _, err := ParsePrivateKey([]byte(test.text)); err == nil || !strings.Contains(err.Error(), test.why) {
			t.Errorf("private, %s: error %v, want %q", test.name, err, test.why)
		}
	}
	for _, test := range []struct{ name, text, why string }{
		{"empty", "\n", "is empty"},
		{"cut", string(good[:len(good)-20]), "public key 2: no PEM block"},
		{"text", "ed25519 AAAA", "no PEM block"},
		{"private", private, `"PRIVATE KEY", allowed is "PUBLIC KEY"`},
		{"other kind", string(good) + otherPublic, "public key 3: not an Ed25519 key"},
		{"junk", block(publicKeyType, []byte("junk"), nil), "public key 1"},
		{"large", strings.Repeat(" ", MaxKeyFile+1), "allowed are 65536"},
	} {
		if _, err := ParsePublicKeys([]byte(test.text)); err == nil || !strings.Contains(err.Error(), test.why) {
			t.Errorf("public, %s: error %v, want %q", test.name, err, test.why)
		}
	}
	padded := append(bytes.Repeat([]byte("\n"), MaxKeyFile-len(good)), good...)
	if keys, err := ParsePublicKeys(padded); err != nil || len(keys) != 2 {
		t.Errorf("at the limit: %d keys, %v", len(keys), err)
	}
}

func TestMarshalKeysRefuse(t *testing.T) {
	if _, err := MarshalPrivateKey(make(ed25519.PrivateKey, 63)); err == nil {
		t.Error("a short private key was taken")
	}
	if _, err := MarshalPublicKeys(make(ed25519.PublicKey, 31)); err == nil {
		t.Error("a short public key was taken")
	}
}

func TestNewMeshID(t *testing.T) {
	a, b := NewMeshID(), NewMeshID()
	if a == b || !isHex(a, meshIDLength) {
		t.Errorf("got %q and %q", a, b)
	}
}
