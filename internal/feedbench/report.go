package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// report is what came of it.
type report struct {
	began     time.Time
	rows      []row
	connected memory // with a warm connection to each node
	cached    memory // with pods in its cache
	grown     int64  // the most it held while these came
}

// row is one kind of measurement.
type row struct {
	what  string
	times []time.Duration // of each node in each round
	last  []time.Duration // of the last node in each round
	cpu   usage           // of all rounds
}

// usage is processor time.
type usage struct{ operator, nodes time.Duration }

type memory struct {
	grids, pods int
	now, most   int64
}

// add adds a round.
func (r *report) add(what string, from time.Time, when []int64, used usage) {
	i := slices.IndexFunc(r.rows, func(row row) bool { return row.what == what })
	if i < 0 {
		i = len(r.rows)
		r.rows = append(r.rows, row{what: what})
	}
	var last time.Duration
	for _, at := range when {
		took := time.Duration(at - from.UnixNano())
		r.rows[i].times = append(r.rows[i].times, took)
		last = max(last, took)
	}
	r.rows[i].last = append(r.rows[i].last, last)
	r.rows[i].cpu.operator += used.operator
	r.rows[i].cpu.nodes += used.nodes
}

func (r *report) write(w io.Writer) {
	fmt.Fprintf(w, "\nFrom a pod's address in the API to the list in use at each node, on %d processors, load %s:\n\n", runtime.NumCPU(), load())
	fmt.Fprintf(w, "  %-40s %8s %8s %8s %8s %8s %8s %10s %8s\n", "", "rounds", "p50", "p99", "longest", "goal", "", "cpu: oper.", "nodes")
	for i := range r.rows {
		row := &r.rows[i]
		slices.Sort(row.times)
		goal, verdict := "", ""
		if g := row.goal(); g > 0 {
			goal, verdict = g.String(), "met"
			if row.at(.99) > g {
				verdict = "MISSED"
			}
		}
		rounds := time.Duration(len(row.last))
		fmt.Fprintf(w, "  %-40s %8d %8s %8s %8s %8s %8s %10s %8s\n", row.what, rounds, round(row.at(.5)), round(row.at(.99)), round(row.at(1)), goal, verdict,
			round(row.cpu.operator/rounds), round(row.cpu.nodes/rounds))
	}
	fmt.Fprintf(w, "\nMemory of the operator (resident, most):\n\n")
	fmt.Fprintf(w, "  %-40s %8s %8s\n", fmt.Sprintf("%d nodes on warm connections", r.connected.pods), mib(r.connected.now), mib(r.connected.most))
	if r.cached.grids > 0 {
		verdict := "met"
		if r.cached.most > goalMemory {
			verdict = "MISSED"
		}
		fmt.Fprintf(w, "  %-40s %8s %8s   goal %s: %s (%s while they came)\n",
			fmt.Sprintf("%d Grids with %d pods, after a minute", r.cached.grids, r.cached.pods),
			mib(r.cached.now), mib(r.cached.most), mib(goalMemory), verdict, mib(r.grown))
	}
	fmt.Fprintln(w)
}

// goal of a row; 0: none.
func (r *row) goal() time.Duration {
	switch {
	case strings.Contains(r.what, "warm"):
		return goalWarm
	case strings.Contains(r.what, "started"):
		return goalStart
	}
	return 0
}

// at is the time within which that share of them all was done.
func (r *row) at(share float64) time.Duration {
	return r.times[min(int(share*float64(len(r.times))), len(r.times)-1)]
}

// missed are the goals that were missed.
func (r *report) missed() (all []string) {
	for i := range r.rows {
		if g := r.rows[i].goal(); g > 0 && r.rows[i].at(.99) > g {
			all = append(all, r.rows[i].what)
		}
	}
	if r.cached.grids > 0 && r.cached.most > goalMemory {
		all = append(all, "memory")
	}
	return all
}

func round(d time.Duration) string { return d.Round(time.Millisecond).String() }

func mib(n int64) string { return fmt.Sprintf("%d MiB", n>>20) }

// load says how busy the machine is.
func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	first, _, _ := strings.Cut(string(text), " ")
	return first
}
