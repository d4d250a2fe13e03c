package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// module makes a throw-away module out of one test file.
func module(t *testing.T, body string) string {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "go.mod"), "module example.test/planted\n\ngo 1.26\n")
	write(t, filepath.Join(dir, "planted_test.go"), "package planted\n\nimport \"testing\"\n\n"+body)
	return dir
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestVerdicts runs the real go test on planted modules: what must fail the
// gate does, what must pass does, and the words say which.
func TestVerdicts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		body   string
		skips  string // the skips file, if any
		args   []string
		status int
		want   []string // regular expressions
		not    []string
	}{
		{
			name:   "all pass",
			body:   "func TestA(t *testing.T) { t.Log(\"chatter\") }",
			status: 0,
			want:   []string{`(?m)^ok  \texample\.test/planted\t[0-9.]+s$`, `(?m)^1 passed, 0 failed, 0 skipped$`},
			not:    []string{"chatter"},
		},
		{
			name:   "one fails",
			body:   "func TestA(t *testing.T) { t.Log(\"words of a\") }\nfunc TestB(t *testing.T) { t.Error(\"words of b\") }",
			args:   []string{"-shuffle=7"},
			status: 1,
			want: []string{
				"FAILED example.test/planted TestB", "-test.shuffle 7",
				`(?m)^failed .*:\nexample\.test/planted TestB\n +planted_test\.go:[0-9]+: words of b\n1 passed, 1 failed, 0 skipped$`,
			},
			not: []string{"words of a"},
		},
		{
			name:   "a skip without a reason",
			body:   "func TestA(t *testing.T) {}\nfunc TestB(t *testing.T) { t.Skip(\"no network here\") }",
			status: 1,
			want:   []string{"no network here", "skipped without a reason", "planted TestB", `(?m)^1 passed, 0 failed, 1 skipped$`},
		},
		{
			name:   "a skip with a reason",
			body:   "func TestA(t *testing.T) {}\nfunc TestB(t *testing.T) { t.Run(\"x\", func(t *testing.T) { t.Skip(\"no network here\") }) }",
			skips:  "# a comment\nplanted TestB/* the machine has no network\n",
			status: 0,
			want:   []string{"TestB/x: the machine has no network", `(?m)^2 passed, 0 failed, 1 skipped$`},
		},
		{
			name:   "a reason for another test",
			body:   "func TestA(t *testing.T) {}\nfunc TestB(t *testing.T) { t.Skip() }",
			skips:  "planted TestA no reason for B\notherplanted TestB another package\n",
			status: 1,
		},
		{
			name:   "nothing matches",
			body:   "func TestA(t *testing.T) {}",
			args:   []string{"-run", "^TestNone$"},
			status: 1,
			want:   []string{"nothing ran"},
		},
		{
			name:   "all skipped",
			body:   "func TestA(t *testing.T) { t.Skip() }",
			skips:  "planted TestA allowed, but then nothing ran\n",
			status: 1,
			want:   []string{"nothing ran"},
		},
		{
			name:   "does not build",
			body:   "func TestA(t *testing.T) { undefined() }",
			status: 1,
			want:   []string{"undefined: undefined", `(?m)^0 passed, 1 failed, 0 skipped$`},
		},
		{
			name:   "panics in a goroutine",
			body:   "func TestA(t *testing.T) { go func() { panic(\"far away\") }(); select {} }",
			status: 1,
			want:   []string{"far away", `(?m)^0 passed, 1 failed, 0 skipped$`},
		},
		{
			name:   "hangs",
			body:   "func TestA(t *testing.T) { select {} }",
			args:   []string{"-timeout=1s"},
			status: 1,
			want:   []string{"TestA", "panic: test timed out|all goroutines are asleep", `(?m)^0 passed, 1 failed, 0 skipped$`},
		},
		{
			name:   "benchmarks",
			body:   "func BenchmarkA(b *testing.B) { b.Run(\"x\", func(b *testing.B) { for b.Loop() { } }) }",
			args:   []string{"-run=^$", "-bench=.", "-benchtime=1x"},
			status: 0,
			want:   []string{`(?m)^BenchmarkA/x.* ns/op`, `(?m)^1 passed, 0 failed, 0 skipped$`},
		},
		{
			name:   "a benchmark skips",
			body:   "func BenchmarkA(b *testing.B) { for b.Loop() { } }\nfunc BenchmarkB(b *testing.B) { b.Skip() }",
			args:   []string{"-run=^$", "-bench=.", "-benchtime=1x"},
			status: 1,
			want:   []string{`(?m)^1 passed, 0 failed, 1 skipped$`},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			args := []string{"-C", module(t, c.body)}
			if c.skips != "" {
				name := filepath.Join(t.TempDir(), "skips")
				write(t, name, c.skips)
				args = append(args, "-skips", name)
			}
			args = append(append(args, "--", "-count=1"), c.args...)
			var out, errOut bytes.Buffer
			status := run(t.Context(), args, &out, &errOut)
			if status != c.status {
				t.Errorf("exit status %d, want %d", status, c.status)
			}
			for _, want := range c.want {
				if !regexp.MustCompile(want).Match(out.Bytes()) {
					t.Errorf("output lacks %q", want)
				}
			}
			for _, not := range c.not {
				if strings.Contains(out.String(), not) {
					t.Errorf("output has %q", not)
				}
			}
			if t.Failed() {
				t.Logf("stdout:\n%s\nstderr:\n%s", &out, &errOut)
			}
		})
	}
}

// TestSeveralModules shows that a failure in the first module does not hide
// the second, and is not hidden by it.
func TestSeveralModules(t *testing.T) {
	t.Parallel()
	bad := module(t, "func TestA(t *testing.T) { t.Fail() }")
	good := module(t, "func TestA(t *testing.T) {}")
	var out, errOut bytes.Buffer
	status := run(t.Context(), []string{"-C", bad, "-C", good, "--", "-count=1"}, &out, &errOut)
	if want := "1 passed, 1 failed, 0 skipped\n"; status != 1 || !strings.HasSuffix(out.String(), want) {
		t.Errorf("exit status %d, want 1, and a last line %q in:\n%s", status, want, &out)
	}
}

func TestBadUsage(t *testing.T) {
	t.Parallel()
	noReason := filepath.Join(t.TempDir(), "skips")
	write(t, noReason, "pkg/grid TestA\n")
	badPattern := filepath.Join(t.TempDir(), "skips")
	write(t, badPattern, "pkg/grid Test[ reason\n")
	for name, args := range map[string][]string{
		"unknown flag":        {"-no-such-flag"},
		"race value":          {"-race", "maybe"},
		"no such skips file":  {"-skips", filepath.Join(t.TempDir(), "none")},
		"skip without reason": {"-skips", noReason},
		"bad pattern":         {"-skips", badPattern},
	} {
		var out, errOut bytes.Buffer
		if status := run(t.Context(), args, &out, &errOut); status != 2 || errOut.Len() == 0 {
			t.Errorf("%s: exit status %d, want 2 and words on stderr (got %q)", name, status, &errOut)
		}
	}
}

// TestRaceAuto shows that auto never fails where there is no compiler, and
// says what it chose.
func TestRaceAuto(t *testing.T) {
	for _, c := range []struct{ cc, want string }{
		{os.Getenv("CC"), "race detector: o"}, // on or off, as this machine has it
		{filepath.Join(t.TempDir(), "no-compiler"), "race detector: off"},
	} {
		t.Setenv("CC", c.cc)
		if c.cc == "" {
			os.Unsetenv("CC") // t.Setenv above puts it back
		}
		var out, errOut bytes.Buffer
		status := run(t.Context(), []string{"-C", module(t, "func TestA(t *testing.T) {}"), "-race", "auto", "--", "-count=1"}, &out, &errOut)
		if status != 0 || !strings.Contains(out.String(), c.want) {
			t.Errorf("CC=%s: exit status %d, want 0 and %q in:\n%s%s", c.cc, status, c.want, &out, &errOut)
		}
	}
}
