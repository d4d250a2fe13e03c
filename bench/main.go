// Command bench compares systems that carry calls between two programs: the
// least that can (the floors), grpc-go, and Gridmesh. All are measured side by
// side in one run, and what it reports are ratios: figures of a single system
// tell more about the machine and its mood. See README.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/pprof"
	"sync"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := bench(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// flags are what the command line says.
type flags struct {
	run, systems, only string
	check, cpuProfile  string
	measure            time.Duration
	rounds             int
	asJSON, list       bool
}

func parseFlags(args []string, stderr io.Writer) (*flags, error) {
	var f flags
	set := flag.NewFlagSet("bench", flag.ContinueOnError)
	set.SetOutput(stderr)
	set.StringVar(&f.run, "run", "", "`groups` or cases to run, separated by commas; all without it")
	set.StringVar(&f.systems, "systems", "", "`systems` to compare, separated by commas; all without it")
	set.DurationVar(&f.measure, "d", time.Second, "how long each part of a case is measured in each round")
	set.IntVar(&f.rounds, "rounds", 5, "how often each case is measured; medians are reported")
	set.StringVar(&f.check, "check", "", "`file` of aims: report each, exit 1 when one with gate: true fails")
	set.BoolVar(&f.asJSON, "json", false, "write one JSON object instead of tables")
	set.StringVar(&f.only, "only", "", "run just one case of one system, as in `single/64/grpc`, once unless -rounds is given")
	set.StringVar(&f.cpuProfile, "cpuprofile", "", "with -only: write a CPU profile, from after the warm-up, to this `file`")
	set.BoolVar(&f.list, "list", false, "print the cases with their metrics, and the systems, and exit")
	if err := set.Parse(args); err != nil {
		return nil, err
	}
	roundsGiven := false
	set.Visit(func(g *flag.Flag) { roundsGiven = roundsGiven || g.Name == "rounds" })
	if f.only != "" && !roundsGiven {
		f.rounds = 1
	}
	switch {
	case set.NArg() > 0:
		return nil, fmt.Errorf("unknown argument %q: everything is said with flags, see -help", set.Arg(0))
	case f.measure <= 0:
		return nil, fmt.Errorf("-d %s: give a time above zero", f.measure)
	case f.rounds < 1:
		return nil, fmt.Errorf("-rounds %d: give at least 1", f.rounds)
	case f.only != "" && (f.run != "" || f.systems != ""):
		return nil, errors.New("-only names its case and system: leave out -run and -systems")
	case f.cpuProfile != "" && f.only == "":
		return nil, errors.New("-cpuprofile mixes up what runs: name one case of one system with -only")
	}
	return &f, nil
}

// bench is the program: tables or JSON to stdout, progress to stderr.
func bench(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	f, err := parseFlags(args, stderr)
	if err != nil {
		return err
	}
	if f.list {
		return list(stdout)
	}
	p, err := f.plan(stderr)
	if err != nil {
		return err
	}
	var aims []Aim
	if f.check != "" {
		if aims, err = loadAims(f.check); err != nil {
			return err
		}
	}
	if f.cpuProfile != "" {
		profile, err := os.Create(f.cpuProfile)
		if err != nil {
			return fmt.Errorf("make the CPU profile: %w", err)
		}
		p.watch.begin = sync.OnceValue(func() error { return pprof.StartCPUProfile(profile) })
		defer func() {
			pprof.StopCPUProfile()
			err = errors.Join(err, profile.Close())
		}()
	}

	report, err := p.execute(ctx)
	if err != nil {
		return err
	}
	gates := report.judgeAll(aims)
	if err := report.write(stdout, f.asJSON); err != nil {
		return err
	}
	switch {
	case len(report.Failures) > 0:
		return fmt.Errorf("%d measurements failed", len(report.Failures))
	case gates > 0:
		return fmt.Errorf("%d gates of %s failed", gates, f.check)
	}
	return nil
}

// plan is what the flags ask for.
func (f *flags) plan(stderr io.Writer) (*plan, error) {
	p := &plan{
		rounds: f.rounds,
		watch:  stopwatch{warm: f.measure / 4, measure: f.measure},
		log:    slog.New(slog.NewTextHandler(stderr, nil)),
	}
	if f.only != "" {
		p.measure = p.here
		err := p.narrow(f.only)
		return p, err
	}
	p.measure = p.inChild
	var err error
	if p.cases, err = pickCases(f.run); err != nil {
		return nil, err
	}
	p.systems, err = pickSystems(f.systems)
	return p, err
}

// write writes the report for tools or for people.
func (r *Report) write(w io.Writer, asJSON bool) error {
	if asJSON {
		return r.writeJSON(w)
	}
	if err := r.writeTable(w); err != nil || len(r.Aims) == 0 {
		return err
	}
	return r.writeAims(w)
}

// list prints what -run, -only, -systems and a file of aims can name.
func list(w io.Writer) error {
	for _, c := range cases() {
		for _, m := range c.Metrics {
			fmt.Fprintf(w, "%s/%s\t%s\n", c.Name(), m.Name, m.Head)
		}
	}
	for _, s := range systems() {
		if _, err := fmt.Fprintln(w, s.Name()); err != nil {
			return err
		}
	}
	return nil
}
