package settings

import (
	"slices"
	"strings"
)

// Setting is one row of a program's table.
type Setting struct {
	Name    string // lower case with dashes; GRID_LIKE_THIS in the environment
	Group   string // the heading that it stands under in --help
	Default string // as a user would type it; "" if there is none
	Help    string // what it does, in a sentence or two
	Value   Value

	Alias    string // another name of the flag, if any: -c for --config
	FlagOnly bool   // neither a variable nor a key: an act, not a property
	NoFile   bool   // not a key of the file, such as the file's own name
	Live     bool   // a running program takes a new value over
}

// variable is the name of the setting in the environment.
func (s *Setting) variable(prefix string) string {
	return prefix + strings.ToUpper(strings.ReplaceAll(s.Name, "-", "_"))
}

// Table is all settings of a program, or of one of its commands.
type Table struct {
	Settings []Setting
	Prefix   string // of the environment variables, such as GRID_

	// Shared says that the environment belongs to another table as well, so
	// that unknown variables are nothing to complain about.
	Shared bool
}

func (t *Table) find(name string) *Setting {
	i := slices.IndexFunc(t.Settings, func(s Setting) bool { return s.Name == name || s.Alias != "" && s.Alias == name })
	if i < 0 {
		return nil
	}
	return &t.Settings[i]
}

func (t *Table) findVariable(variable string) *Setting {
	i := slices.IndexFunc(t.Settings, func(s Setting) bool { return !s.FlagOnly && s.variable(t.Prefix) == variable })
	if i < 0 {
		return nil
	}
	return &t.Settings[i]
}

// Fixed names the settings that have another value in other, a table of the
// same rows, and that a running program cannot take over.
func (t *Table) Fixed(other *Table) []string {
	var names []string
	for i := range t.Settings {
		s, o := &t.Settings[i], other.find(t.Settings[i].Name)
		if !s.Live && !s.FlagOnly && o != nil && s.Value.now() != o.Value.now() {
			names = append(names, s.Name)
		}
	}
	return names
}

// Source is where a value came from.
type Source string

// Default is the source of a value that nobody has set.
const Default Source = "default"

func fromFlag(s *Setting) Source        { return Source("flag --" + s.Name) }
func fromVariable(name string) Source   { return Source("environment " + name) }
func fromFile(path, line string) Source { return Source("file " + path + line) }
