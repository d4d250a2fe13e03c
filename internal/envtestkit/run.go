package envtestkit

import (
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"testing"

	"github.com/go-logr/logr"
	"go.uber.org/goleak"
	"k8s.io/klog/v2"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
)

// one is the API server that the tests of this process share.
var one struct {
	sync.Mutex // protects the following

	tried bool
	kube  *Kube
	err   error
}

// Run runs the tests of a package for its TestMain, ends the API server if one of
// them started it, and returns the exit status: a failure also where goroutines
// are left behind. Errors are logged as the tests run, the rest with -v.
func Run(m *testing.M) int {
	before := goleak.IgnoreCurrent()
	flag.Parse()
	level := slog.LevelError
	if testing.Verbose() {
		level = slog.LevelInfo
	}
	logger := logr.FromSlogHandler(slog.NewTextHandler(io.MultiWriter(os.Stderr, &ears), &slog.HandlerOptions{Level: level}))
	ctrllog.SetLogger(logger)
	klog.SetLogger(logger)

	status := m.Run()
	if err := stop(); err != nil {
		fmt.Fprintln(os.Stderr, "envtestkit:", err)
		status = max(status, 1)
	}
	if status == 0 { // else it would only say once more that a test did not get to its end
		if err := goleak.Find(before); err != nil {
			fmt.Fprintln(os.Stderr, "envtestkit:", err)
			status = 1
		}
	}
	return status
}

// Start returns the API server that all tests of the package share, and starts it
// for the first of them. It may be called concurrently.
func Start(tb testing.TB) *Kube {
	tb.Helper()
	one.Lock()
	defer one.Unlock()
	if !one.tried {
		one.tried = true
		one.kube, one.err = start()
	}
	if one.err != nil {
		tb.Fatal(one.err)
	}
	return one.kube
}

func stop() error {
	one.Lock()
	defer one.Unlock()
	if one.kube == nil {
		return nil
	}
	return one.kube.stop()
}
