package settings

import (
	"fmt"
	"io"
	"strings"
)

const helpWidth = 88 // columns of text in --help

// WriteHelp writes every setting under its group's heading, in the table's order.
func (t *Table) WriteHelp(w io.Writer) {
	group := ""
	for i := range t.Settings {
		s := &t.Settings[i]
		if s.Group != group {
			group = s.Group
			fmt.Fprintf(w, "\n%s:\n", group)
		}
		name := "--" + s.Name
		switch {
		case len(s.Alias) == 1:
			name = "-" + s.Alias + ", " + name
		case s.Alias != "":
			name = "--" + s.Alias + ", " + name
		}
		if s.Value.metavar != "" {
			name += " " + s.Value.metavar
		}
		fmt.Fprintf(w, "  %s\n", name)
		for _, line := range wrap(s.describe(t.Prefix), helpWidth-8) {
			fmt.Fprintf(w, "        %s\n", line)
		}
	}
}

func (s *Setting) describe(prefix string) string {
	text := s.Help
	if s.Value.shape == list || s.Value.shape == pairs {
		text += " Separate several by commas, or give the flag again."
	}
	if s.Default != "" && s.Value.shape != toggle {
		text += " [default: " + s.Default + "]"
	}
	if !s.FlagOnly {
		text += " [" + s.variable(prefix) + "]"
	}
	return text
}

// WriteMarkdown writes the reference of the table.
func (t *Table) WriteMarkdown(w io.Writer) {
	group := ""
	for i := range t.Settings {
		s := &t.Settings[i]
		if s.FlagOnly {
			continue
		}
		if s.Group != group {
			group = s.Group
			fmt.Fprintf(w, "\n## %s\n\n| flag | variable | file | default | what it does | allowed |\n|---|---|---|---|---|---|\n", group)
		}
		key, def := "`"+s.Name+":`", "none"
		if s.NoFile {
			key = "not in the file"
		}
		if s.Default != "" {
			def = "`" + s.Default + "`"
		}
		fmt.Fprintf(w, "| `--%s` | `%s` | %s | %s | %s | %s |\n",
			s.Name, s.variable(t.Prefix), key, def, cell(s.Help), cell(s.Value.allowed))
	}
}

func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}
