package main

import (
	"io"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		main()
	}
	goleak.VerifyTestMain(m)
}

// output runs the program's main function with its standard output and error
// in files, and gives what is in them.
func output(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	streams := []**os.File{&os.Stdout, &os.Stderr}
	var texts []string
	files := make([]*os.File, len(streams))
	for i, stream := range streams {
		f, err := os.CreateTemp(t.TempDir(), "")
		if err != nil {
			t.Fatal(err)
		}
		was := *stream
		t.Cleanup(func() { *stream = was })
		*stream, files[i] = f, f
	}
	status = run(args)
	for _, f := range files {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(f)
		if err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
		texts = append(texts, string(text))
	}
	return status, texts[0], texts[1]
}

func TestWordsLeadToTheirCommand(t *testing.T) {
	for _, tt := range []struct {
		args           []string
		status         int
		stdout, stderr string
	}{
		{[]string{"--help"}, 0, "Usage:\n  node [settings]", ""},
		{[]string{"help"}, 0, "Usage:\n  node [settings]", ""},
		{[]string{"help", "call"}, 0, "Usage: node call PEER HANDLER", ""},
		{[]string{"help", "settings"}, 0, "# Configuration of the node", ""},
		{[]string{"help", "nope"}, 2, "", `there is no command "nope"`},
		{[]string{"status", "--help"}, 0, "Usage: node status", ""},
		{[]string{"help", "log"}, 0, "Usage: node log tail [PEER...]", ""},
		{[]string{"audit", "--help"}, 0, "Usage: node audit tail [PEER...]", ""},
		{[]string{"log", "head"}, 2, "", `"head" where "tail" belongs`},
		{[]string{"call"}, 2, "", "0 arguments where"},
		{[]string{"serve"}, 2, "", "the configuration is refused"},
		{nil, 2, "", "name (default): is missing"},
	} {
		status, stdout, stderr := output(t, tt.args...)
		if status != tt.status || !strings.Contains(stdout, tt.stdout) || !strings.Contains(stderr, tt.stderr) || (stderr == "") != (tt.stderr == "") {
			t.Errorf("%q: status %d\n%s\n%s", tt.args, status, stdout, stderr)
		}
	}
}
