package telemetry

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// TestCut: a sentence that a receiver wrote is cut between letters.
func TestCut(t *testing.T) {
	for _, words := range []string{"", "short", strings.Repeat("x", maxWords), strings.Repeat("x", maxWords-1) + "é", strings.Repeat("日", maxWords)} {
		got := cut(words)
		if !utf8.ValidString(got) || !strings.HasPrefix(words, got) || len(got) < min(len(words), maxWords)-utf8.UTFMax {
			t.Errorf("%d bytes of %d: %q", len(got), len(words), got)
		}
	}
}
