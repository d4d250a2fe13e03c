package main

import (
	"os"
	"strings"
	"testing"
)

// TestDocumentShowsThisProgram: word for word, so that what a reader copies runs.
func TestDocumentShowsThisProgram(t *testing.T) {
	read := func(name string) string {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	document, program := read("../../docs/embedding.md"), read("main.go")
	_, rest, _ := strings.Cut(program, "\nfunc run(")
	body, _, _ := strings.Cut(rest, "\n}\n")
	for name, text := range map[string]string{
		"func run of main.go": "```go\nfunc run(" + body + "\n}\n```\n",
		"grid.yaml":           "```yaml\n" + read("grid.yaml") + "```\n",
	} {
		if !strings.Contains(document, text) {
			t.Errorf("docs/embedding.md does not show %s as it is; copy it there", name)
		}
	}
}
