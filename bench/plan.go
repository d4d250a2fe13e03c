package main

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"
)

// bigCase is how much longer than its measured parts a case may take (starting,
// warming up, waiting until idle) before it is given up.
const bigCase = 2 * time.Minute

// A plan is which systems are measured by which cases, and how often.
type plan struct {
	cases   []Case
	systems []System
	rounds  int
	watch   stopwatch
	measure measurer
	log     *slog.Logger
}

// narrow keeps one case of one system, named group/variant/system.
func (p *plan) narrow(only string) error {
	i := strings.LastIndexByte(only, '/')
	if i < 0 {
		return fmt.Errorf("-only %q: name one case of one system, as in single/64/grpc", only)
	}
	name, system := only[:i], only[i+1:]
	p.cases = slices.DeleteFunc(cases(), func(c Case) bool { return c.Name() != name })
	p.systems = slices.DeleteFunc(systems(), func(s System) bool { return s.Name() != system })
	if len(p.cases) == 0 || len(p.systems) == 0 {
		return fmt.Errorf("-only %q: no such case or system: -list prints all", only)
	}
	if !able(p.systems[0], p.cases[0]) {
		return fmt.Errorf("-only %q: %s can't run this case", only, system)
	}
	return nil
}

// execute runs each case in rounds, the systems taking turns in each round, so
// that a machine that is busy for a while is so for all of them. A system that
// fails is noted, and the rest goes on.
func (p *plan) execute(ctx context.Context) (*Report, error) {
	report := newReport(p)
	for _, c := range p.cases {
		able := slices.DeleteFunc(slices.Clone(p.systems), func(s System) bool { return !able(s, c) })
		if len(able) == 0 {
			continue
		}
		p.log.Info("measuring", "case", c.Name(), "systems", len(able), "rounds", p.rounds)
		for round := range p.rounds {
			for _, s := range able {
				values, disturbed, err := p.measure(ctx, c, s)
				if ctx.Err() != nil {
					return nil, fmt.Errorf("stopped in %s of %s: %w", c.Name(), s.Name(), context.Cause(ctx))
				}
				if err != nil {
					p.log.Error("a measurement failed", "case", c.Name(), "system", s.Name(), "round", round+1, "error", err)
				}
				report.add(c, s, round, values, err)
				report.count(disturbed)
			}
			// The next round goes the other way: nobody is always after the same.
			slices.Reverse(able)
		}
	}
	return report, nil
}

// able tells whether the system can do what the case needs.
func able(s System, c Case) bool { return s.Can()&c.Needs == c.Needs }
