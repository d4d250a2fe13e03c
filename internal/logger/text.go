package logger

import (
	"io"
	"log/slog"
	"os"
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gridmesh/gridmesh/internal/entry"
)

// Colours of a terminal.
const (
	colorReset = "\x1b[0m"
	colorFaint = "\x1b[2m"
	colorBold  = "\x1b[1m"
)

func colorOf(level slog.Level) string {
	switch {
	case level >= slog.LevelError:
		return "\x1b[31m"
	case level >= slog.LevelWarn:
		return "\x1b[33m"
	case level >= slog.LevelInfo:
		return "\x1b[32m"
	}
	return "\x1b[36m"
}

// text begins a line for people. Nothing that is logged reaches the terminal as
// anything but text.
func (e *encoder) text(at time.Time, level slog.Level, message string, color bool) {
	b := e.buf
	if color {
		b = append(b, colorFaint...)
	}
	b = e.second.Append(b, at)
	if color {
		b = append(append(b, colorReset...), colorOf(level)...)
	}
	b = append(b, ' ')
	start := len(b)
	b = appendLevel(b, level)
	for len(b)-start < len("ERROR") {
		b = append(b, ' ')
	}
	if color {
		b = append(append(b, colorReset...), colorBold...)
	}
	b = appendPlain(append(b, ' '), message, true)
	if color {
		b = append(b, colorReset...)
	}
	e.buf = b
}

// textSource ends a line with the place of the call.
func (e *encoder) textSource(pc uintptr, color bool) {
	where := sourceOf(pc)
	if where == "" {
		return
	}
	b := e.buf
	b = append(b, ' ')
	if color {
		b = append(b, colorFaint...)
	}
	b = append(append(b, "source="...), where...)
	if color {
		b = append(b, colorReset...)
	}
	e.buf = b
}

func (e *encoder) textAttr(prefix string, a slog.Attr) {
	a.Value = resolve(a.Value)
	if a.Equal(slog.Attr{}) {
		return
	}
	if a.Value.Kind() == slog.KindGroup {
		if a.Key != "" {
			prefix += a.Key + "."
		}
		for _, member := range a.Value.Group() {
			e.textAttr(prefix, member)
		}
		return
	}
	key := a.Key
	if prefix != "" {
		key = prefix + key // names of groups are anybody's text, too
	}
	e.buf = append(appendPlain(append(e.buf, ' '), key, false), '=')
	if a.Value.Kind() == slog.KindString {
		e.buf = appendPlain(e.buf, a.Value.String(), false)
		return
	}
	start := len(e.buf)
	e.value(a.Value)
	// What was written as a JSON string needs its quotes only where a word would.
	if written := e.buf[start:]; len(written) > 1 && written[0] == '"' {
		if s, err := strconv.Unquote(string(written)); err == nil {
			e.buf = appendPlain(e.buf[:start], s, false)
		}
	}
}

// appendPlain appends s as it is if that is a word, or a sentence where spaces
// are allowed, and else as a JSON string.
func appendPlain(b []byte, s string, spaces bool) []byte {
	if s == "" || len(s) > entry.MaxField {
		return entry.AppendString(b, s)
	}
	for _, r := range s {
		if r == utf8.RuneError || r == '"' || r == '=' && !spaces || r == ' ' && !spaces || !unicode.IsPrint(r) {
			return entry.AppendString(b, s)
		}
	}
	return append(b, s...)
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && f.Name() != os.DevNull
}

// gapTime is when a gap is told of, which is not when entries went missing.
func gapTime() time.Time { return time.Now() }
