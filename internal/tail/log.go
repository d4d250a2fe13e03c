package tail

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"unicode/utf8"

	"github.com/gridmesh/gridmesh/internal/adminapi"
	"github.com/gridmesh/gridmesh/internal/audit"
)

// logFilter makes the filter for entries of the log.
func logFilter(ask *adminapi.LogTail) (filter, error) {
	least := slog.Level(-1 << 20)
	if ask.Level != "" {
		if err := least.UnmarshalText([]byte(ask.Level)); err != nil {
			return nil, fmt.Errorf("level: %.100q is none of debug, info, warn and error", ask.Level)
		}
	}
	if err := checkPatterns("text", ask.Text); err != nil {
		return nil, err
	}
	if len(ask.Attrs) > maxList {
		return nil, fmt.Errorf("attrs: %d of them, allowed are %d", len(ask.Attrs), maxList)
	}
	for key, pattern := range ask.Attrs {
		if err := checkPatterns("attrs", []string{key, pattern}); err != nil {
			return nil, err
		}
	}
	texts := make([]string, len(ask.Text))
	for i, text := range ask.Text {
		texts[i] = strings.ToLower(text)
	}
	return func(entry []byte) bool {
		if ask.Level != "" && levelOf(entry) < least {
			return false
		}
		if len(texts) == 0 && len(ask.Attrs) == 0 {
			return true
		}
		return matchesLog(entry, texts, ask.Attrs)
	}, nil
}

// checkPatterns refuses what would cost too much for each entry.
func checkPatterns(name string, list []string) error {
	if len(list) > maxList {
		return fmt.Errorf("%s: %d of them, allowed are %d", name, len(list), maxList)
	}
	for _, p := range list {
		if p == "" || p == "!" || len(p) > maxPattern || !utf8.ValidString(p) {
			return fmt.Errorf("%s: %.100q: it has 1 to %d bytes of text", name, p, maxPattern)
		}
	}
	return nil
}

// levelOf reads the level of an entry, which stands near its beginning: nothing
// that was logged comes before it.
func levelOf(entry []byte) slog.Level {
	const key = `"level":"`
	_, after, _ := bytes.Cut(entry, []byte(key))
	word, _, _ := bytes.Cut(after, []byte(`"`))
	var level slog.Level
	if level.UnmarshalText(word) != nil {
		return slog.LevelError // of no entry of ours: rather shown than hidden
	}
	return level
}

// matchesLog looks into an entry.
func matchesLog(entry []byte, texts []string, attrs map[string]string) bool {
	d := json.NewDecoder(bytes.NewReader(entry))
	d.UseNumber()
	var fields map[string]any
	if d.Decode(&fields) != nil {
		return false
	}
	left := make(map[string]bool, len(texts))
	for _, text := range texts {
		left[text] = true
	}
	missing := maps.Clone(attrs)
	walk("", fields, func(path, value string) {
		if pattern, asked := missing[path]; asked && audit.Match(pattern, value) {
			delete(missing, path)
		}
		if len(left) == 0 || path == "time" || path == "level" || path == "source" {
			return
		}
		value = strings.ToLower(value)
		for text := range left {
			if strings.Contains(value, text) {
				delete(left, text)
			}
		}
	})
	return len(missing)+len(left) == 0
}

// walk visits all values that are no groups, with the path of their keys.
func walk(path string, value any, visit func(path, value string)) {
	switch v := value.(type) {
	case map[string]any:
		for key, member := range v {
			if path != "" {
				key = path + "." + key
			}
			walk(key, member, visit)
		}
	case string:
		visit(path, v)
	default: // a number, true, a list: as it is in JSON
		text, err := json.Marshal(v)
		if err == nil {
			visit(path, string(text))
		}
	}
}
