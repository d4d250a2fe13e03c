package telemetry

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/gridmesh/gridmesh/internal/logger"
	"github.com/gridmesh/gridmesh/internal/spool"
	"github.com/gridmesh/gridmesh/internal/target"
	"github.com/gridmesh/gridmesh/internal/target/file"
	"github.com/gridmesh/gridmesh/internal/target/kafka"
	"github.com/gridmesh/gridmesh/internal/target/otlp"
	"github.com/gridmesh/gridmesh/internal/target/tlsfiles"
	"github.com/gridmesh/gridmesh/internal/target/webhook"
)

const (
	fileAge = 5 * time.Millisecond // how long entries gather before one write takes them to a file
	atOnce  = -1                   // where a call waits for it, or a person
)

// resolved gives the target as it is to be made: without the optional files that
// are not there. Two that are alike are one and the same target.
func (t *Target) resolved() Target {
	r := *t
	r.Level = "" // it is a matter of who gets entries, and not of the target
	if !t.OptionalFiles {
		return r
	}
	switch {
	case t.Webhook != nil:
		w := *t.Webhook
		w.TLS, w.TokenFile = present3(w.TLS), present(w.TokenFile)
		r.Webhook = &w
	case t.OTLP != nil:
		o := *t.OTLP
		o.TLS, o.TokenFile = present3(o.TLS), present(o.TokenFile)
		r.OTLP = &o
	case t.Kafka != nil:
		k := *t.Kafka
		k.TLS, k.PasswordFile = present3(k.TLS), present(k.PasswordFile)
		r.Kafka = &k
	}
	return r
}

// present3 leaves out those of the three files that are not there. A certificate
// goes with its key.
func present3(t TLS) TLS {
	t.CAFile, t.CertFile, t.KeyFile = present(t.CAFile), present(t.CertFile), present(t.KeyFile)
	if t.CertFile == "" || t.KeyFile == "" {
		t.CertFile, t.KeyFile = "", ""
	}
	return t
}

func present(path string) string {
	if _, err := os.Stat(path); path == "" || errors.Is(err, os.ErrNotExist) {
		return ""
	}
	return path // and one that cannot be looked at: whoever opens it says why
}

// options are those that targets of log and audit have in common. t is resolved.
func (s *System) options(t *Target, system string) target.Options {
	o := target.Options{
		Name: t.Name, Block: t.Policy == PolicyBlock,
		BatchCount: t.Batch.Entries, BatchBytes: int(t.Batch.Bytes), BatchAge: time.Duration(t.Batch.Age),
	}
	switch {
	case t.Console != nil:
		o.Kind, o.Sink = "console", s.console.Sink
		o.Lossy, o.BatchAge = true, atOnce
		return o
	case t.File != nil:
		o.Kind, o.Sink = "file", s.fileSink(t.File, o.Block)
		if o.BatchAge = fileAge; o.Block {
			o.BatchAge = atOnce
		}
		return o
	case t.Webhook != nil:
		w := t.Webhook.options()
		w.UserAgent = "gridmesh/" + s.o.Version
		o.Kind, o.Sink = "webhook", func() (target.Sink, error) { return orNil(webhook.Open(w)) }
	case t.OTLP != nil:
		c := t.OTLP.options()
		c.UserAgent, c.Node, c.Version = "gridmesh/"+s.o.Version, s.o.Node, s.o.Version
		o.Kind, o.Sink = "otlp", func() (target.Sink, error) { return orNil(otlp.Open(c)) }
	case t.Kafka != nil:
		k := t.Kafka.options(s.o.Node)
		o.Kind, o.Sink = "kafka", func() (target.Sink, error) { return orNil(kafka.Open(k)) }
	}
	if s.o.DataDir == "" {
		if o.Buffer = int(t.Spool.MaxBytes); o.Buffer == 0 {
			o.Buffer = defaultMemory
		}
	} else {
		o.Spool = spool.Options{Dir: filepath.Join(s.o.DataDir, system, t.Name), FS: s.o.files, MaxBytes: int64(t.Spool.MaxBytes)}
	}
	return o
}

// orNil keeps a nil pointer from becoming a Sink that is not nil.
func orNil[S target.Sink](sink S, err error) (target.Sink, error) {
	if err != nil {
		return nil, err
	}
	return sink, nil
}

// logTarget makes a target of the log.
func (s *System) logTarget(t *Target, seq *target.Sequence) *target.Target {
	text := t.text()
	o := s.options(t, dirLog)
	o.Sequence, o.WithIDs, o.Origin = seq, !text, s.o.Node+"/log/"+t.Name
	o.Gap, o.Report = logger.Gap(text, false), s.log.Console().With("system", dirLog)
	return target.New(o)
}

// queues reports whether what waits for the target lies in a queue on disk, where
// there is one.
func (t *Target) queues() bool { return t.Console == nil && t.File == nil }

// text reports whether lines are for people.
func (t *Target) text() bool { return t.File != nil && t.File.Format == formatText }

// level gives the target's level, nil if it has none.
func (t *Target) level() *slog.Level {
	if t.Level == "" {
		return nil
	}
	level := levelOf(t.Level)
	return &level
}

// levelOf reads a word that was checked.
func levelOf(word string) (level slog.Level) {
	_ = level.UnmarshalText([]byte(word)) // what is wrong with it was said when it was checked
	return level
}

func (t *TLS) options() tlsfiles.Options {
	return tlsfiles.Options{CA: t.CAFile, Cert: t.CertFile, Key: t.KeyFile, ServerName: t.ServerName}
}

func (w *Webhook) options() webhook.Options {
	return webhook.Options{
		URL: w.URL, Format: w.Format, Labels: w.Labels, TLS: w.TLS.options(), TokenFile: w.TokenFile,
		Header: w.Headers, Proxy: w.Proxy, Compress: w.Gzip, Timeout: time.Duration(w.Timeout),
	}
}

func (k *Kafka) options(node string) kafka.Options {
	return kafka.Options{
		Brokers: k.Brokers, Topic: k.Topic, Key: node, UseTLS: k.UseTLS, TLS: k.TLS.options(),
		Mechanism: k.SASL, User: k.User, PasswordFile: k.PasswordFile, Timeout: time.Duration(k.Timeout),
	}
}

func (o *OTLP) options() otlp.Options {
	return otlp.Options{
		URL: o.URL, TLS: o.TLS.options(), TokenFile: o.TokenFile, Header: o.Headers, Compress: o.Gzip, Timeout: time.Duration(o.Timeout),
	}
}

// fileSink opens a file, once no other target has it open: one that was removed
// may still be writing.
func (s *System) fileSink(f *File, sync bool) func() (target.Sink, error) {
	o := file.Options{
		Path: f.Path, MaxBytes: int64(f.MaxBytes), MaxAge: time.Duration(f.MaxAge), Keep: f.Keep, Compress: f.Gzip, Sync: sync, Text: f.Format == formatText,
	}
	key := filepath.Clean(f.Path)
	return func() (target.Sink, error) {
		if _, taken := s.open.LoadOrStore(key, true); taken {
			return nil, errors.New("a target that was removed still writes to " + f.Path)
		}
		sink, err := file.Open(o)
		if err != nil {
			s.open.Delete(key)
			return nil, err
		}
		return &ownFile{Sink: sink, release: func() { s.open.Delete(key) }}, nil
	}
}

// ownFile is a file that nobody else has open.
type ownFile struct {
	*file.Sink
	release func()
}

func (f *ownFile) Close() error {
	defer f.release()
	return f.Sink.Close()
}
