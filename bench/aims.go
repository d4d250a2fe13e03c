package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"text/tabwriter"

	"go.yaml.in/yaml/v3"
)

// An Aim is what one figure of a system should be: beside another system's in
// the same run, or as it is.
type Aim struct {
	Name    string   `yaml:"name" json:"name"`
	Metric  string   `yaml:"metric" json:"metric"`   // group/variant/metric
	Of      string   `yaml:"of" json:"of"`           // the system that has the aim
	Against string   `yaml:"against" json:"against"` // the system beside it; "" (null): the figure as it is
	Compare Relation `yaml:"compare" json:"compare"` // how the two relate; "" is Ratio
	Op      string   `yaml:"op" json:"op"`           // ">=" or "<="
	Want    float64  `yaml:"want" json:"want"`       // what passes
	Aim     *float64 `yaml:"aim" json:"aim"`         // what we hope for beyond it; may be left out
	Gate    bool     `yaml:"gate" json:"gate"`       // -check fails without it; others are only reported
}

// A Relation is what is computed of the figures of two systems.
type Relation string

const (
	Ratio      Relation = "ratio"      // of's ÷ against's
	Difference Relation = "difference" // of's − against's
)

// An Outcome is what became of an aim.
type Outcome string

const (
	Pass        Outcome = "PASS"
	Fail        Outcome = "FAIL"
	NotMeasured Outcome = "NOT MEASURED" // of no gate: that is a Fail
)

// A Verdict is an aim with what was measured.
type Verdict struct {
	Aim      Aim     `json:"aim"`
	Outcome  Outcome `json:"outcome"`
	Measured float64 `json:"measured"` // 0 when it was not
	Reached  bool    `json:"reached"`  // what we hope for, too
	Why      string  `json:"why,omitempty"`
}

// loadAims reads and checks a file of aims.
func loadAims(path string) ([]Aim, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open the aims: %w", err)
	}
	defer f.Close()
	aims, err := parseAims(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return aims, nil
}

// parseAims refuses what could never be measured: a misspelt aim must not pass
// for one that was left out of this run.
func parseAims(r io.Reader) ([]Aim, error) {
	decoder := yaml.NewDecoder(r)
	decoder.KnownFields(true)
	var aims []Aim
	if err := decoder.Decode(&aims); err != nil {
		return nil, fmt.Errorf("parse the aims: %w", err)
	}
	seen := make(map[string]bool)
	for i := range aims {
		a := &aims[i]
		if a.Compare == "" {
			a.Compare = Ratio
		}
		if err := a.check(); err != nil {
			return nil, fmt.Errorf("aim %d (%q): %w", i+1, a.Name, err)
		}
		if seen[a.Name] {
			return nil, fmt.Errorf("aim %d (%q): give it a name of its own", i+1, a.Name)
		}
		seen[a.Name] = true
	}
	return aims, nil
}

func (a *Aim) check() error {
	switch {
	case a.Name == "":
		return errors.New("name: give it one")
	case a.Op != ">=" && a.Op != "<=":
		return fmt.Errorf("op: %q: write \">=\" or \"<=\"", a.Op)
	case a.Compare != Ratio && a.Compare != Difference:
		return fmt.Errorf("compare: %q: write %q or %q", a.Compare, Ratio, Difference)
	case a.Aim != nil && *a.Aim != a.Want && a.met(a.Want) && !a.met(*a.Aim):
		return fmt.Errorf("aim: %g asks for less than want: %g", *a.Aim, a.Want)
	}
	if err := knownMetric(a.Metric); err != nil {
		return err
	}
	if !knownSystem(a.Of) {
		return fmt.Errorf("of: %q is no system", a.Of)
	}
	if a.Against != "" && !knownSystem(a.Against) {
		return fmt.Errorf("against: %q is no system", a.Against)
	}
	return nil
}

// met tells whether v is as wanted.
func (a *Aim) met(v float64) bool { return meets(v, a.Op, a.Want) }

func meets(v float64, op string, bound float64) bool {
	if op == "<=" {
		return v <= bound
	}
	return v >= bound // false for NaN, as above
}

// knownMetric fails for a metric that no case has.
func knownMetric(path string) error {
	name, metric := splitMetric(path)
	for _, c := range cases() {
		if c.Name() != name {
			continue
		}
		for _, m := range c.Metrics {
			if m.Name == metric {
				return nil
			}
		}
	}
	return fmt.Errorf("metric: no case has %q: write group/variant/metric, as -list prints them", path)
}

// splitMetric cuts group/variant/metric before the metric.
func splitMetric(path string) (caseName, metric string) {
	i := max(strings.LastIndexByte(path, '/'), 0)
	return path[:i], strings.TrimPrefix(path[i:], "/")
}

// judge evaluates an aim on what find returns, which is nil for a figure that
// was not measured.
func judge(a Aim, find func(caseName, system, metric string) *Result) Verdict {
	v := Verdict{Aim: a}
	name, metric := splitMetric(a.Metric)
	of := find(name, a.Of, metric)
	var ok bool
	switch {
	case of == nil:
		v.Why = a.Of + " was not measured"
	case a.Against == "":
		v.Measured, ok = of.Median, true
	default:
		against := find(name, a.Against, metric)
		if against == nil {
			v.Why = a.Against + " was not measured"
			break
		}
		if v.Measured, ok = compare(of, against, a.Compare); !ok {
			v.Why = "the two have no figures of one round that can be compared"
		}
	}
	switch {
	case ok && a.met(v.Measured):
		v.Outcome = Pass
		v.Reached = a.Aim == nil || meets(v.Measured, a.Op, *a.Aim)
	case ok || a.Gate:
		v.Outcome = Fail
	default:
		v.Outcome = NotMeasured
	}
	return v
}

// compare relates the figures of each round, and returns the median: what a
// noisy moment did to both ends of a ratio doesn't show in it.
func compare(a, b *Result, by Relation) (float64, bool) {
	as, bs := paired(a, b)
	var all []float64
	for i := range as {
		v := as[i] - bs[i]
		if by == Ratio {
			v = as[i] / bs[i]
		}
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			all = append(all, v)
		}
	}
	return median(all), len(all) > 0
}

// judgeAll evaluates the aims on the report, and keeps the verdicts in it. It
// returns how many gates failed.
func (r *Report) judgeAll(aims []Aim) (failed int) {
	for _, a := range aims {
		v := judge(a, r.find)
		if a.Gate && v.Outcome != Pass {
			failed++
		}
		r.Aims = append(r.Aims, v)
	}
	return failed
}

// writeAims writes a line for each verdict.
func (r *Report) writeAims(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\noutcome\tgate\taim\tmeasured\twanted\tof what")
	for _, v := range r.Aims {
		gate, measured := "", "-"
		if v.Aim.Gate {
			gate = "gate"
		}
		if v.Why == "" {
			measured = figure(v.Measured)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", v.Outcome, gate, v.Aim.Name, measured, v.wanted(), v.what())
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("write the aims: %w", err)
	}
	return nil
}

// wanted is what passes, and what we hope for.
func (v Verdict) wanted() string {
	s := fmt.Sprintf("%s %g", v.Aim.Op, v.Aim.Want)
	if v.Aim.Aim == nil {
		return s
	}
	state := "not yet"
	if v.Reached {
		state = "reached"
	}
	return fmt.Sprintf("%s (aim %g: %s)", s, *v.Aim.Aim, state)
}

// what names the figures behind the verdict, or why there is none.
func (v Verdict) what() string {
	s := v.Aim.Metric + " of " + v.Aim.Of
	switch {
	case v.Why != "":
		s += " (" + v.Why + ")"
	case v.Aim.Against != "" && v.Aim.Compare == Difference:
		s += " − " + v.Aim.Against
	case v.Aim.Against != "":
		s += " ÷ " + v.Aim.Against
	}
	return s
}
