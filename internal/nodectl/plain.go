package nodectl

import (
	"reflect"
	"strings"
	"unicode"
)

// plain makes all text that into points to fit for a terminal. What a node shows
// was in part written by others: peers, and strangers that it refused. An escape
// of theirs could repaint the screen, a line end make up a row of a table.
func plain(into any) { plainValue(reflect.ValueOf(into)) }

func plainValue(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			plainValue(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() { // a time has no text of anybody's
				plainValue(v.Field(i))
			}
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			plainValue(v.Index(i))
		}
	case reflect.Map: // counts by name
		for _, key := range v.MapKeys() {
			if name := key.String(); key.Kind() == reflect.String && plainText(name) != name {
				value := v.MapIndex(key)
				v.SetMapIndex(key, reflect.Value{})
				v.SetMapIndex(reflect.ValueOf(plainText(name)).Convert(key.Type()), value)
			}
		}
	case reflect.String:
		if v.CanSet() {
			v.SetString(plainText(v.String()))
		}
	default: // no text
	}
}

func plainText(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}

// plainLines is plainText of each line.
func plainLines(s string) string {
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		lines[i] = plainText(line)
	}
	return strings.Join(lines, "\n")
}
