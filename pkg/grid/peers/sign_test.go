package peers

import (
	"crypto/ed25519"
	"errors"
	"strings"
	"testing"
)

func TestVerifyTrust(t *testing.T) {
	a, b, c := testKey(0), testKey(1), testKey(2)
	raw := mustSign(t, testList(7, self), a, b)
	otherMesh := strings.Repeat("f", 32)
	for _, test := range []struct {
		name  string
		trust Trust
		err   error
		words []string
	}{
		{"either key", testTrust(a), nil, nil},
		{"the other key", testTrust(b), nil, nil},
		{"both, with a third", testTrust(c, b, a), nil, nil},
		{"neither", testTrust(c), ErrSignature, []string{"none of its 2"}},
		{"this mesh", Trust{public(a), testGrid, testMesh}, nil, nil},
		{"other mesh", Trust{public(a), testGrid, otherMesh}, ErrForeign, []string{testMesh, otherMesh}},
		{"other grid", Trust{public(a), "default/other", ""}, ErrForeign, []string{`"default/demo"`, `"default/other"`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := Verify(raw, test.trust)
			wantError(t, err, test.err, test.words...)
		})
	}
}

// Mistakes of the program that calls are said to be such, and never let a
// document in.
func TestVerifyRefusesUselessTrust(t *testing.T) {
	raw := mustSign(t, testList(7, self), testKey(0))
	good := public(testKey(0))
	for _, test := range []struct {
		trust Trust
		why   string
	}{
		{Trust{}, "grid is empty"},
		{Trust{Keys: good}, "grid is empty"},
		{Trust{Grid: testGrid}, "0 public keys"},
		{Trust{Grid: testGrid, Keys: append(good, good[0][:31])}, "public key 2 has 31 bytes"},
		{Trust{Grid: testGrid, Keys: make([]ed25519.PublicKey, MaxKeys+1)}, "9 public keys, allowed are 1 to 8"},
	} {
		if _, err := Verify(raw, test.trust); err == nil || !strings.Contains(err.Error(), test.why) {
			t.Errorf("%+v: error %v, want %q", test.trust, err, test.why)
		}
	}
	full := testTrust()
	for i := range MaxKeys {
		full.Keys = append(full.Keys, public(testKey(byte(i)))...)
	}
	if _, err := Verify(raw, full); err != nil {
		t.Errorf("as many keys as allowed: %v", err)
	}
}

// A signature counts for a peer list of version 1 and for nothing else.
func TestVerifyDomain(t *testing.T) {
	key := testKey(0)
	good := mustSign(t, testList(7, self), key)
	_, payload, err := open(good)
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(string(good), payloadWord)
	for _, prefix := range []string{"", "gridmesh-peer-list 2\n", "gridmesh-peer-list 1"} {
		sig := ed25519.Sign(key, append([]byte(prefix), payload...))
		forged := magic + signatureLine(KeyID(public(key)[0]), sig) + payloadWord + body
		_, err := Verify([]byte(forged), testTrust(key))
		wantError(t, err, ErrSignature, "does not match")
	}
}

// One bad signature under a trusted key does not spoil a good one, and a key
// is tried for the id it has, not the one it is given.
func TestVerifyOneOfSeveral(t *testing.T) {
	a, b := testKey(0), testKey(1)
	good := mustSign(t, testList(7, self), b)
	_, lines, _ := strings.Cut(string(good), magic)
	bad := signatureLine(KeyID(public(a)[0]), make([]byte, ed25519.SignatureSize))
	if _, err := Verify([]byte(magic+bad+lines), testTrust(a, b)); err != nil {
		t.Error(err)
	}
	_, err := Verify([]byte(magic+bad+lines), testTrust(a))
	wantError(t, err, ErrSignature, "does not match")
	renamed := strings.Replace(string(good), KeyID(public(b)[0]), KeyID(public(a)[0]), 1)
	_, err = Verify([]byte(renamed), testTrust(a, b))
	wantError(t, err, ErrSignature, "does not match")
}

func TestSignRefuses(t *testing.T) {
	key := testKey(0)
	many := make([]ed25519.PrivateKey, MaxSignatures+1)
	for i := range many {
		many[i] = testKey(byte(i))
	}
	good := testList(7, self)
	for _, test := range []struct {
		name string
		l    List
		keys []ed25519.PrivateKey
		why  string
	}{
		{"no key", good, nil, "0 keys, allowed are 1 to 8"},
		{"nine keys", good, many, "9 keys"},
		{"a key twice", good, []ed25519.PrivateKey{key, key}, "given twice"},
		{"half a key", good, []ed25519.PrivateKey{key, key[:32]}, "key 2 of 32 bytes"},
		{"no epoch", testList(0, self), many[:1], "epoch 0"},
		{"unsorted", testList(7, "b:1", "a:1"), many[:1], "sorted"},
		{"nobody by mistake", List{Epoch: 7, Grid: testGrid, MeshID: testMesh}, many[:1], "allowEmpty"},
	} {
		if raw, err := Sign(test.l, test.keys...); err == nil || !strings.Contains(err.Error(), test.why) || raw != nil {
			t.Errorf("%s: error %v, want %q", test.name, err, test.why)
		}
	}
	raw, err := Sign(good, many[:MaxSignatures]...)
	if err != nil {
		t.Fatal(err)
	}
	for i, key := range many {
		_, err := Verify(raw, testTrust(key))
		if signer := i < MaxSignatures; (err == nil) != signer || !signer && !errors.Is(err, ErrSignature) {
			t.Errorf("key %d: %v", i, err)
		}
	}
}
