package operator

import (
	"context"
	"io"
	"log/slog"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/gridmesh/gridmesh/internal/telemetry"
)

// flushTime is how long the log may deliver what it holds when the operator ends.
const flushTime = 3 * time.Second

// said is the operator's log.
type said struct {
	*slog.Logger

	to *telemetry.System
}

// openLog makes the log as the configuration says.
func openLog(c Config, stderr io.Writer) (*said, error) {
	var level slog.Level
	_ = level.UnmarshalText([]byte(c.LogLevel)) // one of the words that the table lets through
	to, err := telemetry.Open(telemetry.Options{
		Node: "operator", Version: Version(), Console: stderr, LogFormat: c.LogFormat, Level: level, DataDir: c.DataDir,
	})
	if err != nil {
		return nil, err
	}
	s := &said{Logger: to.Log().Logger(), to: to}
	if err := to.Apply(c.telemetry()); err != nil {
		s.close()
		return nil, err
	}
	if err := metrics.Registry.Register(to.Collector()); err != nil {
		s.Warn("no metrics of log targets", "error", err)
	}
	return s, nil
}

// close delivers what the log holds, for a while.
func (s *said) close() {
	metrics.Registry.Unregister(s.to.Collector())
	ctx, cancel := context.WithTimeout(context.Background(), flushTime)
	defer cancel()
	_ = s.to.Close(ctx) // the console has said what went wrong
}
