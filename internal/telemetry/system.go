package telemetry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/gridmesh/gridmesh/internal/audit"
	"github.com/gridmesh/gridmesh/internal/fsys"
	"github.com/gridmesh/gridmesh/internal/logger"
	"github.com/gridmesh/gridmesh/internal/target"
)

// Options say what a program is, before it is told where its entries go.
type Options struct {
	Node    string // its name, in every record of the audit and in the keys of batches
	Version string

	Console   io.Writer  // standard error
	LogFormat string     // FormatAuto, text or json
	Level     slog.Level // until a Config has one

	// DataDir is where queues and ids outlive the process; "": they do not.
	DataDir string

	// Quiet leaves the console to what targets tell of their own failures.
	Quiet bool

	files fsys.FS // where queues are; nil: fsys.Disk()
}

// FormatAuto is text on a terminal, and json elsewhere.
const FormatAuto = "auto"

// Folders of a data directory.
const (
	dirLog   = "log"   // queues of the log's targets, by name
	dirAudit = "audit" // of the audit's
	dirIDs   = "ids"   // how far ids were given: audit, and log/<name>
)

// System is a program's log and audit. Its methods may be called concurrently.
type System struct {
	o       Options
	console *target.Console
	log     *logger.Log
	audit   *audit.Audit

	open sync.Map // paths of files that targets have open

	mu     sync.Mutex // one change at a time; protects all below
	level  slog.Level // where the config has none
	config Config
	logs   map[string]made // by name
	audits map[string]made
	seqs   map[string]*target.Sequence // of the log's targets by name, those that are ending included
	queues queueStates                 // on disk; locked by itself
	closed bool
	begun  bool // the audit has, and has not been turned off

	left leftovers

	refused refusals
}

// made is a target with what it was made of.
type made struct {
	of     Target // resolved
	target *target.Target
}

// Open opens log and audit, with no target yet but the console. Close it.
func Open(o Options) (*System, error) {
	s := &System{
		o: o, console: target.NewConsole(o.Console), level: o.Level, seqs: make(map[string]*target.Sequence), queues: queueStates{of: make(map[queue]queueState)},
	}
	s.left.init()
	terminal := logger.IsTerminal(o.Console)
	text := o.LogFormat == formatText || o.LogFormat == FormatAuto && terminal
	s.log = logger.New(logger.Options{Console: s.console, Text: text, Color: text && terminal, Level: o.Level, Quiet: o.Quiet})
	ao := audit.Options{Node: o.Node, Version: o.Version, Report: s.log.Console().With("system", dirAudit)}
	if o.DataDir != "" {
		ao.Dir = filepath.Join(o.DataDir, dirIDs, dirAudit)
	}
	var err error
	if s.audit, err = audit.Open(ao); err != nil {
		s.log.Close(context.Background())
		return nil, fmt.Errorf("data-dir: %w", err)
	}
	s.audit.AtLeast(s.lastQueued(dirAudit))
	return s, nil
}

// Log is the program's log.
func (s *System) Log() *logger.Log { return s.log }

// Audit is the program's audit.
func (s *System) Audit() *audit.Audit { return s.audit }

// SetLevel changes the level of the console, and of targets without one, where
// the Config has none.
func (s *System) SetLevel(level slog.Level) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.level = level
	s.settle()
}

func (s *System) settle() {
	level := s.level
	if s.config.Logging.Level != "" {
		level = levelOf(s.config.Logging.Level)
	}
	s.log.SetLevel(level)
}

// Apply puts another configuration in the place of the one before: whole, or not
// at all. Targets that are in both as they were go on undisturbed; those of the
// same name go on where the ones before end; those that are gone deliver what
// they hold, for a while. It waits for no target.
func (s *System) Apply(c Config) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.apply(&c)
	s.refused.note(err)
	return err
}

// refresh has targets made anew whose optional files have come or gone.
func (s *System) refresh() {
	s.mu.Lock()
	defer s.mu.Unlock()
	optional := func(t Target) bool { return t.OptionalFiles }
	if c := s.config; slices.ContainsFunc(c.Logging.Targets, optional) || slices.ContainsFunc(c.Audit.Targets, optional) {
		_ = s.apply(&c) // it was taken before; what is not possible now keeps what is
	}
}

// holds reports whether this is the configuration in use.
func (s *System) holds(c *Config) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return reflect.DeepEqual(&s.config, c)
}

func (s *System) apply(c *Config) error {
	if s.closed {
		return errors.New("log and audit have been closed")
	}
	if err := errors.Join(c.CheckWith(s.o.DataDir != ""), c.checkFolders()); err != nil {
		return err
	}
	// What can fail comes first: nothing has changed then.
	opened, err := s.openSequences(c.Logging.Targets)
	if err != nil {
		return errors.Join(err, s.closeSequences(opened))
	}
	logs, outputs := make(map[string]made), make([]*logger.Output, 0, len(c.Logging.Targets))
	for i := range c.Logging.Targets {
		t := &c.Logging.Targets[i]
		m := s.logs[t.Name].or(t.resolved(), func(r *Target) *target.Target {
			return s.logTarget(r, s.seqs[t.Name])
		})
		s.follow(dirLog, m, s.logs)
		logs[t.Name] = m
		outputs = append(outputs, &logger.Output{Target: m.target, Level: t.level(), Text: t.text()})
	}
	audits, next := make(map[string]made), audit.Config{Filter: c.Audit.Filter, Caller: c.Audit.Outgoing, Timeout: time.Duration(c.Audit.Timeout)}
	for i := range c.Audit.Targets {
		t := &c.Audit.Targets[i]
		m := s.audits[t.Name].or(t.resolved(), func(r *Target) *target.Target {
			return target.New(s.audit.TargetOptions(s.options(r, dirAudit)))
		})
		s.follow(dirAudit, m, s.audits)
		audits[t.Name] = m
		next.Targets = append(next.Targets, m.target)
	}
	s.config, s.logs, s.audits = *c, logs, audits
	for _, t := range s.log.Swap(outputs) {
		s.left.close(dirLog, t, s.ended)
	}
	s.settle()
	if s.begun && len(next.Targets) == 0 { // the trail says that nobody is recorded any more
		s.begun = false
		s.audit.Stop()
	}
	for _, t := range s.audit.Swap(next) {
		s.left.close(dirAudit, t, s.ended)
	}
	s.lookForQueues(dirLog, logs)
	s.lookForQueues(dirAudit, audits)
	if !s.begun && len(next.Targets) > 0 {
		s.begun = true
		s.audit.Start()
	}
	return nil
}

// or gives m if it was made of the same, else another one.
func (m made) or(of Target, build func(*Target) *target.Target) made {
	if m.target != nil && reflect.DeepEqual(m.of, of) {
		return m
	}
	return made{of: of, target: build(&of)}
}

// follow has a target that comes take over from one of its name that was removed.
func (s *System) follow(system string, m made, now map[string]made) {
	if _, there := now[m.of.Name]; there {
		return
	}
	if removed := s.left.last(system, m.of.Name); removed != nil {
		m.target.Follow(removed)
		s.queues.set(queue{system, m.of.Name}, queueUsed)
	}
}

// CheckWith says what is wrong with a configuration, where there is a data
// directory or none.
func (c *Config) CheckWith(dataDir bool) error { return errors.Join(c.Check(), c.checkDisk(dataDir)) }

// checkDisk says what is not possible without a data directory.
func (c *Config) checkDisk(disk bool) error {
	if disk {
		return nil
	}
	var p problems
	c.each(func(t *Target, at string) {
		p.only(t.Policy == PolicyBlock && t.File == nil, at+".policy",
			"block has calls wait until their records are on disk; set data-dir, which says on which, or in a pod mount a volume at "+podDataDir)
		p.only(t.Spool.MaxBytes > maxMemory, at+".spool.maxBytes",
			fmt.Sprintf("it is %v; without a data-dir (in a pod, a volume at %s) entries wait in memory, and allowed are %v",
				t.Spool.MaxBytes, podDataDir, Size(maxMemory)))
	})
	return p.err()
}

// each hands over all targets, always in one order: what was said of them is not
// said again.
func (c *Config) each(do func(t *Target, at string)) {
	for i := range c.Logging.Targets {
		do(&c.Logging.Targets[i], fmt.Sprintf("%s.targets[%d]", keyLogging, i))
	}
	for i := range c.Audit.Targets {
		do(&c.Audit.Targets[i], fmt.Sprintf("%s.targets[%d]", keyAudit, i))
	}
}

// Close records that the audit ends, delivers what all targets hold until ctx
// ends, and waits for them. What is left then is on disk, or told of on the
// console. The console comes last.
func (s *System) Close(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	begun := s.begun
	s.mu.Unlock()
	if begun {
		s.audit.Stop()
	}
	s.log.Swap(nil) // so that the console can tell how the others end
	s.mu.Lock()
	logs := s.logs
	s.logs, s.audits = nil, nil
	s.mu.Unlock()
	var err error
	var group sync.WaitGroup // all at once: one that hangs takes all the time there is
	group.Go(func() { err = s.audit.Close(ctx) })
	for _, m := range logs {
		group.Go(func() { m.target.Close(ctx) })
	}
	group.Wait()
	s.left.wait(ctx)
	s.mu.Lock()
	err = errors.Join(err, s.closeSequences(s.seqs))
	s.seqs = nil
	s.mu.Unlock()
	if err != nil {
		s.log.Console().Error("ids are not closed well", "error", err)
	}
	s.log.Close(ctx)
	return err
}
