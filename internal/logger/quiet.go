package logger

import (
	"flag"
	"log/slog"
	"os"
	"strings"
)

// TestVariable is the environment variable that has tests print more than
// errors: debug, info, warn or error.
const TestVariable = "GRIDMESH_TEST_LOG"

// DefaultLevel is the level of a program that was told nothing: info, and under
// go test error, unless the test asks for more, by
//
//	GRIDMESH_TEST_LOG=debug go test -v ./…
//	go test -v ./… -args log=debug
func DefaultLevel() slog.Level {
	if flag.Lookup("test.v") == nil {
		return slog.LevelInfo
	}
	return testLevel(os.Getenv(TestVariable), os.Args)
}

func testLevel(variable string, args []string) slog.Level {
	words := []string{variable}
	for _, arg := range args {
		if word, ok := strings.CutPrefix(arg, "log="); ok {
			words = append(words, word)
		}
	}
	level := slog.LevelError
	for _, word := range words {
		var asked slog.Level
		if word != "" && asked.UnmarshalText([]byte(word)) == nil {
			level = asked
		}
	}
	return level
}
