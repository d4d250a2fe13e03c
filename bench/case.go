package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	smallSize = 512                   // bytes of a request, and of a stream's message
	blockFor  = 10 * time.Millisecond // of a handler that blocks
)

// A Case is one measurement of a system, short enough that those of several
// systems can take turns.
type Case struct {
	Group   string
	Variant string
	Needs   Feature
	Metrics []Metric // what Run measures, in the table's order

	// Run starts the system, measures once, and ends it. It has a process of its
	// own, unless -only runs it.
	Run func(ctx context.Context, s System, w stopwatch) (Values, error)
}

// Name is what -run, -only and aims.yaml call the case.
func (c Case) Name() string { return c.Group + "/" + c.Variant }

// A Metric is one figure of a case.
type Metric struct {
	Name   string // in aims.yaml and in JSON: with its unit unless it is a count
	Head   string // in the table
	Beside bool   // the table has its ratios to those of the references, too
}

// Values are figures by the name of their metric.
type Values map[string]float64

// cases lists every case in the order in which they run.
func cases() []Case {
	return slices.Concat(singleCases(), blockCases(), streamCases(), mixedCases(),
		tlsCases(), memoryCases(), meshCases(), growthCases(), logCases(), auditCases(), webhookCases())
}

// pickCases returns the cases of the named groups, or named themselves; "" is all.
func pickCases(names string) ([]Case, error) {
	all := cases()
	if names == "" {
		return all, nil
	}
	var picked []Case
	for name := range strings.SplitSeq(names, ",") {
		name = strings.TrimSpace(name)
		n := len(picked)
		for _, c := range all {
			if c.Group == name || c.Name() == name {
				picked = append(picked, c)
			}
		}
		if len(picked) == n {
			var groups []string
			for _, c := range all {
				groups = append(groups, c.Group)
			}
			return nil, fmt.Errorf("-run: no case or group %q: choose groups from %s, or group/variant",
				name, strings.Join(slices.Compact(groups), ", "))
		}
	}
	return picked, nil
}

// onPair starts a pair for measure and closes it afterwards. When ctx ends the
// pair is closed at once, so that a call that hangs can't hang the program.
func onPair(ctx context.Context, s System, settings Settings, measure func(Pair) (Values, error)) (Values, error) {
	pair, err := s.Start(ctx, settings)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", s.Name(), err)
	}
	release := context.AfterFunc(ctx, func() { _ = pair.Close() })
	defer release()
	values, err := measure(pair)
	if closeErr := pair.Close(); err == nil && closeErr != nil {
		err = fmt.Errorf("close %s: %w", s.Name(), closeErr)
	}
	return values, err
}
