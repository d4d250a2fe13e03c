package settings

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// sample has one setting of each type.
type sample struct {
	Text    string
	Addr    string
	Level   string
	On      bool
	Wait    time.Duration
	Count   int
	Size    int64
	Names   []string
	Where   map[string]string
	Doc     map[string]any
	Config  string
	Version bool
}

func (c *sample) table() *Table {
	noSpace := func(s string) error {
		if strings.Contains(s, " ") {
			return errors.New("it has a space")
		}
		return nil
	}
	return &Table{Prefix: "GRID_", Settings: []Setting{
		{Name: "config", Alias: "c", Group: "File", Help: "The file.", NoFile: true, Value: Path(&c.Config, "FILE", "a path")},
		{Name: "text", Group: "All", Help: "A text.", Value: String(&c.Text, "TEXT", "text without spaces", noSpace)},
		{Name: "admin-addr", Group: "All", Default: "127.0.0.1:7701", Help: "An address.", Value: Address(&c.Addr)},
		{Name: "log-level", Live: true, Group: "All", Default: "info", Help: "A choice.", Value: Choice(&c.Level, "debug", "info", "error")},
		{Name: "on", Group: "All", Default: "false", Help: "A switch.", Value: Switch(&c.On)},
		{Name: "wait", Group: "All", Default: "30s", Help: "A time.", Value: Duration(&c.Wait, 0, time.Hour)},
		{Name: "count", Group: "All", Default: "3", Help: "A number.", Value: Int(&c.Count, 1, 10)},
		{Name: "size", Group: "All", Default: "64MiB", Help: "A size.", Value: Bytes(&c.Size, 1, 1<<30)},
		{Name: "names", Group: "Many", Help: "A list.", Value: List(&c.Names, "NAME", "names without spaces", noSpace)},
		{Name: "where", Group: "Many", Help: "Pairs.", Value: Pairs(&c.Where, "NAME=ADDR", "name=address", func(_, addr string) error { return CheckAddress(addr) })},
		{Name: "doc", Group: "Many", Help: "A document.", Value: Document(&c.Doc, "a mapping", parseDoc)},
		{Name: "version", Group: "Acts", Help: "An act.", FlagOnly: true, Value: Switch(&c.Version)},
	}}
}

// parseDoc takes a mapping without the keys bad and worse, and tells of both.
func parseDoc(text []byte) (doc map[string]any, err error) {
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, err
	}
	var all []error
	for _, key := range []string{"bad", "worse"} {
		if _, there := doc[key]; there {
			all = append(all, keyed(key))
		}
	}
	return doc, errors.Join(all...)
}

type keyed string

func (k keyed) Error() string              { return "not this" }
func (k keyed) Key() (path, reason string) { return "doc." + string(k), "is " + string(k) }

var defaults = sample{Addr: "127.0.0.1:7701", Level: "info", Wait: 30 * time.Second, Count: 3, Size: 64 << 20}

// load runs the table over three sources; file "" means there is none.
func load(args []string, environ []string, file string) (sample, *Loaded, error) {
	var c sample
	if file != "" {
		environ = append(environ, "GRID_CONFIG=grid.yaml")
	}
	loaded, err := c.table().Load(Input{Args: args, Environ: environ, File: "config", ReadFile: func(name string) ([]byte, error) {
		if name != "grid.yaml" || file == "" {
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		}
		return []byte(file), nil
	}})
	if file != "" && c.Config == "grid.yaml" {
		c.Config = ""
	}
	return c, loaded, err
}

func TestEverySettingFromEverySource(t *testing.T) {
	tests := []struct {
		name, text, yaml string
		want             func(*sample)
	}{
		{"text", "hello", "hello", func(c *sample) { c.Text = "hello" }},
		{"text", "no", "no", func(c *sample) { c.Text = "no" }}, // YAML of old takes it for false
		{"text", "010", "010", func(c *sample) { c.Text = "010" }},
		{"admin-addr", ":0", "':0'", func(c *sample) { c.Addr = ":0" }},
		{"admin-addr", "[::1]:80", `"[::1]:80"`, func(c *sample) { c.Addr = "[::1]:80" }},
		{"log-level", "error", "error", func(c *sample) { c.Level = "error" }},
		{"on", "true", "true", func(c *sample) { c.On = true }},
		{"wait", "1h", "1h", func(c *sample) { c.Wait = time.Hour }},
		{"wait", "0s", "0s", func(c *sample) { c.Wait = 0 }},
		{"count", "10", "10", func(c *sample) { c.Count = 10 }},
		{"size", "512KiB", "512KiB", func(c *sample) { c.Size = 512 << 10 }},
		{"size", "7", "7", func(c *sample) { c.Size = 7 }},
		{"names", "a,b", "[a, b]", func(c *sample) { c.Names = []string{"a", "b"} }},
		{"names", "a, b", "a,b", func(c *sample) { c.Names = []string{"a", "b"} }},
		{"doc", "{a: [1], b: {c: 'd,e'}}", "\n  a: [1]\n  b:\n    c: d,e", func(c *sample) {
			c.Doc = map[string]any{"a": []any{1}, "b": map[string]any{"c": "d,e"}}
		}},
		{"where", "n:1=h:2,m:1=h:3", "{'n:1': 'h:2', 'm:1': 'h:3'}", func(c *sample) { c.Where = map[string]string{"n:1": "h:2", "m:1": "h:3"} }},
	}
	for _, tt := range tests {
		t.Run(tt.name+"="+tt.text, func(t *testing.T) {
			want := defaults
			tt.want(&want)
			variable := "GRID_" + strings.ToUpper(strings.ReplaceAll(tt.name, "-", "_"))
			for source, in := range map[Source]struct {
				args, environ []string
				file          string
			}{
				Source("flag --" + tt.name):          {args: []string{"--" + tt.name + "=" + tt.text}},
				Source("environment " + variable):    {environ: []string{variable + "=" + tt.text}},
				Source("file grid.yaml" + ":2"):      {file: "# our grid\n" + tt.name + ": " + tt.yaml + "\n"},
				Source("flag --" + tt.name + "\x00"): {args: []string{"-" + tt.name + "=" + tt.text}, environ: []string{variable + "="}},
			} {
				got, loaded, err := load(in.args, in.environ, in.file)
				if err != nil {
					t.Fatalf("%s: %v", source, err)
				}
				if !reflect.DeepEqual(got, want) {
					t.Errorf("%s: got %+v, want %+v", source, got, want)
				}
				if source := Source(strings.TrimSuffix(string(source), "\x00")); loaded.Source(tt.name) != source {
					t.Errorf("source of %s is %q, want %q", tt.name, loaded.Source(tt.name), source)
				}
			}
		})
	}
}

func TestTheTestNamesEverySetting(t *testing.T) {
	text, err := os.ReadFile("settings_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range new(sample).table().Settings {
		if s.FlagOnly || s.NoFile {
			continue
		}
		if n := bytes.Count(text, []byte(`{"`+s.Name+`", `)); n < 2 && s.Name != "doc" { // accepted once and refused once
			t.Errorf("setting %s stands in %d rows of the tables here", s.Name, n)
		}
	}
}

func TestPrecedence(t *testing.T) {
	file := "count: 4\n"
	variable := []string{"GRID_COUNT=5"}
	flag := []string{"--count", "6"}
	for _, tt := range []struct {
		args, environ []string
		file          string
		want          int
		source        Source
	}{
		{nil, nil, "", 3, Default},
		{nil, nil, file, 4, "file grid.yaml:1"},
		{nil, variable, file, 5, "environment GRID_COUNT"},
		{flag, variable, file, 6, "flag --count"},
		{flag, nil, file, 6, "flag --count"},
		{nil, []string{"GRID_COUNT="}, file, 4, "file grid.yaml:1"}, // empty is not set
	} {
		got, loaded, err := load(tt.args, tt.environ, tt.file)
		if err != nil || got.Count != tt.want || loaded.Source("count") != tt.source {
			t.Errorf("%v %v %q: %d from %q, %v; want %d from %q", tt.args, tt.environ, tt.file, got.Count, loaded.Source("count"), err, tt.want, tt.source)
		}
	}
}

func TestBadValues(t *testing.T) {
	for _, tt := range []struct{ name, value, reason, allowed string }{
		{"text", "a b", "it has a space", "text without spaces"},
		{"admin-addr", "localhost", "missing port in address", "host:port or :port, such as 127.0.0.1:7701"},
		{"admin-addr", "localhost:http", `the port "http" is not a number from 0 to 65535`, "host:port"},
		{"admin-addr", "localhost:65536", `the port "65536" is not a number from 0 to 65535`, "host:port"},
		{"log-level", "loud", "not one of them", "debug, info or error"},
		{"on", "yes", "neither", "true or false"},
		{"wait", "30", "the unit is missing", "a duration from 0s to 1h, such as"},
		{"wait", "soon", "not a duration", "a duration from 0s to 1h, such as"},
		{"wait", "-1s", "out of range", "a duration from 0s to 1h, such as"},
		{"wait", "1h0m1s", "out of range", "a duration from 0s to 1h, such as"},
		{"count", "0", "out of range", "a whole number from 1 to 10"},
		{"count", "11", "out of range", "a whole number from 1 to 10"},
		{"count", "1e3", "not a whole number", "a whole number from 1 to 10"},
		{"count", "99999999999999999999", "out of range", "a whole number from 1 to 10"},
		{"size", "0", "out of range", "a size from 1B to 1GiB"},
		{"size", "2GiB", "out of range", "a size from 1B to 1GiB"},
		{"size", "9223372036854775807GiB", "out of range", "a size from 1B to 1GiB"},
		{"size", "64MB", "not a size; the units are B, KiB, MiB, GiB and TiB", "a size from 1B to 1GiB"},
		{"size", "many", "not a size", "a size from 1B to 1GiB"},
		{"names", "a,,b", "an entry is empty", "names without spaces"},
		{"names", "a,b c", "it has a space", "names without spaces"},
		{"where", "n:1", `"n:1" has no =`, "name=address"},
		{"where", "n:1=h", "missing port", "name=address"},
		{"where", "n:1=h:1,n:1=h:2", `"n:1" is there twice`, "name=address"},
	} {
		t.Run(tt.name+"="+tt.value, func(t *testing.T) {
			variable := "GRID_" + strings.ToUpper(strings.ReplaceAll(tt.name, "-", "_"))
			for source, in := range map[Source]struct {
				args, environ []string
				file          string
			}{
				Source("flag --" + tt.name):       {args: []string{"--" + tt.name + "=" + tt.value}},
				Source("environment " + variable): {environ: []string{variable + "=" + tt.value}},
				"file grid.yaml:1":                {file: tt.name + ": '" + tt.value + "'\n"},
			} {
				_, _, err := load(in.args, in.environ, in.file)
				var refused *Error
				if !errors.As(err, &refused) {
					t.Fatalf("%s: %v", source, err)
				}
				if refused.Name != tt.name || refused.Value != tt.value || refused.Source != source ||
					!strings.HasPrefix(refused.Reason, tt.reason) || !strings.HasPrefix(refused.Allowed, tt.allowed) {
					t.Errorf("refused as %+v", refused)
				}
				for _, part := range []string{tt.name, fmt.Sprintf("%q", tt.value), string(source), tt.reason, tt.allowed} {
					if !strings.Contains(err.Error(), part) {
						t.Errorf("%q does not say %q", err, part)
					}
				}
			}
		})
	}
}

func TestRefused(t *testing.T) {
	for _, tt := range []struct {
		name          string
		args, environ []string
		file          string
		want          []string // one error each, in order
	}{
		{"unknown flag", []string{"--admin-adr", ":1"}, nil, "", []string{"--admin-adr (command line): there is no such flag; did you mean --admin-addr?"}},
		{"unknown flag like none", []string{"--zzzzzzzzzz"}, nil, "", []string{"--zzzzzzzzzz (command line): there is no such flag"}},
		{"no value", []string{"--count"}, nil, "", []string{"count (flag --count): the value is missing; allowed: a whole number"}},
		{"empty value", []string{"--count="}, nil, "", []string{"count (flag --count): there is no value; allowed: a whole number"}},
		{"twice", []string{"--count=1", "--count=2"}, nil, "", []string{`count = "2" (flag --count): it is given twice`}},
		{"switch with a value apart", []string{"--on", "false"}, nil, "", nil},
		{"unknown variable", nil, []string{"GRID_ADMIN_ADR=:1"}, "",
			[]string{"GRID_ADMIN_ADR (environment): there is no such setting; did you mean GRID_ADMIN_ADDR?"}},
		{"an act is no variable", nil, []string{"GRID_VERSION=true"}, "", []string{"GRID_VERSION (environment): there is no such setting"}},
		{"another program's variable", nil, []string{"GRIDLOCK=1", "HOME=/"}, "", nil},
		{"Kubernetes service links", nil, []string{
			"GRID_SERVICE_HOST=10.0.0.1", "GRID_SERVICE_PORT=7700", "GRID_SERVICE_PORT_GRID=7700", "GRID_PORT=tcp://10.0.0.1:7700",
			"GRID_PORT_7700_TCP=tcp://10.0.0.1:7700", "GRID_PORT_7700_TCP_PROTO=tcp", "GRID_DEMO_SERVICE_HOST=10.0.0.2", "GRID_DEMO_PORT_1_UDP_ADDR=10.0.0.2",
		}, "", nil},
		{"unknown key", nil, nil, "count: 1\nlog-lvel: info\n", []string{"log-lvel (file grid.yaml:2): there is no such setting; did you mean log-level?"}},
		{"the file's name in the file", nil, nil, "config: other.yaml\n", []string{"config (file grid.yaml:1): there is no such setting"}},
		{"an act is no key", nil, nil, "version: true\n", []string{"version (file grid.yaml:1): there is no such setting"}},
		{"a short flag is no key", nil, nil, "c: x\n", []string{"c (file grid.yaml:1): there is no such setting"}},
		{"key twice", nil, nil, "count: 1\ncount: 2\n", []string{"count (file grid.yaml:2): it is given twice"}},
		{"null", nil, nil, "count:\n", []string{"count (file grid.yaml:1): there is no value; allowed: a whole number"}},
		{"list for one", nil, nil, "count: [1]\n", []string{"count (file grid.yaml:1): a list where one value is expected; allowed: a whole number"}},
		{"mapping for one", nil, nil, "count: {a: 1}\n", []string{"count (file grid.yaml:1): a mapping where one value is expected; allowed: a whole number"}},
		{"mapping for a list", nil, nil, "names: {a: 1}\n", []string{"names (file grid.yaml:1): a mapping where one value is expected; allowed: names"}},
		{"empty list", nil, nil, "names: []\n", []string{"names (file grid.yaml:1): there is no value; allowed: names"}},
		{"list in a list", nil, nil, "names: [[a]]\n", []string{"names (file grid.yaml:1): an entry of the list is not a plain value; allowed: names"}},
		{"list in a mapping", nil, nil, "where: {a: [b]}\n", []string{"where (file grid.yaml:1): an entry is not a plain name and value; allowed: name=address"}},
		{"alias", nil, nil, "text: &a x\nadmin-addr: *a\n",
			[]string{"admin-addr (file grid.yaml:2): aliases are not understood here; write the value; allowed: host:port"}},
		{"not a mapping", nil, nil, "- count\n", []string{`the file (file grid.yaml:1): is not a mapping; write one "name: value" a line`}},
		{"not YAML", nil, nil, "count: [1\n", []string{"the file (file grid.yaml): is not YAML: line 1: "}},
		{"two documents", nil, nil, "count: 1\n---\ncount: 2\n", []string{"the file (file grid.yaml:2): goes on after its first document"}},
		{"too large", nil, nil, "text: " + strings.Repeat("x", maxFile), []string{"the file (file grid.yaml): 1048582 bytes, allowed are 1048576"}},
		{"just not too large", nil, nil, "text: " + strings.Repeat("x", maxFile-6), nil},
		{"document", []string{"--doc={bad: canary, worse: canary}"}, []string{"GRID_DOC=["}, "doc: {a: 1,\n  bad: canary}\n", []string{
			"doc.bad (flag --doc): is bad", "doc.worse (flag --doc): is worse",
			"doc (environment GRID_DOC): yaml: line 1: did not find expected node content",
			"doc.bad (file grid.yaml:1): is bad",
		}},
		{"document twice", []string{"--doc={}", "--doc={}"}, nil, "doc: \n", []string{
			"doc = \"{}\" (flag --doc): it is given twice", "doc (file grid.yaml:1): there is no value; allowed: a mapping",
		}},
		{"empty file", nil, nil, "\n", nil},
		{"comments only", nil, nil, "# nothing\n---\n", nil},
		{"no file", []string{"--config", "missing.yaml"}, nil, "", []string{"the file (file missing.yaml): cannot be read: file does not exist"}},
		{"a bad value that is not used", []string{"--count", "1"}, nil, "count: 99\n",
			[]string{`count = "99" (file grid.yaml:1): out of range; allowed: a whole number`}},
		{"all at once", []string{"--nope"}, []string{"GRID_COUNT=0"}, "wait: 5\n", []string{
			"--nope (command line): there is no such flag",
			`count = "0" (environment GRID_COUNT): out of range; allowed: a whole number from 1 to 10`,
			`wait = "5" (file grid.yaml:1): the unit is missing; allowed: a duration from 0s to 1h, such as`,
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := load(tt.args, tt.environ, tt.file)
			got := Problems(err)
			slices.SortFunc(got, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
			slices.Sort(tt.want)
			if len(got) != len(tt.want) {
				t.Fatalf("got %d errors: %v\nwant %d: %q", len(got), err, len(tt.want), tt.want)
			}
			for i := range got {
				if !strings.HasPrefix(got[i].Error(), tt.want[i]) {
					t.Errorf("got  %s\nwant %s…", got[i], tt.want[i])
				}
			}
		})
	}
}

func TestArguments(t *testing.T) {
	for _, tt := range []struct{ args, rest []string }{
		{nil, nil},
		{[]string{"call", "--count", "2", "peer", "--on", "echo"}, []string{"call", "peer", "echo"}},
		{[]string{"-", "--on", "--", "--count", "x"}, []string{"-", "--count", "x"}},
	} {
		_, loaded, err := load(tt.args, nil, "")
		if err != nil || !slices.Equal(loaded.Rest, tt.rest) {
			t.Errorf("%q: rest %q, %v; want %q", tt.args, loaded.Rest, err, tt.rest)
		}
	}
	c, _, err := load([]string{"--names", "a", "--names=b,c", "--where", "x=h:1", "--where", "y=h:2"}, nil, "")
	if err != nil || !slices.Equal(c.Names, []string{"a", "b", "c"}) || !maps.Equal(c.Where, map[string]string{"x": "h:1", "y": "h:2"}) {
		t.Errorf("a list given in several flags: %q, %q, %v", c.Names, c.Where, err)
	}
}

func TestSharedEnvironment(t *testing.T) {
	var c sample
	table := c.table()
	table.Shared = true
	if _, err := table.Load(Input{Environ: []string{"GRID_OTHER=1", "GRID_COUNT=4"}}); err != nil || c.Count != 4 {
		t.Errorf("count %d, %v", c.Count, err)
	}
}

func TestHelpNamesEverySetting(t *testing.T) {
	var help, reference strings.Builder
	table := new(sample).table()
	table.WriteHelp(&help)
	table.WriteMarkdown(&reference)
	for _, s := range table.Settings {
		for text, places := range map[string]string{"--" + s.Name: help.String(), s.Help: help.String(), s.Group + ":\n": help.String()} {
			if !strings.Contains(places, text) {
				t.Errorf("--help does not say %q", text)
			}
		}
		if s.FlagOnly {
			continue
		}
		for _, text := range []string{"`--" + s.Name + "`", "`" + s.variable("GRID_") + "`", s.Help, s.Value.allowed} {
			if !strings.Contains(reference.String(), text) {
				t.Errorf("the reference does not say %q", text)
			}
		}
	}
	for line := range strings.Lines(help.String()) {
		if len(strings.TrimRight(line, "\n")) > helpWidth {
			t.Errorf("a line of %d columns: %q", len(line), line)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"", "ab", 2}, {"peers", "peer", 1}, {"name", "mane", 2}, {"log-level", "log-lvel", 1}} {
		if got := distance(tt.a, tt.b); got != tt.want {
			t.Errorf("%q to %q: %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}

func TestFixed(t *testing.T) {
	var before, after sample
	if _, err := before.table().Load(Input{Args: []string{"--names=a", "--where=a=b:1"}}); err != nil {
		t.Fatal(err)
	}
	args := []string{"--names=a", "--where=a=b:2", "--count=4", "--log-level=debug", "--version"}
	if _, err := after.table().Load(Input{Args: args}); err != nil {
		t.Fatal(err)
	}
	if got := before.table().Fixed(after.table()); !slices.Equal(got, []string{"count", "where"}) {
		t.Errorf("what needs a restart is %q", got)
	}
	if got := before.table().Fixed(before.table()); got != nil {
		t.Errorf("nothing has changed, but %q", got)
	}
}

// Whatever is in the file, it is read or refused, and what is refused has a reason.
func FuzzFile(f *testing.F) {
	for _, seed := range []string{
		"", "count: 4\n", "names: [a, b]\nwhere: {x: 'h:1'}\n", "a: &a [*a]\n", "? {}\n: 1\n", "<<: {count: 1}\n", "--- |\n x\n...\n---\n", "count: !!binary x\n",
		"!!map {count: !!int 3}\n", "\xff", "\x00", "count:\t1", "\"co\\u0075nt\": 2\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, file string) {
		_, _, err := load(nil, nil, file)
		for _, problem := range Problems(err) {
			if refused := (*Error)(nil); !errors.As(problem, &refused) || refused.Reason == "" || refused.Source == "" {
				t.Errorf("refused without a reason: %v", problem)
			}
		}
	})
}
