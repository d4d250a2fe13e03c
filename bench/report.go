package main

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"slices"
)

// A Report is what was measured. Nothing in it is an average: each figure keeps
// its rounds, and what is shown is their median.
type Report struct {
	Machine  Machine   `json:"machine"`
	Settings RunInfo   `json:"settings"`
	Results  []Result  `json:"results"`
	Failures []Failure `json:"failures"`
	Aims     []Verdict `json:"aims,omitempty"`

	// Measurements during which other processes used more than a tenth of the
	// processors, and how many there were in all.
	Disturbed    int `json:"disturbed"`
	Measurements int `json:"measurements"`

	cases []Case
}

// Machine is where it was measured.
type Machine struct {
	OS   string `json:"os"`
	Arch string `json:"arch"`
	CPUs int    `json:"cpus"`
	Go   string `json:"go"`
}

// RunInfo is how it was measured.
type RunInfo struct {
	MeasuredSeconds float64 `json:"measured_seconds"` // of each part of a case in each round
	Rounds          int     `json:"rounds"`
}

// A Result is one figure of one system.
type Result struct {
	Case   string    `json:"case"`
	System string    `json:"system"`
	Metric string    `json:"metric"`
	Median float64   `json:"median"`
	Rounds []float64 `json:"rounds"` // in order; without those that failed
	index  []int     // the round of each of Rounds
}

// A Failure is a measurement that gave none.
type Failure struct {
	Case   string `json:"case"`
	System string `json:"system"`
	Round  int    `json:"round"` // from 1
	Error  string `json:"error"`
}

func newReport(p *plan) *Report {
	return &Report{
		Machine:  Machine{OS: runtime.GOOS, Arch: runtime.GOARCH, CPUs: runtime.GOMAXPROCS(0), Go: runtime.Version()},
		Settings: RunInfo{MeasuredSeconds: p.watch.measure.Seconds(), Rounds: p.rounds},
		Results:  []Result{},
		Failures: []Failure{},
		cases:    p.cases,
	}
}

// add notes what one measurement gave.
func (r *Report) add(c Case, s System, round int, values Values, err error) {
	if err != nil {
		r.Failures = append(r.Failures, Failure{Case: c.Name(), System: s.Name(), Round: round + 1, Error: err.Error()})
		return
	}
	for _, m := range c.Metrics {
		v, ok := values[m.Name]
		if !ok {
			continue
		}
		found := r.find(c.Name(), s.Name(), m.Name)
		if found == nil {
			r.Results = append(r.Results, Result{Case: c.Name(), System: s.Name(), Metric: m.Name})
			found = &r.Results[len(r.Results)-1]
		}
		found.Rounds = append(found.Rounds, v)
		found.index = append(found.index, round)
		found.Median = median(found.Rounds)
	}
}

// count counts a measurement.
func (r *Report) count(disturbed bool) {
	r.Measurements++
	if disturbed {
		r.Disturbed++
	}
}

// find returns a figure, or nil when it was not measured.
func (r *Report) find(caseName, system, metric string) *Result {
	for i := range r.Results {
		f := &r.Results[i]
		if f.Case == caseName && f.System == system && f.Metric == metric {
			return f
		}
	}
	return nil
}

// paired returns the figures of a and b in those rounds that have both.
func paired(a, b *Result) (as, bs []float64) {
	for i, round := range a.index {
		if j := slices.Index(b.index, round); j >= 0 {
			as, bs = append(as, a.Rounds[i]), append(bs, b.Rounds[j])
		}
	}
	return as, bs
}

// writeJSON writes the report for tools.
func (r *Report) writeJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	if err := e.Encode(r); err != nil {
		return fmt.Errorf("write the report as JSON: %w", err)
	}
	return nil
}

// median returns the middle of the values, or the mean of the middle two.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	if n == 0 {
		return 0
	}
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
