package nodectl

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/gridmesh/gridmesh/internal/adminapi"
)

// tailOutput writes the tails of several nodes, a line at a time.
type tailOutput struct {
	text  bool
	width int // of the longest name

	mu          sync.Mutex // protects what follows: one line after the other
	out, stderr io.Writer
	wrote       bool // anything; to be read when no tail runs any more
}

func newTailOutput(v *invocation, nodes []string) *tailOutput {
	o := &tailOutput{out: v.Stdout, stderr: v.Stderr, text: v.tail.output == outputText || v.tail.output == outputAuto && isTerminal(v.Stdout)}
	for _, name := range nodes {
		o.width = max(o.width, len(plainText(name)))
	}
	return o
}

// write writes what a node has sent: an entry, or a note.
func (o *tailOutput) write(node string, line []byte) error {
	form := jsonLine
	if o.text {
		form = textLine
	}
	written, err := form(node, line)
	if err != nil {
		written = nil
		if err := o.tellEnd(node, fmt.Errorf("sends what is no entry: %w", err)); err != nil {
			return err
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if written == nil {
		return nil
	}
	o.wrote = true
	if o.text {
		written = fmt.Appendf(nil, "%-*s %s", o.width, plainText(node), written)
	}
	_, err = o.out.Write(append(written, '\n'))
	return err
}

// tellEnd says on standard error what became of a node's tail.
func (o *tailOutput) tellEnd(node string, err error) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, err = fmt.Fprintf(o.stderr, "node %s: %s\n", plainText(node), plainText(err.Error()))
	return err
}

// errNoEntry: a node sends one JSON object a line.
var errNoEntry = errors.New("not a JSON object")

// jsonLine writes an entry as it was logged. What a terminal would take for
// something else than text is escaped: to a reader of JSON that is the same. An
// entry that does not say which node it is of, or that says another one, as any
// member could, stands in a note of the node that it came from.
func jsonLine(node string, line []byte) ([]byte, error) {
	var compact bytes.Buffer
	if err := json.Compact(&compact, line); err != nil {
		return nil, errNoEntry
	}
	if note, is := noteOf(node, line); is {
		return json.Marshal(note)
	}
	var fields map[string]json.RawMessage // and no struct: to that, Node would be node as well
	if err := json.Unmarshal(line, &fields); err != nil || fields == nil {
		return nil, errNoEntry
	}
	entry := escapeJSON(compact.Bytes())
	var says string
	if json.Unmarshal(fields["node"], &says) == nil && says == node {
		return entry, nil
	}
	return json.Marshal(map[string]any{"tail": map[string]any{"node": node, "entry": json.RawMessage(entry)}})
}

// noteOf reads a note of a tail.
func noteOf(node string, line []byte) (adminapi.TailNote, bool) {
	if !bytes.HasPrefix(line, []byte(adminapi.TailNoteBegins)) {
		return adminapi.TailNote{}, false
	}
	var note adminapi.TailNote
	if err := json.Unmarshal(line, &note); err != nil {
		return adminapi.TailNote{}, false
	}
	note.Tail.Node = node
	return note, true
}

// escapeJSON escapes what is no printable text in a JSON document, where it can
// only stand in strings.
func escapeJSON(document []byte) []byte {
	escaped := make([]byte, 0, len(document))
	for len(document) > 0 {
		r, size := utf8.DecodeRune(document)
		switch {
		case unicode.IsPrint(r) && r != utf8.RuneError:
			escaped = append(escaped, document[:size]...)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			escaped = fmt.Appendf(escaped, `\u%04x\u%04x`, high, low)
		default:
			escaped = fmt.Appendf(escaped, `\u%04x`, r)
		}
		document = document[size:]
	}
	return escaped
}

// textLine writes an entry for people: its time, what it is, and its fields.
func textLine(node string, line []byte) ([]byte, error) {
	if note, is := noteOf(node, line); is {
		switch {
		case note.Tail.Missed > 0:
			return fmt.Appendf(nil, "… %d entries came too fast to be read", note.Tail.Missed), nil
		case note.Tail.TooLarge > 0:
			return fmt.Appendf(nil, "… an entry of %d bytes is more than the node asked takes", note.Tail.TooLarge), nil
		}
		return []byte("… a note that this version does not know"), nil
	}
	fields, err := fieldsOf(line)
	if err != nil {
		return nil, err
	}
	take := func(key string) (text string) {
		for i, f := range fields {
			if f.key == key {
				fields = append(fields[:i:i], fields[i+1:]...)
				return f.value
			}
		}
		return ""
	}
	var words []string
	for _, key := range []string{"time", "level", "event", "msg"} {
		if word := take(key); word != "" {
			if key == "level" {
				word = fmt.Sprintf("%-5s", word)
			}
			words = append(words, shown(word, true))
		}
	}
	take("id")
	if says := take("node"); says != "" && says != node {
		words = append(words, "node="+shown(says, false))
	}
	for _, f := range fields {
		words = append(words, shown(f.key, false)+"="+shown(f.value, false))
	}
	return []byte(strings.Join(words, " ")), nil
}

// field is one of an entry, with the keys of its groups in front.
type field struct{ key, value string }

// fieldsOf takes an entry apart, in its own order.
func fieldsOf(line []byte) ([]field, error) {
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	if first, err := d.Token(); err != nil || first != json.Delim('{') {
		return nil, errNoEntry
	}
	room := prefixRoom
	fields, err := members(d, "", nil, 0, &room)
	if err != nil {
		return nil, errNoEntry
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errNoEntry
	}
	return fields, nil
}

const (
	// deepest is how far groups are taken apart; below they are shown as JSON.
	deepest = 8
	// prefixRoom bounds the keys of groups that are written in front of members,
	// each of them many times: a node could make them long. Groups beyond are
	// shown as JSON, too.
	prefixRoom = 64 << 10
)

// errNoRoom: a group is to be shown as JSON.
var errNoRoom = errors.New("too many long names")

// members reads an object whose brace was read, to its end. room is what is left
// of prefixRoom.
func members(d *json.Decoder, prefix string, fields []field, depth int, room *int) ([]field, error) {
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, err
		}
		if *room -= len(prefix); *room < 0 && depth > 0 {
			return nil, errNoRoom
		}
		name := fmt.Sprint(prefix, key)
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return nil, err
		}
		if raw[0] == '{' && depth < deepest {
			inner := json.NewDecoder(bytes.NewReader(raw))
			inner.UseNumber()
			if _, err := inner.Token(); err != nil {
				return nil, err
			}
			taken, err := members(inner, name+".", fields, depth+1, room)
			if err == nil {
				fields = taken
				continue
			}
			if !errors.Is(err, errNoRoom) {
				return nil, err
			}
		}
		var text string
		if json.Unmarshal(raw, &text) != nil {
			text = string(raw) // a number, a list
		}
		fields = append(fields, field{name, text})
	}
	_, err := d.Token()
	return fields, err
}

// shown is text as it may stand on a terminal: as it is where it is one word, or
// a sentence where spaces are allowed, else in quotes and escaped.
func shown(text string, spaces bool) string {
	if text == "" {
		return `""`
	}
	for _, r := range text {
		if r == utf8.RuneError || r == '"' || r == '=' && !spaces || r == ' ' && !spaces || !unicode.IsPrint(r) {
			return strconv.Quote(text)
		}
	}
	return text
}
