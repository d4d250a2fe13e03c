package nodectl

import (
	"bytes"
	"encoding/json"
	"runtime"
	"strings"
	"testing"
	"unicode"
)

// TestTailLines: what a node sends becomes one line of text, or one of JSON,
// whoever wrote it, and under the name of the node that it came from.
func TestTailLines(t *testing.T) {
	const node = "node-1:7700"
	for _, tt := range []struct{ name, line, text, json string }{
		{
			"an entry of the log",
			`{"time":"2026-11-26T10:00:00.000000001Z","level":"INFO","msg":"link is up","source":"grid/peer.go:7","node":"node-1:7700","peer":"node-2:7700","n":3,"ok":true,"why":"no such host","list":[1,2]}`,
			`2026-11-26T10:00:00.000000001Z INFO  link is up source=grid/peer.go:7 peer=node-2:7700 n=3 ok=true why="no such host" list=[1,2]`,
			"=",
		},
		{
			"groups", `{"level":"WARN","msg":"m","node":"node-1:7700","g":{"a":1,"h":{"b":"x y"},"e":{}}}`,
			`WARN  m g.a=1 g.h.b="x y"`, "=",
		},
		{
			"a record of the audit",
			`{"id":"0-1","time":"2026-11-26T10:00:00.000000001Z","event":"call","node":"node-1:7700","peer":"node-2:7700","handler":"echo","direction":"in","result":"ok"}`,
			`2026-11-26T10:00:00.000000001Z call peer=node-2:7700 handler=echo direction=in result=ok`, "=",
		},
		{"missed", `{"tail":{"missed":12}}`, `… 12 entries came too fast to be read`, `{"tail":{"node":"node-1:7700","missed":12}}`},
		{"too large", `{"tail":{"too_large":12}}`, `… an entry of 12 bytes is more than the node asked takes`, `{"tail":{"node":"node-1:7700","too_large":12}}`},
		{"a note of later", `{"tail":{"moved":true}}`, `… a note that this version does not know`, `{"tail":{"node":"node-1:7700"}}`},
		{"a note that says another node", `{"tail":{"node":"node-2:7700","missed":1}}`, `… 1 entries came too fast to be read`, `{"tail":{"node":"node-1:7700","missed":1}}`},

		{"escapes", "{\"level\":\"INFO\",\"msg\":\"a\\u001b[2Jb\x7f\",\"node\":\"node-1:7700\",\"k\u009b\":\"\u202ex\xff\U000e0041\"}",
			`INFO  "a\x1b[2Jb\x7f" "k\u009b"="\u202ex` + "\ufffd" + `\U000e0041"`,
			`{"level":"INFO","msg":"a\u001b[2Jb\u007f","node":"node-1:7700","k\u009b":"\u202ex\ufffd\udb40\udc41"}`},
		{"a line made up", `{"level":"INFO","msg":"one\nnode-2:7700 INFO two","node":"node-1:7700"}`, `INFO  "one\nnode-2:7700 INFO two"`, "="},
		{"a field made up", `{"level":"INFO","msg":"m","node":"node-1:7700","a":"b peer=c","d=e":"f"}`, `INFO  m a="b peer=c" "d=e"=f`, "="},
		{"white space", "{\"level\":\"INFO\",\r\t\"msg\" : \"m\",\"node\":\"node-1:7700\"}", `INFO  m`, `{"level":"INFO","msg":"m","node":"node-1:7700"}`},
		{"another node's name", `{"msg":"m","node":"node-2:7700"}`, `m node=node-2:7700`, `{"tail":{"entry":{"msg":"m","node":"node-2:7700"},"node":"node-1:7700"}}`},
		{"two names", `{"node":"node-2:7700","msg":"m","Node":"node-1:7700"}`, `m node=node-2:7700 Node=node-1:7700`, `{"tail":{"entry":{"node":"node-2:7700","msg":"m","Node":"node-1:7700"},"node":"node-1:7700"}}`},
		{"no name", `{"msg":"m"}`, `m`, `{"tail":{"entry":{"msg":"m"},"node":"node-1:7700"}}`},
		{"empty", `{}`, ``, `{"tail":{"entry":{},"node":"node-1:7700"}}`},
		{"deep", `{"node":"node-1:7700","a":` + strings.Repeat(`{"a":`, 10) + `1` + strings.Repeat(`}`, 10) + `}`, `a.a.a.a.a.a.a.a.a="{\"a\":{\"a\":1}}"`, "="},

		{"no JSON", `hello`, "!", "!"},
		{"half of one", `{"msg":"m`, "!", "!"},
		{"two", `{"msg":"m"}{"msg":"n"}`, "!", "!"},
		{"a list", `[1]`, "!", "!"},
		{"null", `null`, "!", "!"},
		{"nothing", ``, "!", "!"},
		{"one too deep", strings.Repeat(`{"a":`, 20_000) + `1` + strings.Repeat(`}`, 20_000), "!", "!"},
	} {
		for _, form := range []struct {
			name, want string
			write      func(string, []byte) ([]byte, error)
		}{{"text", tt.text, textLine}, {"json", tt.json, jsonLine}} {
			got, err := form.write(node, []byte(tt.line))
			want := form.want
			if want == "=" {
				var b bytes.Buffer
				if err := json.Compact(&b, []byte(tt.line)); err != nil {
					t.Fatal(err)
				}
				want = b.String()
			}
			switch {
			case want == "!":
				if err == nil {
					t.Errorf("%s as %s: got %s, want an error", tt.name, form.name, got)
				}
			case err != nil || string(got) != want:
				t.Errorf("%s as %s:\n got %s, %v\nwant %s", tt.name, form.name, got, err, want)
			}
			if strings.ContainsFunc(strings.ReplaceAll(string(got), "\ufffd", ""), func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("%s as %s: %q is not fit for a terminal", tt.name, form.name, got)
			}
			if form.name == "json" && err == nil && !json.Valid(got) {
				t.Errorf("%s: %s is no JSON", tt.name, got)
			}
		}
	}
}

// FuzzTailLines: whatever a node sends becomes one line that is fit for a
// terminal, or an error.
func FuzzTailLines(f *testing.F) {
	f.Add([]byte(`{"time":"t","level":"INFO","msg":"m","node":"n","a":{"b":[1,"x"]}}`))
	f.Add([]byte("{\"tail\":{\"missed\":1}}"))
	f.Add([]byte("{\"a\u009b\":\"\x1b\"}"))
	f.Fuzz(func(t *testing.T, line []byte) {
		for _, write := range []func(string, []byte) ([]byte, error){textLine, jsonLine} {
			got, err := write("n", line)
			if err != nil {
				continue
			}
			for _, r := range string(got) {
				if !unicode.IsPrint(r) && r != '\ufffd' {
					t.Fatalf("%q", got)
				}
			}
		}
		if got, err := jsonLine("n", line); err == nil && !json.Valid(got) {
			t.Fatalf("%q", got)
		}
	})
}

// TestTailLineGrows: an entry is as long as a node likes to make it, up to
// tailLine. As text it does not become many times as long, whatever its keys are:
// the command runs in the pod of a node, and would take its memory.
func TestTailLineGrows(t *testing.T) {
	const members = 20_000
	long := strings.Repeat("k", 100_000)
	line := []byte(`{"` + long + `":{` + strings.TrimSuffix(strings.Repeat(`"a":1,`, members), ",") + `}}`)
	before := allocated(t, func() {
		got, err := textLine("node-1:7700", line)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) > 10*len(line) {
			t.Errorf("%d bytes became %d", len(line), len(got))
		}
	})
	if most := uint64(200 << 20); before > most {
		t.Errorf("%d bytes of memory for a line of %d", before, len(line))
	}
}

// allocated is how many bytes do takes from memory.
func allocated(t *testing.T, do func()) uint64 {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}
