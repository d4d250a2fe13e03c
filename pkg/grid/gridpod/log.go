package gridpod

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/gridmesh/gridmesh/internal/buildinfo"
	"github.com/gridmesh/gridmesh/internal/telemetry"
)

// flushTime is how long log and audit may deliver what they hold when the pod
// ends: it has five seconds beyond its drain. Tests, which are not killed, give
// more.
var flushTime = 3 * time.Second

// openTelemetry makes log and audit, which go where the Grid says. What it says
// is no reason not to start: it is told of, and tried again.
func (p *Pod) openTelemetry(dataDir string) (err error) {
	if dataDir == "" {
		dataDir, p.noVolume = telemetry.PodDataDir()
	}
	p.telemetry, err = telemetry.Open(telemetry.Options{
		Node: p.dir.Name, Version: buildinfo.Version(), DataDir: dataDir,
		// The console is the program's own: only what targets fail with is printed
		// there, as it must not go to where they are.
		Console: os.Stderr, LogFormat: telemetry.FormatAuto, Quiet: true,
	})
	if err != nil {
		return err
	}
	p.member.Telemetry = p.telemetry.Status
	p.member.Metrics.MustRegister(p.telemetry.Collector())
	p.follows = &telemetry.Followed{Path: filepath.Join(p.dir.Lists(), telemetry.PodFile), Parse: telemetry.ParsePod, Log: p.logger()}
	p.telemetry.Begin(p.follows)
	return nil
}

// followTelemetry keeps log and audit as the Grid says, until stop is called.
func (p *Pod) followTelemetry() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	p.follows.Log = p.logger() // which the program may have set meanwhile
	if p.noVolume != nil {
		p.follows.Log.Warn("the volume of this pod is not in use", "error", p.noVolume)
	}
	go func() {
		defer close(done)
		p.telemetry.Follow(ctx, p.follows)
	}()
	return func() {
		cancel()
		<-done
	}
}

// closeTelemetry delivers what log and audit hold, for a while.
func (p *Pod) closeTelemetry() {
	ctx, cancel := context.WithTimeout(context.Background(), flushTime)
	defer cancel()
	_ = p.telemetry.Close(ctx) // the console has said what went wrong
}

// Close ends a pod that does not serve, such as when grid.NewManager fails. Serve
// needs none.
func (p *Pod) Close() error {
	if p.serves.CompareAndSwap(nil, nobody) {
		p.closeTelemetry()
	}
	return nil
}

// LogHandler has a program's own log go to the targets that the Grid has for its
// log, and nowhere else: put it beside what the program logs to.
//
//	slog.SetDefault(slog.New(slog.NewMultiHandler(slog.Default().Handler(), pod.LogHandler())))
//
// Each entry says by the attribute node which pod it is of. The newest 1,000 are
// kept in memory for node log tail, and where there is no such target no others.
// What a target fails with is printed to standard error and comes through no
// handler.
func (p *Pod) LogHandler() slog.Handler {
	return &ownHandler{Handler: p.targets(), of: p}
}

// targets are those of the Grid, which get entries of many pods.
func (p *Pod) targets() slog.Handler {
	return p.telemetry.Log().Handler().WithAttrs([]slog.Attr{slog.String("node", p.dir.Name)})
}

// logger is where the pod itself logs: the program's logger, and the targets of
// the Grid.
func (p *Pod) logger() *slog.Logger {
	program := p.Logger
	if program == nil {
		program = defaultLogger()
	}
	pod := []slog.Attr{slog.String("pod", p.dir.Name)}
	return slog.New(&bothHandler{program: program.Handler().WithAttrs(pod), targets: p.targets(), of: p})
}

// bothHandler is the program's handler beside the targets of the Grid.
type bothHandler struct {
	program, targets slog.Handler
	of               *Pod
}

// given marks the context of an entry that its pod has given to the targets: the
// program's handler may be LogHandler, and would give it to them once more.
type given struct{}

func (h *bothHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.program.Enabled(ctx, level) || h.targets.Enabled(ctx, level)
}

func (h *bothHandler) Handle(ctx context.Context, r slog.Record) error {
	if h.targets.Enabled(ctx, r.Level) {
		_ = h.targets.Handle(ctx, r.Clone()) // never fails
	}
	if !h.program.Enabled(ctx, r.Level) {
		return nil
	}
	return h.program.Handle(context.WithValue(ctx, given{}, h.of), r)
}

func (h *bothHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &bothHandler{program: h.program.WithAttrs(attrs), targets: h.targets.WithAttrs(attrs), of: h.of}
}

func (h *bothHandler) WithGroup(name string) slog.Handler {
	return &bothHandler{program: h.program.WithGroup(name), targets: h.targets.WithGroup(name), of: h.of}
}

// ownHandler is the targets of the Grid, but for what they have already.
type ownHandler struct {
	slog.Handler

	of *Pod
}

func (h *ownHandler) Handle(ctx context.Context, r slog.Record) error {
	if ctx.Value(given{}) == h.of {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

func (h *ownHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &ownHandler{Handler: h.Handler.WithAttrs(attrs), of: h.of}
}

func (h *ownHandler) WithGroup(name string) slog.Handler {
	return &ownHandler{Handler: h.Handler.WithGroup(name), of: h.of}
}
