package peers

import (
	"slices"
	"testing"
)

func TestNewListSorts(t *testing.T) {
	given := []string{"b:1", "a:2", "a:10"}
	l, err := NewList(given)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"a:10", "a:2", "b:1"}; !slices.Equal(l.Names, want) {
		t.Errorf("got %v, want %v, sorted by byte", l.Names, want)
	}
	if given[0] != "b:1" {
		t.Error("the caller's slice was sorted")
	}
	if !l.Contains("a:2") || l.Contains("a:1") {
		t.Error("Contains is wrong")
	}
	if l.Signed() || l.Raw() != nil || l.Epoch != 0 {
		t.Error("a list of names alone is signed, or has an epoch")
	}
}

func TestNewListRefuses(t *testing.T) {
	_, err := NewList([]string{"b:1", "a:1", "b:1"})
	wantError(t, err, ErrMalformed, `"b:1" stands twice`)
	_, err = NewList([]string{"b:1", "A:1"})
	wantError(t, err, ErrMalformed, `"A:1"`, "lower case")
}

func TestNewListLimit(t *testing.T) {
	for _, n := range []int{0, MaxNames - 1, MaxNames} {
		if l, err := NewList(manyNames(n)); err != nil || len(l.Names) != n {
			t.Errorf("%d names: got %d, %v", n, len(l.Names), err)
		}
	}
	_, err := NewList(manyNames(MaxNames + 1))
	wantError(t, err, ErrMalformed, "10001 names, allowed are 10000")
}
