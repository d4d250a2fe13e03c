package node

import (
	"context"
	"io"
	"log/slog"
	"time"

	"github.com/gridmesh/gridmesh/internal/settings"
	"github.com/gridmesh/gridmesh/internal/telemetry"
)

// flushTime is how long log and audit may deliver what they hold when the node
// ends: a pod has five seconds beyond its drain. Tests, which are not killed, give
// more.
var flushTime = 3 * time.Second

const flushSoon = time.Second // after a second signal, or a failure

// levelOf takes a word that the table of settings has let through.
func levelOf(word string) (level slog.Level) {
	_ = level.UnmarshalText([]byte(word)) // see above
	return level
}

// openTelemetry makes log and audit, so that whatever happens from now on can be
// said. An error is to be said, too: then they are without a data directory.
func (n *Node) openTelemetry(stderr io.Writer) (err error) {
	o := telemetry.Options{
		Node: n.config.Name, Version: Version(), Console: stderr, LogFormat: n.config.LogFormat, Level: levelOf(n.config.LogLevel),
		DataDir: n.config.DataDir,
	}
	n.telemetry, err = telemetry.Open(o)
	if err != nil {
		o.DataDir = ""
		var again error
		if n.telemetry, again = telemetry.Open(o); again != nil {
			return again
		}
	}
	n.log = n.telemetry.Log().Logger().With("node", n.config.Name)
	return err
}

// startTelemetry has log and audit go where the configuration says. What a Grid
// says is no reason not to start: it is told of, and tried again.
func (n *Node) startTelemetry() error {
	n.follows = n.followed()
	if n.config.noDataDir != nil {
		n.log.Warn("the volume of this pod is not in use", "error", n.config.noDataDir)
	}
	if n.config.podTelemetry == "" {
		return n.telemetry.Apply(n.config.telemetry())
	}
	n.telemetry.Begin(n.follows)
	return nil
}

// followed is the file by which log and audit change while the node runs; nil
// if there is none.
func (n *Node) followed() *telemetry.Followed {
	switch {
	case n.config.podTelemetry != "":
		return &telemetry.Followed{Path: n.config.podTelemetry, Parse: telemetry.ParsePod, Log: n.log}
	case n.config.File != "":
		return &telemetry.Followed{Path: n.config.File, Log: n.log, Parse: func([]byte) (telemetry.Config, error) {
			fresh, err := n.reread()
			if err == nil {
				n.telemetry.SetLevel(levelOf(fresh.LogLevel))
			}
			return fresh.telemetry(), err
		}}
	default:
		return nil
	}
}

// followTelemetry keeps log and audit as the file says, until ctx ends.
func (n *Node) followTelemetry(ctx context.Context) {
	if n.follows != nil {
		n.telemetry.Follow(ctx, n.follows)
	}
}

// reloadTelemetry takes over what a configuration that was read again says of
// log and audit.
func (n *Node) reloadTelemetry(fresh *Config) {
	n.telemetry.SetLevel(levelOf(fresh.LogLevel))
	if n.config.podTelemetry != "" {
		n.telemetry.Begin(n.followed()) // not n.follows: that is being followed
		return
	}
	n.telemetry.Take(fresh.telemetry(), n.log)
}

// closeTelemetry delivers what log and audit hold, for a while.
func (n *Node) closeTelemetry(status int) {
	limit := flushTime
	if status != 0 {
		limit = flushSoon
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	_ = n.telemetry.Close(ctx) // the console has said what went wrong
}

// refuse says what is wrong with a configuration, a line for each problem.
func (n *Node) refuse(err error) {
	for _, problem := range settings.Problems(err) {
		n.log.Error("configuration refused, the old one stays", "error", problem)
	}
}
