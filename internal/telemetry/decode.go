package telemetry

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// KeyError is one key that was refused. It never holds the value of a header.
type KeyError struct {
	Path   string // such as audit.targets[1].webhook.url
	Reason string
}

func (e *KeyError) Error() string {
	if e.Path == "" {
		return e.Reason
	}
	return e.Path + ": " + e.Reason
}

// Key gives the parts of what Error says.
func (e *KeyError) Key() (path, reason string) { return e.Path, e.Reason }

// problems gathers what is wrong.
type problems struct{ all []*KeyError }

//nolint:goprintffuncname // short, as there are many of them
func (p *problems) add(path, format string, args ...any) {
	p.all = append(p.all, &KeyError{Path: path, Reason: fmt.Sprintf(format, args...)})
}

func (p *problems) none() bool { return len(p.all) == 0 }

func (p *problems) err() error {
	all := make([]error, len(p.all))
	for i, e := range p.all {
		all[i] = e
	}
	return errors.Join(all...)
}

// decode reads YAML, of which JSON is a part, into v. It works on nodes and not
// on decoded values, so that each complaint has its path, keys that are unknown
// or there twice are seen, and each value is exactly what was written.
func (p *problems) decode(raw []byte, v any, path string) {
	if len(raw) > maxText {
		p.add(path, "%d bytes, allowed are %d", len(raw), maxText)
		return
	}
	var document, second yaml.Node
	d := yaml.NewDecoder(bytes.NewReader(raw))
	if err := d.Decode(&document); err != nil && !errors.Is(err, io.EOF) {
		p.add(path, "it is neither YAML nor JSON: %s", strings.TrimPrefix(err.Error(), "yaml: "))
		return
	}
	if err := d.Decode(&second); !errors.Is(err, io.EOF) {
		p.add(path, "it goes on after its first document")
		return
	}
	if document.Kind == 0 || len(document.Content) == 0 || isNull(document.Content[0]) {
		return // empty: everything has its default
	}
	p.value(document.Content[0], reflect.ValueOf(v).Elem(), path)
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// value reads a node into v.
func (p *problems) value(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind == yaml.AliasNode {
		p.add(path, "aliases are not understood here; write the value")
		return
	}
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	switch v.Kind() {
	case reflect.Struct:
		if n.Kind != yaml.MappingNode && !isNull(n) {
			p.add(path, "it is no mapping; known keys are %s", strings.Join(keysOf(v.Type()), ", "))
			return
		}
		p.mapping(n, path, func(key string, value *yaml.Node, at string) {
			field, ok := fieldOf(v, key)
			if !ok {
				p.add(at, "there is no such key; known are %s", strings.Join(keysOf(v.Type()), ", "))
				return
			}
			if isNull(value) && field.Kind() != reflect.Pointer {
				p.add(at, "there is no value")
				return
			}
			p.value(value, field, at)
		})
	case reflect.Slice:
		if n.Kind != yaml.SequenceNode {
			p.add(path, "it is no list")
			return
		}
		if len(n.Content) > maxMembers*8 {
			p.add(path, "%d entries, allowed are %d", len(n.Content), maxMembers*8)
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
		for i, entry := range n.Content {
			p.value(entry, v.Index(i), path+"["+strconv.Itoa(i)+"]")
		}
	case reflect.Map: // of strings to strings
		if n.Kind != yaml.MappingNode {
			p.add(path, "it is no mapping of names to texts")
			return
		}
		v.Set(reflect.MakeMap(v.Type()))
		p.mapping(n, path, func(key string, value *yaml.Node, at string) {
			text := reflect.New(v.Type().Elem()).Elem()
			p.value(value, text, at)
			v.SetMapIndex(reflect.ValueOf(key), text)
		})
	default:
		p.scalar(n, v, path)
	}
}

// mapping hands over each key with its value and path.
func (p *problems) mapping(n *yaml.Node, path string, each func(key string, value *yaml.Node, at string)) {
	seen := make(map[string]bool)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, at := n.Content[i].Value, n.Content[i].Value
		if path != "" {
			at = path + "." + key
		}
		switch {
		case n.Content[i].Kind != yaml.ScalarNode:
			p.add(path, "a key of it is no plain text")
		case seen[key]:
			p.add(at, "it is there twice")
		default:
			seen[key] = true
			each(key, n.Content[i+1], at)
		}
	}
}

func (p *problems) scalar(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.ScalarNode {
		p.add(path, "it is no single value")
		return
	}
	if isNull(n) {
		p.add(path, "there is no value")
		return
	}
	if text, ok := reflect.TypeAssert[encoding.TextUnmarshaler](v.Addr()); ok {
		if err := text.UnmarshalText([]byte(n.Value)); err != nil {
			p.add(path, "%q is %v", n.Value, err)
		}
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(n.Value)
	case reflect.Bool:
		if n.Value != "true" && n.Value != "false" {
			p.add(path, "%q is neither true nor false", n.Value)
			return
		}
		v.SetBool(n.Value == "true")
	case reflect.Int:
		number, err := strconv.Atoi(n.Value)
		if err != nil {
			p.add(path, "%q is no whole number", n.Value)
			return
		}
		v.SetInt(int64(number))
	default:
		p.add(path, "cannot be read") // a field of a kind that no value has: seen by the first test that sets it
	}
}

// fieldOf gives the field of a struct that a key names.
func fieldOf(v reflect.Value, key string) (field reflect.Value, ok bool) {
	for i := range v.NumField() {
		if f := v.Type().Field(i); f.Anonymous {
			if field, ok = fieldOf(v.Field(i), key); ok {
				return field, true
			}
		} else if keyOf(f) == key {
			return v.Field(i), true
		}
	}
	return field, false
}

func keyOf(f reflect.StructField) string {
	key, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return key
}

func keysOf(t reflect.Type) (keys []string) {
	for f := range t.Fields() {
		if f.Anonymous {
			keys = append(keys, keysOf(f.Type)...)
		} else {
			keys = append(keys, keyOf(f))
		}
	}
	slices.Sort(keys)
	return keys
}
