package logger

import (
	"context"
	"log/slog"
	"slices"
)

// Handler is a slog.Handler over all targets of the log.
func (l *Log) Handler() slog.Handler { return &handler{log: l} }

// handler is a Log with what With and WithGroup have added, encoded already.
type handler struct {
	log    *Log
	json   []byte   // ,"a":1,"g":{"b":2
	open   int      // groups that json has begun and not ended
	groups []string // groups that begin with the first attribute, if one comes
	text   []byte   // " a=1 g.b=2"
	prefix string   // of keys in text: "g."
}

// Enabled is one atomic load and a comparison.
func (h *handler) Enabled(_ context.Context, level slog.Level) bool {
	return int64(level) >= h.log.least.Load()
}

// Handle leaves the record with all targets that want it. It never fails: what
// a target does not take it counts itself.
func (h *handler) Handle(_ context.Context, r slog.Record) error {
	var json, text, color *encoder // made for the first target that wants them
	l := h.log
	for _, o := range *l.set.Load() {
		if int64(r.Level) < l.levelOf(o) {
			continue
		}
		form := &json
		switch {
		case o.Text && o.Color:
			form = &color
		case o.Text:
			form = &text
		}
		if *form == nil {
			*form = newEncoder()
			h.encode(*form, r, o.Text, o.Color)
		}
		o.Target.Push(0, (*form).buf)
	}
	if l.ring != nil && int64(r.Level) >= l.level.Load() {
		if json == nil {
			json = newEncoder()
			h.encode(json, r, false, false)
		}
		l.ring.Add(json.buf)
	}
	for _, e := range [...]*encoder{json, text, color} {
		if e != nil {
			e.free()
		}
	}
	return nil
}

func (h *handler) encode(e *encoder, r slog.Record, text, color bool) {
	if text {
		e.text(r.Time, r.Level, r.Message, color)
		e.buf = append(e.buf, h.text...)
		for a := range r.Attrs {
			e.textAttr(h.prefix, a)
		}
		e.textSource(r.PC, color)
		return
	}
	e.json(r.Time, r.Level, r.Message)
	e.source(r.PC)
	e.buf = append(e.buf, h.json...)
	open := h.open
	if r.NumAttrs() > 0 {
		open += e.begin(h.groups)
		for a := range r.Attrs {
			e.attr(a, open == 0)
		}
	}
	for range open {
		e.buf = append(e.buf, '}')
	}
	e.buf = append(e.buf, '}')
}

// WithAttrs gives a handler whose entries all have these attributes.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	if len(attrs) == 0 {
		return h
	}
	next := *h
	e := encoder{buf: slices.Clone(h.json)}
	next.open += e.begin(h.groups)
	for _, a := range attrs {
		e.attr(a, next.open == 0)
	}
	next.json, next.groups = slices.Clip(e.buf), nil
	e = encoder{buf: slices.Clone(h.text)}
	for _, a := range attrs {
		e.textAttr(h.prefix, a)
	}
	next.text = slices.Clip(e.buf)
	return &next
}

// WithGroup gives a handler whose attributes from now on belong to a group.
func (h *handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	next := *h
	next.groups = append(slices.Clone(h.groups), name)
	next.prefix = h.prefix + name + "."
	return &next
}
