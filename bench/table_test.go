package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestFigure(t *testing.T) {
	for _, tc := range []struct {
		v    float64
		want string
	}{
		{0, "0"}, {0.0004, "0.000"}, {0.1234, "0.123"}, {1, "1.00"}, {12.34, "12.3"},
		{123.4, "123"}, {1234, "1,230"}, {999_900, "1,000,000"}, {238_456, "238,000"}, {-2080, "-2,080"}, {-1.5, "-1.50"},
	} {
		if got := figure(tc.v); got != tc.want {
			t.Errorf("figure(%g) = %q, want %q", tc.v, got, tc.want)
		}
	}
}

func TestRise(t *testing.T) {
	for _, tc := range []struct {
		values []float64
		want   float64
	}{
		{[]float64{4, 2, 1}, 0.5},    // falls throughout: the nearest to rising
		{[]float64{4, 2, 3, 2}, 1.5}, // from the least before
		{[]float64{4, 1, 2, 3}, 3},
		{[]float64{1, 1}, 1},
	} {
		if got := rise(tc.values); got != tc.want {
			t.Errorf("rise(%v) = %g, want %g", tc.values, got, tc.want)
		}
	}
}

func TestTableShowsMediansRatiosAndFailures(t *testing.T) {
	c := Case{Group: "g", Variant: "v", Metrics: []Metric{{Name: "x", Head: "X", Beside: true}, {Name: "y", Head: "Y"}}}
	r := newReport(&plan{cases: []Case{c}, rounds: 3})
	for round, x := range []float64{10, 30, 20} {
		r.add(c, wsFloor{}, round, Values{"x": x, "y": 7}, nil)
		r.add(c, tcpFloor{}, round, Values{"x": 2 * x}, nil)
	}
	r.add(c, grpcSystem{}, 1, nil, errors.New("it broke"))
	r.count(false)
	r.count(true)
	var out bytes.Buffer
	if err := r.writeTable(&out); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(out.String()) {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	for _, want := range []string{
		"g system X Y X ÷ wsfloor\n",
		"v tcpfloor 40.0 - 2.00\n",
		"v wsfloor 20.0 7.00 1.00\n",
		"DISTURBED: other processes used more than 10% of the processors in 1 of 2 measurements",
		"FAILED g/v of grpc in round 2: it broke",
	} {
		if !strings.Contains(strings.Join(lines, "\n"), want) {
			t.Errorf("no line %q in:\n%s", want, &out)
		}
	}
}
