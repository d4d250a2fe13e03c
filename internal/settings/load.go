package settings

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Input is what Load reads.
type Input struct {
	Args     []string // without the program's name
	Environ  []string // as os.Environ gives it
	ReadFile func(name string) ([]byte, error)

	// File names the setting that holds the path of the YAML file; "" if the
	// table has no file.
	File string
}

// Loaded is what Load found besides the values.
type Loaded struct {
	Sources map[string]Source // of each setting by name
	Rest    []string          // arguments that are no flags, in order
}

// Source says where the value of a setting came from.
func (l *Loaded) Source(name string) Source {
	if s, ok := l.Sources[name]; ok {
		return s
	}
	return Default
}

// IsSet reports whether anybody has set it.
func (l *Loaded) IsSet(name string) bool { return l.Source(name) != Default }

// given is one value on its way from a source to its setting.
type given struct {
	setting *Setting
	parts   []string
	source  Source
}

// Load sets every value of the table: from the flags, else from the
// environment, else from the file, else its default. On errors, which come
// joined, some values may have been written: use none.
func (t *Table) Load(in Input) (*Loaded, error) {
	var problems []error
	complain := func(err error) { problems = append(problems, err) }

	flags, rest := t.parseFlags(in.Args, complain)
	variables := t.parseEnviron(in.Environ, complain)
	loaded := &Loaded{Sources: make(map[string]Source), Rest: rest}

	var keys map[string]given
	if in.File != "" {
		path := ""
		for _, from := range []map[string]given{flags, variables} {
			if g, ok := from[in.File]; ok {
				path = strings.Join(g.parts, ",")
				break
			}
		}
		if path != "" {
			keys = t.readFile(path, in.ReadFile, complain)
		}
	}
	for i := range t.Settings {
		s := &t.Settings[i]
		var chosen *given
		for _, from := range []map[string]given{flags, variables, keys} {
			g, ok := from[s.Name]
			if !ok {
				continue
			}
			if chosen == nil {
				chosen = &g
				continue
			}
			// A value that is not used is checked all the same: the mistake
			// would show on the day when the other one goes.
			for _, err := range Problems(g.apply()) {
				complain(err)
			}
		}
		if chosen == nil && s.Default != "" {
			chosen = &given{setting: s, parts: s.Value.split(s.Default), source: Default}
		}
		if chosen == nil {
			continue
		}
		loaded.Sources[s.Name] = chosen.source
		for _, err := range Problems(chosen.apply()) {
			complain(err)
		}
	}
	if len(problems) > 0 {
		return loaded, errors.Join(problems...)
	}
	return loaded, nil
}

func (g *given) apply() error {
	refuse := func(reason string) error {
		return &Error{
			Name: g.setting.Name, Value: strings.Join(g.parts, ","), Source: g.source,
			Reason: reason, Allowed: g.setting.Value.allowed,
		}
	}
	if len(g.parts) == 0 || len(g.parts) == 1 && g.parts[0] == "" {
		return refuse("there is no value")
	}
	err := g.setting.Value.set(g.parts)
	if err == nil {
		return nil
	}
	if g.setting.Value.shape != document {
		return refuse(err.Error())
	}
	var all []error
	for _, e := range Problems(err) {
		refused := &Error{Name: g.setting.Name, Source: g.source, Reason: e.Error()}
		if keyed, ok := e.(Keyed); ok {
			refused.Name, refused.Reason = keyed.Key()
		}
		all = append(all, refused)
	}
	return errors.Join(all...)
}

// parseFlags takes --name VALUE, --name=VALUE and --switch, with one dash or
// two, before or after what is no flag; "--" ends them.
func (t *Table) parseFlags(args []string, complain func(error)) (found map[string]given, rest []string) {
	found = make(map[string]given)
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		if arg == "--" {
			return found, append(rest, args...)
		}
		if !strings.HasPrefix(arg, "-") || arg == "-" {
			rest = append(rest, arg)
			continue
		}
		name, text, hasText := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(arg, "-"), "-"), "=")
		s := t.find(name)
		if s == nil {
			complain(&Error{Name: "--" + name, Source: "command line", Reason: "there is no such flag" + meant("--"+name, t.names("--", true))})
			continue
		}
		switch {
		case hasText:
		case s.Value.shape == toggle:
			text = "true"
		case len(args) == 0:
			complain(&Error{Name: s.Name, Source: fromFlag(s), Reason: "the value is missing", Allowed: s.Value.allowed})
			continue
		default:
			text, args = args[0], args[1:]
		}
		parts := s.Value.split(text)
		if before, twice := found[s.Name]; twice {
			if s.Value.shape != list && s.Value.shape != pairs {
				complain(&Error{Name: s.Name, Value: text, Source: fromFlag(s), Reason: "it is given twice"})
				continue
			}
			parts = append(before.parts, parts...)
		}
		found[s.Name] = given{setting: s, parts: parts, source: fromFlag(s)}
	}
	return found, rest
}

// serviceLink matches the variables that Kubernetes gives every container for
// every Service: one called "grid" would make GRID_SERVICE_HOST.
var serviceLink = regexp.MustCompile(`_SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)$|_PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?$`)

// parseEnviron takes what carries the prefix. An empty variable counts as not
// set, as it is how scripts and pod templates leave one out.
func (t *Table) parseEnviron(environ []string, complain func(error)) map[string]given {
	found := make(map[string]given)
	for _, entry := range environ {
		variable, text, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(variable, t.Prefix) || text == "" {
			continue
		}
		s := t.findVariable(variable)
		switch {
		case s != nil:
			found[s.Name] = given{setting: s, parts: s.Value.split(text), source: fromVariable(variable)}
		case t.Shared, serviceLink.MatchString(variable):
		default:
			complain(&Error{Name: variable, Source: "environment", Reason: "there is no such setting" + meant(variable, t.variables())})
		}
	}
	return found
}

func (t *Table) names(prefix string, flags bool) []string {
	var all []string
	for _, s := range t.Settings {
		if flags || !s.FlagOnly && !s.NoFile {
			all = append(all, prefix+s.Name)
		}
	}
	return all
}

func (t *Table) variables() []string {
	all := make(map[string]bool)
	for _, s := range t.Settings {
		if !s.FlagOnly {
			all[s.variable(t.Prefix)] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// Problems takes apart errors that come joined.
func Problems(err error) (all []error) {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	for _, e := range joined.Unwrap() {
		all = append(all, Problems(e)...)
	}
	return all
}

// Conflict is the error for values that do not go together.
func Conflict(source Source, name, format string, args ...any) error {
	return &Error{Name: name, Source: source, Reason: fmt.Sprintf(format, args...)}
}
