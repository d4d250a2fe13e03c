package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// references are the systems that the tables compare with.
var references = []string{"wsfloor", "grpc"}

// writeTable writes the report for people: a table for each group, the median
// of the rounds in each place.
func (r *Report) writeTable(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "%s/%s, %d CPUs, %s; %d rounds of %gs, medians\n", r.Machine.OS, r.Machine.Arch,
		r.Machine.CPUs, r.Machine.Go, r.Settings.Rounds, r.Settings.MeasuredSeconds)
	head := ""
	for _, c := range r.cases {
		rows := r.rows(c)
		if len(rows) == 0 {
			continue
		}
		if h := r.head(c); h != head {
			head = h
			fmt.Fprintf(t, "\n%s\n", head)
		}
		for _, row := range rows {
			fmt.Fprintln(t, row)
		}
	}
	if r.Disturbed > 0 {
		fmt.Fprintf(t, "\nDISTURBED: other processes used more than %g%% of the processors in %d of %d measurements; run again when the machine is quiet\n",
			disturbance*100, r.Disturbed, r.Measurements)
	}
	for _, f := range r.Failures {
		fmt.Fprintf(t, "\nFAILED %s of %s in round %d: %s\n", f.Case, f.System, f.Round, f.Error)
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("write the table: %w", err)
	}
	return nil
}

// head is the first line of the case's table; cases with the same one share it.
func (r *Report) head(c Case) string {
	cells := []string{c.Group, "system"}
	for _, m := range c.Metrics {
		cells = append(cells, m.Head)
	}
	for _, m := range c.Metrics {
		for _, ref := range r.references(c, m) {
			cells = append(cells, m.Head+" ÷ "+ref)
		}
	}
	return strings.Join(cells, "\t")
}

// references are the systems that the metric is compared with in this table:
// those of its group that were measured.
func (r *Report) references(c Case, m Metric) []string {
	var list []string
	for _, ref := range references {
		if m.Beside && slices.ContainsFunc(r.Results, func(f Result) bool {
			return f.System == ref && f.Metric == m.Name && strings.HasPrefix(f.Case, c.Group+"/")
		}) {
			list = append(list, ref)
		}
	}
	return list
}

// rows returns a line for each system that was measured, in the order of systems().
func (r *Report) rows(c Case) []string {
	var rows []string
	for _, s := range systems() {
		if r.find(c.Name(), s.Name(), c.Metrics[0].Name) == nil {
			continue
		}
		cells := []string{c.Variant, s.Name()}
		for _, m := range c.Metrics {
			cells = append(cells, cell(r.find(c.Name(), s.Name(), m.Name)))
		}
		for _, m := range c.Metrics {
			for _, ref := range r.references(c, m) {
				cells = append(cells, r.ratioCell(c, m, s.Name(), ref))
			}
		}
		rows = append(rows, strings.Join(cells, "\t"))
	}
	return rows
}

func cell(f *Result) string {
	if f == nil {
		return "-"
	}
	return figure(f.Median)
}

// ratioCell is a metric as a share of that of the reference.
func (r *Report) ratioCell(c Case, m Metric, system, reference string) string {
	a, b := r.find(c.Name(), system, m.Name), r.find(c.Name(), reference, m.Name)
	if a == nil || b == nil {
		return "-"
	}
	ratio, ok := compare(a, b, Ratio)
	if !ok {
		return "-"
	}
	return figure(ratio)
}

// figure writes three digits that matter, and thousands in groups.
func figure(v float64) string {
	if v == 0 || math.IsNaN(v) || math.IsInf(v, 0) {
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
	magnitude := int(math.Floor(math.Log10(math.Abs(v))))
	if magnitude < 2 {
		// Below a thousandth of the unit there is nothing to tell.
		return strconv.FormatFloat(v, 'f', min(2-magnitude, 3), 64)
	}
	unit := math.Pow10(magnitude - 2)
	digits := strconv.FormatFloat(math.Round(v/unit)*unit, 'f', 0, 64)
	sign := ""
	if digits[0] == '-' {
		sign, digits = "-", digits[1:]
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}
