package peers

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(saveForeverEnv); path != "" {
		saveForever(path)
	}
	goleak.VerifyTestMain(m)
}

const (
	testGrid = "default/demo"
	testMesh = "00112233445566778899aabbccddeeff"
	self     = "node-0:9000"
)

// testKey is the n-th fixed key: 32 bytes, n and up.
func testKey(n byte) ed25519.PrivateKey {
	seed := make([]byte, ed25519.SeedSize)
	for i := range seed {
		seed[i] = n + byte(i)
	}
	return ed25519.NewKeyFromSeed(seed)
}

func public(keys ...ed25519.PrivateKey) []ed25519.PublicKey {
	var list []ed25519.PublicKey
	for _, key := range keys {
		list = append(list, ed25519.PublicKey(key[32:]))
	}
	return list
}

func testTrust(keys ...ed25519.PrivateKey) Trust {
	return Trust{Keys: public(keys...), Grid: testGrid}
}

// testList is a list that may be signed.
func testList(epoch uint64, names ...string) List {
	return List{Names: names, Epoch: epoch, Grid: testGrid, MeshID: testMesh, AllowEmpty: len(names) == 0}
}

func mustSign(tb testing.TB, l List, keys ...ed25519.PrivateKey) []byte {
	tb.Helper()
	raw, err := Sign(l, keys...)
	if err != nil {
		tb.Fatal(err)
	}
	return raw
}

// signed gives the list as it comes out of a document.
func signed(tb testing.TB, l List) List {
	tb.Helper()
	trust := testTrust(testKey(0))
	trust.Grid = l.Grid
	l, err := Verify(mustSign(tb, l, testKey(0)), trust)
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

// manyNames makes n names as Kubernetes has them, in order.
func manyNames(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("demo-%d.demo.default.svc:9000", i)
	}
	slices.Sort(names)
	return names
}

// wantError checks that err is want and says every one of words.
func wantError(tb testing.TB, err, want error, words ...string) {
	tb.Helper()
	if want == nil && err == nil {
		return
	}
	if !errors.Is(err, want) || want == nil {
		tb.Fatalf("got error %v, want %v", err, want)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			tb.Fatalf("error %q does not say %q", err, word)
		}
	}
}
