//go:build unix

package peers

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
)

// Opening a pipe would wait for its writer.
func TestWatchFileRefusesPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		w := watch(t, WatchFile(path, self))
		defer w.stop()
		if _, err := w.next(t, settle); err == nil || !strings.Contains(err.Error(), "not a regular file") {
			t.Error(err)
		}
	})
}
