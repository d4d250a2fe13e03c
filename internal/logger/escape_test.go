package logger

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"unicode"

	"github.com/gridmesh/gridmesh/internal/target"
)

// TestNothingButText: what is logged as a map, a list or JSON of its own, and the
// names of groups, reach a terminal and a file as text only, as strings do.
func TestNothingButText(t *testing.T) {
	const evil = "a\u009b2J\x7f\u202e\ufeff\x1b[2J\nb"
	for _, text := range []bool{true, false} {
		var out bytes.Buffer
		l := New(Options{Console: target.NewConsole(&out), Text: text})
		log := l.Logger()
		log.Info("map", "m", map[string]string{evil: evil}, "é", []string{"é"})
		log.Info("raw", "m", json.RawMessage(`{"a": "`+"\u009b\u202e\xff"+`"}`))
		log.Info("group", slog.Group(evil, slog.Group("g", "a", 1))) //nolint:sloglint // that is what it is about
		log.With("b", 1).WithGroup(evil).Info("group", "a", 1)
		log.WithGroup(evil).With("b", 1).Info("group", "a", 1)
		l.Close(context.Background())
		lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
		if len(lines) != 5 || !strings.Contains(lines[0], "é") {
			t.Errorf("%q", lines)
		}
		for _, line := range lines {
			for _, r := range line {
				if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
					t.Errorf("text %t: %q has %U", text, line, r)
					break
				}
			}
			var fields map[string]any
			if !text && json.Unmarshal([]byte(line), &fields) != nil {
				t.Errorf("%s is no JSON", line)
			}
			if m, ok := fields["m"].(map[string]any); ok && fields["msg"] == "map" && m[evil] != evil {
				t.Errorf("%v", m)
			}
		}
	}
}
