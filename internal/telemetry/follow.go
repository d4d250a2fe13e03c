package telemetry

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/gridmesh/gridmesh/internal/settings"
)

// PodFile is the name of the file beside grid.json in which a pod finds its Config.
const PodFile = "telemetry.json"

// followEvery is how often a followed file is read. What is new has to be the
// same two times in a row: whoever writes it in place may be half done.
const followEvery = 2 * time.Second

// Followed is a configuration in a file.
type Followed struct {
	Path  string // a file that is not there is empty
	Parse func(text []byte) (Config, error)
	Log   *slog.Logger // says what was taken, and what was refused

	begun *string // what the file said when it was taken first; nil: it was not
}

// Begin takes what the file says now. What is wrong with it is told. Follow goes
// on from there; the two are not for one Followed at the same time.
func (s *System) Begin(f *Followed) {
	text, err := f.read()
	if err != nil {
		s.tell(f, err)
		return
	}
	f.begun = &text
	s.take(f, text)
}

// Follow keeps the system at what a file says, until ctx ends: what it holds, or
// the files that its targets may lack, is looked at now and then. What is refused
// is told of once, and tried again: it may be a folder that comes late.
func (s *System) Follow(ctx context.Context, f *Followed) {
	ticker := time.NewTicker(followEvery)
	defer ticker.Stop()
	var used string
	if f.begun != nil { // there may be something new since, however long that was
		used = *f.begun
	} else {
		used, _ = f.read() // by whoever started the system; an error comes again
	}
	before := used
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		text, err := f.read()
		if err != nil {
			s.tell(f, err)
			continue
		}
		changed := text != used
		if text != before {
			before = text
			continue
		}
		switch {
		case changed:
			used = text
			s.take(f, text)
		case s.refusedNow():
			s.take(f, text)
		default:
			s.refresh()
		}
	}
}

func (f *Followed) read() (string, error) {
	file, err := os.Open(filepath.Clean(f.Path))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }()                      // it is only read
	text, err := io.ReadAll(io.LimitReader(file, maxText+1)) // whoever parses it refuses more
	return string(text), err
}

// take reads a text and applies it.
func (s *System) take(f *Followed, text string) {
	c, err := f.Parse([]byte(text))
	if err != nil {
		s.tell(f, err)
		return
	}
	s.Take(c, f.Log.With("file", f.Path))
}

// Take is Apply that says how that went.
func (s *System) Take(c Config, log *slog.Logger) {
	_, before := s.refused.get()
	same := s.holds(&c)
	err := s.Apply(c)
	switch {
	case err != nil && err.Error() != before:
		complain(log, err)
	case err == nil && !same:
		log.Info("log and audit reconfigured", "log_targets", len(c.Logging.Targets), "audit_targets", len(c.Audit.Targets))
	}
}

// tell notes an error, and says it if it is another one than the last.
func (s *System) tell(f *Followed, err error) {
	_, before := s.refused.get()
	s.Refused(err)
	if err.Error() != before {
		complain(f.Log.With("file", f.Path), err)
	}
}

// complain says what is wrong with a configuration, a line for each key.
func complain(log *slog.Logger, err error) {
	for _, e := range settings.Problems(err) {
		log.Error("log and audit: configuration refused, the old one stays", "error", e)
	}
}

func (s *System) refusedNow() bool {
	_, last := s.refused.get()
	return last != ""
}
