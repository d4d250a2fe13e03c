package audit

import (
	"fmt"
	"slices"
	"strings"
)

// Filter says which calls and streams are recorded. Other events always are.
// The first rule that matches decides; where none does, the record is kept.
type Filter []Rule

// Rule matches a record if each of its lists that is not empty has a pattern
// that matches. A pattern is a text in which * stands for anything; with ! in
// front it matches what it else would not.
type Rule struct {
	Handlers  []string `json:"handlers,omitempty"`
	Peers     []string `json:"peers,omitempty"`
	Results   []string `json:"results,omitempty"`
	Direction string   `json:"direction,omitempty"` // in, out; "": both
	Drop      bool     `json:"drop,omitempty"`      // false: what matches is kept
}

const (
	maxRules   = 100
	maxPattern = 256
)

// Check says what is wrong with a filter. The error begins with the path of
// what is wrong.
func (f Filter) Check() error {
	if len(f) > maxRules {
		return fmt.Errorf("%d rules, allowed are %d", len(f), maxRules)
	}
	for i, r := range f {
		if r.Direction != "" && r.Direction != In && r.Direction != Out {
			return fmt.Errorf("[%d].direction: %q is neither in nor out", i, r.Direction)
		}
		for name, list := range map[string][]string{"handlers": r.Handlers, "peers": r.Peers, "results": r.Results} {
			if len(list) > maxRules {
				return fmt.Errorf("[%d].%s: %d patterns, allowed are %d", i, name, len(list), maxRules)
			}
			for _, p := range list {
				if p == "" || p == "!" || len(p) > maxPattern {
					return fmt.Errorf("[%d].%s: %q: a pattern has 1 to %d bytes", i, name, p, maxPattern)
				}
			}
		}
	}
	return nil
}

// keeps reports whether the record of a call is wanted.
func (f Filter) keeps(r *Record) bool {
	for i := range f {
		if f[i].Matches(r) {
			return !f[i].Drop
		}
	}
	return true
}

// skips reports whether no call of this handler with this peer is wanted,
// however it ends: then it need not be measured.
func (f Filter) skips(handler, peer, direction string) bool {
	for i := range f {
		r := &f[i]
		if (r.Direction != "" && r.Direction != direction) || !anyMatches(r.Handlers, handler) || !anyMatches(r.Peers, peer) {
			continue
		}
		if len(r.Results) > 0 {
			return false // it depends
		}
		return r.Drop
	}
	return false
}

// Matches reports whether the rule is about a record.
func (r *Rule) Matches(of *Record) bool {
	return (r.Direction == "" || r.Direction == of.Direction) &&
		anyMatches(r.Handlers, of.Handler) && anyMatches(r.Peers, of.Peer) && anyMatches(r.Results, of.Result)
}

func anyMatches(patterns []string, s string) bool {
	return len(patterns) == 0 || slices.ContainsFunc(patterns, func(p string) bool { return Match(p, s) })
}

// Match reports whether a pattern of a Rule matches s.
func Match(pattern, s string) bool {
	if rest, not := strings.CutPrefix(pattern, "!"); not {
		return !Match(rest, s)
	}
	head, tail, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == s
	}
	s, found := strings.CutPrefix(s, head)
	if !found {
		return false
	}
	for {
		piece, rest, more := strings.Cut(tail, "*")
		if !more {
			return strings.HasSuffix(s, piece)
		}
		// The first place will do: what follows has only more room then.
		_, after, found := strings.Cut(s, piece)
		if !found {
			return false
		}
		s, tail = after, rest
	}
}
