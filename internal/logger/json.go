package logger

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"sync"
	"time"

	"github.com/gridmesh/gridmesh/internal/entry"
)

// encoder makes one entry. Its buffer is used again.
type encoder struct {
	buf    []byte
	second entry.Second // of the entry before
}

var encoders = sync.Pool{New: func() any { return &encoder{buf: make([]byte, 0, 1<<10)} }}

// keepBytes is the largest buffer that is kept.
const keepBytes = 64 << 10

func newEncoder() *encoder {
	e := encoders.Get().(*encoder)
	e.buf = e.buf[:0]
	return e
}

func (e *encoder) free() {
	if cap(e.buf) <= keepBytes {
		encoders.Put(e)
	}
}

// json begins an entry. Time comes first: receivers look for it there.
func (e *encoder) json(at time.Time, level slog.Level, message string) {
	b := e.buf
	b = append(b, '{')
	if !at.IsZero() {
		b = append(e.second.Append(append(b, `"time":"`...), at), `",`...)
	}
	b = append(b, `"level":"`...)
	b = appendLevel(b, level)
	b = append(b, `","msg":`...)
	e.buf = entry.AppendString(b, message)
}

func appendLevel(b []byte, level slog.Level) []byte {
	switch level {
	case slog.LevelDebug:
		return append(b, "DEBUG"...)
	case slog.LevelInfo:
		return append(b, "INFO"...)
	case slog.LevelWarn:
		return append(b, "WARN"...)
	case slog.LevelError:
		return append(b, "ERROR"...)
	}
	return append(b, level.String()...)
}

func (e *encoder) source(pc uintptr) {
	if where := sourceOf(pc); where != "" {
		e.buf = entry.AppendString(append(e.buf, `,"source":`...), where)
	}
}

// begin begins groups, and says how many.
func (e *encoder) begin(groups []string) int {
	for _, name := range groups {
		e.key(name, false)
		e.buf = append(e.buf, '{')
	}
	return len(groups)
}

// attr appends an attribute. At the top, a key that is the entry's own gets an
// underscore: nobody who is logged writes our fields.
func (e *encoder) attr(a slog.Attr, top bool) {
	a.Value = resolve(a.Value)
	if a.Equal(slog.Attr{}) {
		return
	}
	if a.Value.Kind() != slog.KindGroup {
		e.key(a.Key, top)
		e.value(a.Value)
		return
	}
	members := a.Value.Group()
	if len(members) == 0 {
		return
	}
	if a.Key == "" {
		for _, member := range members {
			e.attr(member, top)
		}
		return
	}
	e.key(a.Key, top)
	e.buf = append(e.buf, '{')
	for _, member := range members {
		e.attr(member, false)
	}
	e.buf = append(e.buf, '}')
}

func (e *encoder) key(key string, top bool) {
	if len(e.buf) == 0 || e.buf[len(e.buf)-1] != '{' {
		e.buf = append(e.buf, ',')
	}
	if top {
		switch key {
		case "id", "time", "level", "msg", "source":
			key += "_"
		}
	}
	e.buf = append(entry.AppendString(e.buf, key), ':')
}

func (e *encoder) value(v slog.Value) {
	switch v.Kind() {
	case slog.KindString:
		e.buf = entry.AppendString(e.buf, v.String())
	case slog.KindInt64:
		e.buf = strconv.AppendInt(e.buf, v.Int64(), 10)
	case slog.KindUint64:
		e.buf = strconv.AppendUint(e.buf, v.Uint64(), 10)
	case slog.KindFloat64:
		e.float(v.Float64())
	case slog.KindBool:
		e.buf = strconv.AppendBool(e.buf, v.Bool())
	case slog.KindDuration:
		e.buf = append(entry.AppendDuration(append(e.buf, '"'), v.Duration()), '"')
	case slog.KindTime:
		e.buf = append(entry.AppendTime(append(e.buf, '"'), v.Time()), '"')
	default:
		e.any(v.Any())
	}
}

func (e *encoder) float(f float64) {
	if math.IsInf(f, 0) || math.IsNaN(f) {
		e.buf = entry.AppendString(e.buf, strconv.FormatFloat(f, 'g', -1, 64)) // JSON has no number for it
		return
	}
	e.buf = strconv.AppendFloat(e.buf, f, 'g', -1, 64)
}

// any appends what only its own type knows how to write. A value that panics
// costs itself, not the entry.
func (e *encoder) any(v any) {
	start := len(e.buf)
	defer func() {
		if p := recover(); p != nil {
			e.buf = entry.AppendString(e.buf[:start], fmt.Sprintf("!PANIC: %v", p))
		}
	}()
	switch v := v.(type) {
	case nil:
		e.buf = append(e.buf, "null"...)
	case error:
		e.buf = entry.AppendString(e.buf, v.Error())
	case json.Marshaler:
		e.marshal(v)
	case fmt.Stringer:
		e.buf = entry.AppendString(e.buf, v.String())
	default:
		e.marshal(v)
	}
}

func (e *encoder) marshal(v any) {
	text, err := json.Marshal(v)
	switch {
	case err != nil:
		e.buf = entry.AppendString(e.buf, "!ERROR: "+err.Error())
	case len(text) > entry.MaxField:
		e.buf = entry.AppendString(e.buf, string(text)) // cut, it is no JSON any more
	default:
		e.buf = entry.AppendJSON(e.buf, text)
	}
}

// resolve asks a value what it wants to be logged as. One that panics is logged
// as that.
func resolve(v slog.Value) (resolved slog.Value) {
	if v.Kind() != slog.KindLogValuer {
		return v
	}
	defer func() {
		if p := recover(); p != nil {
			resolved = slog.StringValue(fmt.Sprintf("!PANIC: %v", p))
		}
	}()
	return v.Resolve()
}
