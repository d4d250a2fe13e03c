package main

import (
	"math"
	"os"
	"slices"
	"strings"
	"testing"
)

// measuredRounds is a find of judge over fixed figures, by "case/metric system".
func measuredRounds(figures map[string][]float64) func(string, string, string) *Result {
	return func(caseName, system, metric string) *Result {
		rounds, ok := figures[caseName+"/"+metric+" "+system]
		if !ok {
			return nil
		}
		r := &Result{Rounds: rounds, Median: median(rounds)}
		for i := range rounds {
			r.index = append(r.index, i)
		}
		return r
	}
}

func TestJudge(t *testing.T) {
	find := measuredRounds(map[string][]float64{
		"c/v/ops a":    {80, 90, 200},
		"c/v/ops b":    {100, 100, 400}, // ratios .8 .9 .5: median .8, of the medians .9
		"c/v/allocs a": {5, 5, 5},
		"c/v/allocs b": {3, 3, 3},
		"c/v/zero a":   {0, 0},
		"c/v/nan a":    {math.NaN()},
	})
	hope := func(v float64) *float64 { return &v }
	for _, tc := range []struct {
		name     string
		aim      Aim
		outcome  Outcome
		measured float64
		reached  bool
	}{
		{"ratio is of each round", Aim{Metric: "c/v/ops", Against: "b", Op: ">=", Want: 0.8}, Pass, 0.8, true},
		{"ratio just missed", Aim{Metric: "c/v/ops", Against: "b", Op: ">=", Want: 0.81}, Fail, 0.8, false},
		{"passed, hoped for more", Aim{Metric: "c/v/ops", Against: "b", Op: ">=", Want: 0.75, Aim: hope(0.85)}, Pass, 0.8, false},
		{"passed, hope reached", Aim{Metric: "c/v/ops", Against: "b", Op: ">=", Want: 0.75, Aim: hope(0.8)}, Pass, 0.8, true},
		{"at most, at the bound", Aim{Metric: "c/v/ops", Against: "b", Op: "<=", Want: 0.8}, Pass, 0.8, true},
		{"at most, above", Aim{Metric: "c/v/ops", Against: "b", Op: "<=", Want: 0.79}, Fail, 0.8, false},
		{"difference", Aim{Metric: "c/v/allocs", Against: "b", Compare: Difference, Op: "<=", Want: 2}, Pass, 2, true},
		{"difference missed", Aim{Metric: "c/v/allocs", Against: "b", Compare: Difference, Op: "<=", Want: 1}, Fail, 2, false},
		{"bound without another", Aim{Metric: "c/v/ops", Op: "<=", Want: 90}, Pass, 90, true},
		{"bound missed", Aim{Metric: "c/v/ops", Op: "<=", Want: 89}, Fail, 90, false},
		{"not a number", Aim{Metric: "c/v/nan", Op: "<=", Want: 89}, Fail, math.NaN(), false},
		{"not measured", Aim{Metric: "c/v/p50", Op: "<=", Want: 89}, NotMeasured, 0, false},
		{"gate not measured", Aim{Metric: "c/v/p50", Op: "<=", Want: 89, Gate: true}, Fail, 0, false},
		{"other not measured", Aim{Metric: "c/v/zero", Against: "b", Op: "<=", Want: 89}, NotMeasured, 0, false},
		{"nothing to divide by", Aim{Metric: "c/v/zero", Against: "a", Op: "<=", Want: 89}, NotMeasured, 0, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.aim.Of = "a"
			if tc.aim.Compare == "" {
				tc.aim.Compare = Ratio
			}
			v := judge(tc.aim, find)
			same := math.Abs(v.Measured-tc.measured) < 1e-9 || math.IsNaN(v.Measured) && math.IsNaN(tc.measured)
			if v.Outcome != tc.outcome || !same || v.Reached != tc.reached {
				t.Errorf("got %s, measured %g, reached %t; want %s, %g, %t",
					v.Outcome, v.Measured, v.Reached, tc.outcome, tc.measured, tc.reached)
			}
		})
	}
}

func TestPairedTakesRoundsThatBothHave(t *testing.T) {
	as, bs := paired(
		&Result{Rounds: []float64{1, 2, 3}, index: []int{0, 1, 3}},
		&Result{Rounds: []float64{20, 30}, index: []int{1, 2}})
	if !slices.Equal(as, []float64{2}) || !slices.Equal(bs, []float64{20}) {
		t.Errorf("paired = %v, %v, want [2], [20]", as, bs)
	}
}

func TestMedian(t *testing.T) {
	for _, tc := range []struct {
		values []float64
		want   float64
	}{{nil, 0}, {[]float64{7}, 7}, {[]float64{9, 1}, 5}, {[]float64{9, 1, 2}, 2}, {[]float64{4, 1, 3, 2}, 2.5}} {
		if got := median(tc.values); got != tc.want {
			t.Errorf("median(%v) = %g, want %g", tc.values, got, tc.want)
		}
	}
}

func TestParseAimsRefuses(t *testing.T) {
	const whole = `- {name: n, metric: single/64/ops, of: grpc, against: wsfloor, op: ">=", want: 1, aim: 2, gate: true}`
	if aims, err := parseAims(strings.NewReader(whole)); err != nil || len(aims) != 1 || aims[0].Compare != Ratio {
		t.Fatalf("a right aim: %+v, %v", aims, err)
	}
	for _, tc := range []struct{ old, new, want string }{
		{"name: n", "name: ''", "name"},
		{"single/64/ops", "single/65/ops", "metric"},
		{"single/64/ops", "single/64/opps", "metric"},
		{"single/64/ops", "ops", "metric"},
		{"of: grpc", "of: soap", "of"},
		{"of: grpc", "of: ''", "of"},
		{"against: wsfloor", "against: soap", "against"},
		{`">="`, `">"`, "op"},
		{"aim: 2", "aim: 0.5", "aim"},
		{"gate: true", "compare: sum", "compare"},
		{"gate: true", "gated: true", "gated"},
		{whole, whole + "\n" + whole, "name of its own"},
	} {
		text := strings.Replace(whole, tc.old, tc.new, 1)
		if _, err := parseAims(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error = %v, want one with %q", text, err, tc.want)
		}
	}
}

func TestAimsFileIsSound(t *testing.T) {
	f, err := os.Open("aims.yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	aims, err := parseAims(f)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(aims, func(a Aim) bool { return a.Gate }) {
		t.Error("no aim is a gate: the check could not fail")
	}
}
