package telemetry

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestChangeBeforeFollow: a file that changes after it was taken and before it
// is followed is taken as it is then. A program may take its time between the
// two.
func TestChangeBeforeFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), PodFile)
		write := func(level string) {
			t.Helper()
			if err := os.WriteFile(path, fmt.Appendf(nil, `{"logging": {"level": %q}}`, level), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		s, _ := openSystem(t, Options{})
		f := &Followed{Path: path, Parse: Parse, Log: slog.New(slog.DiscardHandler)}
		write("warn")
		s.Begin(f)
		if got := s.Log().Level(); got != slog.LevelWarn {
			t.Fatalf("it begins with %v", got)
		}
		write("debug")
		ctx, cancel := context.WithCancel(t.Context())
		var group sync.WaitGroup
		group.Go(func() { s.Follow(ctx, f) })
		time.Sleep(3 * followEvery)
		if got := s.Log().Level(); got != slog.LevelDebug {
			t.Errorf("it stays at %v", got)
		}
		write("error")
		time.Sleep(3 * followEvery)
		if got := s.Log().Level(); got != slog.LevelError {
			t.Errorf("it does not follow: %v", got)
		}
		cancel()
		group.Wait()
	})
}

// TestRefusedNamesTheFile: whoever reads that a configuration was refused, or
// taken, reads which file it stands in.
func TestRefusedNamesTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), PodFile)
	s, _ := openSystem(t, Options{})
	for _, text := range []string{"{", `{"logging": {"level": "loud"}}`, `{"logging": {"level": "warn"}}`} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var said bytes.Buffer
		s.Begin(&Followed{Path: path, Parse: ParsePod, Log: slog.New(slog.NewTextHandler(&said, nil))})
		if !strings.Contains(said.String(), "file="+path) {
			t.Errorf("of %s it says %s", text, &said)
		}
	}
}
