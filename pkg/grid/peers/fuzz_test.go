package peers

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
)

// FuzzVerify: whatever a stranger sends is refused for a reason, and what is
// taken is a list that could be signed again.
func FuzzVerify(f *testing.F) {
	for _, d := range readVectors(f).Documents {
		f.Add(d.Document)
	}
	trust := testTrust(testKey(0), testKey(1))
	f.Fuzz(func(t *testing.T, raw []byte) {
		l, err := Verify(raw, trust)
		checkParsed(t, l, err)
		if err == nil && !bytes.Equal(l.Raw(), raw) {
			t.Error("Raw is not the document")
		}
	})
}

// FuzzSealed signs what the fuzzer makes up, to get behind the signature: a
// publisher gone wrong, or one that speaks a later version.
func FuzzSealed(f *testing.F) {
	v := readVectors(f)
	f.Add([]byte(v.JSON), true)
	for _, d := range v.Documents {
		if _, payload, err := open(d.Document); err == nil {
			f.Add(payload, false)
			if text, err := inflate(payload); err == nil {
				f.Add(text, true)
			}
		}
	}
	f.Fuzz(func(t *testing.T, payload []byte, compress bool) {
		if compress {
			var err error
			if payload, err = deflate(payload); err != nil {
				t.Fatal(err)
			}
		}
		raw, err := seal(payload, []ed25519.PrivateKey{testKey(0)})
		if err != nil {
			return // larger than a document may be
		}
		l, err := Verify(raw, testTrust(testKey(0)))
		checkParsed(t, l, err)
		if errors.Is(err, ErrSignature) {
			t.Errorf("our own signature was refused: %v", err)
		}
		if err != nil {
			return
		}
		again, err := Verify(mustSign(t, l, testKey(0)), testTrust(testKey(0)))
		if err != nil {
			t.Fatalf("signed again: %v", err)
		}
		again.raw, l.raw = nil, nil // compare what they say, not how it is packed
		if !again.same(l) {
			t.Errorf("signed again it says %+v, before %+v", again, l)
		}
	})
}

func FuzzParseFile(f *testing.F) {
	f.Add([]byte("node-0:9000\nnode-1:9000\n"))
	f.Add([]byte("# rack 1\n\n node-0:9000\t# first\r\n[::1]:9000\n"))
	f.Add([]byte("node-0:9000\nnode-1:90"))
	f.Add([]byte("node-0:9000\nnode-1:9000\nnode-0:9000\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		l, err := ParseFile(text, self)
		checkParsed(t, l, err)
		if err != nil {
			return
		}
		if !l.Contains(self) || l.Epoch != 0 || l.Signed() {
			t.Errorf("took %+v", l)
		}
		again, err := ParseFile([]byte(strings.Join(l.Names, "\n")+"\n"), self)
		if err != nil || !slices.Equal(again.Names, l.Names) {
			t.Errorf("written out and read again: %v, %v, before %v", again.Names, err, l.Names)
		}
	})
}

// FuzzValidName: what is taken can be dialled as it stands, and has one spelling.
func FuzzValidName(f *testing.F) {
	for _, n := range readVectors(f).Names {
		f.Add(n.Name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if why := whyNotName(name); plainName(name) && why != "" {
			t.Errorf("%q is plain, but %s", name, why)
		}
		err := ValidName(name)
		if err != nil {
			if len(err.Error()) > 1024 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
			return
		}
		host, port, err := net.SplitHostPort(name)
		if err != nil || net.JoinHostPort(host, port) != name {
			t.Errorf("%q: host %q, port %q, %v", name, host, port, err)
		}
		if len(name) > MaxNameLength || strings.ToLower(name) != name || strings.ContainsAny(name, " \t\r\n#/@%") {
			t.Errorf("%q is taken", name)
		}
	})
}

// checkParsed holds every parser to one of the errors that are documented, and
// to the rules of names.
func checkParsed(t *testing.T, l List, err error) {
	t.Helper()
	if err == nil {
		if checkNames(l.Names) != nil {
			t.Errorf("took %v: %v", l.Names, checkNames(l.Names))
		}
		return
	}
	for _, known := range []error{ErrMalformed, ErrVersion, ErrSignature, ErrForeign, ErrEmpty, ErrNotListed} {
		if errors.Is(err, known) {
			if len(l.Names) != 0 || l.Signed() {
				t.Errorf("an error, and a list: %+v", l)
			}
			return
		}
	}
	t.Errorf("an error without a class: %v", err)
}

// FuzzMembers: of all JSON, members are what encoding/json finds.
func FuzzMembers(f *testing.F) {
	for _, seed := range []string{
		`{}`, ` { "a" : "b" , "c\n\"\\":[1,{"x":"]}"}] ,"d":null}`, `[1 ,2.5e3,true, "\u00e9é","a\"b" ]`, `[[],{},[[]]]`, "{\"\xff\":\"\xff\"}", `"x"`, `3`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if !json.Valid(text) {
			return
		}
		var object map[string]json.RawMessage
		var array []json.RawMessage
		isObject := json.Unmarshal(text, &object) == nil && object != nil
		isArray := json.Unmarshal(text, &array) == nil && array != nil
		got := make(map[string][]byte)
		err := eachMember(text, '{', func(name string, value []byte) error { got[name] = value; return nil })
		if (err == nil) != isObject || len(got) != len(object) {
			t.Fatalf("%q: got %d members and %v, want %d", text, len(got), err, len(object))
		}
		for name, value := range object {
			if !bytes.Equal(got[name], value) {
				t.Fatalf("%q: %q is %q, want %q", text, name, got[name], value)
			}
		}
		n := 0
		err = eachMember(text, '[', func(_ string, value []byte) error {
			if n >= len(array) || !bytes.Equal(value, array[n]) {
				t.Fatalf("%q: member %d is %q", text, n, value)
			}
			var want string
			isString := value[0] == '"' && json.Unmarshal(value, &want) == nil
			if s, err := unquote(value); s != want || (err == nil) != isString {
				t.Fatalf("%q: got %q and %v", value, s, err)
			}
			n++
			return nil
		})
		if (err == nil) != isArray || n != len(array) {
			t.Fatalf("%q: got %d members and %v, want %d", text, n, err, len(array))
		}
	})
}
