package main

import (
	"os"
	"strings"
	"testing"
)

// TestReadmeShowsThisProgram: word for word, so that what a reader copies runs.
func TestReadmeShowsThisProgram(t *testing.T) {
	program, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(readme), "```go\n"+string(program)+"```\n") {
		t.Error("README.md does not show examples/embed/main.go as it is; copy it there between ```go and ```")
	}
}
