package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// A measurer runs a case of a system once. disturbed tells that other
// processes used much of the processors meanwhile.
type measurer func(ctx context.Context, c Case, s System) (values Values, disturbed bool, err error)

// here measures in this process, and gives up what doesn't come to an end.
func (p *plan) here(ctx context.Context, c Case, s System) (values Values, disturbed bool, err error) {
	limit := bigCase + 20*(p.watch.warm+p.watch.measure)
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not done after %s", limit))
	defer cancel()
	before, err := clockNow()
	if err != nil {
		return nil, false, err
	}
	values, err = c.Run(ctx, s, p.watch)
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return nil, false, err
	}
	after, err := clockNow()
	return values, after.elsewhere(before) > disturbance, err
}

// inChild measures in a process of its own, which is this program with -only:
// what one measurement leaves behind (heap, stacks, buffers kept for reuse, a
// library's settings for the whole process) doesn't reach the next.
func (p *plan) inChild(ctx context.Context, c Case, s System) (values Values, disturbed bool, err error) {
	program, err := os.Executable()
	if err != nil {
		return nil, false, fmt.Errorf("find the program to run again: %w", err)
	}
	child := exec.CommandContext(ctx, program, "-json", "-only", c.Name()+"/"+s.Name(), "-d", p.watch.measure.String()) //nolint:gosec // runs itself
	var stdout, stderr bytes.Buffer
	child.Env = append(os.Environ(), childEnv+"=1")
	child.Stdout, child.Stderr = &stdout, &stderr
	child.WaitDelay = time.Second
	failed := child.Run()
	var report Report
	if err := json.Unmarshal(stdout.Bytes(), &report); err != nil {
		return nil, false, errors.Join(failed, fmt.Errorf("no report: %s", lastOf(stderr.String())))
	}
	if len(report.Failures) > 0 {
		return nil, false, errors.New(report.Failures[0].Error)
	}
	if failed != nil {
		return nil, false, fmt.Errorf("%w: %s", failed, lastOf(stderr.String()))
	}
	values = make(Values)
	for _, r := range report.Results {
		values[r.Metric] = r.Median
	}
	return values, report.Disturbed > 0, nil
}

// childEnv tells a test's binary that it is to be this program.
const childEnv = "BENCH_CHILD"

// lastOf is the end of what a process wrote.
func lastOf(s string) string {
	const most = 500
	s = strings.TrimSpace(s)
	return s[max(0, len(s)-most):]
}
