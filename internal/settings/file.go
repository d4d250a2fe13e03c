package settings

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxFile bounds the YAML file: a configuration is pages long, not megabytes.
const maxFile = 1 << 20

// readFile takes the keys of the YAML file. It works on the nodes, not on a
// decoded map, so that each complaint has its line and each value is exactly
// what was written: 010 stays 010 and no stays no.
func (t *Table) readFile(path string, read func(string) ([]byte, error), complain func(error)) map[string]given {
	refuse := func(line int, name, reason string) {
		at := ""
		if line > 0 {
			at = ":" + strconv.Itoa(line)
		}
		complain(&Error{Name: name, Source: fromFile(path, at), Reason: reason})
	}
	text, err := read(path)
	if err != nil {
		if cause := (*fs.PathError)(nil); errors.As(err, &cause) {
			err = cause.Err
		}
		refuse(0, "the file", "cannot be read: "+err.Error())
		return nil
	}
	if len(text) > maxFile {
		refuse(0, "the file", fmt.Sprintf("%d bytes, allowed are %d", len(text), maxFile))
		return nil
	}
	var document, second yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	if err := decoder.Decode(&document); err != nil && !errors.Is(err, io.EOF) {
		refuse(0, "the file", "is not YAML: "+strings.TrimPrefix(err.Error(), "yaml: "))
		return nil
	}
	if err := decoder.Decode(&second); !errors.Is(err, io.EOF) {
		refuse(second.Line, "the file", "goes on after its first document")
		return nil
	}
	if document.Kind == 0 || len(document.Content) == 0 {
		return nil // empty, or comments only: everything has its default
	}
	root := document.Content[0]
	if root.Kind != yaml.MappingNode {
		if root.Tag == "!!null" {
			return nil
		}
		refuse(root.Line, "the file", "is not a mapping; write one \"name: value\" a line")
		return nil
	}
	found := make(map[string]given)
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, value := root.Content[i], root.Content[i+1]
		s := t.find(key.Value)
		if s == nil || s.Name != key.Value || s.FlagOnly || s.NoFile {
			refuse(key.Line, key.Value, "there is no such setting"+meant(key.Value, t.names("", false)))
			continue
		}
		if _, twice := found[s.Name]; twice {
			refuse(key.Line, s.Name, "it is given twice")
			continue
		}
		parts, reason := s.Value.parts(value)
		if reason != "" {
			complain(&Error{Name: s.Name, Source: fromFile(path, ":"+strconv.Itoa(value.Line)), Reason: reason, Allowed: s.Value.allowed})
			continue
		}
		found[s.Name] = given{setting: s, parts: parts, source: fromFile(path, ":"+strconv.Itoa(key.Line))}
	}
	return found
}

// parts gives what a node of the file holds, or what is wrong with its form.
func (v Value) parts(node *yaml.Node) (parts []string, wrong string) {
	switch {
	case v.shape == document && node.Kind != yaml.ScalarNode:
		text, err := yaml.Marshal(node)
		if err != nil {
			return nil, "cannot be read: " + err.Error()
		}
		return []string{string(text)}, ""
	case node.Kind == yaml.AliasNode:
		return nil, "aliases are not understood here; write the value"
	case node.Kind == yaml.ScalarNode && node.Tag == "!!null":
		return nil, "there is no value"
	case node.Kind == yaml.ScalarNode:
		return v.split(node.Value), ""
	case node.Kind == yaml.SequenceNode && v.shape == list:
		for _, entry := range node.Content {
			if entry.Kind != yaml.ScalarNode {
				return nil, "an entry of the list is not a plain value"
			}
			parts = append(parts, entry.Value)
		}
		return parts, ""
	case node.Kind == yaml.MappingNode && v.shape == pairs:
		for i := 0; i+1 < len(node.Content); i += 2 {
			name, value := node.Content[i], node.Content[i+1]
			if name.Kind != yaml.ScalarNode || value.Kind != yaml.ScalarNode {
				return nil, "an entry is not a plain name and value"
			}
			parts = append(parts, name.Value+"="+value.Value)
		}
		return parts, ""
	case node.Kind == yaml.SequenceNode:
		return nil, "a list where one value is expected"
	default:
		return nil, "a mapping where one value is expected"
	}
}
