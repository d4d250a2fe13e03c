package peers

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

func TestParseFile(t *testing.T) {
	three := []string{"node-0:9000", "node-1:9000", "node-2:9000"}
	for _, test := range []struct {
		name, text string
		want       []string
		err        error
		words      []string
	}{
		{"plain", "node-0:9000\nnode-1:9000\nnode-2:9000\n", three, nil, nil},
		{"any order", "node-2:9000\nnode-0:9000\nnode-1:9000\n", three, nil, nil},
		{"comments and blanks", "# rack 1\n\n node-0:9000\t# first\n#node-9:9000\nnode-1:9000#\n \nnode-2:9000\n", three, nil, nil},
		{"line ends of Windows", "node-0:9000\r\nnode-1:9000\r\nnode-2:9000\r\n", three, nil, nil},

		{"nothing", "", nil, ErrEmpty, nil},
		{"only comments", "# nobody\n\n", nil, ErrEmpty, []string{"2 lines"}},
		{"half-written", "node-0:9000\nnode-1:90", nil, ErrMalformed, []string{"half-written"}},
		{"without oneself", "node-1:9000\nnode-2:9000\n", nil, ErrNotListed, []string{`"node-0:9000"`, "2 names"}},
		{"bad name", "node-0:9000\n\nnode-1\n", nil, ErrMalformed, []string{"line 3", `"node-1"`, "no port"}},
		{"two on a line", "node-0:9000 node-1:9000\n", nil, ErrMalformed, []string{"line 1"}},
		{"twice", "node-1:9000\n# x\nnode-0:9000\nnode-1:9000\n", nil, ErrMalformed, []string{"line 4", `"node-1:9000"`, "line 1"}},
		{"a document", "gridmesh-peer-list 1\n", nil, ErrMalformed, []string{"line 1"}},
		{"not text", "\x00\xff\xfe\n", nil, ErrMalformed, []string{"line 1"}},
		{"byte order mark", "\ufeffnode-0:9000\n", nil, ErrMalformed, []string{`\ufeff`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			l, err := ParseFile([]byte(test.text), self)
			wantError(t, err, test.err, test.words...)
			if !slices.Equal(l.Names, test.want) || l.Epoch != 0 || l.Signed() {
				t.Errorf("got %+v, want %v", l, test.want)
			}
		})
	}
}

// A file cut anywhere gives no name that is not in it.
func TestParseFileCut(t *testing.T) {
	text := []byte("node-0:9000\nnode-1:9000\n# end\nnode-2:9000\n")
	whole, err := ParseFile(text, self)
	if err != nil {
		t.Fatal(err)
	}
	for i := range text {
		l, err := ParseFile(text[:i], self)
		if atLineEnd := i > 0 && text[i-1] == '\n'; (err == nil) != atLineEnd {
			t.Errorf("cut at %d: error %v", i, err)
		}
		for _, name := range l.Names {
			if !whole.Contains(name) {
				t.Errorf("cut at %d: invented %q", i, name)
			}
		}
	}
}

func TestParseFileLimits(t *testing.T) {
	names := manyNames(MaxNames + 1)
	for _, n := range []int{MaxNames - 1, MaxNames, MaxNames + 1} {
		text := []byte(strings.Join(names[:n], "\n") + "\n")
		l, err := ParseFile(text, names[0])
		if n <= MaxNames {
			if err != nil || len(l.Names) != n {
				t.Errorf("%d names: got %d, %v", n, len(l.Names), err)
			}
			continue
		}
		wantError(t, err, ErrMalformed, "line 10001", "more than 10000")
	}
	for _, size := range []int{MaxText - 1, MaxText, MaxText + 1} {
		text := append([]byte(self+"\n#"), bytes.Repeat([]byte("x"), size)...)[:size]
		text[size-1] = '\n'
		_, err := ParseFile(text, self)
		if size <= MaxText {
			wantError(t, err, nil)
			continue
		}
		wantError(t, err, ErrMalformed, "allowed are 5242880")
	}
}
