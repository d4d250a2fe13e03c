package main

import (
	"errors"
	"io"
	"strings"
	"testing"
)

func TestCountMessages(t *testing.T) {
	cut := errors.New("cut")
	for _, tc := range []struct {
		name  string
		sizes []int
		end   error
		want  string
	}{
		{"exactly those", []int{5, 5, 5}, io.EOF, ""},
		{"one less", []int{5, 5}, io.EOF, "after 2 messages"},
		{"one more", []int{5, 5, 5, 5}, io.EOF, "after 4 messages"},
		{"another size", []int{5, 6, 5}, io.EOF, "message 2"},
		{"cut", []int{5, 5, 5}, cut, "cut"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			sizes := tc.sizes
			err := countMessages(3, 5, func() ([]byte, error) {
				if len(sizes) == 0 {
					return nil, tc.end
				}
				message := make([]byte, sizes[0])
				sizes = sizes[1:]
				return message, nil
			})
			if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error = %v, want %q", err, tc.want)
			}
		})
	}
}

func TestParseAsk(t *testing.T) {
	n, size, err := parseAsk(newAsk(2000, 512))
	if n != 2000 || size != 512 || err != nil {
		t.Errorf("got %d, %d, %v", n, size, err)
	}
	if _, _, err := parseAsk(make([]byte, askSize-1)); err == nil {
		t.Error("a short request was taken")
	}
}
