package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// event is one line of `go test -json`; `go doc test2json` describes it.
type event struct {
	Action  string `json:"Action"`
	Package string `json:"Package"`
	Test    string `json:"Test"` // empty: the event is about the whole package
	Output  string `json:"Output"`
}

// report turns the events of one or more runs into what a person reads, and
// counts. It is used by one goroutine.
type report struct {
	out     io.Writer
	allowed []skip

	passed, failed, skipped int
	unexplained             []string           // skipped tests without a line in the skips file
	words                   []string           // what failed, each with its last words
	running                 map[string]*pkgRun // packages that have not ended yet
}

// pkgRun is what is held back of a package until the fate of its tests is known.
type pkgRun struct {
	failed bool
	output map[string]string // by test; "" is the package itself
}

func newReport(out io.Writer, allowed []skip) *report {
	return &report{out: out, allowed: allowed, running: make(map[string]*pkgRun)}
}

// read takes in the events of one `go test -json` until its end.
func (r *report) read(events io.Reader) error {
	lines := bufio.NewReader(events)
	for {
		line, err := lines.ReadBytes('\n')
		if len(bytes.TrimSpace(line)) > 0 {
			var e event
			if jsonErr := json.Unmarshal(line, &e); jsonErr != nil {
				fmt.Fprintf(r.out, "%s", line) // not an event: something printed past go test
			} else {
				r.add(e)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the events of go test: %w", err)
		}
	}
}

func (r *report) add(e event) {
	p := r.running[e.Package]
	if p == nil {
		p = &pkgRun{output: make(map[string]string)}
		r.running[e.Package] = p
	}
	switch e.Action {
	case "build-output": // has no package, and is never long
		fmt.Fprint(r.out, e.Output)
	case "output":
		p.output[e.Test] += e.Output
	case "pass", "fail", "skip":
		if e.Test == "" {
			r.endPackage(e, p)
			delete(r.running, e.Package)
		} else {
			r.endTest(e, p)
			delete(p.output, e.Test)
		}
	}
}

func (r *report) endTest(e event, p *pkgRun) {
	switch e.Action {
	case "pass":
		r.passed++
	case "fail":
		r.failed++
		p.failed = true
		fmt.Fprintf(r.out, "\nFAILED %s %s\n%s", e.Package, e.Test, p.output[e.Test])
		r.words = append(r.words, e.Package+" "+e.Test+"\n"+lastWords(p.output[e.Test]))
	case "skip":
		r.skipped++
		reason := reasonFor(r.allowed, e.Package, e.Test)
		if reason == "" {
			r.unexplained = append(r.unexplained, e.Package+" "+e.Test)
			reason = "no reason given"
		}
		fmt.Fprintf(r.out, "skipped %s %s: %s\n%s", e.Package, e.Test, reason, p.output[e.Test])
	}
}

// endPackage settles what is still held: benchmarks, which end without an
// event of their own; tests that a time-out or a panic cut off; and the
// package's own lines, of which only the closing one is worth printing unless
// it failed (then the shuffle seed is, too).
func (r *report) endPackage(e event, p *pkgRun) {
	for _, test := range slices.Sorted(maps.Keys(p.output)) {
		switch output := p.output[test]; {
		case test == "":
			continue // printed last
		case strings.HasPrefix(test, "Benchmark"):
			if result := benchmarkResult(output); result != "" {
				r.passed++
				fmt.Fprint(r.out, result)
			} else if e.Action == "fail" {
				fmt.Fprintf(r.out, "\n%s", output)
			}
		case e.Action == "fail":
			r.failed++
			p.failed = true
			fmt.Fprintf(r.out, "\nNOT FINISHED %s %s\n%s", e.Package, test, output)
			r.words = append(r.words, e.Package+" "+test+", which did not end\n"+lastWords(output))
		}
	}
	for line := range strings.Lines(p.output[""]) {
		if e.Action == "fail" || closingLine(line) {
			fmt.Fprint(r.out, line)
		}
	}
	if e.Action == "fail" && !p.failed {
		r.failed++ // did not build, or failed outside any test
	}
}

// benchmarkResult returns the result line in a benchmark's output, or "" for
// one that has none: it only ran others, or did not end.
func benchmarkResult(output string) string {
	for line := range strings.Lines(output) {
		if strings.HasPrefix(line, "Benchmark") && strings.Contains(line, " ns/op") {
			return line
		}
	}
	return ""
}

// closingLine reports whether go test prints this line without -v, too.
func closingLine(line string) bool {
	return strings.HasPrefix(line, "ok ") || strings.HasPrefix(line, "? ") || strings.HasPrefix(line, "coverage:")
}

// maxWords is how many lines of a failed test are said again at the end.
const maxWords = 8

// said is a line that a test wrote by Error, Fatal or Log. What a test let other
// code print stands between them, often in hundreds.
var said = regexp.MustCompile(`^ +[A-Za-z0-9_]+\.go:\d+: `)

// lastWords are the last lines that a test itself has said.
func lastWords(output string) string {
	var words []string
	for line := range strings.Lines(output) {
		if said.MatchString(line) {
			words = append(words, strings.TrimSuffix(line, "\n"))
		}
	}
	return strings.Join(words[max(0, len(words)-maxWords):], "\n")
}

// close prints what a reader must not miss, then the counts alone on the last
// line; ok is false when anything failed, was skipped unexplained, or nothing
// ran.
func (r *report) close() (ok bool) {
	if len(r.words) > 0 {
		fmt.Fprintf(r.out, "\nfailed (all that they printed stands above):\n%s\n", strings.Join(r.words, "\n"))
	}
	if len(r.unexplained) > 0 {
		fmt.Fprintf(r.out, "\nskipped without a reason in the skips file (make it run, or add a line with the reason):\n\t%s\n",
			strings.Join(r.unexplained, "\n\t"))
	}
	nothing := r.passed+r.failed == 0
	if nothing {
		fmt.Fprintln(r.out, "\nnothing ran: no test matched, or none was built")
	}
	fmt.Fprintf(r.out, "%d passed, %d failed, %d skipped\n", r.passed, r.failed, r.skipped)
	return !nothing && r.failed == 0 && len(r.unexplained) == 0
}
