package logtest

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// fake is a test that is looked at.
type fake struct {
	testing.TB

	failed   []string
	cleanups []func()
}

func (f *fake) Cleanup(fn func()) { f.cleanups = append(f.cleanups, fn) }
func (f *fake) Errorf(format string, args ...any) {
	f.failed = append(f.failed, fmt.Sprintf(format, args...))
}
func (f *fake) Helper() {}

// TestExpected: errors that are expected pass, others fail the test.
func TestExpected(t *testing.T) {
	f := &fake{TB: t}
	l := New(f)
	l.Expect("disk is full")
	log := l.Logger().With("a", 1).WithGroup("g")
	log.Error("the disk is full", "b", 2)
	log.Warn("never mind")
	go log.Error("something else", slog.Group("h", "c", 3))
	if e := l.Wait("something"); e.Attrs["g.h.c"].Int64() != 3 || e.Attrs["a"].Int64() != 1 || e.Level != slog.LevelError {
		t.Errorf("%+v", e)
	}
	for _, fn := range f.cleanups {
		fn()
	}
	if len(f.failed) != 1 || !strings.Contains(f.failed[0], "something else") {
		t.Errorf("failed: %q", f.failed)
	}
}
