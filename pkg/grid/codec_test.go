package grid

import (
	"reflect"
	"testing"
	"time"
)

// TestScratchKeepsNoGiants: a buffer above the limit is not kept for the next call.
func TestScratchKeepsNoGiants(t *testing.T) {
	for _, c := range []struct {
		size int
		kept bool
	}{{maxScratch - 1, true}, {maxScratch, true}, {maxScratch + 1, false}} {
		s := &scratch{make([]byte, c.size)}
		if s.trim(); (s.b != nil) != c.kept {
			t.Errorf("%d bytes: kept is %v, want %v", c.size, s.b != nil, c.kept)
		}
	}
}

// TestBorrows finds the tag wherever it stands, and ends where types hold themselves.
func TestBorrows(t *testing.T) {
	type leaf struct {
		Data []byte `msg:"data,zerocopy"`
	}
	type plain struct {
		Next *plain
		When time.Time
		Data []byte `msg:"data"`
	}
	for _, c := range []struct {
		v    any
		want bool
	}{
		{plain{}, false},
		{leaf{}, true},
		{struct{ L leaf }{}, true},
		{struct{ L *leaf }{}, true},
		{struct{ L [][2]leaf }{}, true},
		{struct{ L map[string][]leaf }{}, true},
		{struct {
			P plain
			L *[]*leaf
		}{}, true},
		{[]byte{}, false},
	} {
		if got := borrows(reflect.TypeOf(c.v), map[reflect.Type]bool{}); got != c.want {
			t.Errorf("%T: got %v, want %v", c.v, got, c.want)
		}
	}
}
